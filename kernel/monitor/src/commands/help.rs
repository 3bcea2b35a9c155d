// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `help`.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};

use super::{Command, Session, all, find};
use crate::help::expanded;
use crate::syntax::Args;
use crate::values::{Explained, KEYS, VALUES, explain};
use crate::{Failure, TERMINAL_COLUMNS};
use lab::help::Help;
use lab::keys::{did_you_mean, nearest, shown};
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "help",
                usage: "[COMMAND|KEY|VALUE]",
                summary: "lists the commands, or explains one, a key or a value of one",
                details: "`help lend` explains what lend= sets and all that it can be, `help half` one value wherever it \
                  can be chosen, and \
                  `help PLACEMENT` what stands in capitals. `COMMAND | grep WORD` prints the lines that hold WORD; `;` separates commands. An area is named by \
                  area=NAME or by NAME alone, in every command that takes one. Tab completes what \
                  is typed, or lists what it could be; the arrows edit the line and bring former ones back; Ctrl-E, \
                  K, U, W and L do what they do in a shell, and so does Ctrl-A (twice, where QEMU keeps the first for \
                  itself); Ctrl-C drops the line, and stops what runs.",
                example: "help debris",
            },
            run: |session, args| session.help(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn help(&mut self, args: &Args) -> Result<(), Failure> {
        let Some(name) = args.word(0) else {
            for command in all::<M>() {
                writeln!(self.out, "{:<10} {}", command.help.name, command.help.summary)?;
            }
            writeln!(self.out, "\n`help COMMAND` explains one; `COMMAND | grep WORD` filters; `;` separates.")?;
            writeln!(self.out, "Tab completes, arrows edit and go back, Ctrl-C stops: see `help help`.")?;
            return Ok(());
        };
        let explained = explain::<M>(name);
        match find::<M>(name) {
            Some(command) => {
                wrap(&mut self.out, command.usage().text(), 0, 4)?;
                wrap(&mut self.out, command.help.summary, 2, 2)?;
                wrap(&mut self.out, &expanded(command.help.details), 2, 2)?;
                writeln!(self.out, "  example: {}", command.help.example)?;
            }
            None if explained.is_empty() => {
                let commands = all::<M>().map(|command| command.help.name);
                let keys = KEYS.iter().map(|key| key.name);
                let near =
                    nearest(name, commands.chain(keys).chain(VALUES.iter().flat_map(|value| [value.of, value.name])));
                let meant = near.map_or_else(|| "`help` lists the commands".into(), did_you_mean);
                return Err(Failure::bad(format!("no command, key or value {}; {meant}", shown(name))));
            }
            None => {}
        }
        for Explained { key, name, of, parameters, meaning } in explained {
            let equals = if key.is_empty() { "" } else { "=" };
            let parameters = if parameters.is_empty() { String::new() } else { format!("[{parameters}]") };
            let of = if of.is_empty() { String::new() } else { format!(" of {of}") };
            wrap(&mut self.out, &format!("{key}{equals}{name}{parameters}{of}: {meaning}"), 0, 4)?;
        }
        Ok(())
    }
}

/// Prints words in rows that fit a terminal, indented by `first`, then by `others` blanks.
fn wrap(out: &mut dyn Write, text: &str, first: usize, others: usize) -> fmt::Result {
    let mut at = 0;
    for word in text.split_ascii_whitespace() {
        let length = word.chars().count();
        if at > 0 && at + 1 + length >= TERMINAL_COLUMNS {
            writeln!(out)?;
            write!(out, "{:others$}", "")?;
            at = others;
        } else if at > 0 {
            out.write_char(' ')?;
            at += 1;
        } else {
            write!(out, "{:first$}", "")?;
            at = first;
        }
        out.write_str(word)?;
        at += length;
    }
    if at > 0 { writeln!(out) } else { Ok(()) }
}
