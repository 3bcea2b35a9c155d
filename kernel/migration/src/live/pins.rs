// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pins: a named user keeps a page from moving for a while (`pin_user_pages`).

use super::processes::ProcessId;
use super::{LiveError, Mm};
use page_alloc::lru::{NO_OWNER, PINNED};
use units::Pfn;

/// Most pins at a time.
pub const MAX_PINS: usize = 1024;

/// One pin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The page.
    pub frame: Pfn,
    /// Name of the user that pinned it.
    pub by: &'static str,
    /// Taken for a device's mapping; the pin ends with the mapping.
    mapped: bool,
}

impl Mm<'_, '_> {
    /// Pins a process's page in its frame.
    ///
    /// # Errors
    /// There is no such page, or too many pins.
    pub fn pin(&mut self, id: ProcessId, page: u32, by: &'static str) -> Result<Pin, LiveError> {
        let frame = self.frame_of(id, page).ok_or(LiveError::NotThere)?;
        self.add_pin(Pin { frame, by, mapped: false })
    }

    fn add_pin(&mut self, pin: Pin) -> Result<Pin, LiveError> {
        if self.live.pins.len() == MAX_PINS {
            return Err(LiveError::TooManyPins);
        }
        self.live.pins.push(pin);
        self.zone.mark(self.zone.frame(pin.frame), PINNED, true);
        Ok(pin)
    }

    /// Pins the page in `frame` until [`Mm::unpin_for_device`]; false, and no pin, if the frame
    /// holds no page in use that could move.
    ///
    /// # Errors
    /// There are too many pins.
    pub fn pin_for_device(&mut self, frame: Pfn, by: &'static str) -> Result<bool, LiveError> {
        if self.zone.living(self.zone.frame(frame)).is_none() {
            return Ok(false);
        }
        self.add_pin(Pin { frame, by, mapped: true }).map(|_| true)
    }

    /// Releases the pin that [`Mm::pin_for_device`] took, if there is one.
    pub fn unpin_for_device(&mut self, frame: Pfn, by: &'static str) {
        // A page that could not move was not pinned.
        let _ = self.unpin(Pin { frame, by, mapped: true });
    }

    /// Releases a pin. A page without mappings is freed with its last pin.
    ///
    /// # Errors
    /// There is no such pin.
    pub fn unpin(&mut self, pin: Pin) -> Result<(), LiveError> {
        let place = self.live.pins.iter().rposition(|&other| other == pin).ok_or(LiveError::NotThere)?;
        self.live.pins.swap_remove(place);
        if self.pin_of(pin.frame).is_none() {
            let index = self.zone.frame(pin.frame);
            self.zone.mark(index, PINNED, false);
            if self.zone.owner(index) == NO_OWNER {
                self.let_go(index);
            }
        }
        Ok(())
    }

    /// Releases all pins that are not for a device's mapping.
    pub fn unpin_all(&mut self) {
        while let Some(&pin) = self.live.pins.iter().rfind(|pin| !pin.mapped) {
            // This cannot fail: the pin is in the list.
            let _ = self.unpin(pin);
        }
    }

    /// All pins.
    pub fn pins(&self) -> &[Pin] {
        &self.live.pins
    }

    /// Returns the first pin of a page.
    pub(crate) fn pin_of(&self, frame: Pfn) -> Option<&Pin> {
        self.live.pins.iter().find(|pin| pin.frame == frame)
    }
}
