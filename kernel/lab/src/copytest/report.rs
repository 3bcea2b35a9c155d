// SPDX-License-Identifier: MIT OR Apache-2.0

//! Results of a copy test: a line for each copy, the text of the whole test, and a record.

use alloc::string::String;
use core::fmt;

use super::Options;
use super::ambush::Ambushes;
use super::driver::DriverCounts;
use crate::metrics::Counted;
use crate::record::Record;
use block::volume::File;
use migration::live::Mm;
use migration::live::disk::DiskStats;
use system::System;

/// Counts of checksums of a file, and of wrong ones.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Sums {
    taken: u32,
    wrong: u32,
}

impl Sums {
    pub(super) fn add(&mut self, right: bool) {
        self.taken += 1;
        self.wrong += u32::from(!right);
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wrong {
            0 if self.taken == 0 => f.write_str("no checksum was taken"),
            0 => write!(f, "{} of {} checksums right", self.taken, self.taken),
            wrong => write!(f, "{wrong} of {} checksums WRONG", self.taken),
        }
    }
}

/// Checksums of a copy and of the original.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copied {
    name: String,
    /// Checksums of the copy.
    pub copy: Sums,
    /// Checksums of the original, taken alternately with those of the copy.
    pub source: Sums,
}

impl Copied {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), copy: Sums::default(), source: Sums::default() }
    }
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}; the original: {}", self.name, self.copy, self.source)
    }
}

/// Result of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyReport {
    disk_name: String,
    source: String,
    bytes: u64,
    pinning: bool,
    /// Number of copies done.
    pub copies: u32,
    sums: Sums,
    /// Counts of the driver.
    pub driver: DriverCounts,
    /// Counts of the ambushes.
    pub ambushes: Ambushes,
    /// Counts of the disk.
    pub disk: DiskStats,
    /// Pages that were moved while the disk owned others.
    pub migrated_while_lent: u64,
    /// Misuses of the DMA API that its checker counted, if it is on.
    pub misuses: u64,
    /// Misuses counted before the test.
    misuses_before: u64,
    reclaimed: u64,
    oom_kills: u64,
    /// True if the user stopped the test.
    pub interrupted: bool,
    begin_ns: u64,
    /// Time of copying, without the checksums.
    pub(super) copy_ns: u64,
    load_ns: u64,
}

impl CopyReport {
    pub(super) fn new(system: &mut System<'_>, options: &Options, source: &File, now_ns: u64) -> Self {
        let name = system.mm().and_then(|mm| mm.disk_identity().map(|identity| identity.name.clone()));
        Self {
            disk_name: name.unwrap_or_default(),
            source: source.name.clone(),
            bytes: source.bytes,
            pinning: options.pinning,
            copies: 0,
            sums: Sums::default(),
            driver: DriverCounts::default(),
            ambushes: Ambushes::default(),
            disk: DiskStats::default(),
            migrated_while_lent: 0,
            misuses: 0,
            misuses_before: system.dma().checker().errors(),
            reclaimed: 0,
            oom_kills: 0,
            interrupted: false,
            begin_ns: now_ns,
            copy_ns: 0,
            load_ns: 0,
        }
    }

    /// Adds the checksums of a copy, even if it is not complete.
    pub(super) fn add(&mut self, copied: &Copied) {
        for sums in [copied.copy, copied.source] {
            self.sums.taken += sums.taken;
            self.sums.wrong += sums.wrong;
        }
    }

    /// Sets the number of misuses from the checker's count.
    pub(super) fn finish_misuses(&mut self, errors: u64) {
        self.misuses = errors - self.misuses_before;
    }

    pub(super) fn finish(&mut self, mm: &Mm<'_, '_>, now_ns: u64) {
        self.disk = mm.disk_stats();
        self.migrated_while_lent = mm.live.stats.migrated_while_lent;
        self.reclaimed = mm.live.stats.reclaimed();
        self.oom_kills = mm.live.stats.oom_kills;
        self.load_ns = now_ns.saturating_sub(self.begin_ns);
    }

    /// Returns the number of wrong checksums.
    pub fn differences(&self) -> u32 {
        self.sums.wrong
    }

    /// Returns the record.
    pub fn record(&self) -> Record {
        let pages = self.bytes.div_ceil(4096) * u64::from(self.copies);
        Record::new("copytest")
            .string("disk", &self.disk_name)
            .string("source", &self.source)
            .number("bytes", self.bytes)
            .number("files", self.copies)
            .string("pinning", if self.pinning { "on" } else { "off" })
            .number("checksums", self.sums.taken)
            .number("differences", self.sums.wrong)
            .number("allocs", self.driver.allocs)
            .number("failed", self.driver.failed)
            .number("migrated", self.driver.migrated)
            .number("migrated_while_lent", self.migrated_while_lent)
            .number("refused_pinned", self.driver.refused_pinned)
            .number("retries", self.driver.retries)
            .number("retried_batches", self.driver.retried_batches)
            .number("dropped", self.driver.dropped)
            .number("damaged", self.driver.damaged)
            .number("wanted_filled", self.ambushes.wanted_filled)
            .number("wanted_taken", self.ambushes.wanted_taken)
            .number("wanted_refused", self.ambushes.refused)
            .number("robbed", self.ambushes.robbed)
            .number("filled_astray", self.disk.astray[0])
            .number("taken_astray", self.disk.astray[1])
            .number("misuses", self.misuses)
            .number("reclaimed", self.reclaimed)
            .number("oom_kills", self.oom_kills)
            .number("requests", self.disk.requests)
            .number("most_in_flight", self.disk.most_in_flight)
            .number("pages_read", self.disk.pages_read)
            .number("pages_written", self.disk.pages_written)
            .number("flushes", self.disk.flushes)
            .number("io_errors", self.disk.failed)
            .number("copy_ns", self.copy_ns.checked_div(pages).unwrap_or(0))
            .number("load_ns", self.load_ns)
            .string("stopped", if self.interrupted { "yes" } else { "no" })
            .string("verdict", self.verdict())
    }

    /// Returns the result of the test in one word.
    pub fn verdict(&self) -> &'static str {
        let wrong = u64::from(self.sums.wrong) + self.driver.damaged + self.disk.astray.iter().sum::<u64>();
        match wrong {
            1.. => "wrong",
            0 if self.was_tested() && self.sums.taken > 0 => "right",
            0 => "untested",
        }
    }

    /// True if an error was possible: a page was moved while the disk owned others, or a page that
    /// the disk owned was requested.
    fn was_tested(&self) -> bool {
        self.migrated_while_lent + self.driver.refused_pinned + self.ambushes.wanted() > 0
    }
}

/// Formats as `1 flush`, `2 flushes`.
struct Flushes(u64);

impl fmt::Display for Flushes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} flush{}", self.0, if self.0 == 1 { "" } else { "es" })
    }
}

impl fmt::Display for CopyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DriverCounts { allocs, failed, migrated, refused_pinned, retries, .. } = self.driver;
        let pinning = if self.pinning { "on" } else { "off" };
        writeln!(
            f,
            "copytest of {} ({} bytes, pinning {pinning}): {} {}, {}{}.",
            self.source,
            self.bytes,
            self.copies,
            if self.copies == 1 { "copy" } else { "copies" },
            self.sums,
            if self.interrupted { "; stopped by Ctrl-C" } else { "" }
        )?;
        writeln!(
            f,
            "  meanwhile {} ({failed} failed): {} moved, {} of them while the disk owned others; {} refused for a pin, \
             retries: {retries}",
            Counted(allocs, "allocation"),
            Counted(migrated, "page"),
            self.migrated_while_lent,
            Counted(refused_pinned, "range")
        )?;
        let Ambushes { wanted_filled, wanted_taken, refused, robbed } = self.ambushes;
        writeln!(
            f,
            "  {} it wanted what the disk was about to fill ({wanted_filled}) or to take ({wanted_taken}): refused {} until \
             that was done, {} not",
            Counted(self.ambushes.wanted(), "time"),
            Counted(refused, "time"),
            Counted(robbed, "time")
        )?;
        let [filled, taken] = self.disk.astray;
        writeln!(
            f,
            "  the disk filled {}, and took {taken}, that another user had got meanwhile; {} of the driver's buffers overwritten",
            Counted(filled, "page"),
            Counted(self.driver.damaged, "page")
        )?;
        if self.misuses > 0 {
            writeln!(f, "  the DMA API's checker counted {}", Counted(self.misuses, "misuse"))?;
        }
        writeln!(
            f,
            "  {}, at most {} in flight: {} read, {} written, {}, {} failed",
            Counted(self.disk.requests, "request"),
            self.disk.most_in_flight,
            Counted(self.disk.pages_read, "page"),
            self.disk.pages_written,
            Flushes(self.disk.flushes),
            self.disk.failed
        )?;
        if !self.was_tested() && !self.interrupted {
            writeln!(
                f,
                "Nothing was put to the test: no page moved while the disk owned any, and none that it owned was wanted. \
                 It takes a longer file."
            )?;
        }
        Ok(())
    }
}
