//! The pseudo files: Linux's paths, Linux's formats, our figures.

mod cma;
mod dma;
mod proc;
mod trace;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::syntax::{nearest, number};
use super::{Context, Failure};
use crate::cma::AreaId;
use crate::lab::bitmap_view::write_bitmap;
use crate::system::System;
use cma::{Counter, Debug};
use dma::DmaApi;
use proc::Proc;

/// A file that there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum File {
    /// `/proc/…`
    Proc(Proc),
    /// `/sys/kernel/debug/cma/NAME/…`
    Debug(AreaId, Debug),
    /// `/sys/kernel/mm/cma/NAME/…`
    Counter(AreaId, Counter),
    /// `/sys/kernel/debug/dma-api/…`
    DmaApi(DmaApi),
    /// `/sys/kernel/tracing/trace`
    Trace,
    /// `/sys/kernel/tracing/events/cma/enable`
    TraceEnable,
    /// `/sys/bus/platform/devices/DEVICE/bitmap`
    DeviceBitmap(AreaId),
}

/// Calls `visit` with every file and its path until it says stop.
fn each_file(system: &System<'_>, mut visit: impl FnMut(&str, File) -> bool) {
    for file in Proc::ALL {
        if visit(&format!("/proc/{}", file.name()), File::Proc(file)) {
            return;
        }
    }
    for (path, file) in [(trace::TRACE, File::Trace), (trace::ENABLE, File::TraceEnable)] {
        if visit(path, file) {
            return;
        }
    }
    for id in system.area_ids() {
        let name = system.area(id).name();
        for file in Debug::ALL {
            if visit(&format!("/sys/kernel/debug/cma/{name}/{}", file.name()), File::Debug(id, file)) {
                return;
            }
        }
        for file in Counter::ALL {
            if visit(&format!("/sys/kernel/mm/cma/{name}/{}", file.name()), File::Counter(id, file)) {
                return;
            }
        }
    }
    for file in DmaApi::ALL {
        if visit(&format!("/sys/kernel/debug/dma-api/{}", file.name()), File::DmaApi(file)) {
            return;
        }
    }
    for user in system.area_users() {
        if let Some(id) = system.find_area(&user.area)
            && visit(&format!("/sys/bus/platform/devices/{}/bitmap", user.device), File::DeviceBitmap(id))
        {
            return;
        }
    }
}

/// Why a path names no file, in Linux's words.
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

/// A path from the root, without `.`, `..` and double slashes, and without one at the end.
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

/// The file at a path.
///
/// # Errors
/// Why there is none.
pub(super) fn find(system: &System<'_>, path: &str) -> Result<File, NoFile> {
    if path.is_empty() {
        return Err(NoFile::Missing);
    }
    let wanted = normal(path);
    let below = |at: &str, above: &str| at.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
    let mut found = Err(if wanted.is_empty() { NoFile::Directory } else { NoFile::Missing });
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
        found != Err(NoFile::Missing)
    });
    found
}

/// What lies in a directory, directories with a slash; nothing where none is.
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

/// The path that a misspelt one most likely meant: another name in the same directory.
pub(super) fn nearest_path(system: &System<'_>, path: &str) -> Option<String> {
    let wanted = normal(path);
    let (directory, name) = wanted.rsplit_once('/')?;
    let names = list(system, directory);
    let near = nearest(name, names.iter().map(|name| name.trim_end_matches('/')))?;
    Some(format!("{directory}/{near}"))
}

/// Prints a file.
pub(super) fn write(
    out: &mut dyn Write,
    system: &System<'_>,
    context: &Context<'_>,
    file: File,
) -> Result<(), Failure> {
    match file {
        File::Proc(file) => file.write(out, system, context)?,
        File::Debug(_, file) if file.is_write_only() => {
            return Err(Failure::bad("Permission denied: it can only be written, echo N > PATH"));
        }
        File::Debug(id, file) => file.write(out, system.area(id))?,
        File::Counter(id, file) => writeln!(out, "{}", file.value(system.area(id)))?,
        File::DmaApi(file) => file.write(out, &system.dma)?,
        File::Trace => trace::write(out, system)?,
        File::TraceEnable => writeln!(out, "{}", u8::from(system.trace.is_enabled()))?,
        File::DeviceBitmap(id) => write_bitmap(out, system.area(id))?,
    }
    Ok(())
}

/// Writes a number to a file.
pub(super) fn write_number(system: &mut System<'_>, file: File, text: &str) -> Result<(), Failure> {
    let number = |least: u32, most: u32| {
        let number = number("N", text, least.into(), most.into()).map(|number| number as u32);
        number.map_err(|line| format!("write error: Invalid argument: {line}"))
    };
    match file {
        File::Debug(id, Debug::Alloc) => cma::alloc(system, id, number(1, u32::MAX)?),
        File::Debug(id, Debug::Free) => cma::free(system, id, number(1, u32::MAX)?),
        File::Trace => {
            number(0, 0)?;
            system.trace.clear();
            Ok(())
        }
        File::TraceEnable => {
            let on = number(0, 1)? == 1;
            system.trace.enable(on);
            Ok(())
        }
        File::Proc(_) | File::Debug(..) | File::Counter(..) | File::DmaApi(_) | File::DeviceBitmap(_) => {
            Err(Failure::bad("Permission denied: it can only be read"))
        }
    }
}
