// SPDX-License-Identifier: MIT OR Apache-2.0

//! The pseudo files, with Linux's paths and formats.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::{Context, Failure};
use ::cma::AreaId;
use ::cma::area::Area;
use lab::keys::{nearest, number};
use system::System;
use units::table;

table! {
    /// Every pseudo file.
    pub(crate) FILES: [PseudoFile] =
        proc,
        trace,
        cma,
        dma,
        devices,
        #[cfg(test)] example,
}

/// A pseudo file, or one for each area or device: its path, and functions to read and write it.
pub(crate) struct PseudoFile {
    /// The path. `AREA` in it stands for the name of every area, `DEVICE` for that of every device
    /// that has an area.
    pub(crate) path: &'static str,
    read: Read,
    write: Write,
}

/// The function that prints a file.
#[derive(Clone, Copy)]
enum Read {
    /// The file can only be written.
    No,
    /// Prints data of the system.
    System(fn(&mut dyn fmt::Write, &System<'_>) -> fmt::Result),
    /// Prints data of the area in the path.
    Area(fn(&mut dyn fmt::Write, &Area) -> fmt::Result),
    /// Prints data of the boot.
    Boot(fn(&mut dyn fmt::Write, &Context<'_>) -> fmt::Result),
}

/// The function that is called with the number that is written, and the number's limits.
#[derive(Clone, Copy)]
enum Write {
    /// The file can only be read.
    No,
    /// Acts on the system.
    System(u32, u32, fn(&mut System<'_>, u32) -> Result<(), Failure>),
    /// Acts on the area in the path.
    Area(u32, u32, fn(&mut System<'_>, AreaId, u32) -> Result<(), Failure>),
}

/// An existing file, and the area in its path, if any.
#[derive(Clone, Copy)]
pub(super) struct File {
    entry: &'static PseudoFile,
    area: Option<AreaId>,
}

/// Calls `visit` with every path and its file until it returns true.
fn each_file(system: &System<'_>, mut visit: impl FnMut(&str, File) -> bool) {
    for entry in FILES.iter() {
        let stops = if !is_there(system, entry) {
            false
        } else if entry.path.contains("/AREA/") {
            system.area_ids().any(|id| {
                let path = entry.path.replace("AREA", system.area(id).name());
                visit(&path, File { entry, area: Some(id) })
            })
        } else if entry.path.contains("/DEVICE/") {
            system.area_users().iter().any(|user| {
                let Some(id) = system.find_area(&user.area) else { return false };
                visit(&entry.path.replace("DEVICE", &user.device), File { entry, area: Some(id) })
            })
        } else {
            visit(entry.path, File { entry, area: None })
        };
        if stops {
            return;
        }
    }
}

/// True if the emulated version of Linux has the file.
fn is_there(system: &System<'_>, entry: &PseudoFile) -> bool {
    let name = entry.path.strip_prefix("/sys/kernel/mm/cma/AREA/");
    name.is_none_or(|name| !system.linux().differences().missing_files.contains(&name))
}

/// The reason why a path names no file, in Linux's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoFile {
    Missing,
    Directory,
    NotDirectory,
}

impl fmt::Display for NoFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "No such file or directory",
            Self::Directory => "Is a directory",
            Self::NotDirectory => "Not a directory",
        })
    }
}

/// Normalizes a path: absolute, without `.`, `..`, double slashes and a slash at the end.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            _ => parts.push(part),
        }
    }
    parts.iter().fold(String::new(), |path, part| path + "/" + part)
}

/// Returns the file at `path`.
///
/// # Errors
/// The reason why there is none.
pub(super) fn find(system: &System<'_>, path: &str) -> Result<File, NoFile> {
    if path.is_empty() {
        return Err(NoFile::Missing);
    }
    let wanted = normal(path);
    let below = |at: &str, above: &str| at.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
    let mut found: Result<File, NoFile> = Err(if wanted.is_empty() { NoFile::Directory } else { NoFile::Missing });
    each_file(system, |at, file| {
        if at == wanted {
            found = if path.ends_with(['/', '.']) { Err(NoFile::NotDirectory) } else { Ok(file) };
            return true;
        }
        if below(&wanted, at) {
            found = Err(NoFile::NotDirectory);
        } else if below(at, &wanted) {
            found = Err(NoFile::Directory);
        }
        !matches!(found, Err(NoFile::Missing))
    });
    found
}

/// Lists a directory, subdirectories with a slash; empty if there is no such directory.
pub(super) fn list(system: &System<'_>, path: &str) -> BTreeSet<String> {
    let directory = normal(path) + "/";
    let mut names = BTreeSet::new();
    each_file(system, |at, _| {
        if let Some(rest) = at.strip_prefix(&directory) {
            names.insert(rest.split_inclusive('/').next().unwrap_or_default().to_string());
        }
        false
    });
    names
}

/// Returns the path that a misspelt one most likely means: another name in the same directory.
pub(super) fn nearest_path(system: &System<'_>, path: &str) -> Option<String> {
    let wanted = normal(path);
    let (directory, name) = wanted.rsplit_once('/')?;
    let names = list(system, directory);
    let near = nearest(name, names.iter().map(|name| name.trim_end_matches('/')))?;
    Some(format!("{directory}/{near}"))
}

/// Prints `file`.
pub(super) fn write(
    out: &mut dyn fmt::Write,
    system: &System<'_>,
    context: &Context<'_>,
    file: File,
) -> Result<(), Failure> {
    match (file.entry.read, file.area) {
        (Read::System(print), _) => print(out, system)?,
        (Read::Area(print), Some(area)) => print(out, system.area(area))?,
        (Read::Boot(print), _) => print(out, context)?,
        (Read::No | Read::Area(_), _) => {
            return Err(Failure::bad("Permission denied: it can only be written, echo N > PATH"));
        }
    }
    Ok(())
}

/// Writes the number in `text` to `file`.
pub(super) fn write_number(system: &mut System<'_>, file: File, text: &str) -> Result<(), Failure> {
    let number = |least: u32, most: u32| {
        let number = number("N", text, least.into(), most.into()).map(|number| number as u32);
        number.map_err(|line| format!("write error: Invalid argument: {line}"))
    };
    match (file.entry.write, file.area) {
        (Write::System(least, most, act), _) => act(system, number(least, most)?),
        (Write::Area(least, most, act), Some(area)) => act(system, area, number(least, most)?),
        (Write::No | Write::Area(..), _) => Err(Failure::bad("Permission denied: it can only be read")),
    }
}
