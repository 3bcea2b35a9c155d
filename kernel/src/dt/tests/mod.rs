//! The reader against trees made in code, against broken trees, and against this repository's own.

mod chosen;
mod corrupt;
mod devices;
mod memory;
mod repository;
mod reserved;
mod structure;

use alloc::vec::Vec;
use std::string::String;

use super::{Facts, read};
use crate::units::PhysRange;

/// The facts of a tree that must be readable.
fn facts(bytes: &[u8]) -> Facts {
    read(bytes).unwrap_or_else(|error| panic!("{error}"))
}

/// The text of the notes.
fn notes(facts: &Facts) -> Vec<String> {
    facts.notes.iter().map(|note| note.text.clone()).collect()
}

fn range(start: u64, size: u64) -> PhysRange {
    PhysRange::sized(start, size)
}
