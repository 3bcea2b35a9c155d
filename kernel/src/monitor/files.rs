//! The pseudo files: Linux's paths, Linux's formats, our figures.

mod cma;
mod dma;
mod proc;
mod trace;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

use super::syntax::number;
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

/// The file at a path.
pub(super) fn find(system: &System<'_>, path: &str) -> Option<File> {
    let mut found = None;
    each_file(system, |at, file| {
        if at == path {
            found = Some(file);
        }
        found.is_some()
    });
    found
}

/// What lies in a directory, directories with a slash; a file lists itself; nothing where nothing is.
pub(super) fn list(system: &System<'_>, path: &str) -> BTreeSet<String> {
    let directory = format!("{}/", path.trim_end_matches('/'));
    let mut names = BTreeSet::new();
    each_file(system, |at, _| {
        if at == path {
            names.insert(at.to_string());
        } else if let Some(rest) = at.strip_prefix(&directory) {
            names.insert(rest.split_inclusive('/').next().unwrap_or_default().to_string());
        }
        false
    });
    names
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
            return Err(Failure::bad("can only be written: echo N > PATH"));
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
    let number = |least: u32, most: u32| number("N", text, least.into(), most.into()).map(|number| number as u32);
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
        _ => Err(Failure::bad(
            "the file can only be read; `alloc` and `free` of /sys/kernel/debug/cma and files of /sys/kernel/tracing take numbers",
        )),
    }
}
