// SPDX-License-Identifier: MIT OR Apache-2.0

//! The laboratory on the host: the kernel's crates, run natively on boards with any areas.
//!
//! [`board`] builds a board in this process's memory, [`size`] finds how large an area a recording
//! needs. The program `debris` is made of them.
//!
//! Invariants: a recording is read and replayed by the image's code, so that placements, failures
//! and fingerprints are the image's.

pub mod anonymous;
pub mod board;
pub mod check;
pub mod events;
pub mod explain;
pub mod helps;
pub mod jitter;
pub mod kind;
pub mod machine;
pub mod page;
pub mod picture;
pub mod size;
pub mod timeline;
pub mod verdict;

use kernel::monitor::{Context, Monitor, Outcome};
use kernel::system::System;

/// Executes a line of the monitor; returns its status.
pub fn monitor_line(system: &mut System<'_>, host: &mut machine::Host, initrd: Option<&[u8]>, line: &str) -> u8 {
    let version = concat!("debris ", env!("CARGO_PKG_VERSION"), " on the host");
    let context = Context { initrd, version, ..Context::default() };
    match Monitor::new(system, host, context).run(line) {
        Outcome::Failed(status) | Outcome::PowerOff(status) => status,
        Outcome::Ok | Outcome::Reboot => 0,
    }
}
