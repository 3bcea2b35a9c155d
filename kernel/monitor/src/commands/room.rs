// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `relocate`: a plan of the moves that make room for a request.

use alloc::format;
use core::fmt::Write;

use super::areas::choose_area;
use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use cma::{MAX_ALIGN_ORDER, align_order_of};
use lab::help::Help;
use lab::keys::number;
use lab::room;
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "relocate",
                usage: "AREA PAGES [ALIGN_ORDER]",
                summary: "says what would have to move so that a request fits",
                details: "Nothing is moved. It is a plan as placement=relocate makes it, if every buffer that is registered could be moved. Each keeps \
                  the alignment that it has, up to that of its size. The request's default alignment is the order \
                  of its size, capped at 8.",
                example: "relocate BiscuitOS_cma 64",
            },
            run: |session, args| session.relocate(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn relocate(&mut self, args: &Args) -> Result<(), Failure> {
        let id = choose_area(self.system, args.word(0))?;
        let pages = number("PAGES", args.word(1).unwrap_or_default(), 1, u64::from(u32::MAX))? as u32;
        let align_order = match args.word(2) {
            Some(word) => number("ALIGN_ORDER", word, 0, u64::from(MAX_ALIGN_ORDER))? as u32,
            None => align_order_of(pages),
        };
        let room = room::plan(self.system, id, pages, align_order).map_err(|error| Failure::bad(format!("{error}")))?;
        write!(self.out, "{room}")?;
        writeln!(self.out, "{}", room.record())?;
        Ok(())
    }
}
