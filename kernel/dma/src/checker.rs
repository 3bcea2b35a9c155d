// SPDX-License-Identifier: MIT OR Apache-2.0

//! The checker of drivers: reports misuse of the DMA API with the device, the address and the place
//! of the call.
//!
//! On a machine without coherent caches a driver's mistake shows only sometimes, as wrong data; in
//! an emulator without caches it never shows. The checker detects the mistake itself: it records
//! the owner of each mapped byte, and code that reads or writes such memory for the processor
//! reports the access ([`Dma::cpu_access`]). Accesses of a device are checked afterwards: before it
//! starts, the checker takes sums over what the device must not change, that is the bytes around
//! the mapping and those that it may only read, and compares them when the memory comes back. It is
//! switched on by `check=on` and in self-tests.
//!
//! The kinds of misuse follow Linux's `kernel/dma/debug.c`.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::panic::Location;

use super::hardware::Hardware;
use super::table::{Mapped, MappingKind, Sum, Watch};
use super::{DeviceAddress, Direction, Dma, LINE_BYTES};
use migration::live::watch::FrameWatch;
use units::{PAGE_SIZE, Pfn, PhysAddr};

/// Most reports that are kept and logged; later ones are only counted.
pub const MAX_REPORTS: usize = 64;
/// Most ended mappings that are remembered, to distinguish an address that is unmapped twice from
/// one that was never mapped.
const REMEMBERED: usize = 16;

/// Misuse of the DMA API by a driver or its device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misuse {
    /// It named an address that is not mapped.
    NotMapped {
        /// The call that ended the mapping, if there was one lately.
        ended_at: Option<&'static Location<'static>>,
    },
    /// It named an address that is mapped for another device.
    OtherDevice {
        /// The name of that device.
        device: &'static str,
    },
    /// It named another size than was mapped.
    Size {
        /// The size that was mapped.
        mapped: u32,
    },
    /// It named another direction than was mapped.
    Direction {
        /// The direction that was mapped.
        mapped: Direction,
        /// The direction that was named.
        named: Direction,
    },
    /// It unmapped a segment of a scatter list as a single range.
    MappingKind {
        /// The kind that was mapped.
        mapped: MappingKind,
    },
    /// It synchronized bytes outside of the mapping.
    SyncOutside {
        /// The size that was mapped.
        mapped: u32,
    },
    /// It mapped memory that is free.
    FreeMemory {
        /// The first such page.
        at: PhysAddr,
    },
    /// It mapped memory that shares a cache line with another mapping, and a device may write one
    /// of the two.
    SharedLine {
        /// The other mapping.
        with: DeviceAddress,
    },
    /// The processor read memory that the device owns and may write.
    CpuRead {
        /// The first byte.
        at: PhysAddr,
    },
    /// The processor wrote memory that the device owns, or a line that holds a part of it.
    CpuWrite {
        /// The first byte.
        at: PhysAddr,
    },
    /// The processor wrote to memory whose data only come from the device: the next transfer drops
    /// what it wrote.
    LostWrite,
    /// Memory that the device may only read changed while the device owned it.
    Changed,
    /// Bytes around the mapping, or after the buffer's end, changed while the device owned it.
    WroteOutside {
        /// The first changed byte after a buffer, or the first of the checked bytes around a
        /// mapping.
        at: DeviceAddress,
    },
    /// The device was removed before its coherent buffer was freed.
    LeakedBuffer,
    /// The device was removed before its mapping was ended.
    LeakedMapping,
    /// The users of memory were closed while it was mapped.
    OwnerGone,
}

impl Misuse {
    /// Returns one word for it.
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
            Self::NotMapped { ended_at: Some(at) } => write!(f, "the address was unmapped at {at}"),
            Self::OtherDevice { device } => write!(f, "the address is mapped for {device}"),
            Self::Size { mapped } => write!(f, "{mapped} bytes were mapped"),
            Self::Direction { mapped, named } => write!(f, "{} is named, {} was mapped", named.name(), mapped.name()),
            Self::MappingKind { mapped } => write!(f, "it was mapped as {}", mapped.name()),
            Self::SyncOutside { mapped } => write!(f, "not all of it lies in the {mapped} bytes that were mapped"),
            Self::FreeMemory { at } => write!(f, "the page at {at} is free"),
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

/// A report of misuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MisuseReport {
    /// The name of the driver's device.
    pub device: &'static str,
    /// The misuse.
    pub misuse: Misuse,
    /// The address that was named, or that of the mapping or buffer.
    pub address: DeviceAddress,
    /// The size in bytes that was named, or that of the mapping or buffer.
    pub bytes: u32,
    /// The call that detected it.
    pub at: &'static Location<'static>,
    /// The call that made the mapping or buffer, if there is one.
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
    /// How many of `errors` are acknowledged, see [`Checker::tell`].
    told: u64,
    /// The line that further reports are only counted was logged.
    full: bool,
    ended: Vec<Ended>,
    next_ended: usize,
    /// Number of reports before misuse was provoked, while it is provoked on purpose.
    provoked_after: Option<usize>,
}

impl Checker {
    /// True if the checker is on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Switches it on or off. Of earlier mappings, no sums are taken before they go to the device
    /// again.
    pub fn enable(&mut self, on: bool) {
        self.enabled = on;
        if on {
            self.reports.reserve_exact(MAX_REPORTS.saturating_sub(self.reports.len()));
            self.ended.reserve_exact(REMEMBERED.saturating_sub(self.ended.len()));
        }
    }

    /// Sets that misuse is provoked on purpose: reports are kept but not logged, and earlier ones
    /// take none of their room.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.provoked_after = quiet.then_some(self.reports.len());
    }

    /// Number of misuses since boot.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Number of misuses that are not acknowledged ([`Checker::tell`]).
    pub fn untold(&self) -> u64 {
        self.errors - self.told
    }

    /// Acknowledges all misuses so far: later checks do not fail for them.
    pub fn tell(&mut self) {
        self.told = self.errors;
    }

    /// The reports that are kept: the first [`MAX_REPORTS`] since they were taken.
    pub fn reports(&self) -> &[MisuseReport] {
        &self.reports
    }

    /// Takes the reports, only those of provoked misuse while it is provoked, and subtracts them
    /// from the count: the caller evaluates them.
    pub fn take_reports(&mut self) -> Vec<MisuseReport> {
        let taken = self.reports.split_off(self.provoked_after.unwrap_or(0).min(self.reports.len()));
        self.errors -= taken.len() as u64;
        self.told = self.told.min(self.errors);
        self.full = false;
        taken
    }

    /// Drops the reports of provoked misuse and acknowledges it: it stays counted, and the caller
    /// has reported its number.
    pub fn drop_provoked(&mut self) {
        if let Some(before) = self.provoked_after {
            self.reports.truncate(before);
            self.tell();
        }
    }

    /// Records a misuse, if the checker is on.
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
            log::error!("DMA-API: further misuse is only counted (MAX_REPORTS, {MAX_REPORTS})");
        }
    }

    /// Records that a mapping ended.
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

    /// Returns the call that last ended a mapping at an address, if it is still remembered.
    pub(super) fn ended_at(&self, start: DeviceAddress) -> Option<&'static Location<'static>> {
        let newest_first = (1..=self.ended.len()).map(|age| (self.next_ended + REMEMBERED - age) % REMEMBERED);
        newest_first.filter_map(|place| self.ended.get(place)).find(|ended| ended.start == start).map(|ended| ended.at)
    }
}

/// Widens a range to whole lines.
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
    /// Checks a read or write of the processor to memory that a device may own; the code that makes
    /// the access calls this.
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
                // A write makes the whole line dirty, and its writeback may overwrite what the
                // device wrote.
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

    /// Reports misuse of a mapping.
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

    /// Checks that a new mapping shares no line with another, and takes its sums. Called before the
    /// caches are maintained.
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
        // The new mapping may be written, so other mappings' sums must not cover it.
        for other in self.mappings.iter_mut().filter(|other| other.place != place) {
            for sum in other.watch.iter_mut().flat_map(|watch| &mut watch.around) {
                if sum.is_some_and(|sum| sum.touches(&range)) {
                    *sum = None;
                }
            }
        }
        self.watch(place, generation);
    }

    /// Takes the sums of a mapping before the device owns it.
    #[cold]
    pub(super) fn watch(&mut self, place: u16, generation: u32) {
        let Some(&mut mapped) = self.mappings.get(place, generation) else { return };
        let Some(hardware) = &mut self.hardware else { return };
        let range = mapped.range();
        // The rest of a line must not change meanwhile; the rest of a page neither if it is in use,
        // because its users report their accesses to whole pages.
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

    /// Compares a mapping's sums when its memory has come back, and reports changes. Called after
    /// the caches are maintained.
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
