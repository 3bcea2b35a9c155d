//! Pages of the cache that are lent to the disk, by the DMA API.

use super::super::lru::PINNED;
use super::pins::Pin;
use super::{LiveError, Mm};
use crate::block::Operation;
use crate::units::{Pfn, PhysAddr};

/// A page that a device owns.
pub(super) struct Lent(Pin);

impl Lent {
    /// Where the device finds it.
    pub(super) fn address(&self) -> PhysAddr {
        self.0.frame.addr()
    }
}

impl Mm<'_, '_> {
    /// Lends a page of the cache to the disk; it is pinned until it is taken back.
    pub(super) fn lend(&mut self, frame: Pfn, _bytes: u32, _operation: Operation) -> Result<Lent, LiveError> {
        let pin = Pin { frame, by: "disk" };
        if self.live.pins.len() == super::pins::MAX_PINS {
            return Err(LiveError::TooManyPins);
        }
        self.live.pins.push(pin);
        self.zone.mark(self.zone.index(frame), PINNED, true);
        Ok(Lent(pin))
    }

    /// Takes a page back from the disk.
    pub(super) fn take_back(&mut self, lent: Lent) {
        let _ = self.unpin(lent.0);
    }
}
