// SPDX-License-Identifier: MIT OR Apache-2.0

//! The layout of a disk: a table of files, each of which is one run of pages.
//!
//! The layout is the project's own, because the page cache needs files as extents of pages, with
//! several requests in flight. The file system crates for `no_std` (`embedded-sdmmc`, `fatfs`,
//! `simple-fatfs`, `littlefs2`; `ext4-view` only reads) own the device, read and write it block by
//! block through their own buffer, one request after the other, and FAT does not survive a power
//! cut. Here the cache is the only copy, and a commit is one page.
//!
//! All numbers are little-endian. Pages 0 and 1 each hold a table; the valid one with the higher
//! sequence number counts. A commit overwrites the other one, after the data that the new table
//! refers to is flushed, so that one valid table remains after a power cut.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `debrisfs` |
//! | 8 | 4 | the layout's version, 1 |
//! | 12 | 4 | sequence number |
//! | 16 | 4 | pages of the volume |
//! | 20 | 4 | files |
//! | 24 | 4 | CRC-32 of this page, with these four bytes 0 |
//! | 64 | 64 each | files: name (40 bytes, zeroes behind), first page (4), 4 bytes 0, length in bytes (8), CRC-32 of the contents (4), 4 bytes 0 |
//!
//! Invariants of a [`Volume`]: every file is inside it, after the tables; no two files overlap;
//! names are unique. [`Volume::decode`] refuses a table that breaks them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use units::PAGE_SIZE;

/// Bytes of a table.
pub const TABLE_BYTES: usize = PAGE_SIZE as usize;
/// Pages before the files: two tables.
pub const TABLE_PAGES: u32 = 2;
/// Most files of a volume.
pub const MAX_FILES: usize = (TABLE_BYTES - ENTRIES) / ENTRY_BYTES;
/// The longest name of a file, in bytes.
pub const MAX_NAME_BYTES: usize = 40;
/// The fewest pages of a volume: its tables and one for a file.
pub const LEAST_PAGES: u32 = TABLE_PAGES + 1;

const MAGIC: &[u8; 8] = b"debrisfs";
const VERSION: u32 = 1;
const CRC: usize = 24;
const ENTRIES: usize = 64;
const ENTRY_BYTES: usize = 64;

/// A file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// The name: printable ASCII without blanks.
    pub name: String,
    /// The first page on the disk.
    pub first: u32,
    /// The length.
    pub bytes: u64,
    /// CRC-32 of the contents.
    pub crc: u32,
}

impl File {
    /// Returns the number of pages that it occupies.
    pub fn pages(&self) -> u32 {
        self.bytes.div_ceil(PAGE_SIZE) as u32
    }

    /// Returns the number of the file's bytes in its page number `page`.
    pub fn bytes_in_page(&self, page: u32) -> usize {
        self.bytes.saturating_sub(u64::from(page) * PAGE_SIZE).min(PAGE_SIZE) as usize
    }
}

/// A table of files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    sequence: u32,
    pages: u32,
    files: Vec<File>,
}

/// Reason why a disk has no usable table, or a file cannot be added, found or removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VolumeError {
    /// Neither page is a table, not even a damaged one.
    NotAVolume,
    /// There are tables, but none is intact.
    Damaged,
    /// The table is of another version of the layout.
    OtherVersion(u32),
    /// The table states more pages than the disk has.
    LargerThanDisk {
        /// Pages in the table.
        pages: u32,
        /// Pages of the disk.
        disk: u32,
    },
    /// The disk has no room for a table and a file.
    TooSmall,
    /// The entry with this number is invalid.
    BadEntry(usize),
    /// A file of that name exists, or its pages are taken.
    Exists(String),
    /// No file has that name.
    NoFile(String),
    /// The name is not allowed.
    BadName(String),
    /// There are [`MAX_FILES`] files.
    TooManyFiles,
    /// No run of free pages is long enough.
    Full {
        /// Requested pages.
        pages: u64,
        /// The longest free run.
        longest: u32,
    },
}

impl fmt::Display for VolumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAVolume => f.write_str("the disk holds no files: scripts/disk-image makes an image that does"),
            Self::Damaged => f.write_str(
                "the disk's table of files is damaged (its checksum is wrong); the files may be whole: make no new image of it",
            ),
            Self::OtherVersion(version) => write!(
                f,
                "the disk's table of files has version {version} of the layout, and only {VERSION} is supported; its files \
                 are not touched"
            ),
            Self::LargerThanDisk { pages, disk } => {
                write!(f, "the table of files states {pages} pages, and {disk} can be used (at most 262144, 1 GiB)")
            }
            Self::TooSmall => write!(f, "the disk has no room for files: it takes {LEAST_PAGES} pages of 4 KiB"),
            Self::BadEntry(entry) => write!(f, "entry {entry} of the table of files is invalid"),
            Self::Exists(name) => write!(f, "there is a file {name} already"),
            Self::NoFile(name) => write!(f, "no file {name}"),
            Self::BadName(name) => write!(f, "{name:?} cannot be a file's name: 1 to 40 printable ASCII characters"),
            Self::TooManyFiles => write!(f, "there are {MAX_FILES} files (MAX_FILES)"),
            Self::Full { pages, longest } => {
                write!(f, "no room for {pages} pages on the disk: its longest free run is {longest} pages")
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn word(table: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&table[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn put(table: &mut [u8], at: usize, bytes: &[u8]) {
    table[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Returns the CRC of a table, with its own four bytes counted as 0.
fn crc_of(table: &[u8; TABLE_BYTES]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&table[..CRC]);
    hasher.update(&[0; 4]);
    hasher.update(&table[CRC + 4..]);
    hasher.finalize()
}

/// Returns the error for two tables if none is valid.
fn fault_of(tables: [&[u8; TABLE_BYTES]; 2]) -> VolumeError {
    let named = || tables.into_iter().filter(|table| table.starts_with(MAGIC));
    let other = named().find(|table| word(*table, 8) != VERSION && word(*table, CRC) == crc_of(table));
    match (other, named().next()) {
        (Some(table), _) => VolumeError::OtherVersion(word(table, 8)),
        (None, Some(_)) => VolumeError::Damaged,
        (None, None) => VolumeError::NotAVolume,
    }
}

fn is_whole(table: &[u8; TABLE_BYTES]) -> bool {
    table.starts_with(MAGIC) && word(table, 8) == VERSION && word(table, CRC) == crc_of(table)
}

impl Volume {
    /// Makes an empty volume of `pages` pages.
    ///
    /// # Errors
    /// `pages` is too small.
    pub fn new(pages: u32) -> Result<Self, VolumeError> {
        if pages < LEAST_PAGES {
            return Err(VolumeError::TooSmall);
        }
        Ok(Self { sequence: 0, pages, files: Vec::new() })
    }

    /// Reads the volume from the two tables of a disk of `disk` pages.
    ///
    /// # Errors
    /// Neither table is valid, or the newer one is inconsistent.
    pub fn decode(tables: [&[u8; TABLE_BYTES]; 2], disk: u32) -> Result<Self, VolumeError> {
        let whole = tables.into_iter().filter(|table| is_whole(table));
        // Sequence numbers wrap: of two tables, the newer one is less than 2^31 ahead.
        let table = whole.reduce(|a, b| if (word(b, 12).wrapping_sub(word(a, 12)) as i32) > 0 { b } else { a });
        let table = table.ok_or_else(|| fault_of(tables))?;
        let (pages, count) = (word(table, 16), word(table, 20) as usize);
        if pages > disk {
            return Err(VolumeError::LargerThanDisk { pages, disk });
        }
        let mut volume = Self { sequence: word(table, 12), ..Self::new(pages)? };
        if count > MAX_FILES {
            return Err(VolumeError::BadEntry(MAX_FILES));
        }
        for index in 0..count {
            let entry = &table[ENTRIES + index * ENTRY_BYTES..][..ENTRY_BYTES];
            let file = decode_file(entry).ok_or(VolumeError::BadEntry(index))?;
            if !volume.fits(&file) || volume.find(&file.name).is_some() {
                return Err(VolumeError::BadEntry(index));
            }
            volume.files.push(file);
        }
        Ok(volume)
    }

    /// Encodes the next version of the table; returns its page on the disk and its content.
    pub fn encode(&mut self) -> (u32, [u8; TABLE_BYTES]) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut table = [0; TABLE_BYTES];
        put(&mut table, 0, MAGIC);
        for (at, value) in [(8, VERSION), (12, self.sequence), (16, self.pages), (20, self.files.len() as u32)] {
            put(&mut table, at, &value.to_le_bytes());
        }
        for (index, file) in self.files.iter().enumerate() {
            let at = ENTRIES + index * ENTRY_BYTES;
            put(&mut table, at, file.name.as_bytes());
            put(&mut table, at + 40, &file.first.to_le_bytes());
            put(&mut table, at + 48, &file.bytes.to_le_bytes());
            put(&mut table, at + 56, &file.crc.to_le_bytes());
        }
        let crc = crc_of(&table);
        put(&mut table, CRC, &crc.to_le_bytes());
        (self.sequence % TABLE_PAGES, table)
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Returns the files, in the order in which they were added.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Returns the file named `name`.
    pub fn find(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Finds the lowest run of free pages for a new file. Only [`Volume::add`] adds the file to the
    /// table.
    ///
    /// # Errors
    /// There is no room, or the name is not allowed or in use.
    pub fn place(&self, name: &str, bytes: u64) -> Result<File, VolumeError> {
        if !is_name(name) {
            return Err(VolumeError::BadName(name.into()));
        }
        if self.find(name).is_some() {
            return Err(VolumeError::Exists(name.into()));
        }
        if self.files.len() == MAX_FILES {
            return Err(VolumeError::TooManyFiles);
        }
        let pages = bytes.div_ceil(PAGE_SIZE);
        let mut taken: Vec<_> = self.files.iter().map(|file| (file.first, file.first + file.pages())).collect();
        taken.push((self.pages, self.pages));
        taken.sort_unstable();
        let (mut at, mut longest) = (TABLE_PAGES, 0);
        for (start, end) in taken {
            let run = start.saturating_sub(at);
            if u64::from(run) >= pages {
                return Ok(File { name: name.into(), first: at, bytes, crc: 0 });
            }
            longest = longest.max(run);
            at = at.max(end);
        }
        Err(VolumeError::Full { pages, longest })
    }

    /// Adds a file that [`Volume::place`] has placed.
    ///
    /// # Errors
    /// Another file has its name or pages by then, or the table is full.
    pub fn add(&mut self, file: File) -> Result<(), VolumeError> {
        if self.files.len() == MAX_FILES {
            return Err(VolumeError::TooManyFiles);
        }
        if !self.fits(&file) || self.find(&file.name).is_some() {
            return Err(VolumeError::Exists(file.name));
        }
        self.files.push(file);
        Ok(())
    }

    /// Removes a file from the table.
    ///
    /// # Errors
    /// No file has that name.
    pub fn remove(&mut self, name: &str) -> Result<File, VolumeError> {
        let place = self.files.iter().position(|file| file.name == name);
        place.map(|place| self.files.remove(place)).ok_or_else(|| VolumeError::NoFile(name.into()))
    }

    /// True if a file is inside the volume and overlaps no other.
    fn fits(&self, file: &File) -> bool {
        let pages = file.bytes.div_ceil(PAGE_SIZE);
        let (first, end) = (u64::from(file.first), u64::from(file.first) + pages);
        let overlaps = |other: &File| first < u64::from(other.first + other.pages()) && u64::from(other.first) < end;
        is_name(&file.name)
            && first >= TABLE_PAGES.into()
            && end <= self.pages.into()
            && (pages == 0 || !self.files.iter().any(|other| other.pages() > 0 && overlaps(other)))
    }
}

fn decode_file(entry: &[u8]) -> Option<File> {
    let (name, rest) = entry.split_at(MAX_NAME_BYTES);
    let length = name.iter().position(|&byte| byte == 0).unwrap_or(MAX_NAME_BYTES);
    if name[length..].iter().any(|&byte| byte != 0) {
        return None;
    }
    let name = core::str::from_utf8(&name[..length]).ok().filter(|name| is_name(name))?;
    let bytes = u64::from(word(rest, 8)) | u64::from(word(rest, 12)) << 32;
    // Longer than any volume: its number of pages would not fit a `u32`.
    (bytes <= u64::from(u32::MAX) * PAGE_SIZE / 2).then(|| File {
        name: name.into(),
        first: word(rest, 0),
        bytes,
        crc: word(rest, 16),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn with_files(pages: u32, files: &[(&str, u64)]) -> Volume {
        let mut volume = Volume::new(pages).unwrap();
        for &(name, bytes) in files {
            let file = volume.place(name, bytes).unwrap();
            volume.add(File { crc: 7, ..file }).unwrap();
        }
        volume
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut volume = with_files(100, &[("a", 5000), ("empty", 0), ("b", 4096)]);
        let (page, first) = volume.encode();
        assert_eq!(page, 1);
        assert_eq!(Volume::decode([&[0; TABLE_BYTES], &first], 100).unwrap(), volume);
        volume.remove("a").unwrap();
        let (page, second) = volume.encode();
        assert_eq!(page, 0, "the other one");
        assert_eq!(Volume::decode([&second, &first], 100).unwrap(), volume);
        // A power cut in the middle of the second leaves the first.
        let mut torn = second;
        torn[600..].fill(0xff);
        assert_eq!(Volume::decode([&torn, &first], 100).unwrap().files().len(), 3);
        assert_eq!(Volume::decode([&torn, &torn], 100), Err(VolumeError::Damaged));
        assert_eq!(Volume::decode([&[0; TABLE_BYTES], &torn], 100), Err(VolumeError::Damaged));
        assert_eq!(Volume::decode([&[0xa5; TABLE_BYTES], &[0; TABLE_BYTES]], 100), Err(VolumeError::NotAVolume));
        let mut later = first;
        put(&mut later, 8, &2_u32.to_le_bytes());
        let crc = crc_of(&later);
        put(&mut later, CRC, &crc.to_le_bytes());
        assert_eq!(Volume::decode([&torn, &later], 100), Err(VolumeError::OtherVersion(2)));
        assert_eq!(Volume::decode([&second, &later], 100).unwrap(), volume, "one that is known counts");
        assert_eq!(Volume::decode([&second, &first], 99), Err(VolumeError::LargerThanDisk { pages: 100, disk: 99 }));
    }

    #[test]
    fn files_go_where_there_is_room() {
        let mut volume = with_files(12, &[("a", 4096), ("b", 3 * 4096), ("c", 4096)]);
        volume.remove("b").unwrap();
        assert_eq!(volume.place("d", 2 * 4096 + 1).unwrap().first, 3, "where b was");
        assert_eq!(volume.place("d", 4 * 4096).unwrap().first, 7, "behind c");
        assert_eq!(volume.place("d", 6 * 4096), Err(VolumeError::Full { pages: 6, longest: 5 }));
        assert_eq!(volume.place("c", 1), Err(VolumeError::Exists("c".into())));
        for name in ["", "two words", "ä", &"x".repeat(41)] {
            assert_eq!(volume.place(name, 1), Err(VolumeError::BadName(name.into())));
        }
        assert_eq!(volume.remove("b"), Err(VolumeError::NoFile("b".into())));
        assert_eq!(Volume::new(2), Err(VolumeError::TooSmall));
    }

    #[test]
    fn a_table_holds_so_many_files() {
        let mut volume = Volume::new(1000).unwrap();
        for index in 0..MAX_FILES {
            let file = volume.place(&format!("f{index}"), 4096).unwrap();
            volume.add(file).unwrap();
        }
        assert_eq!(volume.place("more", 1), Err(VolumeError::TooManyFiles));
        let (_, table) = volume.encode();
        assert_eq!(Volume::decode([&table, &table], 1000).unwrap(), volume);
    }

    /// Returns a table with arbitrary entries and a correct checksum.
    fn forged(pages: u32, count: u32, entries: &[u8]) -> [u8; TABLE_BYTES] {
        let mut table = [0; TABLE_BYTES];
        put(&mut table, 0, MAGIC);
        for (at, value) in [(8, VERSION), (16, pages), (20, count)] {
            put(&mut table, at, &value.to_le_bytes());
        }
        put(&mut table, ENTRIES, entries);
        let crc = crc_of(&table);
        put(&mut table, CRC, &crc.to_le_bytes());
        table
    }

    proptest! {
        #![proptest_config(property::config(256))]

        #[test]
        fn whatever_a_table_says_is_read_or_refused(
            pages: u32, count: u32, disk: u32, first: u32, bytes: u64, name in prop::collection::vec(any::<u8>(), 40)
        ) {
            let mut entry = name;
            entry.extend(first.to_le_bytes());
            entry.extend([0; 4]);
            entry.extend(bytes.to_le_bytes());
            let table = forged(pages, count % 70, &entry);
            if let Ok(volume) = Volume::decode([&table, &[0; TABLE_BYTES]], disk) {
                for file in volume.files() {
                    prop_assert!(u64::from(file.first) + u64::from(file.pages()) <= u64::from(volume.pages()));
                }
            }
        }

        #[test]
        fn overlapping_files_are_refused(first in 0u32..20, pages in 0u64..20) {
            let entry = |name: u8, first: u32, pages: u64| {
                let mut entry = [0; ENTRY_BYTES];
                entry[0] = name;
                put(&mut entry, 40, &first.to_le_bytes());
                put(&mut entry, 48, &(pages * PAGE_SIZE).to_le_bytes());
                entry
            };
            let table = forged(16, 2, [entry(b'a', 5, 3), entry(b'b', first, pages)].as_flattened());
            let inside = first >= 2 && u64::from(first) + pages <= 16;
            let apart = pages == 0 || first >= 8 || u64::from(first) + pages <= 5;
            prop_assert_eq!(Volume::decode([&table, &table], 16).is_ok(), inside && apart);
        }
    }
}
