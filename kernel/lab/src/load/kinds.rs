// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interface of loads: parameters that scale with the area, and the sequence of requests.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

pub use experiment::debris::Ask;

use super::LOADS;
use crate::held::Held;
use crate::help::Help;
use crate::keys::Keys;
use crate::record::Record;
use crate::rng::Rng;
use crate::scale::Scale;

/// Reads a load's own parameters from keys, for an area of the given number of pages.
pub(super) type ReadLoad = fn(&dyn Keys, u32) -> Result<Arc<dyn Load>, String>;

/// A load in the monitor: the command of its name runs it, and `compare load=` accepts it.
pub struct Entry {
    /// The help. Its usage lists the load's own keys; those of all loads are added after them.
    pub help: Help,
    /// Reads the parameters from keys, for an area of the given number of pages.
    pub read: ReadLoad,
}

impl Entry {
    /// Returns the load with the parameters in `keys`, for an area of `area_pages` pages.
    ///
    /// # Errors
    /// A key belongs to another load, or a value is invalid.
    pub fn load(&self, keys: &dyn Keys, area_pages: u32) -> Result<Arc<dyn Load>, String> {
        let others = LOADS.iter().flat_map(|entry| entry.help.keys());
        let Some(key) =
            others.filter(|key| !self.help.keys().any(|own| own == *key)).find(|key| keys.key(key).is_some())
        else {
            return (self.read)(keys, area_pages);
        };
        let own: Vec<&str> = self.help.keys().collect();
        Err(format!("{key}= is not a key of {}; it takes {}", self.help.name, own.join("= ") + "="))
    }
}

/// A load with its parameters. `Display` writes its name and parameters as in a command.
pub trait Load: fmt::Display + fmt::Debug + Send + Sync {
    /// Returns the name for commands and records.
    fn name(&self) -> &'static str;

    /// Returns the number of slots on an area of `area_pages` pages.
    fn slots(&self, area_pages: u32) -> u32;

    /// Begins the load on an area of `area_pages` pages. Returns `None` if there is no memory for
    /// its state.
    fn start(&self, area_pages: u32, rng: Rng) -> Option<Box<dyn Stream>>;

    /// Adds its parameters to a record.
    fn record(&self, record: Record) -> Record {
        record
    }

    /// Returns the scaling to the area, apart from that of the parameters.
    fn scale(&self) -> Scale {
        Scale::None
    }

    /// Returns the factor of its buffers over the published sizes; 1 if there are none.
    fn times(&self, _area_pages: u32) -> u32 {
        1
    }
}

/// A running load: it names a slot for each step. If the slot holds a buffer, the buffer is
/// released; an empty slot is filled.
///
/// `held` shows a load if its step is a release, and if earlier allocations succeeded.
pub trait Stream {
    /// Returns the next slot, and the pages to allocate if it is empty.
    fn next(&mut self, held: &Held) -> Ask;
}
