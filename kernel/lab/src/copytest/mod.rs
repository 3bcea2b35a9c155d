// SPDX-License-Identifier: MIT OR Apache-2.0

//! The copy test: a file is copied several times through the page cache while the areas are lent
//! out, drivers allocate from them, and pages migrate.
//!
//! On a phone with CMA enabled, five copies of a 2.1 GB file had five wrong checksums, and the
//! original's changed, too. Here each copy, and the original, is read twice before the copy is
//! synced, twice after, and twice after the cache has dropped it. Meanwhile [`driver`] allocates
//! and releases while the disk owns pages of the cache, and at times requests exactly those
//! ([`ambush`]). With `pinning=off` migration ignores pins, to show that the test finds errors. On
//! a machine without caches, such as QEMU, it does not show that caches and memory agree.

pub mod ambush;
pub mod driver;
mod report;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;
use core::fmt;

use super::files::{self, CHUNK, FileError};
use block::volume::{File, Volume, VolumeError};
use cma::ReleaseError;
use driver::Driver;
use machine::Machine;
use migration::contig_range::Phase;
use migration::live::{LiveError, Mm};
use page_alloc::policy::{CmaUse, Lend};
pub use report::{Copied, CopyReport};
use system::System;

/// Maximum number of copies.
pub const MAX_COPIES: u32 = 16;
/// Chunks from one turn of the driver to the next.
const CHUNKS_A_TURN: u32 = 3;
/// Chunks from one ambush to the next.
const CHUNKS_AN_AMBUSH: u32 = 8;
/// Chunks of a step.
const CHUNKS_A_STEP: u32 = 16;
/// Checksums, alternating between copy and original, before the copy is synced.
const SUMS_BEFORE_SYNC: u32 = 4;
/// Checksums before those for which the cache first drops the file.
const SUMS_BEFORE_DROP: u32 = 8;
/// All checksums.
const SUMS: u32 = 12;

/// Parameters of the command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The file to copy; default: the first of the disk.
    pub source: Option<String>,
    /// Number of copies.
    pub copies: u32,
    /// Bytes to copy; default: all.
    pub bytes: Option<u64>,
    /// Seed of the driver's random numbers.
    pub seed: u32,
    /// True if pages that the disk owns are pinned.
    pub pinning: bool,
}

/// Reason why there is no result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CopyError {
    /// An operation on files failed.
    File(FileError),
    /// The original differs from its entry in the table of files before the test begins.
    BadSource(String),
    /// The file to copy has the name of a copy, and would be replaced.
    CopyOfItself(String),
    /// The disk is read-only.
    ReadOnly,
    /// A release was refused: the accounting is wrong.
    Release(ReleaseError),
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::BadSource(name) => write!(f, "{name} is not what the table of files says: make a new image"),
            Self::CopyOfItself(name) => {
                write!(f, "{name} is a copy that would be replaced: another source=, or fewer files=")
            }
            Self::ReadOnly => f.write_str("the disk is read-only: it takes no copies"),
            Self::Release(error) => error.fmt(f),
        }
    }
}

impl<E: Into<FileError>> From<E> for CopyError {
    fn from(error: E) -> Self {
        Self::File(error.into())
    }
}

/// Work of the other users between the phases of an allocation.
#[derive(Clone, Copy, Default)]
enum Others {
    /// Nothing: the disk must not be notified yet of its requests.
    #[default]
    Wait,
    /// Read-ahead in the file that is being read, up to its end, and writeback.
    ReadOn { next: u32, end: u32 },
}

/// Returns the name of a copy.
fn name_of(number: u32) -> String {
    format!("copy.{number}")
}

/// Result of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The copy of this name is permanently on the disk.
    Synced(String),
    /// All checksums of a copy were taken.
    Copied(Copied),
    /// There is more to do ([`CopyTest::progress`]).
    Running,
    /// Nothing is left to do, or the user stopped the test.
    Finished,
}

/// A copy in progress: first it is made, then checksums are taken.
struct Work {
    copy: File,
    copied: Copied,
    /// Number of checksums taken, once the copy is made.
    taken: Option<u32>,
    /// The first page of the next chunk.
    from: u32,
    hasher: crc32fast::Hasher,
}

impl Work {
    /// Returns the file to read, and true if the cache drops it first.
    fn reads<'w>(&'w self, source: &'w File) -> (&'w File, bool) {
        match self.taken {
            None => (source, false),
            Some(taken) => (if taken % 2 == 0 { &self.copy } else { source }, taken >= SUMS_BEFORE_DROP),
        }
    }
}

/// A copy test. [`CopyTest::start`] opens the users of memory, and [`CopyTest::finish`] closes
/// them.
pub struct CopyTest {
    copies: u32,
    volume: Volume,
    source: File,
    current: Option<Work>,
    /// Number of copies begun.
    begun: u32,
    driver: Driver,
    others: Rc<Cell<Others>>,
    chunks: u32,
    report: CopyReport,
}

/// Calls `act` with the users of memory.
fn with_mm<T>(
    system: &mut System<'_>,
    act: impl FnOnce(&mut Mm<'_, '_>) -> Result<T, FileError>,
) -> Result<T, CopyError> {
    let mut mm = system.mm().ok_or(LiveError::NotThere)?;
    Ok(act(&mut mm)?)
}

impl CopyTest {
    /// Opens a page cache on the disk, and begins.
    ///
    /// # Errors
    /// See [`CopyError`]; the users of memory are then closed.
    pub fn start<M: Machine + ?Sized>(
        system: &mut System<'_>,
        machine: &M,
        options: &Options,
    ) -> Result<Self, CopyError> {
        if system.disk().is_some_and(|disk| disk.identity().read_only) {
            return Err(CopyError::ReadOnly);
        }
        system.open_live_on_disk(CmaUse::First, Lend::Movable)?;
        let prepared = system
            .mm()
            .ok_or_else(|| LiveError::NotThere.into())
            .and_then(|mut mm| prepare(&mut mm, options, || machine.interrupted()));
        match prepared {
            Ok((volume, source, interrupted)) => {
                let mut report = CopyReport::new(system, options, &source, machine.now_ns());
                report.interrupted = interrupted;
                let test = Self {
                    copies: options.copies,
                    report,
                    volume,
                    source,
                    current: None,
                    begun: 0,
                    driver: Driver::new(system, options.seed),
                    others: Rc::default(),
                    chunks: 0,
                };
                test.let_others_live(system, options.pinning);
                Ok(test)
            }
            Err(error) => {
                system.close_live();
                Err(error)
            }
        }
    }

    /// Returns the file to copy, with the number of bytes to copy.
    pub fn source(&self) -> &File {
        &self.source
    }

    /// Closes the users of memory, and returns the report.
    ///
    /// # Errors
    /// A buffer of the driver could not be released.
    pub fn finish<M: Machine + ?Sized>(self, system: &mut System<'_>, machine: &M) -> Result<CopyReport, CopyError> {
        let Self { driver, mut report, .. } = self;
        if let Some(mut mm) = system.mm() {
            mm.live.meanwhile = None;
            mm.settle_disk();
            report.finish(&mm, machine.now_ns());
            let provoked = mm.live.faults.ignore_pins;
            let checker = system.dma_mut().checker_mut();
            report.finish_misuses(checker.errors());
            if provoked {
                // The report has counted them.
                checker.drop_provoked();
                checker.set_quiet(false);
            }
        }
        let released = driver.finish(system, &mut report.driver);
        system.close_live();
        released.map_err(CopyError::Release)?;
        Ok(report)
    }

    /// Does the next part of the test: some chunks of a copy or of a checksum.
    ///
    /// # Errors
    /// See [`CopyError`]; copies that were synced are complete on the disk. [`CopyTest::finish`]
    /// still has to be called.
    pub fn step<M: Machine + ?Sized>(&mut self, system: &mut System<'_>, machine: &M) -> Result<Step, CopyError> {
        for _ in 0..CHUNKS_A_STEP {
            if self.report.interrupted {
                return Ok(Step::Finished);
            }
            let work = match self.current.take() {
                Some(work) => work,
                None if self.begun == self.copies => return Ok(Step::Finished),
                None => self.begin()?,
            };
            if let Some(step) = self.advance(system, machine, work)? {
                return Ok(step);
            }
        }
        Ok(Step::Running)
    }

    /// Returns a line on the progress.
    pub fn progress(&self) -> String {
        let Some(work) = &self.current else { return format!("{} of {} copies done", self.begun, self.copies) };
        let (file, _) = work.reads(&self.source);
        let percent = u64::from(work.from) * 100 / u64::from(file.pages().max(1));
        let what = match work.taken {
            None => "copying".into(),
            Some(taken) => format!("checksum {} of {SUMS}", taken + 1),
        };
        format!("copy {} of {}, {what}: {percent} % of {} bytes", self.begun, self.copies, self.source.bytes)
    }

    fn begin(&mut self) -> Result<Work, CopyError> {
        self.begun += 1;
        let mut copy = self.volume.place(&name_of(self.begun), self.source.bytes)?;
        copy.crc = self.source.crc;
        let copied = Copied::new(&copy.name);
        Ok(Work { copy, copied, taken: None, from: 0, hasher: crc32fast::Hasher::new() })
    }

    /// Does a chunk of a copy or checksum, and ends it after the last chunk of a file.
    fn advance<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &M,
        mut work: Work,
    ) -> Result<Option<Step>, CopyError> {
        let (file, dropped) = work.reads(&self.source);
        let file = file.clone();
        if work.from < file.pages() {
            let begin_ns = machine.now_ns();
            with_mm(system, |mm| {
                if dropped && work.from == 0 {
                    mm.drop_pages(file.first, file.pages());
                }
                files::read_chunk(mm, &file, work.from, |mm, page, words| {
                    if work.taken.is_none() {
                        return mm.cache_put(work.copy.first + page, words);
                    }
                    work.hasher.update(files::bytes_of(&file, page, words));
                    Ok(())
                })
            })?;
            if !self.turn(system, machine, &file, work.from)? {
                self.report.add(&work.copied);
                return Ok(Some(Step::Finished));
            }
            if work.taken.is_none() {
                self.report.copy_ns += machine.now_ns().saturating_sub(begin_ns);
            }
            work.from += CHUNK;
        }
        if work.from < file.pages() {
            self.current = Some(work);
            return Ok(None);
        }
        work.from = 0;
        self.end_of_file(system, work)
    }

    /// Ends a copy or a checksum after the last chunk.
    fn end_of_file(&mut self, system: &mut System<'_>, mut work: Work) -> Result<Option<Step>, CopyError> {
        let taken = match work.taken {
            None => 0,
            Some(taken) => {
                let crc = core::mem::take(&mut work.hasher).finalize();
                let sums = if taken % 2 == 0 { &mut work.copied.copy } else { &mut work.copied.source };
                sums.add(crc == self.source.crc);
                taken + 1
            }
        };
        work.taken = Some(taken);
        if taken == SUMS {
            self.report.add(&work.copied);
            self.report.copies += 1;
            return Ok(Some(Step::Copied(work.copied)));
        }
        let mut step = None;
        if taken == SUMS_BEFORE_SYNC {
            let copy = &work.copy;
            self.volume.add(copy.clone())?;
            let volume = &mut self.volume;
            with_mm(system, |mm| {
                mm.sync_pages(copy.first, copy.pages())?;
                files::commit(mm, volume)
            })?;
            step = Some(Step::Synced(copy.name.clone()));
        }
        self.current = Some(work);
        Ok(step)
    }

    /// Lets other users run between the phases of the driver's allocations: they read ahead where
    /// the test reads, and write back.
    fn let_others_live(&self, system: &mut System<'_>, pinning: bool) {
        system.dma_mut().checker_mut().set_quiet(!pinning);
        let Some(mm) = system.mm() else { return };
        mm.live.faults.ignore_pins = !pinning;
        let others = Rc::clone(&self.others);
        mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
            // Requests queued before the allocation still belong to the disk when the first pages
            // move, even if the disk is fast.
            if matches!(phase, Phase::Isolate | Phase::Drain) {
                return;
            }
            let Others::ReadOn { next, end } = others.get() else { return };
            mm.poll_disk();
            mm.read_ahead(next, end.saturating_sub(next).min(CHUNK));
            mm.write_some();
            mm.kick_disk();
        }));
    }

    /// After some chunks gives the driver a turn while the disk owns the pages of read-ahead, and
    /// after some does an ambush. Returns false if the user stops the test.
    fn turn<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &M,
        file: &File,
        from: u32,
    ) -> Result<bool, CopyError> {
        if machine.interrupted() {
            self.report.interrupted = true;
            return Ok(false);
        }
        let is_ambush_due = self.chunks.is_multiple_of(CHUNKS_AN_AMBUSH);
        self.chunks += 1;
        if self.chunks.is_multiple_of(CHUNKS_A_TURN) {
            let next = (file.first + from).saturating_add(2 * CHUNK);
            self.others.set(Others::ReadOn { next, end: file.first + file.pages() });
            self.driver.step(system, &mut self.report.driver).map_err(CopyError::Release)?;
        }
        if is_ambush_due {
            self.others.set(Others::Wait);
            let next = if from + CHUNK < file.pages() { from + CHUNK } else { 0 };
            let CopyReport { ambushes, driver: counts, .. } = &mut self.report;
            ambush::lay(system, &mut self.driver, (file, next), ambushes, counts).map_err(CopyError::Release)?;
        }
        with_mm(system, |mm| {
            mm.kick_disk();
            Ok(())
        })?;
        Ok(true)
    }
}

/// Reads the table of files, finds the file to copy and takes its checksum before anything else
/// runs, then removes the copies that will be made anew. Returns true as the last value if the user
/// stopped it; then no copy was removed.
fn prepare(
    mm: &mut Mm<'_, '_>,
    options: &Options,
    wants_out: impl FnMut() -> bool,
) -> Result<(Volume, File, bool), CopyError> {
    let mut volume = files::open(mm)?;
    let found = match &options.source {
        Some(name) => volume.find(name).ok_or_else(|| VolumeError::NoFile(name.clone()))?,
        None => volume.files().first().ok_or_else(|| VolumeError::NoFile("to copy".into()))?,
    };
    let (mut source, bytes) = (found.clone(), found.bytes);
    let crc_in_table = found.crc;
    let copies = (1..=options.copies).map(name_of);
    if copies.clone().any(|copy| copy == source.name) {
        return Err(CopyError::CopyOfItself(source.name));
    }
    source.bytes = options.bytes.map_or(bytes, |wanted| wanted.min(bytes));
    let Some(crc) = files::crc(mm, &source, wants_out)? else { return Ok((volume, source, true)) };
    source.crc = crc;
    if source.bytes == bytes && crc != crc_in_table {
        return Err(CopyError::BadSource(source.name));
    }
    // The table drops the old copies before any of their pages is overwritten.
    let earlier = copies.filter(|copy| volume.remove(copy).is_ok()).count();
    if earlier > 0 {
        files::commit(mm, &mut volume)?;
    }
    Ok((volume, source, false))
}
