//! The copy that must come out right: a file is copied several times through the page cache while the areas are lent out,
//! drivers allocate from them, and pages migrate.
//!
//! On a phone with CMA enabled, five copies of a 2.1 GB file had five wrong checksums, and the original's changed, too.
//! Here each copy, and the original, is read twice before it is synced, twice after, and twice after the cache has
//! dropped it; while all of it goes on, [`driver`] allocates and releases, always while the disk owns pages of the cache,
//! and now and then wants exactly those ([`ambush`]). `pinning=off` lets migration ignore that they are pinned, and shows
//! what the test is worth.

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
use crate::block::volume::{File, Volume, VolumeError};
use crate::cma::ReleaseError;
use crate::machine::Machine;
use crate::mm::contig_range::Phase;
use crate::mm::live::{LiveError, Mm};
use crate::mm::{CmaUse, Lend};
use crate::system::System;
use driver::Driver;
pub use report::{Copied, Report};

/// Most copies.
pub const MAX_COPIES: u32 = 16;
/// The driver's turn comes after so many chunks.
const CHUNKS_A_TURN: u32 = 3;
/// Of so many chunks, the first is followed by an ambush.
const CHUNKS_AN_AMBUSH: u32 = 8;

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
    /// The disk takes no copies.
    ReadOnly,
    /// A release was refused: the books are wrong.
    Release(ReleaseError),
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::BadSource(name) => write!(f, "{name} is not what the table of files says: make a new image"),
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
    /// There is nothing left to do, or somebody wants out.
    Finished,
}

/// A test under way. Whoever lives in memory was let in by [`CopyTest::start`], and moves out at [`CopyTest::finish`].
pub struct CopyTest {
    copies: u32,
    volume: Volume,
    source: File,
    /// The copy that is being made or looked at, and its checksums so far.
    current: Option<(File, Copied)>,
    /// Copies that were begun.
    begun: u32,
    driver: Driver,
    others: Rc<Cell<Others>>,
    chunks: u32,
    report: Report,
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
        let prepared = with_mm(system, |mm| prepare(mm, options));
        let prepared =
            prepared.and_then(
                |(volume, source, right)| {
                    if right { Ok((volume, source)) } else { Err(CopyError::BadSource(source.name)) }
                },
            );
        match prepared {
            Ok((volume, source)) => {
                let test = Self {
                    copies: options.copies,
                    report: Report::new(system, options, &source, machine.now_ns()),
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
    pub fn finish<M: Machine + ?Sized>(self, system: &mut System<'_>, machine: &M) -> Result<Report, CopyError> {
        let Self { driver, mut report, .. } = self;
        if let Some(mut mm) = system.mm() {
            mm.live.meanwhile = None;
            mm.settle_disk();
            report.finish(&mm, machine.now_ns());
            if mm.live.faults.ignore_pins {
                // They were provoked, and are in the report.
                let checker = mm.dma.checker_mut();
                checker.drop_provoked();
                checker.set_quiet(false);
            }
        }
        let released = driver.finish(system, &mut report.driver);
        system.close_live();
        released.map_err(CopyError::Release)?;
        Ok(report)
    }

    /// Makes the next copy and syncs it, or takes the rest of its checksums.
    ///
    /// # Errors
    /// See [`CopyError`]; what was synced before is on the disk and whole. [`CopyTest::finish`] is still to be called.
    pub fn step<M: Machine + ?Sized>(&mut self, system: &mut System<'_>, machine: &M) -> Result<Step, CopyError> {
        if let Some((copy, mut copied)) = self.current.take() {
            for dropped in [false, true] {
                if !self.take_sums(system, machine, &copy, &mut copied, dropped)? {
                    return Ok(Step::Finished);
                }
            }
            self.report.add(&copied);
            return Ok(Step::Copied(copied));
        }
        if self.begun == self.copies {
            return Ok(Step::Finished);
        }
        self.begun += 1;
        let mut copy = self.volume.place(&name_of(self.begun), self.source.bytes)?;
        copy.crc = self.source.crc;
        let mut copied = Copied::new(&copy.name);
        let done = self.copy(system, machine, &copy)? && self.take_sums(system, machine, &copy, &mut copied, false)?;
        if !done {
            return Ok(Step::Finished);
        }
        self.volume.add(copy.clone())?;
        let volume = &mut self.volume;
        with_mm(system, |mm| {
            mm.sync_pages(copy.first, copy.pages())?;
            files::commit(mm, volume)
        })?;
        let name = copy.name.clone();
        self.current = Some((copy, copied));
        Ok(Step::Synced(name))
    }

    /// Who uses memory between the phases of the driver's allocations: reads on where the test reads, and writes back.
    fn let_others_live(&self, system: &mut System<'_>, pinning: bool) {
        let Some(mm) = system.mm() else { return };
        mm.live.faults.ignore_pins = !pinning;
        mm.dma.checker_mut().set_quiet(!pinning);
        let others = Rc::clone(&self.others);
        mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
            // What was queued before the allocation is still the disk's when the first pages move, however fast it is.
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

    /// Copies the file, page by page; false where somebody wants out.
    fn copy<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &M,
        copy: &File,
    ) -> Result<bool, CopyError> {
        let source = self.source.clone();
        let begin_ns = machine.now_ns();
        for from in (0..source.pages()).step_by(CHUNK as usize) {
            with_mm(system, |mm| {
                files::read_chunk(mm, &source, from, |mm, page, words| mm.cache_put(copy.first + page, words))
            })?;
            if !self.turn(system, machine, &source, from)? {
                return Ok(false);
            }
        }
        self.report.copy_ns += machine.now_ns().saturating_sub(begin_ns);
        Ok(true)
    }

    /// Takes the checksums of a copy and of the original, twice each; false where somebody wants out.
    fn take_sums<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &M,
        copy: &File,
        copied: &mut Copied,
        dropped: bool,
    ) -> Result<bool, CopyError> {
        let source = self.source.clone();
        for _ in 0..2 {
            for (file, sums) in [(copy, &mut copied.copy), (&source, &mut copied.source)] {
                if dropped {
                    with_mm(system, |mm| Ok(mm.drop_pages(file.first, file.pages())))?;
                }
                let Some(crc) = self.crc(system, machine, file)? else { return Ok(false) };
                sums.add(crc == source.crc);
            }
        }
        Ok(true)
    }

    /// The checksum of a file; `None` where somebody wants out.
    fn crc<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &M,
        file: &File,
    ) -> Result<Option<u32>, CopyError> {
        let mut hasher = crc32fast::Hasher::new();
        for from in (0..file.pages()).step_by(CHUNK as usize) {
            with_mm(system, |mm| {
                files::read_chunk(mm, file, from, |_, page, words| {
                    hasher.update(files::bytes_of(file, page, words));
                    Ok(())
                })
            })?;
            if !self.turn(system, machine, file, from)? {
                return Ok(None);
            }
        }
        Ok(Some(hasher.finalize()))
    }

    /// After a chunk: now and then the driver has its turn, while what was read ahead is the disk's, and now and then it
    /// lies in wait. False where somebody wants out.
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
            let Report { ambushes, driver: counts, .. } = &mut self.report;
            ambush::lay(system, &mut self.driver, (file, next), ambushes, counts).map_err(CopyError::Release)?;
        }
        with_mm(system, |mm| {
            mm.kick_disk();
            Ok(())
        })?;
        Ok(true)
    }
}

/// Reads the table of files, finds the file to copy and takes its checksum, while nothing else goes on, and takes away what
/// an earlier test has left. Says whether the file is what the table says.
fn prepare(mm: &mut Mm<'_, '_>, options: &Options) -> Result<(Volume, File, bool), FileError> {
    let mut volume = files::open(mm)?;
    let found = match &options.source {
        Some(name) => volume.find(name).ok_or_else(|| VolumeError::NoFile(name.clone()))?,
        None => volume.files().first().ok_or_else(|| VolumeError::NoFile("to copy".into()))?,
    };
    let (mut source, bytes) = (found.clone(), found.bytes);
    source.bytes = options.bytes.map_or(bytes, |wanted| wanted.min(bytes));
    source.crc = files::crc(mm, &source)?;
    let right = source.bytes < bytes || source.crc == found.crc;
    // The table says that they are gone before anything of them is written over.
    let earlier = (1..=MAX_COPIES).filter(|&number| volume.remove(&name_of(number)).is_ok()).count();
    if earlier > 0 && right {
        files::commit(mm, &mut volume)?;
    }
    Ok((volume, source, right))
}
