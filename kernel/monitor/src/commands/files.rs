// SPDX-License-Identifier: MIT OR Apache-2.0

//! The pseudo files: `cat`, `ls`, and `echo N > PATH`.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use super::{Command, Session};
use crate::files::NoFile;
use crate::syntax::Args;
use crate::{Failure, files};
use lab::help::Help;
use lab::keys::{did_you_mean, shown, shown_path};
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[
            Command {
                help: Help {
                    name: "cat",
                    usage: "PATH...",
                    summary: "prints pseudo files",
                    details: "`ls` shows which there are, and Tab completes their paths.",
                    example: "cat /proc/meminfo | grep Cma",
                },
                run: |session, args| session.cat(args),
            },
            Command {
                help: Help {
                    name: "ls",
                    usage: "[PATH]",
                    summary: "lists pseudo files",
                    details: "",
                    example: "ls /proc",
                },
                run: |session, args| session.ls(args),
            },
            Command {
                help: Help {
                    name: "echo",
                    usage: "[WORD...] [> PATH]",
                    summary: "prints words, or writes a number to a pseudo file",
                    details: "To `alloc` or `free` of /sys/kernel/debug/cma/NAME: allocates that number of pages, or frees that number of \
                              those allocated last. To /sys/kernel/tracing/events/cma/enable: 1 begins to trace, 0 stops; to \
                              /sys/kernel/tracing/trace: 0 forgets the events.",
                    example: "echo 16 > /sys/kernel/debug/cma/BiscuitOS_cma/alloc",
                },
                run: |session, args| session.echo(args),
            },
        ]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn cat(&mut self, args: &Args) -> Result<(), Failure> {
        no_options(&args.words)?;
        let mut failed = None;
        for path in &args.words {
            let Err(failure) = self.print_file(path) else { continue };
            // The last failure's line is printed as other commands' are, earlier ones here.
            if let Some(Failure { line, .. }) = failed.replace(failure) {
                self.out.machine.write_str(&format!("cat: {line}\n"));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn print_file(&mut self, path: &str) -> Result<(), Failure> {
        let file = self.file(path)?;
        let path = shown_path(path, SHOWN_PATH);
        let named = |failure: Failure| Failure { line: format!("{path}: {}", failure.line), ..failure };
        files::write(&mut self.out, self.system, self.context, file).map_err(named)
    }

    fn ls(&mut self, args: &Args) -> Result<(), Failure> {
        no_options(&args.words)?;
        let path = args.word(0).unwrap_or("/");
        match files::find(self.system, path) {
            Ok(_) => writeln!(self.out, "{path}")?,
            Err(NoFile::Directory) => {
                for name in files::list(self.system, path) {
                    writeln!(self.out, "{name}")?;
                }
            }
            Err(why) => return Err(Failure::bad(format!("cannot access {}", self.no_file(path, why)))),
        }
        Ok(())
    }

    fn echo(&mut self, args: &Args) -> Result<(), Failure> {
        let Some(arrow) = args.words.iter().position(|word| word == ">") else {
            writeln!(self.out, "{}", args.words.join(" "))?;
            return Ok(());
        };
        let (value, path) = (&args.words[..arrow], &args.words[arrow + 1..]);
        let [path] = path else { return Err(Failure::bad("one PATH has to follow the >; usage: echo N > PATH")) };
        let file = self.file(path)?;
        let path = shown_path(path, SHOWN_PATH);
        let named = |failure: Failure| Failure { line: format!("{path}: {}", failure.line), ..failure };
        files::write_number(self.system, file, &value.join(" ")).map_err(named)
    }

    fn file(&self, path: &str) -> Result<files::File, Failure> {
        files::find(self.system, path).map_err(|why| Failure::bad(self.no_file(path, why)))
    }

    /// Returns why `path` names no file, with the path that may be meant.
    fn no_file(&self, path: &str, why: NoFile) -> String {
        let near = if why == NoFile::Missing { files::nearest_path(self.system, path) } else { None };
        let near = near.map_or_else(String::new, |near| format!("; {}", did_you_mean(&near)));
        let path = if path.is_empty() { "''".into() } else { shown_path(path, SHOWN_PATH) };
        format!("{path}: {why}{near}")
    }
}

/// Characters of a path that a message shows.
const SHOWN_PATH: usize = 200;

/// Errs at the first word that looks like an option.
fn no_options(words: &[String]) -> Result<(), Failure> {
    match words.iter().find(|word| word.len() > 1 && word.starts_with('-')) {
        Some(option) => Err(Failure::bad(format!("invalid option {}; there are none", shown(option)))),
        None => Ok(()),
    }
}
