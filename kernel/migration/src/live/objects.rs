// SPDX-License-Identifier: MIT OR Apache-2.0

//! Objects: runs of the window's slots whose pages come when they are touched, and are read and
//! written through their virtual addresses only.

use alloc::vec::Vec;

use super::slots::OBJECT_BITS;
use super::space::OwnedFrame;
use super::{LRU_BATCH, LiveError, Mm, Sabotage, content};
use page_alloc::lru::{FILE, NO_OWNER, PINNED, Place, REFERENCED};
use page_alloc::{Frame, Migratetype};
use units::Pfn;

/// Most objects at a time: their numbers fit the slots' entries.
pub const MAX_OBJECTS: usize = (1 << OBJECT_BITS) - 1;
/// Slots are given out in multiples of this.
pub(super) const OBJECT_GRAIN: u32 = 16;

/// Which object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectId(pub u32);

/// One object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Object {
    /// Its first slot.
    first: u32,
    /// How many pages it can have.
    pages: u32,
    /// How many of them show a frame.
    resident: u32,
    /// Unmovable pages that the kernel needs for it, chained through their descriptors: the first
    /// one's index + 1.
    kernel_chain: u32,
    kernel_pages: u32,
}

impl Object {
    /// How many pages it can have.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// How many pages show a frame.
    pub fn resident(&self) -> u32 {
        self.resident
    }

    /// How many unmovable pages the kernel has for it.
    pub fn kernel_pages(&self) -> u32 {
        self.kernel_pages
    }

    pub(super) fn first_slot(&self) -> u32 {
        self.first
    }
}

impl Mm<'_, '_> {
    /// Makes an object of up to `pages` pages, none of which is there yet.
    ///
    /// # Errors
    /// There is no room for it; nothing was changed then.
    pub fn create(&mut self, pages: u32) -> Result<ObjectId, LiveError> {
        let place = self.live.objects.iter().position(Option::is_none).unwrap_or(self.live.objects.len());
        if place >= MAX_OBJECTS {
            return Err(LiveError::TooManyObjects);
        }
        let first = self.find_slots(pages).ok_or(LiveError::NoSlots)?;
        let object = Object { first, pages, resident: 0, kernel_chain: 0, kernel_pages: 0 };
        for slot in object.first..object.first + pages {
            self.live.slots.set_object(slot, Some(place as u32));
        }
        if place == self.live.objects.len() {
            self.live.objects.push(Some(object));
        } else {
            self.live.objects[place] = Some(object);
        }
        Ok(ObjectId(place as u32))
    }

    /// The lowest run of free slots that is long enough, from a multiple of [`OBJECT_GRAIN`]. A
    /// grain is taken where its first slot is, because an object has the first slot of each grain
    /// that it reaches into.
    fn find_slots(&mut self, pages: u32) -> Option<u32> {
        let count = self.live.slots.count();
        if pages == 0 || pages > count {
            return None;
        }
        let (mut start, mut end) = (self.live.lowest_free_slot, self.live.lowest_free_slot);
        let mut lowest = None;
        while end < count {
            if self.live.slots.object(end).is_some() {
                start = end + OBJECT_GRAIN;
            } else {
                lowest.get_or_insert(end);
            }
            end += OBJECT_GRAIN;
            if end >= start + pages {
                // What is below the first free slot seen need not be looked at again.
                self.live.lowest_free_slot = lowest.unwrap_or(start);
                return Some(start);
            }
        }
        None
    }

    /// The object of that number.
    pub fn object(&self, id: ObjectId) -> Option<&Object> {
        self.live.objects.get(id.0 as usize)?.as_ref()
    }

    /// All objects.
    pub fn object_ids(&self) -> Vec<ObjectId> {
        (0..self.live.objects.len() as u32).map(ObjectId).filter(|&id| self.object(id).is_some()).collect()
    }

    /// The slot of an object's page.
    pub(super) fn slot(&self, id: ObjectId, page: u32) -> Result<u32, LiveError> {
        let object = self.object(id).ok_or(LiveError::NotThere)?;
        if page < object.pages { Ok(object.first + page) } else { Err(LiveError::NotThere) }
    }

    /// The frame that an object's page shows.
    pub fn frame_of(&self, id: ObjectId, page: u32) -> Option<Pfn> {
        self.live.slots.frame(self.slot(id, page).ok()?)
    }

    /// The object and the page of it that a frame is shown by, by the reverse mapping; the first of
    /// several.
    pub fn mapped_at(&self, frame: Pfn) -> Option<(ObjectId, u32)> {
        let index = self.zone.frame(frame);
        if !self.zone.spans(index) || self.zone.living(index)?.has(FILE) {
            return None;
        }
        let slot = self.zone.owner(index);
        if slot == NO_OWNER {
            return None;
        }
        let id = ObjectId(self.live.slots.object(slot)?);
        Some((id, slot - self.object(id)?.first))
    }

    /// Gets a page of an object a frame, maps it, and writes its first contents.
    ///
    /// # Errors
    /// There is no memory, or the object was killed to get some.
    pub fn populate(&mut self, id: ObjectId, page: u32) -> Result<(), LiveError> {
        let slot = self.slot(id, page)?;
        if self.live.slots.frame(slot).is_some() {
            return Err(LiveError::Occupied);
        }
        let index = self.get_page(Migratetype::Movable, false)?;
        if self.live.slots.object(slot) != Some(id.0) {
            self.zone.free_page(index);
            return Err(LiveError::Killed);
        }
        self.zone.bring_to_life(index, 0, slot, Place::Batch);
        self.live.slots.set_next(slot, slot);
        self.show(slot, self.zone.pfn(index));
        self.lru_batch_add(index);
        self.renew(slot);
        self.background_reclaim();
        Ok(())
    }

    /// Lets another slot show the page of an object as well.
    ///
    /// # Errors
    /// There is no such page, or the slot shows one already.
    pub fn share(&mut self, of: (ObjectId, u32), with: (ObjectId, u32)) -> Result<(), LiveError> {
        let (slot, other) = (self.slot(of.0, of.1)?, self.slot(with.0, with.1)?);
        let frame = self.live.slots.frame(slot).ok_or(LiveError::NotThere)?;
        if self.live.slots.frame(other).is_some() {
            return Err(LiveError::Occupied);
        }
        let slots = &mut self.live.slots;
        slots.set_next(other, slots.next(slot));
        slots.set_next(slot, other);
        slots.set_stamp(other, slots.stamp(slot));
        self.show(other, frame);
        Ok(())
    }

    /// Takes a page away from an object; the frame is free where nobody else shows or pins it.
    ///
    /// # Errors
    /// There is no such page.
    pub fn unmap(&mut self, id: ObjectId, page: u32) -> Result<(), LiveError> {
        let slot = self.slot(id, page)?;
        let frame = self.live.slots.frame(slot).ok_or(LiveError::NotThere)?;
        let index = self.zone.frame(frame);
        self.live.space.set_entry(slot, None);
        self.live.space.flush(slot);
        let slots = &mut self.live.slots;
        slots.set_frame(slot, None);
        let next = slots.next(slot);
        if next != slot {
            let previous = slots.previous(slot);
            slots.set_next(previous, next);
            if self.zone.owner(index) == slot {
                self.zone.set_owner(index, next);
            }
        } else if self.zone.living(index).is_some_and(|tag| tag.has(PINNED)) {
            self.zone.set_owner(index, NO_OWNER);
        } else {
            self.let_go(index);
        }
        if let Some(Some(object)) = self.live.objects.get_mut(id.0 as usize) {
            object.resident -= 1;
        }
        Ok(())
    }

    /// Writes new contents to an object's page, through its address; the page comes if it is not
    /// there.
    ///
    /// # Errors
    /// As for [`Mm::populate`].
    #[track_caller]
    pub fn write(&mut self, id: ObjectId, page: u32) -> Result<(), LiveError> {
        let slot = self.slot(id, page)?;
        let Some(frame) = self.live.slots.frame(slot) else { return self.populate(id, page) };
        self.cpu_access(frame, true);
        self.renew(slot);
        self.zone.mark(self.zone.frame(frame), REFERENCED, true);
        Ok(())
    }

    /// Reads an object's page through its address; true where it holds what was written last.
    ///
    /// # Errors
    /// There is no such page.
    #[track_caller]
    pub fn read(&mut self, id: ObjectId, page: u32) -> Result<bool, LiveError> {
        let slot = self.slot(id, page)?;
        let frame = self.live.slots.frame(slot).ok_or(LiveError::NotThere)?;
        self.cpu_access(frame, false);
        self.zone.mark(self.zone.frame(frame), REFERENCED, true);
        Ok(content::holds(self.live.space.words(slot), self.live.slots.stamp(slot)))
    }

    /// Gives an object one more of the unmovable pages that the kernel needs for it (page tables,
    /// descriptors).
    ///
    /// # Errors
    /// There is no memory, or the object was killed to get some.
    pub fn add_kernel_page(&mut self, id: ObjectId) -> Result<(), LiveError> {
        self.object(id).ok_or(LiveError::NotThere)?;
        let index = self.get_page(Migratetype::Unmovable, false)?;
        let Some(Some(object)) = self.live.objects.get_mut(id.0 as usize) else {
            self.zone.free_page(index);
            return Err(LiveError::Killed);
        };
        self.zone.keep_word(index, object.kernel_chain);
        object.kernel_chain = index.0 + 1;
        object.kernel_pages += 1;
        self.background_reclaim();
        Ok(())
    }

    /// Ends an object: all its pages go.
    ///
    /// # Errors
    /// There is no such object.
    pub fn destroy(&mut self, id: ObjectId) -> Result<(), LiveError> {
        let object = *self.object(id).ok_or(LiveError::NotThere)?;
        for page in 0..object.pages {
            if self.live.slots.frame(object.first + page).is_some() {
                self.unmap(id, page)?;
            }
            self.live.slots.set_object(object.first + page, None);
        }
        let mut chain = object.kernel_chain;
        while let Some(index) = chain.checked_sub(1).map(Frame) {
            chain = self.zone.kept_word(index);
            self.zone.free_page(index);
        }
        self.live.lowest_free_slot = self.live.lowest_free_slot.min(object.first);
        self.live.objects[id.0 as usize] = None;
        Ok(())
    }

    /// Maps a frame at a slot that shows none.
    fn show(&mut self, slot: u32, frame: Pfn) {
        self.live.slots.set_frame(slot, Some(frame));
        self.live.space.set_entry(slot, Some(OwnedFrame::living(frame)));
        let object = self.live.slots.object(slot).and_then(|object| self.live.objects.get_mut(object as usize));
        if let Some(Some(object)) = object {
            object.resident += 1;
        }
    }

    /// Writes contents that no page ever had before, and remembers them for all who show the page.
    fn renew(&mut self, slot: u32) {
        let stamp = content::next(self.live.last_stamp);
        self.live.last_stamp = stamp;
        content::fill(self.live.space.words(slot), stamp);
        let mut at = slot;
        loop {
            self.live.slots.set_stamp(at, stamp);
            at = self.live.slots.next(at);
            if at == slot {
                return;
            }
        }
    }

    /// Frees the frame of a page that nobody shows any more.
    pub(super) fn let_go(&mut self, index: Frame) {
        let waiting = self.live.batch[..self.live.batched].iter().position(|&page| page == index);
        if let Some(place) = waiting {
            self.live.batched -= 1;
            self.live.batch[place] = self.live.batch[self.live.batched];
        }
        self.zone.lru_remove(index);
        self.zone.free_page(index);
    }

    /// Sends a new page on its way to the LRU lists (`folio_add_lru`).
    pub(super) fn lru_batch_add(&mut self, index: Frame) {
        if self.live.batched == LRU_BATCH {
            self.lru_add_drain();
        }
        self.live.batch[self.live.batched] = index;
        self.live.batched += 1;
    }

    /// Puts the pages that wait on the LRU lists (`lru_add_drain`); returns how many there were.
    pub fn lru_add_drain(&mut self) -> u32 {
        let waiting = core::mem::take(&mut self.live.batched);
        for place in 0..waiting {
            self.zone.lru_add(self.live.batch[place]);
        }
        waiting as u32
    }
}

/// The mappings of a page, changed when it moves.
impl Mm<'_, '_> {
    /// Moves a page that one slot shows: its translation, its contents and its mapping; false, and
    /// nothing done, where more slots show it.
    #[inline]
    pub(crate) fn move_sole_mapping(&mut self, slot: u32, from: Pfn, to: Pfn) -> bool {
        let sole = self.live.slots.move_sole(slot, to);
        if sole {
            self.live.space.move_page(slot, OwnedFrame::living(from), OwnedFrame::living(to));
        }
        sole
    }

    /// Takes the translations away of all slots that show a page, and makes the TLB forget them.
    #[inline]
    pub(crate) fn try_to_migrate(&mut self, first: u32) {
        let live = &mut *self.live;
        let mut slot = first;
        loop {
            if live.faults.sabotage != Some(Sabotage::Mapping) {
                live.space.set_entry(slot, None);
            }
            if live.faults.sabotage != Some(Sabotage::Flush) {
                live.space.flush(slot);
            }
            slot = live.slots.next(slot);
            if slot == first {
                return;
            }
        }
    }

    /// Lets all slots that showed the page show it where it is now; returns how many they are.
    #[inline]
    pub(crate) fn remove_migration_entries(&mut self, first: u32, to: Pfn) -> u32 {
        let live = &mut *self.live;
        let (mut slot, mut mappings) = (first, 0);
        loop {
            live.slots.set_frame(slot, Some(to));
            if live.faults.sabotage != Some(Sabotage::Mapping) {
                live.space.set_entry(slot, Some(OwnedFrame::living(to)));
            }
            mappings += 1;
            slot = live.slots.next(slot);
            if slot == first {
                return mappings;
            }
        }
    }

    /// The object that a slot belongs to.
    pub(crate) fn object_at(&self, slot: u32) -> Option<u32> {
        self.live.slots.object(slot)
    }
}
