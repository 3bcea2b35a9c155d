// SPDX-License-Identifier: MIT OR Apache-2.0

//! `scripts/disk-image`: creates disk images with files of known checksums, and lists an image's
//! files.

use std::path::Path;
use std::process::ExitCode;

use boot_tests::disk::{self, Found};

const USAGE: &str =
    "usage: scripts/disk-image create IMAGE SIZE [NAME=SIZE…]   a new image with files of known contents
       scripts/disk-image list IMAGE                      names, lengths, CRC-32, SHA-256
       scripts/disk-image verify IMAGE                    the same; fails where a file is not what the table says
SIZE is in bytes, or with K, M or G behind it; an image takes 12K, and its files lie in the first GiB. The layout is described in kernel/block/src/volume.rs.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["create", image, size, files @ ..] => create(Path::new(image), size, files),
        ["list" | "verify", image] => disk::read(Path::new(image)).map_err(|error| format!("{image}: {error}")),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(files) => {
            files.iter().for_each(|file| println!("{}", line(file)));
            let bad = files.iter().filter(|file| !file.is_whole()).count();
            if bad > 0 && words[0] == "verify" {
                eprintln!("{}: {bad} of {} files differ from what the table says", words[1], files.len());
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn create(image: &Path, size: &str, files: &[&str]) -> Result<Vec<Found>, String> {
    let files: Result<Vec<_>, String> = files
        .iter()
        .map(|file| {
            let (name, size) = file.split_once('=').ok_or_else(|| format!("{file}: a file is NAME=SIZE"))?;
            Ok((name.to_string(), bytes(size)?))
        })
        .collect();
    let (files, size) = (files?, bytes(size)?);
    let made = disk::create(image, size, &files).map_err(|error| format!("{}: {error}", image.display()))?;
    if size > disk::MAX_BYTES {
        eprintln!("{}: the kernel uses the first GiB of a disk; what is behind it stays empty", image.display());
    }
    Ok(made)
}

/// Parses a size such as `12M`.
fn bytes(size: &str) -> Result<u64, String> {
    let unit = |suffix: char| match suffix {
        'K' | 'k' => 10,
        'M' | 'm' => 20,
        'G' | 'g' => 30,
        _ => 0,
    };
    let shift = size.chars().last().map_or(0, unit);
    let digits = if shift == 0 { size } else { &size[..size.len() - 1] };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| format!("{size}: a size is a number, with K, M or G behind it"))
}

fn line(file: &Found) -> String {
    let state = if file.is_whole() { "ok" } else { "DIFFERS" };
    format!("{:<16} {:>12} bytes  crc32 {:08x}  sha256 {}  {state}", file.name, file.bytes, file.crc, file.sha256)
}
