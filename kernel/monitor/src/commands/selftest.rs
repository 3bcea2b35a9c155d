// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `selftest`.

use super::Command;
use crate::selftest;
use lab::help::Help;
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "selftest",
                usage: "[NAME]",
                summary: "runs the kernel's tests and prints KTAP",
                details: "NAME is a test's, or the first word of several: books, buddy, cma, live, dma. A test that finds no \
                  area that it can use, no window of mappings (as in the host tool), or too little memory, says \
                  `# SKIP` and why.",
                example: "selftest",
            },
            run: |session, args| selftest::run(session, args),
        }]
    }
}
