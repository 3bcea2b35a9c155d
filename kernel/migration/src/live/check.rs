// SPDX-License-Identifier: MIT OR Apache-2.0

//! The accounting of pages in use: every page is in exactly one place, and each mapping and its
//! page refer to each other.

use super::processes::ProcessId;
use super::space::OwnedFrame;
use super::{Live, Mm, content};
use page_alloc::lru::{DIRTY, FILE, NO_OWNER, PINNED, Place};
use page_alloc::zone::Zone;
use page_alloc::{Frame, Imbalance, PAGEBLOCK_PAGES, Ring, balance};

/// Numbers of pages in use by place, counted by their tags.
#[derive(Default)]
struct Census {
    pages: u32,
    batch: u32,
    isolated: u32,
    /// Free pages on per-CPU lists.
    pcp: u32,
    /// On LRU lists, in the order of [`Ring::ALL`].
    rings: [u32; Ring::ALL.len()],
    file: u32,
    dirty: u32,
    pinned: u32,
    orphans: u32,
}

impl Live {
    /// Checks slots, cache, lists, pins and descriptors against each other. Contents are verified
    /// by [`Mm::verify_contents`].
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check(&self, zone: &Zone<'_>) -> Result<(), Imbalance> {
        let isolated = self.check_under_way(zone)?;
        balance("pages taken off the lists between allocations", None, 0, isolated)
    }

    /// Checks as [`Live::check`] does, but between two steps of allocations: returns the number of
    /// pages that they have taken off the LRU lists.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check_under_way(&self, zone: &Zone<'_>) -> Result<u32, Imbalance> {
        let census = census(zone);
        for ring in Ring::ALL {
            let walked = self.check_ring(zone, ring)?;
            balance("pages on a list", None, zone.ring_count(ring), walked)?;
            if !Ring::PCP.contains(&ring) {
                balance("pages that say they are on a list", None, walked, census.rings[ring as usize])?;
            }
        }
        balance("pages that say they are on a per-CPU list", None, zone.pcp_pages(), census.pcp)?;
        balance("pages on their way to the LRU", None, self.batched as u32, census.batch)?;
        for &index in &self.batch[..self.batched] {
            let waits = zone.living(index).is_some_and(|tag| tag.place() == Place::Batch);
            balance("a page in the batch says so", Some(zone.pfn(index)), 1, u32::from(waits))?;
        }
        let shown = self.check_slots(zone)?;
        self.check_processes()?;
        let cached = self.check_cache(zone)?;
        balance("cache pages", None, census.file, cached)?;
        balance("dirty pages", None, census.dirty, self.dirty_pages())?;
        balance("pages that live", None, census.pages, shown + cached + census.orphans)?;
        for pin in &self.pins {
            let tag = zone.living(zone.frame(pin.frame));
            balance("a pinned page says so", Some(pin.frame), 1, u32::from(tag.is_some_and(|tag| tag.has(PINNED))))?;
        }
        let mut frames: alloc::vec::Vec<_> = self.pins.iter().map(|pin| pin.frame).collect();
        frames.sort_unstable();
        frames.dedup();
        balance("pinned pages", None, frames.len() as u32, census.pinned)?;
        Ok(census.isolated)
    }

    fn check_ring(&self, zone: &Zone<'_>, ring: Ring) -> Result<u32, Imbalance> {
        let mut walked = 0;
        for index in zone.ring_pages(ring) {
            let at = Some(zone.pfn(index));
            // The pageblock of a page on a per-CPU list may be of another type than the list.
            let belongs =
                if Ring::PCP.contains(&ring) { zone.is_on_pcp(index) } else { lru_list(zone, index) == Some(ring) };
            balance("a page on a list belongs there", at, 1, u32::from(belongs))?;
            walked += 1;
            if walked > zone.spanned_pages() {
                return balance("pages on a list that ends", at, 0, walked).map(|()| walked);
            }
        }
        Ok(walked)
    }

    /// Checks slots against pages; returns the number of pages that slots show.
    fn check_slots(&self, zone: &Zone<'_>) -> Result<u32, Imbalance> {
        let mut pages = 0;
        for slot in 0..self.slots.count() {
            let Some(frame) = self.slots.frame(slot) else { continue };
            let index = zone.frame(frame);
            let mapped = zone.living(index).is_some_and(|tag| !tag.has(FILE));
            balance("a slot shows a mapped page", Some(frame), 1, u32::from(mapped))?;
            balance(
                "a slot that shows a page has a process",
                Some(frame),
                1,
                u32::from(self.slots.process(slot).is_some()),
            )?;
            let owner = zone.owner(index);
            pages += u32::from(owner == slot);
            balance("the ring of slots leads to the page", Some(frame), 1, u32::from(self.leads_back(slot, owner)))?;
            let next = self.slots.frame(self.slots.next(slot));
            balance("sharers show the same page", Some(frame), frame.0, next.map_or(0, |frame| frame.0))?;
        }
        Ok(pages)
    }

    fn leads_back(&self, slot: u32, owner: u32) -> bool {
        let mut at = slot;
        for _ in 0..self.slots.count() {
            if at == owner {
                return true;
            }
            at = self.slots.next(at);
        }
        false
    }

    fn check_processes(&self) -> Result<(), Imbalance> {
        for (id, process) in self.processes.iter().enumerate() {
            let Some(process) = process else { continue };
            let slots = process.first_slot()..process.first_slot() + process.pages();
            let resident = slots.clone().filter(|&slot| self.slots.frame(slot).is_some()).count() as u32;
            balance("a process's pages", None, process.resident(), resident)?;
            let own = slots.filter(|&slot| self.slots.process(slot) == Some(id as u32)).count() as u32;
            balance("a process's slots", None, process.pages(), own)?;
        }
        Ok(())
    }

    fn check_cache(&self, zone: &Zone<'_>) -> Result<u32, Imbalance> {
        let mut cached = 0;
        for page in 0..self.cache_pages() {
            let Some(frame) = self.cache_frame_of(page) else { continue };
            cached += 1;
            let index = zone.frame(frame);
            let file = zone.living(index).is_some_and(|tag| tag.has(FILE));
            balance("a cache page says so", Some(frame), 1, u32::from(file))?;
            balance("a cache page knows its place", Some(frame), page, zone.owner(index))?;
        }
        balance("pages of the cache", None, cached, self.cached_pages())?;
        Ok(cached)
    }
}

/// The LRU list that a page is on, by its tag.
fn lru_list(zone: &Zone<'_>, index: Frame) -> Option<Ring> {
    let tag = zone.living(index)?;
    match (tag.place(), tag.has(FILE)) {
        (Place::Inactive, false) => Some(Ring::InactiveAnon),
        (Place::Active, false) => Some(Ring::ActiveAnon),
        (Place::Inactive, true) => Some(Ring::InactiveFile),
        (Place::Active, true) => Some(Ring::ActiveFile),
        _ => None,
    }
}

fn census(zone: &Zone<'_>) -> Census {
    let mut census = Census::default();
    let mut index = Frame(0);
    while zone.spans(index) {
        let tag = zone.tag(index);
        census.pcp += u32::from(zone.is_on_pcp(index));
        if let Some(ring) = lru_list(zone, index) {
            census.rings[ring as usize] += 1;
        }
        if let Some(tag) = zone.living(index) {
            census.pages += 1;
            census.batch += u32::from(tag.place() == Place::Batch);
            census.isolated += u32::from(matches!(tag.place(), Place::Isolated | Place::Moved));
            census.file += u32::from(tag.has(FILE));
            census.dirty += u32::from(tag.has(DIRTY));
            census.pinned += u32::from(tag.has(PINNED));
            census.orphans += u32::from(!tag.has(FILE) && zone.owner(index) == NO_OWNER);
        }
        index += tag.pages();
    }
    census
}

impl Mm<'_, '_> {
    /// Checks the zone, and the users of memory against it.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check(&self) -> Result<(), Imbalance> {
        self.zone.check()?;
        self.live.check(self.zone)
    }

    /// Verifies every page: mapped ones through their addresses, cached ones by frame (not a
    /// disk's, which its readers verify). Returns the number of pages that do not hold what was
    /// written last.
    pub fn verify_contents(&mut self) -> u32 {
        let mut bad = 0;
        for slot in 0..self.live.slots.count() {
            if self.live.slots.frame(slot).is_some() {
                let holds = content::holds(self.live.space.words(slot), self.live.slots.stamp(slot));
                bad += u32::from(!holds);
            }
        }
        for page in 0..self.cache_capacity() {
            if let Some(frame) = self.cache_frame(page) {
                let Some(stamp) = self.live.cache_stamp(page) else { break };
                bad += u32::from(!content::holds(self.live.space.frame_words(OwnedFrame::living(frame)), stamp));
            }
        }
        bad
    }

    /// Returns a hash of all that has to be the same after a failed allocation: the free blocks
    /// with their lists, the types of pageblocks, counters; the frame, marks and content of every
    /// page in use; the order of every LRU and per-CPU list. States that differ have different
    /// hashes with near certainty.
    pub fn fingerprint(&mut self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |value: u32| hash = (hash ^ u64::from(value)).wrapping_mul(0x0100_0000_01b3);
        for value in [self.zone.nr_free_pages(), self.zone.nr_free_cma(), self.zone.pcp_pages()] {
            add(value);
        }
        for block in self.zone.frames().step_by(PAGEBLOCK_PAGES as usize) {
            add(self.zone.pageblock(block) as u32);
        }
        for index in self.zone.frames() {
            let tag = self.zone.tag(index);
            if tag.is_free() {
                [index.0, tag.order(), tag.migratetype() as u32].into_iter().for_each(&mut add);
            }
            if let Some(tag) = self.zone.living(index) {
                [index.0, u32::from(tag.marks()), self.zone.owner(index)].into_iter().for_each(&mut add);
            }
        }
        for ring in Ring::ALL {
            add(self.zone.ring_count(ring));
            self.zone.ring_pages(ring).for_each(|page| add(page.0));
        }
        for value in [self.cached_pages(), self.dirty_pages(), self.live.batched as u32, self.live.pins.len() as u32] {
            add(value);
        }
        for slot in 0..self.live.slots.count() {
            if let Some(frame) = self.live.slots.frame(slot) {
                [frame.0, self.live.slots.next(slot), self.live.slots.stamp(slot)].into_iter().for_each(&mut add);
                self.live.space.words(slot).iter().for_each(|&word| add(word));
            }
        }
        for page in 0..self.live.cache_pages() {
            if let Some(frame) = self.live.cache_frame_of(page) {
                [frame.0, self.live.cache_stamp(page).unwrap_or(0)].into_iter().for_each(&mut add);
                self.live.space.frame_words(OwnedFrame::living(frame)).iter().for_each(|&word| add(word));
            }
        }
        for id in 0..self.live.processes.len() as u32 {
            add(self.process(ProcessId(id)).map_or(u32::MAX, super::processes::Process::resident));
        }
        hash
    }
}
