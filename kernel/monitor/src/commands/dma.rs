// SPDX-License-Identifier: MIT OR Apache-2.0

//! `dma`: the memory of each device, and buffers by hand.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use cma::area::Area;
use dma::{Coherent, DeviceAddress, DeviceId, DmaError};
use lab::help::Help;
use lab::keys::{did_you_mean, nearest, number, shown};
use lab::metrics::Counted;
use machine::Machine;
use reserved::cmdline::memparse;
use system::System;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "dma",
                usage: "[alloc|free] [DEVICE|ADDRESS|all] [SIZE]",
                summary: "what drivers have of memory; buffers as a driver gets them",
                details: "`dma alloc DEVICE SIZE`, `dma free ADDRESS` or `all`; alone it lists. DEVICE is a node of the \
                              device tree. A device's own area serves it (memory-region, CMA-name), any other device the default \
                              area, single pages and what an area refuses the page allocator. SIZE is in bytes or with K, M, G; \
                              ADDRESS is the device's. What the checker has seen (check=on) is listed last. Linux's view: \
                              /sys/kernel/debug/dma-api.",
                example: "dma alloc BiscuitOS_CMA 1M",
            },
            run: |session, args| session.dma(args),
        }]
    }
}

/// Returns the device called `name`. One without a driver gets the prompt as its driver.
fn find(system: &mut System<'_>, name: &str) -> Result<DeviceId, Failure> {
    if let Some((id, _)) = system.dma().devices().find(|(_, device)| device.name == name) {
        return Ok(id);
    }
    match system.dma_add_device_by_hand(name) {
        Err(DmaError::NoDevice) => Err(unknown(system, name)),
        added => added.map_err(|error| Failure::bad(error.to_string())),
    }
}

/// Describes a missing device: the one that may be meant, or else the devices that there are.
fn unknown(system: &System<'_>, name: &str) -> Failure {
    let known = || system.dma().known();
    let lower = name.to_lowercase();
    let like = || known().filter(|known| !lower.is_empty() && known.to_lowercase().contains(&lower));
    let near = nearest(name, known()).or_else(|| like().next());
    let no_device = format!("the tree has no device {}", shown(name));
    Failure::bad(match near {
        Some(near) => format!("{no_device}; {}", did_you_mean(near)),
        None => format!("{no_device}; there are {}", known().collect::<Vec<_>>().join(" ")),
    })
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn dma(&mut self, args: &Args) -> Result<(), Failure> {
        match (args.word(0), args.word(1), args.word(2)) {
            (None, ..) => self.dma_list(),
            (Some("alloc"), Some(device), Some(size)) => self.dma_alloc(device, size),
            (Some("free"), Some(address), None) => self.dma_free(address),
            (Some("alloc" | "free"), ..) => Err(Failure::bad("usage: dma alloc DEVICE SIZE, or dma free ADDRESS|all")),
            (Some(other), ..) => {
                Err(Failure::bad(format!("{} is neither alloc nor free; `dma` alone lists", shown(other))))
            }
        }
    }

    fn dma_list(&mut self) -> Result<(), Failure> {
        let system = &*self.system;
        let area_name = |area: Option<_>| area.map_or("", |area| system.area(area).name());
        let mut lines: Vec<[String; 5]> = Vec::new();
        for (id, device) in system.dma().devices() {
            let buffers = system.dma().buffers().filter(|buffer| buffer.device == id);
            let (count, pages) = buffers.fold((0, 0), |(count, pages), buffer| (count + 1, pages + buffer.pages));
            let mappings = system.dma().mappings().filter(|mapped| mapped.device == id).count();
            let area = if device.area.is_some() { area_name(device.area) } else { "(default)" };
            let [count, pages, mappings] = [count, pages, mappings as u32].map(|number| number.to_string());
            lines.push([device.name.into(), area.into(), count, pages, mappings]);
        }
        // Areas that the tree gives to devices without a driver.
        for user in system.area_users() {
            let known = lines.iter().any(|line| line[0] == user.device);
            if !known && system.find_area(&user.area).is_some() {
                lines.push([user.device.as_str(), &user.area, "-", "-", "-"].map(String::from));
            }
        }
        let heads = ["device", "area", "buffers", "pages", "mappings"].map(String::from);
        let width = |column: usize| lines.iter().chain([&heads]).map(|line| line[column].len()).max().unwrap_or(0);
        let widths = [width(0), width(1)];
        for [device, area, buffers, pages, mappings] in core::iter::once(&heads).chain(&lines) {
            let [first, second] = widths;
            writeln!(self.out, "{device:<first$}  {area:<second$}  {buffers:>7}  {pages:>7}  {mappings:>8}")?;
        }
        let name = |id: DeviceId| system.dma().device(id).map_or("", |device| device.name);
        for buffer in system.dma().buffers() {
            let source = if buffer.area.is_some() { area_name(buffer.area) } else { "the page allocator" };
            writeln!(
                self.out,
                "coherent  {} {} bytes, {} of {source}, seen by the processor at {}, for {}, by {}",
                buffer.device_address,
                buffer.bytes,
                Counted(buffer.pages.into(), "page"),
                buffer.cpu_address,
                name(buffer.device),
                buffer.made_at
            )?;
        }
        for mapped in system.dma().mappings() {
            let owner = if mapped.cpu.is_empty() { "the device" } else { "the processor" };
            writeln!(
                self.out,
                "streaming {} {} bytes, {}, {}, owned by {owner}, for {}, by {}",
                mapped.start,
                mapped.bytes,
                mapped.direction.name(),
                mapped.kind.name(),
                name(mapped.device),
                mapped.made_at
            )?;
        }
        let checker = system.dma().checker();
        let state = if checker.is_enabled() { "on" } else { "off (check=on switches it on)" };
        writeln!(self.out, "checker: {state}, errors: {}", checker.errors())?;
        for report in checker.reports() {
            writeln!(self.out, "{report}")?;
        }
        Ok(())
    }

    fn dma_alloc(&mut self, name: &str, size: &str) -> Result<(), Failure> {
        let bytes = size_of_words(size)?;
        let device = find(self.system, name)?;
        let buffer = self.system.dma_alloc_coherent(device, bytes);
        let address = match buffer {
            Ok(buffer) => self.system.dma_keep(buffer),
            Err(error) => {
                self.forget_idle(device);
                // As for `alloc`, a refusal is a result.
                writeln!(self.out, "no {bytes} bytes for {name}: {error}")?;
                return Ok(());
            }
        };
        let Some(info) = self.system.dma().buffers().find(|buffer| buffer.device_address == address) else {
            return Err(Failure::check("the buffer is not listed"));
        };
        let source = info.area.map_or("the page allocator", |area| Area::name(self.system.area(area)));
        writeln!(
            self.out,
            "{bytes} bytes for {name}: device address {address}, {} of {source}, seen by the processor at {}",
            Counted(info.pages.into(), "page"),
            info.cpu_address
        )?;
        Ok(())
    }

    fn dma_free(&mut self, address: &str) -> Result<(), Failure> {
        if address == "all" {
            let mut freed = 0;
            while let Some(buffer) = self.system.dma_take_kept(None) {
                self.free(buffer)?;
                freed += 1;
            }
            writeln!(self.out, "freed {freed}")?;
            return Ok(());
        }
        let at = number("ADDRESS", address, 0, u64::from(u32::MAX))?;
        let buffer = self.system.dma_take_kept(Some(DeviceAddress::from_register(at as u32)));
        let buffer = buffer.ok_or_else(|| format!("no buffer of `dma alloc` at {at:#010x}; `dma` lists them"))?;
        self.free(buffer)
    }

    fn free(&mut self, buffer: Coherent) -> Result<(), Failure> {
        let device = self.system.dma().device_of(&buffer);
        self.system.dma_free_coherent(buffer).map_err(|error| Failure::check(error.to_string()))?;
        if let Some(device) = device {
            self.forget_idle(device);
        }
        Ok(())
    }

    /// Removes a device that the prompt added, if it has no buffers and mappings.
    fn forget_idle(&mut self, device: DeviceId) {
        let dma = self.system.dma();
        let busy =
            dma.buffers().any(|buffer| buffer.device == device) || dma.mappings().any(|mapped| mapped.device == device);
        if !busy && dma.device(device).is_some_and(|device| !device.has_driver) {
            // The device exists and has nothing to leak.
            let _ = self.system.dma_remove_device(device);
        }
    }
}

/// Parses a size in bytes with an optional K, M or G, as on the command line.
fn size_of_words(size: &str) -> Result<u32, Failure> {
    let parsed = memparse(size.as_bytes());
    match u32::try_from(parsed.value) {
        Ok(0) if size.starts_with('0') && parsed.rest.is_empty() => {
            Err(Failure::bad("SIZE is 0; it has to be at least one byte"))
        }
        Ok(bytes) if bytes > 0 && parsed.rest.is_empty() => Ok(bytes),
        _ => Err(Failure::bad(format!("SIZE is {}; it has to be bytes below 4G, with K, M or G behind", shown(size)))),
    }
}
