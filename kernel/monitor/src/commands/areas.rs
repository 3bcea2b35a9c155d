// SPDX-License-Identifier: MIT OR Apache-2.0

//! Areas by hand: list, look, allocate, release.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Display, Write};

use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use cma::area::Area;
use cma::{AreaId, CmaError, MAX_ALIGN_ORDER, align_order_of};
use lab::bitmap_view::{write_bitmap, write_summary};
use lab::fragmentation::Fragmentation;
use lab::help::Help;
use lab::keys::{Keys, number, shown};
use lab::metrics::{Counted, Metrics};
use lab::obstacles;
use lab::picture;
use lab::record::Record;
use machine::Machine;
use system::{Kept, System};

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[
            Command {
                help: Help {
                    name: "bitmap",
                    usage: "[AREA]",
                    summary: "shows which pages of an area are used",
                    details: "X is a used page and . a free one, 64 to the row, lowest first; the index counts 32-bit words.",
                    example: "bitmap BiscuitOS_cma",
                },
                run: |session, args| session.bitmap(args),
            },
            Command {
                help: Help {
                    name: "picture",
                    usage: "[AREA] [width=64] [pages=PAGES]",
                    summary: "shows an area at a glance, one character for many pages",
                    details: "Rows stand under the offset of their first page. Without pages=, a character stands for as many \
                              pages as make the picture fit a screen.",
                    example: "picture BiscuitOS_cma",
                },
                run: |session, args| session.picture(args),
            },
            Command {
                help: Help {
                    name: "metrics",
                    usage: "[AREA]",
                    summary: "shows how fragmented an area is: free runs, Gorman's indices",
                    details: "Unusable free: the part of the free pages that cannot serve an aligned block of that order. \
                              Fragmentation index, where none is left: near 0 for lack of memory, near 1 because it is \
                              scattered.",
                    example: "metrics BiscuitOS_cma",
                },
                run: |session, args| session.metrics(args),
            },
            Command {
                help: Help {
                    name: "cma",
                    usage: "",
                    summary: "lists the areas: base, pages, used, longest free run, placement",
                    details: "",
                    example: "cma",
                },
                run: |session, _| session.cma(),
            },
            Command {
                help: Help {
                    name: "alloc",
                    usage: "AREA PAGES [ALIGN_ORDER]",
                    summary: "allocates contiguous pages by hand",
                    details: "The default alignment is the order of its size, capped at 8. Prints the ID for `release`. Where it fails, \
                              the three places that are cheapest to empty are lines, with what is there.",
                    example: "alloc BiscuitOS_cma 64 0",
                },
                run: |session, args| session.alloc(args),
            },
            Command {
                help: Help {
                    name: "release",
                    usage: "ID|all [AREA]",
                    summary: "gives a buffer back, or all buffers of an area, or of every area",
                    details: "Leaked buffers of loads are among them. `release all` without an AREA means every area.",
                    example: "release all BiscuitOS_cma",
                },
                run: |session, args| session.release(args),
            },
        ]
    }
}

/// Returns the area called `name`; without a name, [`System::unnamed_area`].
pub(crate) fn choose_area(system: &System<'_>, name: Option<&str>) -> Result<AreaId, Failure> {
    let Some(unnamed) = system.unnamed_area() else {
        return Err(Failure::bad("there is no CMA area; reserve one in the device tree, or boot with cma=16M"));
    };
    let Some(name) = name else { return Ok(unnamed) };
    system.find_area(name).ok_or_else(|| {
        let names: Vec<&str> = system.areas().iter().map(Area::name).collect();
        Failure::bad(format!("no area {}; there are {}", shown(name), names.join(" ")))
    })
}

/// Lists the users of an area that has to be empty, and the remedy for each.
pub(super) fn in_the_way(system: &System<'_>, id: AreaId) -> String {
    let area = system.area(id);
    let name = area.name();
    let mut left = area.used_pages();
    let mut owners: Vec<String> = Vec::new();
    for (device, info) in system.dma().devices() {
        for kept in [true, false] {
            let buffers = system.dma().buffers().filter(|buffer| buffer.device == device && buffer.kept == kept);
            let pages: u32 = buffers.filter(|buffer| buffer.area == Some(id)).map(|buffer| buffer.pages).sum();
            left -= pages.min(left);
            let remedy = if kept { "`dma free all` gives them back" } else { "its driver keeps them while it runs" };
            if pages > 0 {
                owners.push(format!("{pages} of {}: {remedy}", info.name));
            }
            if pages > 0 && !kept {
                let empty = system.areas().iter().find(|area| area.used_pages() == 0);
                owners.extend(empty.map(|empty| format!("area={} is empty", empty.name())));
            }
            if pages > 0 && !kept && system.disk_device() == Some(device) {
                owners.push("a disk with the modern transport takes none of it".into());
            }
        }
    }
    if owners.is_empty() {
        return format!("`release all {name}` first");
    }
    if left > 0 {
        owners.push(format!("{left} of others: `release all {name}` gives them back"));
    }
    owners.join("; ")
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn cma(&mut self) -> Result<(), Failure> {
        if self.system.areas().is_empty() {
            writeln!(self.out, "no CMA areas")?;
            return Ok(());
        }
        let width = self.system.areas().iter().map(|area| area.name().len()).max().unwrap_or(0).max(4);
        writeln!(
            self.out,
            "{:<width$}  {:<10}  {:>7}  {:>7}  {:>7}  placement",
            "area", "base", "pages", "used", "longest"
        )?;
        for area in self.system.areas() {
            writeln!(
                self.out,
                "{:<width$}  {:<10}  {:>7}  {:>7}  {:>7}  {}",
                area.name(),
                area.base().addr(),
                area.pages(),
                area.used_pages(),
                area.longest_free_run(),
                area.placement().label()
            )?;
        }
        Ok(())
    }

    fn bitmap(&mut self, args: &Args) -> Result<(), Failure> {
        let area = self.system.area(choose_area(self.system, args.word(0))?);
        write_bitmap(&mut self.out, area)?;
        write_summary(&mut self.out, area)?;
        Ok(())
    }

    fn picture(&mut self, args: &Args) -> Result<(), Failure> {
        let area = self.system.area(choose_area(self.system, args.word(0))?);
        let pages = args.key("pages").map(|pages| number("pages", pages, 1, area.pages().into())).transpose()?;
        let scale = picture::Scale {
            width: args.whole("width", picture::USUAL_WIDTH.into(), 1, picture::MAX_WIDTH.into())? as u32,
            pages: pages.map(|pages| pages as u32),
        };
        picture::write_picture(&mut self.out, area, scale)?;
        Ok(())
    }

    fn metrics(&mut self, args: &Args) -> Result<(), Failure> {
        let area = self.system.area(choose_area(self.system, args.word(0))?);
        let (metrics, fragmentation) = (Metrics::of(area), Fragmentation::of(area));
        let record = Record::new("metrics").string("area", area.name()).string("placement", &area.placement().label());
        write_summary(&mut self.out, area)?;
        write!(self.out, "{fragmentation}")?;
        writeln!(self.out, "{}", fragmentation.record(metrics.record(record)))?;
        Ok(())
    }

    fn alloc(&mut self, args: &Args) -> Result<(), Failure> {
        let id = choose_area(self.system, args.word(0))?;
        let pages = number("PAGES", args.word(1).unwrap_or_default(), 1, u64::from(u32::MAX))? as u32;
        let align_order = match args.word(2) {
            Some(word) => number("ALIGN_ORDER", word, 0, u64::from(MAX_ALIGN_ORDER))? as u32,
            None => align_order_of(pages),
        };
        match self.system.cma_alloc(id, pages, align_order) {
            Ok(buffer) => {
                let first = buffer.first();
                let kept = self.system.keep(buffer);
                let name = self.system.area(id).name();
                writeln!(
                    self.out,
                    "id {kept}: {} of {name} at pfn {:#x}, address {}",
                    Counted(pages.into(), "page"),
                    first.0,
                    first.addr()
                )?;
            }
            Err(CmaError::Invalid { argument }) => return Err(Failure::bad(format!("invalid {argument}"))),
            Err(error) => {
                let area = self.system.area(id);
                let code = error.errno(self.system.linux());
                log::error!("cma: cma_alloc: {}: alloc failed, req-size: {pages} pages, ret: {code}", area.name());
                log::error!("cma: number of available pages: {}", Available(area));
                let wanted = Counted(pages.into(), "page");
                write!(self.out, "no {wanted} of {}: {}", area.name(), area.explain(error))?;
                let unaligned = matches!(error, CmaError::Fragmented { .. }) && area.longest_free_run() >= pages;
                if unaligned {
                    let align = 1u64 << align_order;
                    write!(self.out, ", and none of that length begins at a multiple of {align} pages")?;
                }
                writeln!(self.out)?;
                let windows = obstacles::windows(self.system, id, pages, align_order);
                obstacles::write_windows(&mut self.out, self.system, id, &windows)?;
            }
        }
        Ok(())
    }

    fn release(&mut self, args: &Args) -> Result<(), Failure> {
        let what = args.word(0).unwrap_or_default();
        if what == "all" {
            return self.release_all(args.word(1));
        }
        let kept = number("ID", what, 1, u64::from(u32::MAX)).map_err(|line| format!("{line}, or `all`"))? as u32;
        let only = args.word(1).map(|name| choose_area(self.system, Some(name))).transpose()?;
        let found = self
            .system
            .area_ids()
            .filter(|&id| only.is_none_or(|only| only == id))
            .find_map(|id| self.system.kept(id).find(|buffer| buffer.id == kept).map(|buffer| (id, buffer)));
        let Some((id, Kept { first, pages, .. })) = found else {
            return Err(Failure::bad(format!("no buffer has the ID {kept}")));
        };
        if let Some(buffer) = self.system.take_back_at(id, first) {
            self.system.cma_release(buffer).map_err(|error| Failure::check(format!("{error}")))?;
        }
        writeln!(
            self.out,
            "id {kept}: {} given back to {}",
            Counted(pages.into(), "page"),
            self.system.area(id).name()
        )?;
        Ok(())
    }

    /// Releases every kept buffer: of the area called `name`, or of all areas.
    fn release_all(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let one = choose_area(self.system, name)?;
        let ids: Vec<AreaId> = self.system.area_ids().filter(|&id| name.is_none() || id == one).collect();
        // If a job runs on one of the areas, nothing is released.
        ids.iter().try_for_each(|&id| self.without_job(id))?;
        for id in ids {
            let used = self.system.area(id).used_pages();
            let buffers = self.system.release_all(id);
            let area = self.system.area(id);
            let pages = used - area.used_pages();
            writeln!(
                self.out,
                "{}, {} given back to {}",
                Counted(buffers.into(), "buffer"),
                Counted(pages.into(), "page"),
                area.name()
            )?;
        }
        Ok(())
    }
}

/// Linux's list of an area's free runs (`cma_debug_show_areas`).
struct Available<'a>(&'a Area);

impl Display for Available<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let area = self.0;
        for (place, (start, length)) in area.bitmap().runs().enumerate() {
            let plus = if place == 0 { "" } else { "+" };
            write!(f, "{plus}{}@{start}", length << area.order_per_bit())?;
        }
        write!(f, "=> {} free of {} total pages", area.free_pages(), area.pages())
    }
}
