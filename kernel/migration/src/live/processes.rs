// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes: runs of the window's slots. Their pages are allocated at the first write, and are
//! read and written through their virtual addresses only.

use alloc::vec::Vec;

use super::slots::PROCESS_BITS;
use super::space::OwnedFrame;
use super::{LRU_BATCH, LiveError, Mm, Sabotage, content};
use page_alloc::lru::{FILE, NO_OWNER, PINNED, Place, REFERENCED};
use page_alloc::{Frame, Migratetype};
use units::Pfn;

/// Most processes at a time: a limit of the process numbers in the slots' entries.
pub const MAX_PROCESSES: usize = (1 << PROCESS_BITS) - 1;
/// Slots are allocated in multiples of this.
pub(super) const PROCESS_GRAIN: u32 = 16;

/// Number of a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProcessId(pub u32);

/// One process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its first slot.
    first: u32,
    /// Most pages that it can have.
    pages: u32,
    /// Number of its slots that show a frame.
    resident: u32,
    /// Unmovable pages that the kernel has for it, chained through their descriptors: frame index
    /// of the first + 1, or 0.
    kernel_chain: u32,
    kernel_pages: u32,
}

impl Process {
    /// Most pages that it can have.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Number of pages that have a frame.
    pub fn resident(&self) -> u32 {
        self.resident
    }

    /// Number of unmovable pages that the kernel has for it.
    pub fn kernel_pages(&self) -> u32 {
        self.kernel_pages
    }

    pub(super) fn first_slot(&self) -> u32 {
        self.first
    }
}

impl Mm<'_, '_> {
    /// Makes a process of up to `pages` pages; allocates none of them.
    ///
    /// # Errors
    /// There is no room for it; nothing is changed.
    pub fn create(&mut self, pages: u32) -> Result<ProcessId, LiveError> {
        let place = self.live.processes.iter().position(Option::is_none).unwrap_or(self.live.processes.len());
        if place >= MAX_PROCESSES {
            return Err(LiveError::TooManyProcesses);
        }
        let first = self.find_slots(pages).ok_or(LiveError::NoSlots)?;
        let process = Process { first, pages, resident: 0, kernel_chain: 0, kernel_pages: 0 };
        for slot in process.first..process.first + pages {
            self.live.slots.set_process(slot, Some(place as u32));
        }
        if place == self.live.processes.len() {
            self.live.processes.push(Some(process));
        } else {
            self.live.processes[place] = Some(process);
        }
        Ok(ProcessId(place as u32))
    }

    /// Finds the lowest run of free slots that is long enough, from a multiple of
    /// [`PROCESS_GRAIN`]. A grain is taken if its first slot is, because a process has the first
    /// slot of each grain that it reaches into.
    fn find_slots(&mut self, pages: u32) -> Option<u32> {
        let count = self.live.slots.count();
        if pages == 0 || pages > count {
            return None;
        }
        let (mut start, mut end) = (self.live.lowest_free_slot, self.live.lowest_free_slot);
        let mut lowest = None;
        while end < count {
            if self.live.slots.process(end).is_some() {
                start = end + PROCESS_GRAIN;
            } else {
                lowest.get_or_insert(end);
            }
            end += PROCESS_GRAIN;
            if end >= start + pages {
                // The next search can start at the first free slot seen.
                self.live.lowest_free_slot = lowest.unwrap_or(start);
                return Some(start);
            }
        }
        None
    }

    /// Returns a process, if it exists.
    pub fn process(&self, id: ProcessId) -> Option<&Process> {
        self.live.processes.get(id.0 as usize)?.as_ref()
    }

    /// Returns the numbers of all processes.
    pub fn process_ids(&self) -> Vec<ProcessId> {
        (0..self.live.processes.len() as u32).map(ProcessId).filter(|&id| self.process(id).is_some()).collect()
    }

    /// Returns the slot of a process's page.
    pub(super) fn slot(&self, id: ProcessId, page: u32) -> Result<u32, LiveError> {
        let process = self.process(id).ok_or(LiveError::NotThere)?;
        if page < process.pages { Ok(process.first + page) } else { Err(LiveError::NotThere) }
    }

    /// Returns the frame of a process's page.
    pub fn frame_of(&self, id: ProcessId, page: u32) -> Option<Pfn> {
        self.live.slots.frame(self.slot(id, page).ok()?)
    }

    /// Returns the process and its page that a frame is mapped at, by the reverse mapping; the
    /// first of several.
    pub fn mapped_at(&self, frame: Pfn) -> Option<(ProcessId, u32)> {
        let index = self.zone.frame(frame);
        if !self.zone.spans(index) || self.zone.living(index)?.has(FILE) {
            return None;
        }
        let slot = self.zone.owner(index);
        if slot == NO_OWNER {
            return None;
        }
        let id = ProcessId(self.live.slots.process(slot)?);
        Some((id, slot - self.process(id)?.first))
    }

    /// Allocates the frame of a process's page, maps it, and writes its first contents.
    ///
    /// # Errors
    /// There is no memory, or the process was killed to get some.
    pub fn populate(&mut self, id: ProcessId, page: u32) -> Result<(), LiveError> {
        let slot = self.slot(id, page)?;
        if self.live.slots.frame(slot).is_some() {
            return Err(LiveError::Occupied);
        }
        let index = self.get_page(Migratetype::Movable, false)?;
        if self.live.slots.process(slot) != Some(id.0) {
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

    /// Maps the page `of` at the slot of the page `with` as well.
    ///
    /// # Errors
    /// There is no such page, or the slot shows one already.
    pub fn share(&mut self, of: (ProcessId, u32), with: (ProcessId, u32)) -> Result<(), LiveError> {
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

    /// Unmaps a page of a process; frees the frame if no other slot shows it and it is not pinned.
    ///
    /// # Errors
    /// There is no such page.
    pub fn unmap(&mut self, id: ProcessId, page: u32) -> Result<(), LiveError> {
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
        if let Some(Some(process)) = self.live.processes.get_mut(id.0 as usize) {
            process.resident -= 1;
        }
        Ok(())
    }

    /// Writes new contents to a process's page, through its address; allocates the page if it has
    /// no frame.
    ///
    /// # Errors
    /// See [`Mm::populate`].
    #[track_caller]
    pub fn write(&mut self, id: ProcessId, page: u32) -> Result<(), LiveError> {
        let slot = self.slot(id, page)?;
        let Some(frame) = self.live.slots.frame(slot) else { return self.populate(id, page) };
        self.cpu_access(frame, true);
        self.renew(slot);
        self.zone.mark(self.zone.frame(frame), REFERENCED, true);
        Ok(())
    }

    /// Reads a process's page through its address; true if it holds what was written last.
    ///
    /// # Errors
    /// There is no such page.
    #[track_caller]
    pub fn read(&mut self, id: ProcessId, page: u32) -> Result<bool, LiveError> {
        let slot = self.slot(id, page)?;
        let frame = self.live.slots.frame(slot).ok_or(LiveError::NotThere)?;
        self.cpu_access(frame, false);
        self.zone.mark(self.zone.frame(frame), REFERENCED, true);
        Ok(content::holds(self.live.space.words(slot), self.live.slots.stamp(slot)))
    }

    /// Allocates one more unmovable page that stands for the kernel's needs of a process (page
    /// tables, descriptors).
    ///
    /// # Errors
    /// There is no memory, or the process was killed to get some.
    pub fn add_kernel_page(&mut self, id: ProcessId) -> Result<(), LiveError> {
        self.process(id).ok_or(LiveError::NotThere)?;
        let index = self.get_page(Migratetype::Unmovable, false)?;
        let Some(Some(process)) = self.live.processes.get_mut(id.0 as usize) else {
            self.zone.free_page(index);
            return Err(LiveError::Killed);
        };
        self.zone.keep_word(index, process.kernel_chain);
        process.kernel_chain = index.0 + 1;
        process.kernel_pages += 1;
        self.background_reclaim();
        Ok(())
    }

    /// Ends a process and unmaps all its pages.
    ///
    /// # Errors
    /// There is no such process.
    pub fn destroy(&mut self, id: ProcessId) -> Result<(), LiveError> {
        let process = *self.process(id).ok_or(LiveError::NotThere)?;
        for page in 0..process.pages {
            if self.live.slots.frame(process.first + page).is_some() {
                self.unmap(id, page)?;
            }
            self.live.slots.set_process(process.first + page, None);
        }
        let mut chain = process.kernel_chain;
        while let Some(index) = chain.checked_sub(1).map(Frame) {
            chain = self.zone.kept_word(index);
            self.zone.free_page(index);
        }
        self.live.lowest_free_slot = self.live.lowest_free_slot.min(process.first);
        self.live.processes[id.0 as usize] = None;
        Ok(())
    }

    /// Maps a frame at a slot that shows none.
    fn show(&mut self, slot: u32, frame: Pfn) {
        self.live.slots.set_frame(slot, Some(frame));
        self.live.space.set_entry(slot, Some(OwnedFrame::living(frame)));
        let process = self.live.slots.process(slot).and_then(|process| self.live.processes.get_mut(process as usize));
        if let Some(Some(process)) = process {
            process.resident += 1;
        }
    }

    /// Writes contents that no page had before; records their stamp in all slots of the page.
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

    /// Frees the frame of a page without users; takes it off the LRU batch or list.
    pub(super) fn let_go(&mut self, index: Frame) {
        let waiting = self.live.batch[..self.live.batched].iter().position(|&page| page == index);
        if let Some(place) = waiting {
            self.live.batched -= 1;
            self.live.batch[place] = self.live.batch[self.live.batched];
        }
        self.zone.lru_remove(index);
        self.zone.free_page(index);
    }

    /// Adds a new page to the LRU batch (`folio_add_lru`).
    pub(super) fn lru_batch_add(&mut self, index: Frame) {
        if self.live.batched == LRU_BATCH {
            self.lru_add_drain();
        }
        self.live.batch[self.live.batched] = index;
        self.live.batched += 1;
    }

    /// Puts the pages of the LRU batch on the LRU lists (`lru_add_drain`); returns their number.
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
    /// Moves a page that one slot shows: its translation, its contents and its mapping. Does
    /// nothing and returns false if more slots show it.
    #[inline]
    pub(crate) fn move_sole_mapping(&mut self, slot: u32, from: Pfn, to: Pfn) -> bool {
        let sole = self.live.slots.move_sole(slot, to);
        if sole {
            self.live.space.move_page(slot, OwnedFrame::living(from), OwnedFrame::living(to));
        }
        sole
    }

    /// Removes the translations of all slots that show a page, and flushes them from the TLB.
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

    /// Makes all slots that showed a page show its new frame `to`; returns their number.
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

    /// Returns the number of a slot's process.
    pub(crate) fn process_at(&self, slot: u32) -> Option<u32> {
        self.live.slots.process(slot)
    }
}
