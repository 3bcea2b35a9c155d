// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files on the disk, read and written through the page cache.

use core::fmt;

use zerocopy::IntoBytes;

use block::volume::{File, TABLE_PAGES, Volume, VolumeError};
use migration::live::readwrite::PageWords;
use migration::live::{LiveError, Mm, OpenError};

/// Pages that are read together: the step of all loops over a file.
pub const CHUNK: u32 = 16;
/// Distance of read-ahead, in pages.
const AHEAD: u32 = 4 * CHUNK;

/// Reason why an operation on files failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileError {
    /// The users of memory could not be opened.
    Open(OpenError),
    /// A page could not be read or written.
    Live(LiveError),
    /// The table of files is invalid or full, or refuses the operation.
    Volume(VolumeError),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Live(error) => error.fmt(f),
            Self::Volume(error) => error.fmt(f),
        }
    }
}

impl From<OpenError> for FileError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<LiveError> for FileError {
    fn from(error: LiveError) -> Self {
        Self::Live(error)
    }
}

impl From<VolumeError> for FileError {
    fn from(error: VolumeError) -> Self {
        Self::Volume(error)
    }
}

/// Reads the disk's table of files.
///
/// # Errors
/// The table cannot be read, or there is none.
pub fn open(mm: &mut Mm<'_, '_>) -> Result<Volume, FileError> {
    let pages = mm.cache_capacity();
    if pages < TABLE_PAGES {
        return Err(VolumeError::TooSmall.into());
    }
    let mut tables = [[0; 1024]; TABLE_PAGES as usize];
    for (page, words) in (0..).zip(&mut tables) {
        mm.cache_get(page, words)?;
    }
    Ok(Volume::decode([zerocopy::transmute_ref!(&tables[0]), zerocopy::transmute_ref!(&tables[1])], pages)?)
}

/// Writes the table of files to the disk. The pages of its files have to be synced before.
///
/// # Errors
/// The table could not be written; the disk keeps the previous one.
pub fn commit(mm: &mut Mm<'_, '_>, volume: &mut Volume) -> Result<(), FileError> {
    let (page, table) = volume.encode();
    let words: PageWords = zerocopy::transmute!(table);
    mm.cache_put(page, &words)?;
    mm.sync_pages(page, 1)?;
    Ok(())
}

/// Reads the chunk of a file that begins at page `from`, and starts read-ahead after it.
///
/// # Errors
/// A page could not be read.
pub fn read_chunk(
    mm: &mut Mm<'_, '_>,
    file: &File,
    from: u32,
    mut reader: impl FnMut(&mut Mm<'_, '_>, u32, &PageWords) -> Result<(), LiveError>,
) -> Result<(), FileError> {
    let end = (from + CHUNK).min(file.pages());
    let mut words = [0; 1024];
    for page in from..end {
        mm.cache_get(file.first + page, &mut words)?;
        reader(mm, page, &words)?;
    }
    read_ahead(mm, file, end);
    Ok(())
}

/// Starts read-ahead of a file at page `from`.
pub fn read_ahead(mm: &mut Mm<'_, '_>, file: &File, from: u32) {
    mm.read_ahead(file.first + from, AHEAD.min(file.pages().saturating_sub(from)));
}

/// Returns the bytes of a page that belong to the file.
pub fn bytes_of<'w>(file: &File, page: u32, words: &'w PageWords) -> &'w [u8] {
    &words.as_bytes()[..file.bytes_in_page(page)]
}

/// Returns the CRC-32 of a file, read through the cache; `None` if `wants_out` returns true.
///
/// # Errors
/// A page could not be read.
pub fn crc(mm: &mut Mm<'_, '_>, file: &File, mut wants_out: impl FnMut() -> bool) -> Result<Option<u32>, FileError> {
    let mut hasher = crc32fast::Hasher::new();
    for from in (0..file.pages()).step_by(CHUNK as usize) {
        if wants_out() {
            return Ok(None);
        }
        read_chunk(mm, file, from, |_, page, words| {
            hasher.update(bytes_of(file, page, words));
            Ok(())
        })?;
        mm.kick_disk();
    }
    Ok(Some(hasher.finalize()))
}
