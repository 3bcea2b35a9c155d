// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a page costs that is read from the disk, or written to it, through the page cache and in
//! order.
//!
//! Time is the machine's: where one instruction is one nanosecond (`-icount`), the wait for the
//! disk is not counted, and what is left is what the kernel does for a page.

use alloc::vec::Vec;
use core::fmt;

use super::files::{self, CHUNK, FileError};
use block::volume::{File, VolumeError};
use machine::Machine;
use migration::live::Mm;
use units::PAGE_SIZE;

/// One way through `pages` pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The name in records.
    pub name: &'static str,
    /// Pages.
    pub pages: u32,
    /// Mean nanoseconds a page.
    pub ns_per_page: u64,
    /// Nanoseconds of the slowest chunk.
    pub max_ns: u64,
}

/// Why not everything was timed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeftOut {
    /// Somebody wanted out.
    Stopped,
    /// It failed.
    Failed(FileError),
    /// It is read-only.
    ReadOnly,
    /// Its files leave no room.
    NoRoom(VolumeError),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped by Ctrl-C"),
            Self::Failed(error) => error.fmt(f),
            Self::ReadOnly => f.write_str("the disk is read-only"),
            Self::NoRoom(error) => error.fmt(f),
        }
    }
}

/// What was timed, and what was not, and why.
pub type Runs = (Vec<Run>, Option<(&'static str, LeftOut)>);

/// Reads the first pages of the disk and writes as many where nobody's file is; the disk's files
/// stay as they are.
///
/// # Errors
/// The disk has no table of files, or it cannot be read.
pub fn run<M: Machine + ?Sized>(mm: &mut Mm<'_, '_>, machine: &M, pages: u32) -> Result<Runs, FileError> {
    let volume = files::open(mm)?;
    let pages = pages.min(mm.cache_capacity());
    let all = File { name: "all".into(), first: 0, bytes: u64::from(pages) * PAGE_SIZE, crc: 0 };
    let mut runs = Vec::new();
    for name in ["disk/read", "disk/cached"] {
        if name == "disk/read" {
            mm.drop_pages(0, pages);
        }
        match timed(mm, machine, name, &all, |mm, from| files::read_chunk(mm, &all, from, |_, _, _| Ok(())))? {
            Some(run) => runs.push(run),
            None => return Ok((runs, Some((name, LeftOut::Stopped)))),
        }
    }
    let name = "disk/write";
    if mm.disk_identity().is_some_and(|identity| identity.read_only) {
        return Ok((runs, Some((name, LeftOut::ReadOnly))));
    }
    let room = match volume.place("disk-bench", u64::from(pages) * PAGE_SIZE) {
        Ok(room) => room,
        Err(error) => return Ok((runs, Some((name, LeftOut::NoRoom(error))))),
    };
    let words = [0x5a5a_5a5a; 1024];
    let written = timed(mm, machine, name, &room, |mm, from| {
        let end = (from + CHUNK).min(room.pages());
        (from..end).try_for_each(|page| mm.cache_put(room.first + page, &words))?;
        if end == room.pages() {
            mm.sync_pages(room.first, room.pages())?;
        }
        Ok(())
    });
    // What was read has been timed all the same.
    let left_out = match written {
        Ok(Some(run)) => {
            runs.push(run);
            None
        }
        Ok(None) => Some(LeftOut::Stopped),
        Err(error) => Some(LeftOut::Failed(error)),
    };
    Ok((runs, left_out.map(|why| (name, why))))
}

/// Times one way through a file; `None` where somebody wants out.
fn timed<M: Machine + ?Sized>(
    mm: &mut Mm<'_, '_>,
    machine: &M,
    name: &'static str,
    file: &File,
    mut act: impl FnMut(&mut Mm<'_, '_>, u32) -> Result<(), FileError>,
) -> Result<Option<Run>, FileError> {
    let (mut total_ns, mut max_ns) = (0, 0);
    let pages = file.pages();
    for from in (0..pages).step_by(CHUNK as usize) {
        if machine.interrupted() {
            return Ok(None);
        }
        let begin_ns = machine.now_ns();
        act(mm, from)?;
        let span_ns = machine.now_ns().saturating_sub(begin_ns);
        total_ns += span_ns;
        max_ns = max_ns.max(span_ns / u64::from(CHUNK.min(pages - from)));
    }
    Ok(Some(Run { name, pages, ns_per_page: total_ns.checked_div(pages.into()).unwrap_or(0), max_ns }))
}
