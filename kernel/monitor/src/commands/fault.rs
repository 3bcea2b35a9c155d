// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `fault`.

use alloc::format;

use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use lab::help::Help;
use lab::keys::shown;
use machine::{Fault, Machine};

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
