// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `fault`.

use alloc::format;

use super::{Command, Session};
use crate::lab::help::Help;
use crate::lab::keys::shown;
use crate::machine::{Fault, Machine};
use crate::monitor::Failure;
use crate::monitor::syntax::Args;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "fault",
                usage: "stack|null|text|exec|unaligned|undefined|svc|irq|panic",
                summary: "takes a fault on purpose; ends with status 101",
                details: "",
                example: "fault null",
            },
            run: |session, args| session.fault(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn fault(&mut self, args: &Args) -> Result<(), Failure> {
        let name = args.word(0).unwrap_or_default();
        let fault = Fault::from_name(name)
            .ok_or_else(|| format!("no fault {}; there are {}", shown(name), Fault::ALL.map(Fault::name).join(" ")))?;
        self.out.machine.fault(fault)
    }
}
