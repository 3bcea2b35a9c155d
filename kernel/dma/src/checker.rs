// SPDX-License-Identifier: MIT OR Apache-2.0

//! What watches drivers: misuse of the DMA API is reported with the device, the address and the
//! place of the call.
//!
//! On a machine without coherent caches a driver's mistake shows as wrong data, now and then; in an
//! emulator without caches it does not show at all. The checker sees the mistake itself: it knows
//! who owns each byte that is mapped, and whatever reads or writes such memory for the processor
//! asks it ([`Dma::cpu_access`]). What a device does is seen afterwards: before it starts, the
//! checker takes sums over what the device must not change, the bytes around the mapping and those
//! it may only read, and compares when the memory comes back. It is switched on by `check=on` and
//! in self-tests.
//!
//! Which mistakes there are to see is known from Linux's `kernel/dma/debug.c`.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::panic::Location;

use super::hardware::Hardware;
use super::table::{Mapped, MappingKind, Sum, Watch};
use super::{DeviceAddress, Direction, Dma, LINE_BYTES};
use migration::live::watch::FrameWatch;
use units::{PAGE_SIZE, Pfn, PhysAddr};

/// Reports that are kept and logged; later ones are only counted.
pub const MAX_REPORTS: usize = 64;
/// Mappings that ended lately and are still known, to tell an address that is unmapped twice from
/// one that never was.
const REMEMBERED: usize = 16;

/// What a driver, or its device, did wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misuse {
    /// It named an address that is not mapped; where it was unmapped, if it was.
    NotMapped {
        /// The call that ended the mapping.
        ended_at: Option<&'static Location<'static>>,
    },
    /// It named an address that is mapped for another device.
    OtherDevice {
        /// Whose it is.
        device: &'static str,
    },
    /// It named another size than it mapped.
    Size {
        /// What was mapped.
        mapped: u32,
    },
    /// It named another direction than it mapped.
    Direction {
        /// What was mapped.
        mapped: Direction,
        /// What was named.
        named: Direction,
    },
    /// It gave a segment of a scatter list back as a single range, or the other way round.
    MappingKind {
        /// What was mapped.
        mapped: MappingKind,
    },
    /// It synchronized bytes outside of the mapping.
    SyncOutside {
        /// What was mapped.
        mapped: u32,
    },
    /// It mapped memory that nobody has allocated.
    FreeMemory {
        /// The first such page.
        at: PhysAddr,
    },
    /// It mapped memory that shares a cache line with another mapping, and one of the two is
    /// written by a device.
    SharedLine {
        /// The other one.
        with: DeviceAddress,
    },
    /// The processor read what the device owns and may write.
    CpuRead {
        /// The first byte.
        at: PhysAddr,
    },
    /// The processor wrote what the device owns, or a line that holds some of it.
    CpuWrite {
        /// The first byte.
        at: PhysAddr,
    },
    /// The processor wrote to memory whose data only come from the device: the next transfer drops
    /// what it wrote.
    LostWrite,
    /// Memory that the device may only read changed while the device owned it.
    Changed,
    /// Bytes around the mapping or behind the buffer's end changed while the device owned it.
    WroteOutside {
        /// The first of the bytes that are looked at.
        at: DeviceAddress,
    },
    /// A coherent buffer was left behind when the device was removed.
    LeakedBuffer,
    /// A mapping was left behind when the device was removed.
    LeakedMapping,
    /// The memory's owner moved out while it was mapped.
    OwnerGone,
}

impl Misuse {
    /// One word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotMapped { ended_at: None } => "not-mapped",
            Self::NotMapped { ended_at: Some(_) } => "unmapped-twice",
            Self::OtherDevice { .. } => "other-device",
            Self::Size { .. } => "size",
            Self::Direction { .. } => "direction",
            Self::MappingKind { .. } => "kind",
            Self::SyncOutside { .. } => "sync-outside",
            Self::FreeMemory { .. } => "free-memory",
            Self::SharedLine { .. } => "shared-line",
            Self::CpuRead { .. } => "cpu-read",
            Self::CpuWrite { .. } => "cpu-write",
            Self::LostWrite => "lost-write",
            Self::Changed => "changed",
            Self::WroteOutside { .. } => "wrote-outside",
            Self::LeakedBuffer => "leaked-buffer",
            Self::LeakedMapping => "leaked-mapping",
            Self::OwnerGone => "owner-gone",
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotMapped { ended_at: None } => f.write_str("the address is not mapped"),
            Self::NotMapped { ended_at: Some(at) } => write!(f, "the address is not mapped any more: unmapped at {at}"),
            Self::OtherDevice { device } => write!(f, "the address is mapped for {device}"),
            Self::Size { mapped } => write!(f, "{mapped} bytes were mapped"),
            Self::Direction { mapped, named } => write!(f, "{} is named, {} was mapped", named.name(), mapped.name()),
            Self::MappingKind { mapped } => write!(f, "it was mapped as {}", mapped.name()),
            Self::SyncOutside { mapped } => write!(f, "not all of it lies in the {mapped} bytes that were mapped"),
            Self::FreeMemory { at } => write!(f, "nobody has allocated the page at {at}"),
            Self::SharedLine { with } => write!(f, "a cache line is shared with the mapping at {with}"),
            Self::CpuRead { at } => write!(f, "the processor reads {at}, which the device owns"),
            Self::CpuWrite { at } => write!(f, "the processor writes {at}, which the device owns"),
            Self::LostWrite => f.write_str("the processor writes what only comes from the device"),
            Self::Changed => f.write_str("the memory changed, and the device may only read it"),
            Self::WroteOutside { at } => write!(f, "bytes outside changed, from {at} on"),
            Self::LeakedBuffer => f.write_str("the buffer was not freed before the device was removed"),
            Self::LeakedMapping => f.write_str("the memory was not unmapped before the device was removed"),
            Self::OwnerGone => f.write_str("the memory's owner moved out while it was mapped"),
        }
    }
}

/// One report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MisuseReport {
    /// Whose driver it was.
    pub device: &'static str,
    /// What it did.
    pub misuse: Misuse,
    /// The address that was named, or where the memory is mapped.
    pub address: DeviceAddress,
    /// How many bytes.
    pub bytes: u32,
    /// The call that it was seen in.
    pub at: &'static Location<'static>,
    /// The call that made the mapping or buffer, where there is one.
    pub made_at: Option<&'static Location<'static>>,
}

impl fmt::Display for MisuseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, misuse, address, bytes, at, made_at } = self;
        write!(f, "DMA-API: {device}: {misuse} [device address={address}] [size={bytes} bytes], at {at}")?;
        match made_at {
            Some(made_at) => write!(f, ", mapped at {made_at}"),
            None => Ok(()),
        }
    }
}

impl Sum {
    fn of(hardware: &mut dyn Hardware, range: Range<u64>) -> Option<Self> {
        let mut fnv1a = 0x811c_9dc5_u32;
        let mut at = range.start;
        let mut bytes = [0; 64];
        while at < range.end {
            let part = &mut bytes[..(range.end - at).min(64) as usize];
            let address = hardware.cached(PhysAddr(at));
            hardware.load(address, part);
            for &mut byte in &mut *part {
                fnv1a = (fnv1a ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
            at += part.len() as u64;
        }
        (range.start < range.end).then_some(Self { start: range.start, end: range.end, fnv1a })
    }

    fn still_holds(self, hardware: &mut dyn Hardware) -> bool {
        Self::of(hardware, self.start..self.end) == Some(self)
    }

    const fn touches(self, range: &Range<u64>) -> bool {
        self.start < range.end && range.start < self.end
    }
}

/// A mapping that ended.
#[derive(Clone, Copy)]
struct Ended {
    start: DeviceAddress,
    at: &'static Location<'static>,
}

/// The checker.
#[derive(Default)]
pub struct Checker {
    enabled: bool,
    reports: Vec<MisuseReport>,
    errors: u64,
    /// So many of them a check has failed for, or whoever provoked them has reported.
    told: u64,
    /// It was said that more are counted only.
    full: bool,
    ended: Vec<Ended>,
    next_ended: usize,
    /// Misuse is provoked on purpose; holds the number of reports before.
    provoked_after: Option<usize>,
}

impl Checker {
    /// Whether it watches.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Switches it on or off. What was mapped before is not watched.
    pub fn enable(&mut self, on: bool) {
        self.enabled = on;
        if on {
            self.reports.reserve_exact(MAX_REPORTS.saturating_sub(self.reports.len()));
            self.ended.reserve_exact(REMEMBERED.saturating_sub(self.ended.len()));
        }
    }

    /// While this is set, somebody provokes misuse: reports are kept but not logged, and no earlier
    /// one is in the way.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.provoked_after = quiet.then_some(self.reports.len());
    }

    /// How many misuses were seen since boot.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// How many of them nobody was told of ([`Checker::tell`]).
    pub fn untold(&self) -> u64 {
        self.errors - self.told
    }

    /// Whoever had to be told of what was seen so far was told: no check fails for it again.
    pub fn tell(&mut self) {
        self.told = self.errors;
    }

    /// The first [`MAX_REPORTS`] that nobody has taken.
    pub fn reports(&self) -> &[MisuseReport] {
        &self.reports
    }

    /// Takes the reports, of provoked misuse where somebody provokes any, and forgets that there
    /// were any: whoever provoked them looks at them.
    pub fn take_reports(&mut self) -> Vec<MisuseReport> {
        let taken = self.reports.split_off(self.provoked_after.unwrap_or(0).min(self.reports.len()));
        self.errors -= taken.len() as u64;
        self.told = self.told.min(self.errors);
        self.full = false;
        taken
    }

    /// Drops the reports of provoked misuse, whose number whoever provoked it has reported: it
    /// stays counted.
    pub fn drop_provoked(&mut self) {
        if let Some(before) = self.provoked_after {
            self.reports.truncate(before);
            self.tell();
        }
    }

    /// Notes a misuse, if the checker is on.
    pub(super) fn report(&mut self, report: MisuseReport) {
        if !self.enabled {
            return;
        }
        self.errors += 1;
        let quiet = self.provoked_after.is_some();
        if self.reports.len() < self.provoked_after.unwrap_or(0) + MAX_REPORTS {
            self.reports.push(report);
            if !quiet {
                log::error!("{report}");
            }
        } else if !quiet && !self.full {
            self.full = true;
            log::error!("DMA-API: more misuse is counted only (MAX_REPORTS, {MAX_REPORTS})");
        }
    }

    /// Remembers that a mapping ended.
    pub(super) fn ended(&mut self, start: DeviceAddress, at: &'static Location<'static>) {
        if !self.enabled {
            return;
        }
        let ended = Ended { start, at };
        if self.ended.len() < REMEMBERED {
            self.ended.push(ended);
        } else {
            self.ended[self.next_ended] = ended;
        }
        self.next_ended = (self.next_ended + 1) % REMEMBERED;
    }

    /// Where the mapping at an address ended last, if that is still known.
    pub(super) fn ended_at(&self, start: DeviceAddress) -> Option<&'static Location<'static>> {
        let newest_first = (1..=self.ended.len()).map(|age| (self.next_ended + REMEMBERED - age) % REMEMBERED);
        newest_first.filter_map(|place| self.ended.get(place)).find(|ended| ended.start == start).map(|ended| ended.at)
    }
}

/// A range widened to whole lines.
fn widened(range: &Range<u64>) -> Range<u64> {
    let line = u64::from(LINE_BYTES);
    range.start / line * line..range.end.next_multiple_of(line)
}

const fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

impl FrameWatch for Dma {
    fn is_watching(&self) -> bool {
        self.checker.enabled
    }

    fn on_access(&mut self, frame: Pfn, write: bool, at: &'static Location<'static>) {
        if self.checker.enabled {
            self.check_cpu_access(frame.addr(), PAGE_SIZE as u32, write, at);
        }
    }
}

impl Dma {
    /// Whatever reads or writes memory for the processor, where a device might own it, says so
    /// here.
    #[inline]
    #[track_caller]
    pub fn cpu_access(&mut self, start: PhysAddr, bytes: u32, write: bool) {
        if self.checker.enabled {
            self.check_cpu_access(start, bytes, write, Location::caller());
        }
    }

    #[cold]
    fn check_cpu_access(&mut self, start: PhysAddr, bytes: u32, write: bool, at: &'static Location<'static>) {
        let access = start.0..start.0 + u64::from(bytes);
        let caught = self.mappings.iter().find_map(|mapped| {
            let device_writes = mapped.direction.device_writes();
            if !write && !device_writes {
                return None;
            }
            let whole = mapped.range();
            let cpu = whole.start + u64::from(mapped.cpu.start)..whole.start + u64::from(mapped.cpu.end);
            let owned =
                if mapped.cpu.is_empty() { [whole, 0..0] } else { [whole.start..cpu.start, cpu.end..whole.end] };
            let touched = owned.iter().filter(|part| !part.is_empty()).find_map(|part| {
                // A write dirties the whole line, and the line may be written over what the device
                // wrote.
                let part = if write && device_writes { widened(part) } else { part.clone() };
                overlap(&part, &access).then(|| part.start.max(access.start))
            })?;
            Some((*mapped, PhysAddr(touched)))
        });
        if let Some((mapped, touched)) = caught {
            let misuse = if write { Misuse::CpuWrite { at: touched } } else { Misuse::CpuRead { at: touched } };
            self.report_mapped(&mapped, misuse, at);
        }
    }

    /// Reports something about a mapping.
    pub(super) fn report_mapped(&mut self, mapped: &Mapped, misuse: Misuse, at: &'static Location<'static>) {
        self.checker.report(MisuseReport {
            device: self.devices.get(mapped.device).map_or("", |device| device.name),
            misuse,
            address: mapped.start,
            bytes: mapped.bytes,
            at,
            made_at: Some(mapped.made_at),
        });
    }

    /// A mapping was just made: does it share lines with another, and what lies around it? The
    /// caches have not been maintained yet.
    #[cold]
    pub(super) fn check_new(&mut self, place: u16, generation: u32) {
        let Some(&mut mapped) = self.mappings.get(place, generation) else { return };
        let range = mapped.range();
        let lines = widened(&range);
        let shared = self.mappings.iter().find(|other| {
            other.place != place
                && (other.direction.device_writes() || mapped.direction.device_writes())
                && overlap(&widened(&other.range()), &lines)
        });
        if let Some(with) = shared.map(|other| other.start) {
            self.report_mapped(&mapped, Misuse::SharedLine { with }, mapped.made_at);
        }
        // What this device may write is nothing that others' sums should cover.
        for other in self.mappings.iter_mut().filter(|other| other.place != place) {
            for sum in other.watch.iter_mut().flat_map(|watch| &mut watch.around) {
                if sum.is_some_and(|sum| sum.touches(&range)) {
                    *sum = None;
                }
            }
        }
        self.watch(place, generation);
    }

    /// Takes the sums of a mapping that the device is about to own.
    #[cold]
    pub(super) fn watch(&mut self, place: u16, generation: u32) {
        let Some(&mut mapped) = self.mappings.get(place, generation) else { return };
        let Some(hardware) = &mut self.hardware else { return };
        let range = mapped.range();
        // Nobody else has business in the rest of a line; in the rest of a page nobody has if all
        // who use the page ask.
        let grain = if mapped.pinned { PAGE_SIZE } else { LINE_BYTES.into() };
        let around = [range.start / grain * grain..range.start, range.end..range.end.next_multiple_of(grain)];
        let around = around.map(|margin| {
            let disturbed = self.mappings.iter().any(|other| other.place != place && overlap(&other.range(), &margin));
            if disturbed { None } else { Sum::of(hardware.as_mut(), margin) }
        });
        let own = if mapped.direction.device_writes() { None } else { Sum::of(hardware.as_mut(), range) };
        if let Some(mapped) = self.mappings.get(place, generation) {
            mapped.watch = Some(Watch { around, own });
        }
    }

    /// The memory of a mapping has come back, and the caches have been maintained: was anything
    /// changed that should not be?
    #[cold]
    pub(super) fn check_watch(&mut self, mapped: &Mapped, at: &'static Location<'static>) {
        let (Some(watch), Some(hardware)) = (mapped.watch, &mut self.hardware) else { return };
        let damaged = |sum: &Sum, hardware: &mut dyn Hardware| !sum.still_holds(hardware);
        let outside = watch.around.iter().flatten().find(|sum| damaged(sum, hardware.as_mut()));
        let changed = watch.own.is_some_and(|sum| damaged(&sum, hardware.as_mut()));
        if let Some(sum) = outside {
            let misuse = Misuse::WroteOutside { at: DeviceAddress(sum.start as u32) };
            self.report_mapped(mapped, misuse, at);
        }
        if changed {
            self.report_mapped(mapped, Misuse::Changed, at);
        }
    }
}
