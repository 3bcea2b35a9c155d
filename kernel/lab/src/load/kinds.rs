// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a load is: parameters that scale with the area, and what it asks next.

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

/// Reads a load's own parameters from keys, for an area of a number of pages.
pub(super) type ReadLoad = fn(&dyn Keys, u32) -> Result<Arc<dyn Load>, String>;

/// A load as the monitor knows it: a command of its name that runs it, and `compare load=`.
pub struct Entry {
    /// Its help. The usage is that of its own parameters; the keys of all loads come behind them.
    pub help: Help,
    /// Reads its parameters from keys, for an area of this many pages.
    pub read: ReadLoad,
}

impl Entry {
    /// The load that keys describe, for an area of `area_pages` pages.
    ///
    /// # Errors
    /// A key of another load, or a bad value.
    pub fn load(&self, keys: &dyn Keys, area_pages: u32) -> Result<Arc<dyn Load>, String> {
        let others = LOADS.iter().flat_map(|entry| entry.help.keys());
        let Some(key) =
            others.filter(|key| !self.help.keys().any(|own| own == *key)).find(|key| keys.key(key).is_some())
        else {
            return (self.read)(keys, area_pages);
        };
        let own: Vec<&str> = self.help.keys().collect();
        Err(format!("{key}= means nothing to {}; it takes {}", self.help.name, own.join("= ") + "="))
    }
}

/// A load with its parameters. Its text is its name and the parameters as they could be typed.
pub trait Load: fmt::Display + fmt::Debug + Send + Sync {
    /// The word for commands and records.
    fn name(&self) -> &'static str;

    /// How many slots it has on an area of `area_pages` pages.
    fn slots(&self, area_pages: u32) -> u32;

    /// Begins it on an area of `area_pages` pages. `None`: there is no memory for what it has to
    /// remember.
    fn start(&self, area_pages: u32, rng: Rng) -> Option<Box<dyn Stream>>;

    /// Adds its parameters to a record.
    fn record(&self, record: Record) -> Record {
        record
    }

    /// How it grows with its area, if it does not do so by its parameters.
    fn scale(&self) -> Scale {
        Scale::None
    }

    /// How many times larger than published its buffers are; 1 if none is published.
    fn times(&self, _area_pages: u32) -> u32 {
        1
    }
}

/// A load at work: it names slots, one a step. A slot that holds a buffer gives it back, an empty
/// one is filled.
///
/// Which of the two a step will be, and what became of earlier ones, a load sees from what is held.
pub trait Stream {
    /// The next slot, and how many pages it shall have if it is empty.
    fn next(&mut self, held: &Held) -> Ask;
}
