// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reader against trees made in code, broken trees, and this repository's own.
//!
//! The reader itself has no unsafe code. Miri checks that of the `fdt` crate, for which one whole
//! tree and a few broken ones are enough; the rest would take it half an hour.

mod build;
mod corrupt;

#[cfg(not(miri))]
mod chosen;
#[cfg(not(miri))]
mod devices;
#[cfg(not(miri))]
mod memory;
#[cfg(not(miri))]
mod repository;
#[cfg(not(miri))]
mod reserved;
#[cfg(not(miri))]
mod structure;

#[cfg(not(miri))]
use helpers::{facts, notes, range};

#[cfg(not(miri))]
mod helpers {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::super::{Facts, read};
    use units::PhysRange;

    /// Returns the facts of a tree that must be readable.
    pub(super) fn facts(bytes: &[u8]) -> Facts {
        read(bytes).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the texts of the notes.
    pub(super) fn notes(facts: &Facts) -> Vec<String> {
        facts.notes.iter().map(|note| note.text.clone()).collect()
    }

    pub(super) fn range(start: u64, size: u64) -> PhysRange {
        PhysRange::sized(start, size)
    }
}
