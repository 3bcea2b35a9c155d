//! Areas by hand: list, look, allocate, release, and the pseudo files.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Display, Write};

use super::Session;
use super::experiments::whole;
use crate::cma::area::Area;
use crate::cma::{AreaId, CmaError, MAX_ALIGN_ORDER, align_order_of};
use crate::lab::bitmap_view::{write_bitmap, write_summary};
use crate::lab::fragmentation::Fragmentation;
use crate::lab::metrics::Counted;
use crate::lab::metrics::Metrics;
use crate::lab::picture;
use crate::lab::record::Record;
use crate::machine::Machine;
use crate::monitor::syntax::{Args, number, shown};
use crate::monitor::{Failure, files};
use crate::system::System;

/// The area of that name; without one the area that a device names, else the default area, else the first.
pub(in crate::monitor) fn choose_area(system: &System<'_>, name: Option<&str>) -> Result<AreaId, Failure> {
    let first = system.area_ids().next();
    let Some(unnamed) = system.device_area().or(system.default_area()).or(first) else {
        return Err(Failure::bad("there is no CMA area; reserve one in the device tree, or boot with cma=16M"));
    };
    let Some(name) = name else { return Ok(unnamed) };
    system.find_area(name).ok_or_else(|| {
        let names: Vec<&str> = system.areas().iter().map(Area::name).collect();
        Failure::bad(format!("no area {}; there are {}", shown(name), names.join(" ")))
    })
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    pub(super) fn cma(&mut self) -> Result<(), Failure> {
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

    pub(super) fn bitmap(&mut self, args: &Args) -> Result<(), Failure> {
        let area = self.system.area(choose_area(self.system, args.word(0))?);
        write_bitmap(&mut self.out, area)?;
        write_summary(&mut self.out, area)?;
        Ok(())
    }

    pub(super) fn picture(&mut self, args: &Args) -> Result<(), Failure> {
        let area = self.system.area(choose_area(self.system, args.word(0))?);
        let pages = args.key("pages").map(|pages| number("pages", pages, 1, area.pages().into())).transpose()?;
        let scale = picture::Scale {
            width: whole(args, "width", picture::USUAL_WIDTH.into(), 1, picture::MAX_WIDTH.into())? as u32,
            pages: pages.map(|pages| pages as u32),
        };
        picture::write_picture(&mut self.out, area, scale)?;
        Ok(())
    }

    pub(super) fn metrics(&mut self, args: &Args) -> Result<(), Failure> {
        let area = self.system.area(choose_area(self.system, args.word(0))?);
        let (metrics, fragmentation) = (Metrics::of(area), Fragmentation::of(area));
        let record = Record::new("metrics").string("area", area.name()).string("placement", &area.placement().label());
        write_summary(&mut self.out, area)?;
        write!(self.out, "{fragmentation}")?;
        writeln!(self.out, "{}", fragmentation.record(metrics.record(record)))?;
        Ok(())
    }

    pub(super) fn alloc(&mut self, args: &Args) -> Result<(), Failure> {
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
                let code = error.errno();
                log::error!("cma: cma_alloc: {}: alloc failed, req-size: {pages} pages, ret: {code}", area.name());
                log::error!("cma: number of available pages: {}", Available(area));
                writeln!(self.out, "no {pages} pages of {}: {error}", area.name())?;
            }
        }
        Ok(())
    }

    pub(super) fn release(&mut self, args: &Args) -> Result<(), Failure> {
        let what = args.word(0).unwrap_or_default();
        if what == "all" {
            let id = choose_area(self.system, args.word(1))?;
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
            return Ok(());
        }
        let kept = number("ID", what, 1, u64::from(u32::MAX)).map_err(|line| format!("{line}, or `all`"))? as u32;
        let only = args.word(1).map(|name| choose_area(self.system, Some(name))).transpose()?;
        let found = self
            .system
            .area_ids()
            .filter(|&id| only.is_none_or(|only| only == id))
            .find_map(|id| self.system.kept(id).find(|buffer| buffer.0 == kept).map(|buffer| (id, buffer)));
        let Some((id, (_, first, pages))) = found else {
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

    pub(super) fn cat(&mut self, args: &Args) -> Result<(), Failure> {
        let path = args.word(0).unwrap_or_default();
        let file = self.file(path)?;
        files::write(&mut self.out, self.system, self.context, file)
    }

    pub(super) fn ls(&mut self, args: &Args) -> Result<(), Failure> {
        let path = args.word(0).unwrap_or("/");
        let names = files::list(self.system, path);
        if names.is_empty() {
            return Err(Failure::bad(format!("nothing at {}; `ls` shows the top", shown(path))));
        }
        for name in names {
            writeln!(self.out, "{name}")?;
        }
        Ok(())
    }

    pub(super) fn echo(&mut self, args: &Args) -> Result<(), Failure> {
        let [value, arrow, path] = &args.words[..] else { return Err(Failure::bad("usage: echo N > PATH")) };
        if arrow != ">" {
            return Err(Failure::bad(format!("{} where > should be; usage: echo N > PATH", shown(arrow))));
        }
        let file = self.file(path)?;
        files::write_number(self.system, file, value)
    }

    fn file(&self, path: &str) -> Result<files::File, String> {
        files::find(self.system, path).ok_or_else(|| {
            let directory = !files::list(self.system, path).is_empty();
            let what = if directory { "is a directory" } else { "is no file" };
            format!("{} {what}; `ls` shows which files there are", shown(path))
        })
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
