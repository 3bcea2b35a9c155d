// SPDX-License-Identifier: MIT OR Apache-2.0

//! Puts the state of a board's area into an area here: often a user has no recording of a failure,
//! but the list of free runs in the log, or debugfs's `bitmap`.
//!
//! `reader` finds the state in the text. It does not contain the owners, so each run of used pages
//! becomes one buffer, registered with the system like those that loads leave. The buffers are
//! allocated by the usual call, under a placement that gives the page.

mod reader;

use alloc::string::String;
use core::fmt;

use super::metrics::{Counted, Metrics};
use super::record::Record;
use cma::area::Area;
use cma::{AreaId, CmaError};
use page_alloc::PAGEBLOCK_PAGES;
use placement::bitmap::Bitmap;
use placement::{Placement, Request};
pub use reader::{MAX_ORDER_PER_BIT, State, StateError, Why, find, is_state};
use system::System;
use units::PAGE_SIZE;

const KIB: u64 = 1024;
const PAGES_PER_MIB: u32 = (1 << 20) / PAGE_SIZE as u32;

/// The buffers of a loaded state, as a range of IDs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The area.
    pub area: AreaId,
    /// Page frame number of the area's first page on the board, if the state contains it.
    pub base_pfn: Option<u64>,
    first: u32,
    last: u32,
}

impl Loaded {
    /// Returns the pages of these buffers that are still registered.
    pub fn pages(&self, system: &System<'_>) -> u32 {
        system.kept(self.area).filter(|kept| self.has(kept.id)).map(|kept| kept.pages).sum()
    }

    /// True if a registered buffer is one of these, or a part of one.
    pub const fn has(&self, id: u32) -> bool {
        self.first <= id && id <= self.last
    }
}

/// Reason why a state was not loaded. The area is unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// The area has buffers.
    NotEmpty {
        /// Pages of these buffers.
        used: u32,
    },
    /// The area has another size than the state.
    Size {
        /// The state's pages.
        pages: u32,
        /// The area's name.
        area: String,
        /// The area's pages.
        area_pages: u32,
    },
    /// Pages could not be allocated.
    Taken {
        /// The first of them, from the area's first.
        page: u32,
        /// The reason.
        error: CmaError,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty { used } => write!(f, "{used} pages are in use, and a state is put into an empty area"),
            Self::Size { pages, area, area_pages } => write!(
                f,
                "the state is of an area of {}, and {area} has {}; boot with cma={}M for an area of its size, \
                 called reserved",
                Size(*pages),
                Size(*area_pages),
                padded_mib((*pages).into())
            ),
            Self::Taken { page, error } => write!(f, "page {page} of the area cannot be taken: {error}"),
        }
    }
}

/// A number of pages, shown with the size in MiB or KiB.
struct Size(u32);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(pages) = *self;
        write!(f, "{} (", Counted(pages.into(), "page"))?;
        match pages % PAGES_PER_MIB {
            0 => write!(f, "{} MiB)", pages / PAGES_PER_MIB),
            _ => write!(f, "{} KiB)", u64::from(pages) * PAGE_SIZE / KIB),
        }
    }
}

/// Result of loading a state.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// The buffers, to distinguish them from others later.
    pub loaded: Loaded,
    area: String,
    /// Name of the area that the state describes.
    from: Option<String>,
    line: u64,
    form: &'static str,
    states: u64,
    pages: u32,
    buffers: u32,
    filled_up: u32,
    wanted: Option<u32>,
    metrics: Metrics,
}

/// Returns the pages of the smallest area with room for `pages`: an area is whole pageblocks.
const fn padded(pages: u32) -> u32 {
    pages.next_multiple_of(PAGEBLOCK_PAGES)
}

/// Returns the size in MiB of the smallest area with room for `pages`.
pub(crate) const fn padded_mib(pages: u64) -> u64 {
    pages.next_multiple_of(PAGEBLOCK_PAGES as u64) / PAGES_PER_MIB as u64
}

impl State<'_> {
    /// True if the area has the size of the state.
    fn fits(&self, area: &Area) -> bool {
        area.pages() == padded(self.pages)
    }

    /// Returns the area for the state: the one of its name, `unnamed`, or any other, the first that
    /// has the right size. If none has it: the one of its name, or `unnamed`.
    pub fn area(&self, system: &System<'_>, unnamed: AreaId) -> AreaId {
        let called = self.name.and_then(|name| system.find_area(name));
        let fits = |id: &AreaId| self.fits(system.area(*id));
        called.into_iter().chain([unnamed]).chain(system.area_ids()).find(fits).or(called).unwrap_or(unnamed)
    }
}

/// Puts a state into an empty area.
///
/// # Errors
/// See [`LoadError`].
pub fn put(system: &mut System<'_>, id: AreaId, state: &State<'_>) -> Result<LoadReport, LoadError> {
    let area = system.area(id);
    let (name, area_pages, used) = (area.name(), area.pages(), area.used_pages());
    if !state.fits(area) {
        return Err(LoadError::Size { pages: state.pages, area: name.into(), area_pages });
    }
    if used != 0 {
        return Err(LoadError::NotEmpty { used });
    }
    let name = String::from(name);
    let mut taken = Taken { id, buffers: 0, first: 0, last: 0 };
    let mut end = 0;
    let runs = state.free_runs().chain([(state.pages, 0)]);
    let mut result = Ok(());
    for (start, length) in runs {
        result = result.and_then(|()| taken.take(system, end, start - end));
        end = start + length;
    }
    let result = result.and_then(|()| taken.take(system, state.pages, area_pages - state.pages));
    let loaded = Loaded { area: id, base_pfn: state.base_pfn, first: taken.first, last: taken.last };
    if let Err(error) = result {
        system.release_all(id);
        return Err(error);
    }
    Ok(LoadReport {
        loaded,
        area: name,
        from: state.name.map(Into::into),
        line: state.line,
        form: state.form(),
        states: state.states,
        pages: state.pages,
        buffers: taken.buffers,
        filled_up: area_pages - state.pages,
        wanted: state.wanted,
        metrics: Metrics::of(system.area(id)),
    })
}

/// The buffers made so far.
struct Taken {
    id: AreaId,
    buffers: u32,
    first: u32,
    last: u32,
}

impl Taken {
    /// Makes a buffer of these pages, unless `pages` is 0.
    fn take(&mut self, system: &mut System<'_>, page: u32, pages: u32) -> Result<(), LoadError> {
        if pages == 0 {
            return Ok(());
        }
        let own = system.area_mut(self.id).set_placement(alloc::boxed::Box::new(Exactly(page)));
        let answer = system.cma_alloc(self.id, pages, 0);
        system.area_mut(self.id).set_placement(own);
        let buffer = answer.map_err(|error| LoadError::Taken { page, error })?;
        self.last = system.keep(buffer);
        if self.buffers == 0 {
            self.first = self.last;
        }
        self.buffers += 1;
        Ok(())
    }
}

/// A placement with a single candidate, which is free.
struct Exactly(u32);

impl Placement for Exactly {
    fn name(&self) -> &'static str {
        "exactly"
    }

    fn place(&self, _map: &Bitmap, _request: &Request, start: u32) -> Option<u32> {
        (start <= self.0).then_some(self.0)
    }

    fn lowest_first(&self) -> bool {
        true
    }
}

impl LoadReport {
    /// Returns the record.
    pub fn record(&self) -> Record {
        let record = Record::new("load")
            .string("area", &self.area)
            .string("from", self.from.as_deref().unwrap_or(""))
            .string("form", self.form)
            .number("line", self.line)
            .number("states", self.states)
            .number("pages", self.pages)
            .number("filled_up", self.filled_up)
            .number("buffers", self.buffers)
            .number("wanted", self.wanted.unwrap_or(0));
        self.metrics.record(record)
    }
}

impl fmt::Display for LoadReport {
    /// Writes the text for people; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the state of line {}", self.area, self.line)?;
        if let Some(from) = &self.from {
            write!(f, ", of {from}")?;
        }
        writeln!(
            f,
            ", of {}; its used pages are {}.",
            Counted(self.pages.into(), "page"),
            Counted(self.buffers.into(), "buffer")
        )?;
        if self.states > 1 {
            writeln!(f, "There are {} states; this is the last unless line= says otherwise.", self.states)?;
        }
        if self.filled_up > 0 {
            writeln!(
                f,
                "An area is a multiple of {} MiB: {} behind the state's last page are held, too.",
                PAGEBLOCK_PAGES / PAGES_PER_MIB,
                Counted(self.filled_up.into(), "page")
            )?;
        }
        if let Some(wanted) = self.wanted {
            writeln!(f, "A request for {} failed there.", Counted(wanted.into(), "page"))?;
        }
        writeln!(f, "{}; `release all {}` empties it.", self.metrics, self.area)
    }
}

#[cfg(test)]
mod tests;
