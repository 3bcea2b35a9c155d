// SPDX-License-Identifier: MIT OR Apache-2.0

//! The owners of relocatable buffers, which are asked before a plan moves one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use page_alloc::RelocatableBuffer;
use units::Pfn;

/// Most owners at a time.
pub const MAX_OWNERS: usize = 64;
/// Error of an owner that needs the buffer at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StillBusy;

/// An owner of buffers that may move.
pub trait Relocatable {
    /// Asks the owner to stop using the buffer until [`Relocatable::resume`]: to stop the device,
    /// and to write back what it holds of the buffer.
    ///
    /// # Errors
    /// The buffer is in use; it is not moved.
    fn quiesce(&mut self, tag: u32) -> Result<(), StillBusy>;

    /// Allows the owner to use the buffer, which begins at `first` and has its contents. Called
    /// after every successful [`Relocatable::quiesce`], also if the buffer was not moved.
    fn resume(&mut self, tag: u32, first: Pfn);
}

/// The number of an owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnerId(pub u32);

/// The owners of relocatable buffers, by number.
#[derive(Default)]
pub(super) struct Owners(Vec<Option<Box<dyn Relocatable>>>);

impl Owners {
    /// Registers an owner; `None` if there are [`MAX_OWNERS`] already.
    pub(super) fn add(&mut self, owner: Box<dyn Relocatable>) -> Option<OwnerId> {
        let owners = &mut self.0;
        let place = owners.iter().position(Option::is_none).unwrap_or(owners.len());
        if place >= MAX_OWNERS {
            return None;
        }
        if place == owners.len() {
            owners.push(None);
        }
        owners[place] = Some(owner);
        Some(OwnerId(place as u32))
    }

    /// Removes an owner.
    pub(super) fn remove(&mut self, id: OwnerId) {
        if let Some(owner) = self.0.get_mut(id.0 as usize) {
            *owner = None;
        }
    }

    /// True if there is an owner with that number.
    pub(super) fn has(&self, owner: u32) -> bool {
        self.0.get(owner as usize).is_some_and(Option::is_some)
    }

    /// Returns the owner of a buffer, if it is still registered.
    pub(super) fn of(&mut self, relocatable: &RelocatableBuffer) -> Option<&mut Box<dyn Relocatable>> {
        self.0.get_mut(relocatable.owner as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An owner that is never busy.
    struct Idle;

    impl Relocatable for Idle {
        fn quiesce(&mut self, _tag: u32) -> Result<(), StillBusy> {
            Ok(())
        }

        fn resume(&mut self, _tag: u32, _first: Pfn) {}
    }

    #[test]
    fn no_more_owners_than_there_is_room_for() {
        let mut owners = Owners::default();
        let add = |owners: &mut Owners| owners.add(Box::new(Idle)).map(|id| id.0);
        for id in 0..MAX_OWNERS as u32 {
            assert_eq!((owners.has(id), add(&mut owners), owners.has(id)), (false, Some(id), true));
        }
        assert_eq!(add(&mut owners), None);
        let buffer = |owner| RelocatableBuffer { owner, tag: 0, pages: 1, align_order: 0 };
        owners.remove(OwnerId(7));
        owners.remove(OwnerId(64));
        assert!(!owners.has(7) && owners.of(&buffer(7)).is_none() && owners.of(&buffer(8)).is_some());
        assert!(owners.of(&buffer(64)).is_none());
        assert_eq!((add(&mut owners), add(&mut owners)), (Some(7), None), "the place of one that left");
    }
}
