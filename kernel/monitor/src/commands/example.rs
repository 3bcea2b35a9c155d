// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `total`.

use core::fmt::Write;

use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use lab::help::Help;
use lab::keys::Keys;
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "total",
                usage: "[unit=pages|kib]",
                summary: "prints how large all areas are together",
                details: "",
                example: "total unit=kib",
            },
            run: |session, args| session.total(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn total(&mut self, args: &Args) -> Result<(), Failure> {
        let unit = args.one_of("unit", &["pages", "kib"])?;
        let pages: u32 = self.system.areas().iter().map(|area| area.pages()).sum();
        writeln!(self.out, "{} {unit}", if unit == "kib" { 4 * pages } else { pages })?;
        Ok(())
    }
}
