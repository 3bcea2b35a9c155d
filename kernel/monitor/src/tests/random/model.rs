// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of the areas beside the system: it follows the commands, and computes where first-fit
//! places a buffer.
//!
//! The placements of loads are not modelled: the model reads the pages of their buffers from the
//! bitmap, and checks that they took none of others.

use super::files::{AREAS, AreaFiles, Files};
use super::*;

/// The owner of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    /// A buffer of `alloc` or of a write to the file: its number in the model.
    Hand(u32),
    /// A buffer of `dma alloc`, by its address.
    Dma(u32),
    /// A load.
    Load,
}

/// A buffer whose ID `alloc` printed.
#[derive(Clone, Copy, Debug)]
struct Named {
    id: u32,
    area: usize,
    hand: u32,
    pages: u32,
}

/// Changes that a line may make to an area's pages.
enum Change {
    /// Only those that the model has made itself.
    Known,
    /// A load took pages, or released its own.
    OfLoad(usize),
}

pub(super) struct Model {
    /// The owner of each page of each area.
    owners: Vec<Vec<Option<Owner>>>,
    named: Vec<Named>,
    last_hand: u32,
    /// Areas on which a job may run.
    jobs: Vec<bool>,
    /// Pages outside of the areas that `dma alloc` took, by address.
    outside: Vec<(u32, u32)>,
    free_at_boot: u32,
}

fn area_of(name: &str) -> Option<usize> {
    AREAS.iter().position(|area| *area == name)
}

/// Returns the number that follows `before` in a printed text.
fn behind(printed: &str, before: &str) -> Option<u32> {
    let rest = &printed[printed.find(before)? + before.len()..];
    let word = rest.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

impl Model {
    pub(super) fn new(boot: &Files) -> Self {
        Self {
            owners: boot.areas.iter().map(|area| std::vec![None; area.bitmap.len()]).collect(),
            named: Vec::new(),
            last_hand: 0,
            jobs: std::vec![false; boot.areas.len()],
            outside: Vec::new(),
            free_at_boot: boot.free().unwrap_or_default() + boot.areas.iter().map(|area| area.used).sum::<u32>(),
        }
    }

    /// Returns the IDs that `release` takes, for the generator.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.named.iter().map(|named| named.id).collect()
    }

    /// Returns an area without a buffer, for the generator.
    pub(super) fn empty_area(&self) -> Option<usize> {
        self.owners.iter().position(|owners| owners.iter().all(Option::is_none))
    }

    /// Returns the addresses that `dma free` takes.
    pub(super) fn addresses(&self) -> Vec<u32> {
        let inside = self.owners.iter().flatten().filter_map(|owner| match owner {
            Some(Owner::Dma(address)) => Some(*address),
            _ => None,
        });
        let mut all: Vec<u32> = inside.chain(self.outside.iter().map(|&(address, _)| address)).collect();
        all.dedup();
        all
    }

    /// Applies a command, and compares the model with the files after it.
    pub(super) fn step(
        &mut self,
        line: &str,
        outcome: Outcome,
        printed: &str,
        before: &Files,
        after: &Files,
    ) -> Result<(), String> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let change = self.follow(&words, outcome == Outcome::Ok, printed, before, after)?;
        for (place, area) in after.areas.iter().enumerate() {
            let learns = self.jobs[place] || matches!(change, Change::OfLoad(of) if of == place);
            self.compare(place, area, learns).map_err(|what| format!("{}: {what}", AREAS[place]))?;
        }
        let used: u32 = after.areas.iter().map(|area| area.used).sum();
        let outside: u32 = self.outside.iter().map(|&(_, pages)| pages).sum();
        let free = after.free()?;
        if free + used + outside != self.free_at_boot {
            return Err(format!("{free} free, {used} used in areas, {outside} beside them: {} ", self.free_at_boot));
        }
        Ok(())
    }

    /// Compares an area's bitmap with the model. With `learns`, pages that are not held by hand
    /// belong to loads if they are used.
    fn compare(&mut self, place: usize, area: &AreaFiles, learns: bool) -> Result<(), String> {
        for (page, (owner, &used)) in self.owners[place].iter_mut().zip(&area.bitmap).enumerate() {
            if learns && matches!(owner, None | Some(Owner::Load)) {
                *owner = used.then_some(Owner::Load);
            } else if owner.is_some() != used {
                return Err(format!("page {page} of the bitmap is {}, of the model {owner:?}", u8::from(used)));
            }
        }
        Ok(())
    }

    fn take(&mut self, place: usize, first: u32, pages: u32, owner: Owner) {
        self.owners[place][first as usize..][..pages as usize].fill(Some(owner));
    }

    fn give_back(&mut self, place: usize, wanted: impl Fn(Owner) -> bool) -> u32 {
        let mut pages = 0;
        for owner in self.owners[place].iter_mut().filter(|owner| owner.is_some_and(&wanted)) {
            *owner = None;
            pages += 1;
        }
        pages
    }

    fn follow(
        &mut self,
        words: &[&str],
        ok: bool,
        printed: &str,
        before: &Files,
        after: &Files,
    ) -> Result<Change, String> {
        match *words {
            ["alloc", area, pages, ref rest @ ..] if ok => {
                let order = rest.first().map(|order| order.parse().unwrap_or_default());
                self.alloc(area, pages.parse().unwrap_or_default(), order, printed, before)?;
            }
            ["release", "all", ref rest @ ..] if ok => {
                for place in (0..AREAS.len()).filter(|&place| rest.is_empty() || AREAS[place] == rest[0]) {
                    self.give_back(place, |owner| !matches!(owner, Owner::Dma(_)));
                    self.named.retain(|named| named.area != place);
                }
            }
            ["release", id] => self.release(id.parse().unwrap_or_default(), ok, printed, after)?,
            ["echo", pages, ">", path] if ok && path.starts_with("/sys/kernel/debug/cma/") => {
                let place = path.split('/').nth(5).and_then(area_of).ok_or("a path without an area")?;
                let pages: u32 = pages.parse().map_err(|_| "a number that is none was written")?;
                if path.ends_with("/free") {
                    self.free_last(place, pages, after)?;
                } else {
                    let first = before.areas[place].first_fit(pages, 0);
                    let first = first.filter(|_| !self.jobs[place]).or_else(|| self.news(place, after));
                    let first = first.ok_or("pages were given that were not there")?;
                    self.last_hand += 1;
                    self.take(place, first, pages, Owner::Hand(self.last_hand));
                }
            }
            ["echo", pages, ">", path] if path.ends_with("/alloc") => {
                let place = path.split('/').nth(5).and_then(area_of).ok_or("a path without an area")?;
                let there = pages.parse().ok().and_then(|pages| before.areas[place].first_fit(pages, 0));
                if let Some(first) = there.filter(|&first| !self.jobs[place] && first != before.areas[place].count) {
                    return Err(format!("refused, and page {first} of {} is free", AREAS[place]));
                }
            }
            ["dma", "alloc", ..] if ok => self.dma_alloc(printed)?,
            ["dma", "free", "all"] if ok => {
                (0..AREAS.len()).for_each(|place| {
                    self.give_back(place, |owner| matches!(owner, Owner::Dma(_)));
                });
                self.outside.clear();
            }
            ["dma", "free", address] if ok => {
                let address = behind(address, "").ok_or("an address that is none was freed")?;
                let inside: u32 =
                    (0..AREAS.len()).map(|place| self.give_back(place, |owner| owner == Owner::Dma(address))).sum();
                let known = self.outside.len();
                self.outside.retain(|&(at, _)| at != address);
                if inside == 0 && self.outside.len() == known {
                    return Err("a buffer was freed that the model does not know".into());
                }
            }
            ["stop", "all"] if ok => self.jobs.fill(false),
            [.., "&"] if ok => {
                if let Some(place) = area_in(words) {
                    self.jobs[place] = true;
                }
            }
            ["debris" | "camera" | "decoder" | "random" | "replay", ..] if ok => {
                return Ok(area_in(words).map_or(Change::Known, Change::OfLoad));
            }
            _ => {}
        }
        Ok(Change::Known)
    }

    /// Returns the first used page that has no owner in the model.
    fn news(&self, place: usize, after: &Files) -> Option<u32> {
        let mut pages = self.owners[place].iter().zip(&after.areas[place].bitmap);
        pages.position(|(owner, &used)| used && owner.is_none()).map(|page| page as u32)
    }

    fn alloc(
        &mut self,
        area: &str,
        pages: u32,
        align_order: Option<u32>,
        printed: &str,
        before: &Files,
    ) -> Result<(), String> {
        let place = area_of(area).ok_or("an area that is none has given pages")?;
        let align_order = align_order.unwrap_or_else(|| pages.next_power_of_two().trailing_zeros().min(8));
        let files = &before.areas[place];
        let expected = files.first_fit(pages, align_order);
        let found = behind(printed, " at pfn ").map(|pfn| pfn.wrapping_sub(files.base));
        if expected != found {
            return Err(format!("{pages} pages belong at {expected:?}, and are at {found:?}"));
        }
        let Some(first) = found else { return Ok(()) };
        let id = behind(printed, "id ").ok_or("no ID")?;
        if self.named.iter().any(|named| named.id == id) {
            return Err(format!("ID {id} is another buffer's"));
        }
        self.last_hand += 1;
        self.named.push(Named { id, area: place, hand: self.last_hand, pages });
        self.take(place, first, pages, Owner::Hand(self.last_hand));
        Ok(())
    }

    fn release(&mut self, id: u32, ok: bool, printed: &str, after: &Files) -> Result<(), String> {
        let Some(at) = self.named.iter().position(|named| named.id == id) else {
            // A buffer of a load or of a write, or none: the printed pages are the released ones.
            return if ok { self.release_unnamed(printed, after) } else { Ok(()) };
        };
        if !ok {
            return Err("a buffer that is there was not released".into());
        }
        let Named { area, hand, .. } = self.named.swap_remove(at);
        self.give_back(area, |owner| owner == Owner::Hand(hand));
        Ok(())
    }

    fn release_unnamed(&mut self, printed: &str, after: &Files) -> Result<(), String> {
        let said = behind(printed, ": ").ok_or("no number of pages")?;
        let place = printed.trim_end().rsplit(' ').next().and_then(area_of).ok_or("no area is named")?;
        let mut gone = 0;
        for (owner, &used) in self.owners[place].iter_mut().zip(&after.areas[place].bitmap) {
            if owner.is_some() && !used {
                *owner = None;
                gone += 1;
            }
        }
        if gone < said || gone > said && !self.jobs[place] {
            return Err(format!("{said} pages are said to be given back, and {gone} are free"));
        }
        Ok(())
    }

    /// Applies a write to `free`: the pages of the latest buffers, of a longer one its front.
    fn free_last(&mut self, place: usize, pages: u32, after: &Files) -> Result<(), String> {
        let kept = |owner: &Option<Owner>| matches!(owner, Some(Owner::Hand(_) | Owner::Load));
        if self.jobs[place] || self.owners[place].contains(&Some(Owner::Load)) {
            // The model does not have the order of these buffers.
            let there = self.owners[place].iter().filter(|owner| kept(owner)).count() as u32;
            let mut gone = 0;
            for (owner, &used) in self.owners[place].iter_mut().zip(&after.areas[place].bitmap) {
                if kept(owner) && !used {
                    *owner = None;
                    gone += 1;
                }
            }
            if !self.jobs[place] && gone != pages.min(there) {
                return Err(format!("{gone} pages were freed of {pages} and {there}"));
            }
            self.forget_gone(place);
            return Ok(());
        }
        let mut left = pages;
        while left > 0 {
            let hands = self.owners[place].iter().filter_map(|owner| match owner {
                Some(Owner::Hand(hand)) => Some(*hand),
                _ => None,
            });
            let Some(last) = hands.max() else { break };
            for owner in self.owners[place].iter_mut().filter(|owner| **owner == Some(Owner::Hand(last))) {
                if left > 0 {
                    *owner = None;
                    left -= 1;
                }
            }
            // The rest of it has another ID.
            self.named.retain(|named| named.hand != last);
        }
        Ok(())
    }

    /// Removes the IDs of buffers that have lost a page: the rest of one has another ID.
    fn forget_gone(&mut self, place: usize) {
        let owners = &self.owners[place];
        self.named.retain(|named| {
            let pages = owners.iter().filter(|owner| **owner == Some(Owner::Hand(named.hand))).count();
            named.area != place || pages as u32 == named.pages
        });
    }

    fn dma_alloc(&mut self, printed: &str) -> Result<(), String> {
        // A refusal is a result.
        let Some(address) = behind(printed, "device address ") else { return Ok(()) };
        let rest = printed.split("device address ").nth(1).unwrap_or_default();
        let pages = behind(rest, ", ").ok_or("no number of pages")?;
        let place = AREAS.iter().position(|area| rest.contains(&format!(" of {area},")));
        match place {
            None => self.outside.push((address, pages)),
            Some(place) => {
                let base = if place == 0 { 0x69000 } else { 0x69800 };
                let first = address / 4096 - base;
                let taken = self.owners[place][first as usize..][..pages as usize].iter().any(Option::is_some);
                if taken && !self.jobs[place] {
                    return Err("a DMA buffer lies on another".into());
                }
                self.take(place, first, pages, Owner::Dma(address));
            }
        }
        Ok(())
    }
}

/// Returns the area that `area=` names.
fn area_in(words: &[&str]) -> Option<usize> {
    words.iter().find_map(|word| word.strip_prefix("area=")).and_then(area_of)
}
