// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cost of a page that is read from the disk, or written to it, in order and through the page
//! cache.
//!
//! Time is the machine's: if one instruction is one nanosecond (`-icount`), the wait for the disk
//! does not count, and the figure is the kernel's work for a page.

use alloc::vec::Vec;
use core::fmt;

use super::files::{self, CHUNK, FileError};
use block::volume::{File, VolumeError};
use machine::Machine;
use migration::live::Mm;
use units::PAGE_SIZE;

/// A timed pass over `pages` pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The name in records.
    pub name: &'static str,
    /// Number of pages.
    pub pages: u32,
    /// Mean nanoseconds for a page.
    pub ns_per_page: u64,
    /// Nanoseconds for a page of the slowest chunk.
    pub max_ns: u64,
}

/// Reason why a pass was not timed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeftOut {
    /// The user stopped it.
    Stopped,
    /// A page could not be read or written.
    Failed(FileError),
    /// The disk is read-only.
    ReadOnly,
    /// The disk's files leave no room.
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

/// The timed passes, then the first one that was not timed and the reason.
pub type Runs = (Vec<Run>, Option<(&'static str, LeftOut)>);

/// Times reading the first `pages` pages of the disk, and writing `pages` pages in space that no
/// file uses.
///
/// # Errors
/// The disk has no table of files, or a page cannot be read.
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
    // Even if writing failed, the times of reading stay.
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

/// Times one pass over a file; `None` if the user stops it.
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
