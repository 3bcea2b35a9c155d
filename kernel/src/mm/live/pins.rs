//! Pins: somebody with a name says that a page must not move for a while (`pin_user_pages`).

use super::super::lru::{NO_OWNER, PINNED};
use super::objects::ObjectId;
use super::{LiveError, Mm};
use crate::units::Pfn;

/// Most pins at a time.
pub const MAX_PINS: usize = 1024;

/// One pin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The page.
    pub frame: Pfn,
    /// Who pinned it.
    pub by: &'static str,
}

impl Mm<'_, '_> {
    /// Pins an object's page where it is.
    ///
    /// # Errors
    /// There is no such page, or too many pins.
    pub fn pin(&mut self, id: ObjectId, page: u32, by: &'static str) -> Result<Pin, LiveError> {
        let frame = self.frame_of(id, page).ok_or(LiveError::NotThere)?;
        if self.live.pins.len() == MAX_PINS {
            return Err(LiveError::TooManyPins);
        }
        let pin = Pin { frame, by };
        self.live.pins.push(pin);
        self.zone.mark(self.zone.index(frame), PINNED, true);
        Ok(pin)
    }

    /// Lets a pinned page go. A page that nobody shows any more is free with its last pin.
    ///
    /// # Errors
    /// There is no such pin.
    pub fn unpin(&mut self, pin: Pin) -> Result<(), LiveError> {
        let place = self.live.pins.iter().position(|&other| other == pin).ok_or(LiveError::NotThere)?;
        self.live.pins.swap_remove(place);
        if self.pin_of(pin.frame).is_none() {
            let index = self.zone.index(pin.frame);
            self.zone.mark(index, PINNED, false);
            if self.zone.owner(index) == NO_OWNER {
                self.let_go(index);
            }
        }
        Ok(())
    }

    /// Lets every pinned page go.
    pub fn unpin_all(&mut self) {
        while let Some(&pin) = self.live.pins.last() {
            // It is the last of the list, and therefore there.
            let _ = self.unpin(pin);
        }
    }

    /// All pins.
    pub fn pins(&self) -> &[Pin] {
        &self.live.pins
    }

    /// A pin of a page.
    pub(in crate::mm) fn pin_of(&self, frame: Pfn) -> Option<&Pin> {
        self.live.pins.iter().find(|pin| pin.frame == frame)
    }
}
