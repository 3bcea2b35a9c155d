// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disk images: creates files of known contents in the layout of `kernel::block::volume`, and reads
//! the contents of an image.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kernel::block::volume::{self, LEAST_PAGES, TABLE_BYTES, TABLE_PAGES, Volume, VolumeError};
use kernel::mm::live::MAX_SLOTS;
use kernel::units::PAGE_SIZE;
use sha2::{Digest, Sha256};

/// A file found in an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Name of the file.
    pub name: String,
    /// Length of the file.
    pub bytes: u64,
    /// CRC-32 in the table of files.
    pub crc_in_table: u32,
    /// CRC-32 of the contents.
    pub crc: u32,
    /// SHA-256 of the contents, in hexadecimal.
    pub sha256: String,
}

impl Found {
    /// True if the contents have the checksum of the table.
    pub fn is_whole(&self) -> bool {
        self.crc == self.crc_in_table
    }
}

/// Checksums of the bytes read or written so far.
#[derive(Default)]
struct Sums {
    crc: crc32fast::Hasher,
    sha256: Sha256,
}

impl Sums {
    fn update(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.sha256.update(bytes);
    }

    fn finish(self) -> (u32, String) {
        let sha256 = self.sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (self.crc.finalize(), sha256)
    }
}

/// Bytes that are read or written at a time.
const CHUNK: usize = 64 << 10;

/// Most bytes of a disk that the kernel uses.
pub const MAX_BYTES: u64 = MAX_SLOTS as u64 * PAGE_SIZE;

/// Creates an image of `bytes` bytes that holds `files`, each a name and a size; the contents
/// depend on the name. Unwritten parts occupy no space on the host (the file is sparse). An
/// existing image is replaced only when the new one is complete.
///
/// # Errors
/// The image cannot be written, it is too small for a table of files, or the files do not fit.
pub fn create(path: &Path, bytes: u64, files: &[(String, u64)]) -> io::Result<Vec<Found>> {
    let pages = (bytes.min(MAX_BYTES) / PAGE_SIZE) as u32;
    if pages < LEAST_PAGES {
        let least = u64::from(LEAST_PAGES) * PAGE_SIZE;
        return Err(io::Error::other(format!("{bytes} bytes have no room for files: it takes {least} (12K)")));
    }
    let mut volume = Volume::new(pages).map_err(refused)?;
    // All files are placed before anything is written.
    for (name, bytes) in files {
        let file = volume.place(name, *bytes).map_err(refused)?;
        volume.add(file).map_err(refused)?;
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut image = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(directory)?;
    image.as_file().set_len(bytes)?;
    let mut made = Vec::new();
    for (name, bytes) in files {
        let mut file = volume.remove(name).map_err(refused)?;
        let (crc, sha256) = write(image.as_file_mut(), &file)?;
        file.crc = crc;
        volume.add(file).map_err(refused)?;
        made.push(Found { name: name.clone(), bytes: *bytes, crc_in_table: crc, crc, sha256 });
    }
    let (page, table) = volume.encode();
    image.as_file_mut().seek(SeekFrom::Start(u64::from(page) * PAGE_SIZE))?;
    image.as_file_mut().write_all(&table)?;
    image.persist(path).map_err(|error| error.error)?;
    Ok(made)
}

/// Writes a file's contents to its place; returns its checksums.
fn write(image: &mut File, file: &volume::File) -> io::Result<(u32, String)> {
    let mut random = Random::seeded(&file.name);
    let mut sums = Sums::default();
    image.seek(SeekFrom::Start(u64::from(file.first) * PAGE_SIZE))?;
    let mut left = file.bytes;
    while left > 0 {
        let mut chunk = vec![0; left.min(CHUNK as u64) as usize];
        random.fill(&mut chunk);
        sums.update(&chunk);
        image.write_all(&chunk)?;
        left -= chunk.len() as u64;
    }
    Ok(sums.finish())
}

/// Reads all files of an image.
///
/// # Errors
/// The image cannot be read, or has no table of files.
pub fn read(path: &Path) -> io::Result<Vec<Found>> {
    let mut image = File::open(path)?;
    let pages = u32::try_from(image.metadata()?.len() / PAGE_SIZE).map_err(io::Error::other)?;
    if pages < TABLE_PAGES {
        return Err(refused(VolumeError::TooSmall));
    }
    let mut tables = [[0; TABLE_BYTES]; 2];
    for table in &mut tables {
        image.read_exact(table)?;
    }
    let volume = Volume::decode([&tables[0], &tables[1]], pages).map_err(refused)?;
    let mut found = Vec::new();
    for file in volume.files() {
        image.seek(SeekFrom::Start(u64::from(file.first) * PAGE_SIZE))?;
        let mut sums = Sums::default();
        let mut left = file.bytes;
        while left > 0 {
            let mut chunk = vec![0; left.min(CHUNK as u64) as usize];
            image.read_exact(&mut chunk)?;
            sums.update(&chunk);
            left -= chunk.len() as u64;
        }
        let (crc, sha256) = sums.finish();
        found.push(Found { name: file.name.clone(), bytes: file.bytes, crc_in_table: file.crc, crc, sha256 });
    }
    Ok(found)
}

fn refused(error: VolumeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// Pseudo-random bytes (Marsaglia's xorshift), with the name as seed.
struct Random(u64);

impl Random {
    fn seeded(name: &str) -> Self {
        Self(u64::from(crc32fast::hash(name.as_bytes())) << 20 | 0x9e37_79b9)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            part.copy_from_slice(&self.0.to_le_bytes()[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{create, read};

    #[test]
    fn an_image_holds_what_it_was_made_with() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let files = [("one".to_string(), 100_000), ("empty".to_string(), 0), ("two".to_string(), 8192)];
        let made = create(file.path(), 1 << 20, &files).expect("the files fit");
        assert_eq!(read(file.path()).expect("it is an image"), made);
        assert!(made.iter().all(super::Found::is_whole));
        assert_ne!(made[0].sha256, made[2].sha256);
    }

    #[test]
    fn an_image_that_is_refused_leaves_the_one_that_was_there() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("disk.img");
        let files = |names: &[&str]| names.iter().map(|name| (name.to_string(), 40_000)).collect::<Vec<_>>();
        let made = create(&path, 1 << 20, &files(&["a"])).expect("the file fits");
        for (bytes, names, words) in [
            (1 << 20, &["b", "b"][..], "there is a file b already"),
            (65_536, &["b", "c"], "no room for 10 pages"),
            (8192, &[], "8192 bytes have no room for files: it takes 12288 (12K)"),
        ] {
            let why = create(&path, bytes, &files(names)).expect_err("it is refused").to_string();
            assert!(why.contains(words), "{why}");
        }
        assert_eq!(read(&path).expect("it is an image"), made);
        assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 1, "nothing is left behind");
        // Files are only placed in the first GiB.
        let why = create(&path, 3 << 30, &[("large".into(), 1 << 30)]).expect_err("it is refused").to_string();
        assert!(why.contains("no room for 262144 pages"), "{why}");
    }
}
