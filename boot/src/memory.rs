// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds a page allocator with areas from the tree's facts: the memory map, the areas in it, the
//! page frames.
//!
//! The portable crates decide the layout; it is carried out here: blobs under placed regions are
//! moved, RAM is mapped, and the page descriptors get their memory.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cma::{AreaUser, Areas};
use devicetree::Facts;
use page_alloc::Page;
use page_alloc::zone::{self, Zone};
use reserved::cmdline::Cmdline;
use reserved::early::{self, Early, PageFrames};
use reserved::memblock::{Memblock, RegionKind};
use reserved::{AreaPlan, Move};
use units::notes::{Note, Refusals};
use units::{PAGE_SIZE, Pfn, PhysAddr, PhysRange};

use crate::cpu::image;
use crate::{memory_map, tree};

/// Page allocator, areas and what was found about memory.
pub(crate) struct Memory {
    /// The page allocator.
    pub zone: Zone<'static>,
    /// The areas of the page allocator.
    pub areas: Areas,
    /// RAM, in pages.
    pub ram_pages: u64,
    /// The listing for `/proc/iomem`.
    pub iomem: String,
    /// The initrd, if there is one.
    pub initrd: Option<&'static [u8]>,
    /// The nodes and parameters that are refused.
    pub refused: Refusals,
}

/// Builds page allocator and areas. `tree` is the range of the tree's blob, which has been read;
/// `refused` is what was refused before.
///
/// # Errors
/// The reason that the tree's memory cannot be used.
pub(crate) fn build(
    facts: &Facts,
    cmdline: &Cmdline,
    tree: PhysRange,
    mut refused: Refusals,
) -> Result<Memory, String> {
    let Early { mut memblock, notes } = early::memory_map(facts, image::range(), tree);
    log_notes(&notes, &mut refused);
    if !memblock.is_ram(&image::range()) {
        return Err(format!("the tree's /memory does not hold the kernel image, {}", image::range()));
    }
    let placed = reserved::place(facts, cmdline, zone::descriptor_bytes, &mut memblock);
    log_notes(&placed.notes, &mut refused);
    for step in &placed.moves {
        memory_map::while_mapped([step.from, step.to], || carry_out(step)).map_err(|error| error.to_string())?;
    }
    map(facts, &memblock)?;

    let frames = allocate_descriptors(&mut memblock)?;
    let iomem = memblock.iomem().to_string();
    for line in iomem.lines() {
        log::info!("{line}");
    }
    let initrd = memblock.find_kind(RegionKind::Initrd).map(|region| region.range);
    let (zone, mut areas) = activate(frames, &memblock, placed.areas, facts);
    if placed.default_unasked {
        areas.set_default_unasked();
    }
    // SAFETY: the initrd is reserved RAM, mapped, and never written again.
    let initrd = initrd.map(|range| unsafe { tree::bytes(range) });
    let ram_pages = memblock.ram().iter().map(PhysRange::size).sum::<u64>() / PAGE_SIZE;
    Ok(Memory { zone, areas, ram_pages, iomem, initrd, refused })
}

/// Logs `notes`, and records those that are refusals in `refused`.
pub(crate) fn log_notes(notes: &[Note], refused: &mut Refusals) {
    refused.add(notes);
    for note in notes {
        log::log!(note.level, "{}", note.text);
    }
}

/// Maps RAM and the devices' registers.
fn map(facts: &Facts, memblock: &Memblock) -> Result<(), String> {
    let no_map: Vec<(PhysRange, &str)> = memblock
        .reserved()
        .iter()
        .filter(|region| region.kind == RegionKind::NoMap)
        .map(|region| (region.range, region.name.as_str()))
        .collect();
    match memory_map::map_memory(memblock.ram(), &no_map).first() {
        Some(range) => return Err(format!("{range} cannot be mapped")),
        None => memory_map::map_devices(facts, &no_map),
    }
    Ok(())
}

/// Copies a blob out of a region, which may be one that is never mapped.
fn carry_out(step: &Move) {
    let source = core::ptr::with_exposed_provenance::<u8>(step.from.start as usize);
    let target = core::ptr::with_exposed_provenance_mut::<u8>(step.to.start as usize);
    // SAFETY:
    // - both ranges are RAM, mapped while this runs, and of the same length;
    // - `place` orders the moves so that none destroys what another has to move, nor anything in
    //   use.
    unsafe { core::ptr::copy(source, target, step.from.size() as usize) };
}

/// Allocates the descriptors of the frames from the lowest to the highest RAM address, in whole
/// pageblocks, zeroed; returns the first frame and the descriptors.
fn allocate_descriptors(memblock: &mut Memblock) -> Result<(Pfn, &'static mut [Page]), String> {
    let wanted = PageFrames::of(memblock, zone::descriptor_bytes);
    let range = memblock
        .allocate(wanted.search(), RegionKind::PageFrames)
        .map_err(|full| format!("no room for the page frames: {full}"))?
        .ok_or_else(|| {
            format!("no room for the page frames: {} bytes for {} frames", wanted.size_bytes, wanted.frames)
        })?;
    if !answers(range) {
        return Err(format!("{range} is not RAM: the tree's /memory is larger than the machine's"));
    }
    let descriptors = zone::descriptors(wanted.frames);
    let pages = core::ptr::with_exposed_provenance_mut::<Page>(range.start as usize);
    // SAFETY: the range is mapped RAM that was just reserved for this alone, and is large enough
    // for `descriptors` descriptors.
    unsafe { core::ptr::write_bytes(pages, 0, descriptors) };
    // SAFETY:
    // - zeroed, and all zeroes is a valid descriptor;
    // - aligned to a page, and nothing else ever refers to it.
    let pages = unsafe { core::slice::from_raw_parts_mut(pages, descriptors) };
    Ok((wanted.start, pages))
}

/// True if the range's first and last word keep what is written to them. Without RAM, reads return
/// 0.
fn answers(range: PhysRange) -> bool {
    [range.start, range.end - 4].into_iter().all(|address| {
        let word = core::ptr::with_exposed_provenance_mut::<u32>(address as usize);
        let pattern = !(address as u32);
        // SAFETY: mapped, aligned, and reserved for the caller.
        unsafe { word.write_volatile(pattern) };
        // SAFETY: as above.
        unsafe { word.read_volatile() == pattern }
    })
}

/// Hands free RAM to the page allocator and activates the areas.
fn activate(
    (start, pages): (Pfn, &'static mut [Page]),
    memblock: &Memblock,
    plans: Vec<AreaPlan>,
    facts: &Facts,
) -> (Zone<'static>, Areas) {
    let page_count = |range: PhysRange| (range.size() / PAGE_SIZE) as u32;
    let mut zone = Zone::new(start, pages);
    for range in memblock.free_pages() {
        zone.free_range(PhysAddr(range.start).pfn(), page_count(range));
    }
    for ram in memblock.ram() {
        zone.mark_ram(PhysAddr(ram.start).pfn(), PhysAddr(ram.end - 1).pfn());
    }
    let users = facts.area_users.iter();
    let users = users
        .map(|user| AreaUser {
            device: user.device.clone(),
            area: reserved::area_name(&user.area).into(),
            by_region: user.by_region,
        })
        .collect();
    let mut areas = Areas::new(users);
    for AreaPlan { name, range, default } in plans {
        areas.activate(&mut zone, name, PhysAddr(range.start).pfn(), page_count(range), default);
    }
    (zone, areas)
}
