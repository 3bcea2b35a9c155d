// SPDX-License-Identifier: MIT OR Apache-2.0

//! `version`, `poweroff` and `reboot`.

use core::fmt::Write;

use super::{Command, Session};
use crate::syntax::Args;
use crate::{End, Failure};
use lab::help::Help;
use lab::keys::number;
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[
            Command {
                help: Help {
                    name: "version",
                    usage: "",
                    summary: "says what this is",
                    details: "",
                    example: "version",
                },
                run: |session, _| Ok(writeln!(session.out, "{}", session.context.version)?),
            },
            Command {
                help: Help {
                    name: "poweroff",
                    usage: "[STATUS]",
                    summary: "ends QEMU with a status from 0 to 255",
                    details: "Without one: with the largest status that the commands of run= met. So does Ctrl-D in an empty line, \
                  and the end of what is piped in.",
                    example: "poweroff",
                },
                run: |session, args| session.power_off(args),
            },
            Command {
                help: Help {
                    name: "reboot",
                    usage: "",
                    summary: "starts the machine again",
                    details: "",
                    example: "reboot",
                },
                run: |session, _| session.reboot(),
            },
        ]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn power_off(&mut self, args: &Args) -> Result<(), Failure> {
        let status = args.word(0).map(|word| number("STATUS", word, 0, 255)).transpose()?;
        self.end = Some(End::PowerOff(status.map_or(self.worst, |status| status as u8)));
        Ok(())
    }

    fn reboot(&mut self) -> Result<(), Failure> {
        self.end = Some(End::Reboot);
        Ok(())
    }
}
