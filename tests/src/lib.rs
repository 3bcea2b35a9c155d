// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boots the image in a real QEMU and reads its real console.
//!
//! A [`Boot`] describes a machine: memory, command line, device tree, initial RAM disk, entry into
//! the image. [`Boot::run`] runs it until it ends by itself and returns an [`Outcome`]: the text of
//! the console, the records in it, and QEMU's exit status. [`Boot::start`] returns a [`Session`] to
//! type at, and [`Boot::at_a_terminal`] a [`Terminal`] with a screen to look at. QEMU is always
//! started through `scripts/qemu`, the only place that has its command line, and never outlives its
//! test: a session that is dropped ends its own QEMU.
//!
//! Every record on a console is checked against the page of the [`records`].
//!
//! The tests use only what a user has: the image in `build/`, the command line, the keyboard, the
//! console.

pub mod bench;
mod boot;
pub mod caches;
pub mod data;
pub mod disk;
pub mod docs;
mod fake_qemu;
mod outcome;
pub mod records;
mod session;
pub mod symbols;
mod terminal;
mod tree;

pub use boot::{Boot, Entry};
pub use fake_qemu::FakeQemu;
pub use outcome::Outcome;
pub use session::Session;
pub use terminal::Terminal;
pub use tree::{Tree, TreeFile, compile_fragments, compile_nodes};

use std::path::PathBuf;

/// Returns `path` inside the source tree.
pub fn in_tree(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}
