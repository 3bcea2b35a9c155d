// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that are read and written whole.
//!
//! Invariants: a written file has its old content or all of the new one, even if the process is
//! killed; a file that does not fit into memory is refused with a line that says what to do.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Failure;

/// Maximum size of a file that is read: 2 GiB, some 20 million events.
const MAX_INPUT: u64 = 1 << 31;

/// Beginnings of files that have to be converted to text, their kind, and the program that does it.
const NO_TEXT: [(&[u8], &str, &str); 6] = [
    (b"\x1f\x8b", "compressed", "gunzip"),
    (b"\xfd7zXZ", "compressed", "unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed", "unzstd"),
    (b"BZh", "compressed", "bunzip2"),
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
];

/// Reads a text file or a pipe; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = match path.as_os_str().as_encoded_bytes() {
        b"-" => read_at_most(Path::new("/dev/stdin"), MAX_INPUT)?,
        _ => read_at_most(path, MAX_INPUT)?,
    };
    match NO_TEXT.iter().find(|(magic, ..)| text.starts_with(magic)) {
        Some((_, what, tool)) => {
            Err(Failure::bad(format!("{}: the file is {what}; make text of it first ({tool})", path.display())))
        }
        None => Ok(text),
    }
}

fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::bad(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        // A directory that scripts/cma-record made.
        let recording = Some(path.join("trace")).filter(|trace| trace.is_file());
        let what = recording.map_or(", not a file".into(), |trace| format!(": the recording is {}", trace.display()));
        return Err(Failure::bad(format!("{}: it is a directory{what}", path.display())));
    }
    let length = metadata.len();
    let mut text = Vec::new();
    if length <= most {
        file.take(most + 1).read_to_end(&mut text).map_err(failed)?;
    }
    if length.max(text.len() as u64) > most {
        return Err(Failure::bad(format!(
            "{}: larger than {} MiB, the most that is read: keep the lines that count (`grep -i cma`), or cut it in parts",
            path.display(),
            most >> 20
        )));
    }
    Ok(text)
}

/// Writes a file: a temporary one beside it, which then gets its name. A device or a pipe is
/// written directly.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::bad(format!("{}: {error}", path.display()));
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::write(path, text).map_err(failed);
    }
    // A link is kept: its target is written.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The mode of any new file: the process's mask removes bits.
    let mode = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(directory).map_err(failed)?;
    file.write_all(text.as_ref()).map_err(failed)?;
    file.persist(&path).map(drop).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |name: &str| directory.path().join(name);
        assert!(write(&at("new"), "one").is_ok() && write(&at("new"), "two").is_ok());
        std::os::unix::fs::symlink(at("new"), at("link")).unwrap();
        assert!(write(&at("link"), "three").is_ok() && at("link").is_symlink());
        assert_eq!(std::fs::read_to_string(at("new")).unwrap(), "three");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        assert!(write(&at("no/such"), "x").is_err_and(|failure| failure.line.contains("no/such")));
        assert!(write(Path::new("/dev/null"), "x").is_ok());
    }

    #[test]
    fn what_is_no_text_yet_is_refused_by_its_first_bytes() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("log");
        for (magic, _, tool) in NO_TEXT {
            std::fs::write(&path, [magic, b"x"].concat()).unwrap();
            assert!(read(&path).is_err_and(|failure| failure.line.ends_with(&format!("first ({tool})"))));
        }
        std::fs::write(&path, "BZ\n").unwrap();
        assert!(read(&path).is_ok());
    }

    #[test]
    fn of_a_directory_the_recording_is_named() {
        let directory = tempfile::TempDir::new().unwrap();
        let why = || read(directory.path()).err().map(|failure| failure.line).unwrap_or_default();
        assert!(why().ends_with(": it is a directory, not a file"), "{}", why());
        std::fs::write(directory.path().join("trace"), "").unwrap();
        let end = format!("it is a directory: the recording is {}/trace", directory.path().display());
        assert!(why().ends_with(&end), "{}", why());
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("large");
        File::create(&path).unwrap().set_len(MAX_INPUT + 1).unwrap();
        assert!(read(&path).is_err_and(|failure| failure.line.contains("larger than 2048 MiB")));
        std::fs::write(&path, vec![b' '; 2 << 20]).unwrap();
        assert!(read_at_most(&path, 2 << 20).is_ok_and(|text| text.len() == 2 << 20));
        assert!(read_at_most(&path, 1 << 20).is_err());
        // A device has no length.
        assert!(read_at_most(Path::new("/dev/zero"), 1 << 20).is_err());
    }
}
