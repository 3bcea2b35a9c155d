// SPDX-License-Identifier: MIT OR Apache-2.0

//! `grep` as a command; after a `|` it is a filter of the monitor.

use super::{Command, Session};
use crate::Failure;
use crate::output::Filter;
use crate::syntax::Args;
use lab::help::Help;
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "grep",
                usage: "[-i] [-v] [-c] WORD PATH...",
                summary: "prints the lines of files, or of another command, that hold a word",
                details: "Behind another command: COMMAND | grep [-i] [-v] [-c] WORD. In WORD, ^ and $ are the ends of a line, \
                              . is any character, .* is anything, \\. is a dot, and all else is what it is. -i: capitals or not; \
                              -v: the other lines; -c: their number.",
                example: "cat /proc/vmstat | grep cma",
            },
            run: |session, args| session.grep(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn grep(&mut self, args: &Args) -> Result<(), Failure> {
        let mut words = args.words.clone();
        let filter = Filter::take(&mut words)?;
        if words.is_empty() {
            return Err(Failure::bad("a PATH is missing, or another command in front: COMMAND | grep WORD"));
        }
        let several = words.len() > 1;
        words.iter().try_for_each(|path| {
            self.out.filter_first(if several { filter.named(path) } else { filter.clone() });
            let printed = self.print_file(path);
            self.out.unfilter_first();
            printed
        })
    }
}
