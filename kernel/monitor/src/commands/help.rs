// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `help`.

use alloc::format;
use core::fmt::{self, Write};

use super::{Command, Session, all, find};
use crate::help::expanded;
use crate::syntax::Args;
use crate::{Failure, TERMINAL_COLUMNS};
use lab::help::Help;
use lab::keys::{did_you_mean, nearest, shown};
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "help",
                usage: "[COMMAND]",
                summary: "lists the commands, or explains one",
                details: "`COMMAND | grep WORD` prints the lines that hold WORD; `;` separates commands. An area is named by \
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
        let command = find::<M>(name).ok_or_else(|| {
            let near = nearest(name, all::<M>().map(|command| command.help.name));
            let meant = near.map_or_else(|| "`help` lists them all".into(), did_you_mean);
            format!("no command {}; {meant}", shown(name))
        })?;
        wrap(&mut self.out, command.usage().text(), 0, 4)?;
        wrap(&mut self.out, command.help.summary, 2, 2)?;
        wrap(&mut self.out, &expanded(command.help.details), 2, 2)?;
        writeln!(self.out, "  example: {}", command.help.example)?;
        Ok(())
    }
}

/// Prints words in rows that fit a terminal, the first one and the others indented.
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
