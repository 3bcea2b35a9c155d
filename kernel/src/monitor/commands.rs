//! The commands, in groups: `areas` by hand, `experiments`, and the rest here.

mod areas;
mod compare;
mod disk;
mod dma;
mod experiments;
mod jobs;
mod loads;
mod pressure;

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};

use super::jobs::Jobs;
use super::output::Output;
use super::syntax::{Args, nearest, number, shown};
use super::{Context, End, Failure, Outcome, TERMINAL_COLUMNS, help, selftest};
use crate::machine::{Fault, Machine};
use crate::system::System;
pub(super) use loads::write_news;

/// What a command works on.
pub(super) struct Session<'s, 'm, M: ?Sized> {
    pub(super) system: &'s mut System<'m>,
    pub(super) context: &'s Context<'s>,
    /// Largest status that `run=` met so far.
    pub(super) worst: u8,
    pub(super) jobs: &'s mut Jobs,
    /// The command as it was typed, where it ended in `&`.
    pub(super) background: Option<String>,
    pub(super) out: Output<'s, M>,
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    /// Does one command of `help`'s table.
    pub(super) fn command(&mut self, name: &str, args: &Args) -> Result<Outcome, Failure> {
        match name {
            "debris" | "camera" | "decoder" | "random" => self.load(name, args),
            "jobs" => self.list_jobs(),
            "stop" => self.stop(args),
            "wait" => self.wait(args),
            "compare" => self.compare(args),
            "replay" => self.replay(args),
            "pressure" => self.pressure(args),
            "copytest" => self.copytest(args),
            "disk" => self.disk(args),
            "bench" => self.bench(args),
            "cma" => self.cma(),
            "metrics" => self.metrics(args),
            "bitmap" => self.bitmap(args),
            "picture" => self.picture(args),
            "alloc" => self.alloc(args),
            "release" => self.release(args),
            "dma" => self.dma(args),
            "cat" => self.cat(args),
            "ls" => self.ls(args),
            "echo" => self.echo(args),
            "selftest" => selftest::run(self, args),
            "fault" => self.fault(args),
            "help" => self.help(args),
            "version" => Ok(writeln!(self.out, "{}", self.context.version)?),
            "poweroff" => {
                let status = args.word(0).map(|word| number("STATUS", word, 0, 255)).transpose()?;
                return Ok(Outcome::PowerOff(status.map_or(self.worst, |status| status as u8)));
            }
            "reboot" => return Ok(Outcome::Reboot),
            "grep" => self.grep(args),
            _ => Err(Failure::bad("is in the table of commands, but nothing does it")),
        }?;
        Ok(Outcome::Ok)
    }

    fn fault(&mut self, args: &Args) -> Result<(), Failure> {
        let name = args.word(0).unwrap_or_default();
        let fault = Fault::from_name(name)
            .ok_or_else(|| format!("no fault {}; there are {}", shown(name), Fault::ALL.map(Fault::name).join(" ")))?;
        self.out.machine.fault(fault)
    }

    fn help(&mut self, args: &Args) -> Result<(), Failure> {
        let Some(name) = args.word(0) else {
            for entry in &help::COMMANDS {
                writeln!(self.out, "{:<10} {}", entry.name, entry.summary)?;
            }
            writeln!(self.out, "\n`help COMMAND` explains one; `COMMAND | grep WORD` filters; `;` separates.")?;
            writeln!(self.out, "Tab completes, arrows edit and go back, Ctrl-C stops: see `help help`.")?;
            return Ok(());
        };
        let entry =
            help::find(name).ok_or_else(|| match nearest(name, help::COMMANDS.iter().map(|entry| entry.name)) {
                Some(near) => format!("no command {}; did you mean {near}?", shown(name)),
                None => format!("no command {}; `help` lists them all", shown(name)),
            })?;
        wrap(&mut self.out, entry.usage, 0, 4)?;
        wrap(&mut self.out, entry.summary, 2, 2)?;
        wrap(&mut self.out, entry.details, 2, 2)?;
        writeln!(self.out, "  example: {}", entry.example)?;
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

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        match end {
            End::PowerOff(status) => Self::PowerOff(status),
            End::Reboot => Self::Reboot,
        }
    }
}
