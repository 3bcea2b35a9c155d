// SPDX-License-Identifier: MIT OR Apache-2.0

//! The copy that must come out right: a file is copied several times through the page cache while
//! the areas are lent out, drivers allocate from them, and pages migrate.
//!
//! On a phone with CMA enabled, five copies of a 2.1 GB file had five wrong checksums, and the
//! original's changed, too. Here each copy, and the original, is read twice before it is synced,
//! twice after, and twice after the cache has dropped it; while all of it goes on, [`driver`]
//! allocates and releases, always while the disk owns pages of the cache, and now and then wants
//! exactly those ([`ambush`]). `pinning=off` lets migration ignore that they are pinned, and shows
//! what the test is worth. Where the machine has no caches, as in QEMU, it does not show that
//! caches and memory agree.

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

/// Most copies.
pub const MAX_COPIES: u32 = 16;
/// Chunks between two turns of the driver.
const CHUNKS_A_TURN: u32 = 3;
/// Chunks of which the first is followed by an ambush.
const CHUNKS_AN_AMBUSH: u32 = 8;
/// Chunks that are done at a time.
const CHUNKS_A_STEP: u32 = 16;
/// Checksums, of copy and original in turn, that are taken before the copy is synced, ...
const SUMS_BEFORE_SYNC: u32 = 4;
/// ... until the cache drops what is read, ...
const SUMS_BEFORE_DROP: u32 = 8;
/// ... and all.
const SUMS: u32 = 12;

/// What the keys of the command say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The file that is copied; none: the first of the disk.
    pub source: Option<String>,
    /// Copies.
    pub copies: u32,
    /// Bytes that are copied; none: all.
    pub bytes: Option<u64>,
    /// Seed of what the driver draws.
    pub seed: u32,
    /// Pages that the disk owns stay where they are.
    pub pinning: bool,
}

/// Why there is no result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CopyError {
    /// Something went wrong with the files.
    File(FileError),
    /// The original is not what the table of files says, before anything happened to it.
    BadSource(String),
    /// The file to copy has the name of a copy, and would be replaced.
    CopyOfItself(String),
    /// The disk takes no copies.
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

/// What those do who have a turn between the phases of an allocation.
#[derive(Clone, Copy, Default)]
enum Others {
    /// Nothing: the disk is not to know yet what it was given.
    #[default]
    Wait,
    /// They read on in the file that is read just now, up to its end, and write.
    ReadOn { next: u32, end: u32 },
}

/// What a copy is called.
fn name_of(number: u32) -> String {
    format!("copy.{number}")
}

/// What a step came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A copy is on the disk for good, under this name.
    Synced(String),
    /// All checksums of a copy were taken.
    Copied(Copied),
    /// There is more to do ([`CopyTest::progress`]).
    Running,
    /// There is nothing left to do, or somebody wants out.
    Finished,
}

/// A copy under way: first it is made, then checksums are taken.
struct Work {
    copy: File,
    copied: Copied,
    /// Checksums that were taken, once the copy is made.
    taken: Option<u32>,
    /// The chunk that is next begins with this page.
    from: u32,
    hasher: crc32fast::Hasher,
}

impl Work {
    /// The file that is read, and whether the cache drops it before.
    fn reads<'w>(&'w self, source: &'w File) -> (&'w File, bool) {
        match self.taken {
            None => (source, false),
            Some(taken) => (if taken % 2 == 0 { &self.copy } else { source }, taken >= SUMS_BEFORE_DROP),
        }
    }
}

/// A test under way. Whoever lives in memory was let in by [`CopyTest::start`], and moves out at
/// [`CopyTest::finish`].
pub struct CopyTest {
    copies: u32,
    volume: Volume,
    source: File,
    current: Option<Work>,
    /// Copies that were begun.
    begun: u32,
    driver: Driver,
    others: Rc<Cell<Others>>,
    chunks: u32,
    report: CopyReport,
}

/// Those who live in memory.
fn with_mm<T>(
    system: &mut System<'_>,
    act: impl FnOnce(&mut Mm<'_, '_>) -> Result<T, FileError>,
) -> Result<T, CopyError> {
    let mut mm = system.mm().ok_or(LiveError::NotThere)?;
    Ok(act(&mut mm)?)
}

impl CopyTest {
    /// Lets a page cache live on the disk and begins.
    ///
    /// # Errors
    /// See [`CopyError`]; nobody lives in memory then.
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

    /// The file that is copied, as long as it is copied.
    pub fn source(&self) -> &File {
        &self.source
    }

    /// Everybody moves out.
    ///
    /// # Errors
    /// The driver could not give a buffer back.
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
                // They are in the report.
                checker.drop_provoked();
                checker.set_quiet(false);
            }
        }
        let released = driver.finish(system, &mut report.driver);
        system.close_live();
        released.map_err(CopyError::Release)?;
        Ok(report)
    }

    /// Does a part of what there is to do: some pieces of a copy or a checksum.
    ///
    /// # Errors
    /// See [`CopyError`]; what was synced before is on the disk and whole. [`CopyTest::finish`] is
    /// still to be called.
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

    /// How far it is, in a line.
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

    /// Goes on with a copy by a chunk, and with what follows when that was the last of a file.
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

    /// A file was read to its end.
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

    /// Who uses memory between the phases of the driver's allocations: reads on where the test
    /// reads, and writes back.
    fn let_others_live(&self, system: &mut System<'_>, pinning: bool) {
        system.dma_mut().checker_mut().set_quiet(!pinning);
        let Some(mm) = system.mm() else { return };
        mm.live.faults.ignore_pins = !pinning;
        let others = Rc::clone(&self.others);
        mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
            // What was queued before the allocation is still the disk's when the first pages move,
            // however fast it is.
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

    /// After a chunk: now and then the driver has its turn, while what was read ahead is the
    /// disk's, and now and then it lies in wait. False where somebody wants out.
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

/// Reads the table of files, finds the file to copy and takes its checksum, while nothing else goes
/// on, and takes the copies away that are made anew. Says, too, whether somebody wanted out, and
/// nothing was taken away.
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
    // The table says that they are gone before anything of them is written over.
    let earlier = copies.filter(|copy| volume.remove(copy).is_ok()).count();
    if earlier > 0 {
        files::commit(mm, &mut volume)?;
    }
    Ok((volume, source, false))
}
