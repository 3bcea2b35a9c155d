// SPDX-License-Identifier: MIT OR Apache-2.0

//! The contents of the pseudo files, read in one command, and a check that they agree.

use super::*;

/// Areas of the board, in their order.
pub(super) const AREAS: [&str; 2] = ["linux,cma", "BiscuitOS_cma"];
/// Files of the system.
const OF_ALL: [&str; 4] = ["/proc/meminfo", "/proc/vmstat", "/proc/buddyinfo", "/proc/pagetypeinfo"];
/// Files of an area that contain one number.
const OF_AN_AREA: [&str; 9] = [
    "debug/cma/AREA/base_pfn",
    "debug/cma/AREA/count",
    "debug/cma/AREA/used",
    "debug/cma/AREA/maxchunk",
    "mm/cma/AREA/total_pages",
    "mm/cma/AREA/available_pages",
    "mm/cma/AREA/alloc_pages_success",
    "mm/cma/AREA/alloc_pages_fail",
    "mm/cma/AREA/release_pages_success",
];

/// The contents of an area's files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AreaFiles {
    pub(super) base: u32,
    pub(super) count: u32,
    pub(super) used: u32,
    maxchunk: u32,
    total: u32,
    available: u32,
    allocated: u32,
    failed: u32,
    released: u32,
    /// For each page, in the order of addresses: true if it is used.
    pub(super) bitmap: Vec<bool>,
}

/// The contents of all files at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Files {
    meminfo: Vec<(String, u32)>,
    vmstat: Vec<(String, u32)>,
    /// Free blocks by order.
    buddyinfo: Vec<u32>,
    /// Free blocks by order, of each migratetype.
    types: Vec<(String, Vec<u32>)>,
    /// Pageblocks of each migratetype.
    pageblocks: Vec<u32>,
    pub(super) areas: Vec<AreaFiles>,
}

fn numbers<'t>(words: impl Iterator<Item = &'t str>) -> Result<Vec<u32>, String> {
    words.map(|word| word.parse().map_err(|_| format!("{word} is no number"))).collect()
}

fn number_of(table: &[(String, u32)], name: &str) -> Result<u32, String> {
    let row = table.iter().find(|(row, _)| row == name);
    row.map(|&(_, value)| value).ok_or_else(|| format!("no {name}"))
}

fn pages_in(blocks: &[u32]) -> u32 {
    blocks.iter().enumerate().map(|(order, blocks)| blocks << order).sum()
}

fn equal(what: &str, one: u32, other: u32) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one} and {other}")) }
}

impl Files {
    /// Reads all files in one command, so that no job runs between two of them.
    pub(super) fn read(monitor: &mut Monitor<'_, '_, Mock>) -> Result<Self, String> {
        let mut line = String::from("cat ") + &OF_ALL.join(" ");
        for area in AREAS {
            for file in OF_AN_AREA.iter().chain(&["debug/cma/AREA/bitmap"]) {
                line += &format!(" /sys/kernel/{}", file.replace("AREA", area));
            }
        }
        let outcome = monitor.execute(&line);
        let text = monitor.machine.take();
        // News of jobs follow the files.
        Self::parse(&text).map_err(|what| format!("the files cannot be read ({outcome:?}): {what}\n{text}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut meminfo, mut vmstat, mut types) = (Vec::new(), Vec::new(), Vec::new());
        let (mut buddyinfo, mut pageblocks) = (Vec::new(), Vec::new());
        let mut lines = text.lines();
        for line in lines.by_ref() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                [name, kib, "kB"] => meminfo.push((name.to_string(), numbers([kib].into_iter())?[0] / 4)),
                [name, value] if name.contains('_') => {
                    vmstat.push((name.to_string(), numbers([value].into_iter())?[0]));
                }
                ["Node", "0,", "zone", "Normal,", "type", name, ..] => {
                    types.push((name.to_string(), numbers(words[6..].iter().copied())?));
                }
                ["Node", "0,", "zone", "Normal", ..] if buddyinfo.is_empty() => {
                    buddyinfo = numbers(words[4..].iter().copied())?;
                }
                ["Node", "0,", "zone", "Normal", ..] => {
                    pageblocks = numbers(words[4..].iter().copied())?;
                    break;
                }
                _ => {}
            }
        }
        let mut areas = Vec::new();
        for _ in AREAS {
            let mut next = || numbers(lines.next().unwrap_or_default().split_ascii_whitespace());
            let mut one = || next().and_then(|row| row.first().copied().ok_or_else(|| "an empty file".to_string()));
            let (base, count, used, maxchunk, total) = (one()?, one()?, one()?, one()?, one()?);
            let (available, allocated, failed, released) = (one()?, one()?, one()?, one()?);
            let words = next()?;
            let bitmap = words.iter().flat_map(|word| (0..32).map(move |bit| word >> bit & 1 == 1)).collect();
            areas.push(AreaFiles {
                base,
                count,
                used,
                maxchunk,
                total,
                available,
                allocated,
                failed,
                released,
                bitmap,
            });
        }
        Ok(Self { meminfo, vmstat, buddyinfo, types, pageblocks, areas })
    }

    pub(super) fn free(&self) -> Result<u32, String> {
        number_of(&self.meminfo, "MemFree:")
    }

    /// Errs unless each figure is the same in every file that has it.
    pub(super) fn agree(&self) -> Result<(), String> {
        let (free, free_cma) = (self.free()?, number_of(&self.meminfo, "CmaFree:")?);
        equal("MemFree and nr_free_pages", free, number_of(&self.vmstat, "nr_free_pages")?)?;
        equal("MemFree and buddyinfo", free, pages_in(&self.buddyinfo))?;
        equal("CmaFree and nr_free_cma", free_cma, number_of(&self.vmstat, "nr_free_cma")?)?;
        for (order, &blocks) in self.buddyinfo.iter().enumerate() {
            let typed = self.types.iter().map(|(_, row)| row.get(order).copied().unwrap_or_default()).sum();
            equal(&format!("free blocks of order {order} in buddyinfo and pagetypeinfo"), blocks, typed)?;
        }
        let of_cma = self.types.iter().position(|(name, _)| name == "CMA").ok_or("no migratetype CMA")?;
        equal("CmaFree and CMA's free blocks", free_cma, pages_in(&self.types[of_cma].1))?;
        let total: u32 = self.areas.iter().map(|area| area.count).sum();
        equal("CmaTotal and the areas", number_of(&self.meminfo, "CmaTotal:")?, total)?;
        equal("CmaTotal and CMA's pageblocks", self.pageblocks[of_cma] * page_alloc::PAGEBLOCK_PAGES, total)?;
        // After a command no movable memory is left, so that every page without a buffer is free.
        equal("CmaFree and available_pages", free_cma, self.areas.iter().map(|area| area.available).sum())?;
        for (name, area) in AREAS.iter().zip(&self.areas) {
            area.agree().map_err(|what| format!("{name}: {what}"))?;
        }
        Ok(())
    }

    /// Errs unless memory is as it was after boot. Counters of events only grow.
    pub(super) fn is_as_after(&self, boot: &Self) -> Result<(), String> {
        let differs = |what: &str| Err(format!("{what} is not as after boot:\n{self:?}\n{boot:?}"));
        let of_cma = |files: &Self| files.types.iter().find(|(name, _)| name == "CMA").cloned();
        if self.meminfo != boot.meminfo {
            return differs("meminfo");
        }
        if self.buddyinfo != boot.buddyinfo {
            return differs("buddyinfo");
        }
        if of_cma(self) != of_cma(boot) {
            return differs("pagetypeinfo");
        }
        for (area, then) in self.areas.iter().zip(&boot.areas) {
            if area.used != then.used || area.maxchunk != then.maxchunk || area.bitmap != then.bitmap {
                return differs("an area");
            }
        }
        Ok(())
    }
}

impl AreaFiles {
    fn agree(&self) -> Result<(), String> {
        equal("count and total_pages", self.count, self.total)?;
        equal("used + available and count", self.used + self.available, self.count)?;
        equal("used and the bitmap", self.used, self.bitmap.iter().filter(|&&used| used).count() as u32)?;
        equal("count and the bitmap's length", self.count, self.bitmap.len() as u32)?;
        let longest = self.bitmap.split(|&used| used).map(<[bool]>::len).max().unwrap_or_default();
        equal("maxchunk and the bitmap", self.maxchunk, longest as u32)?;
        equal("pages allocated - released and used", self.allocated.wrapping_sub(self.released), self.used)
    }

    /// Returns the page where first-fit places a request.
    pub(super) fn first_fit(&self, pages: u32, align_order: u32) -> Option<u32> {
        let step = 1 << align_order;
        let first = self.base.next_multiple_of(step) - self.base;
        let starts = (first..self.count).step_by(step as usize);
        let free = |&start: &u32| {
            let end = start.checked_add(pages).filter(|&end| end <= self.count);
            end.is_some_and(|end| !self.bitmap[start as usize..end as usize].contains(&true))
        };
        starts.take_while(|start| start.checked_add(pages).is_some_and(|end| end <= self.count)).find(free)
    }
}
