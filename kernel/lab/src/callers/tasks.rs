// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tasks of a recording as callers: each does the operations of its task in their order, and
//! the scheduler interleaves the steps of different tasks.
//!
//! Only ftrace's text has tasks. To release another task's buffer, a task waits until it is
//! allocated. A request that failed in the recording is made, and its buffer is released at once.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{MAX_CALLERS, Op, Plan};
use crate::replay::Part;
use crate::request::Align;
use crate::trace::ftrace::{self, Event};
use crate::trace::{Format, TraceError};
use cma::AreaId;

/// The tasks of a recording.
#[derive(Debug)]
pub struct Tasks {
    /// The tasks' operations.
    pub plan: Plan,
    /// The areas of their requests, in the order of the recording.
    pub areas: Vec<AreaId>,
    /// Names and PIDs of the tasks.
    pub names: Vec<String>,
    /// Requests in areas that are not here, or outside of the wanted part.
    pub left_out: u64,
    /// Releases of buffers without an allocation: from before the recording, or left out.
    pub unmatched: u64,
}

/// Reason why a recording's tasks cannot be callers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TasksError {
    /// The recording does not contain tasks.
    NoTasks,
    /// It has no wanted request in an area that is here.
    Nothing,
    /// It has more tasks than [`MAX_CALLERS`].
    TooMany,
    /// A line of it is invalid.
    Trace(TraceError),
}

impl fmt::Display for TasksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTasks => f.write_str("only the text of ftrace names tasks: callers=tasks needs one"),
            Self::Nothing => f.write_str("no task asks for pages of an area that is here: name one with area="),
            Self::TooMany => {
                write!(f, "the recording has more than {MAX_CALLERS} tasks: choose some with task=PATTERN or pages=A-B")
            }
            Self::Trace(error) => error.fmt(f),
        }
    }
}

/// Reads the tasks of a recording. `area_of` maps a recorded area's name to an area here.
///
/// # Errors
/// See [`TasksError`].
pub fn tasks_of(
    trace: &[u8],
    part: Part<'_>,
    align: Option<Align>,
    mut area_of: impl FnMut(&[u8]) -> Option<AreaId>,
) -> Result<Tasks, TasksError> {
    if Format::of(trace) != Format::Ftrace {
        return Err(TasksError::NoTasks);
    }
    let mut reader = Reader::default();
    let mut areas: Vec<AreaId> = Vec::new();
    let (mut left_out, mut unmatched) = (0, 0);
    for event in ftrace::events(trace) {
        let (line, event) = event.map_err(TasksError::Trace)?;
        let (name, pfn, request) = match event {
            Event::Alloc { area, pfn, pages, align_order } => (area, pfn, Some((pages, align_order))),
            Event::Release { area, pfn, .. } => (area, Some(pfn), None),
            Event::Start { .. } | Event::Lost(_) => continue,
        };
        let wanted = request.is_none_or(|(pages, _)| part.wants(&line, Format::Ftrace, pages));
        let Some(id) = area_of(name).filter(|_| wanted) else {
            left_out += u64::from(request.is_some());
            continue;
        };
        let area = areas.iter().position(|&known| known == id).unwrap_or_else(|| {
            areas.push(id);
            areas.len() - 1
        }) as u8;
        let head = line.head(Format::Ftrace);
        let task = (head.task.unwrap_or(b"?"), head.pid.unwrap_or(0));
        let release = |tag| Op { tag, pages: 0, align_order: 0, area };
        match (request, pfn) {
            (Some((pages, align_order)), _) => {
                let align_order = align.map_or(align_order, |align| align.of(pages)) as u8;
                let tag = reader.tags;
                reader.tags += 1;
                let held = pfn.and_then(|pfn| reader.held.insert((area, pfn), tag));
                let ops = reader.ops_of(task)?;
                // Pages allocated while held were released before, in an event that was lost.
                ops.extend(held.map(release));
                ops.push(Op { tag, pages, align_order, area });
                if pfn.is_none() {
                    ops.push(release(tag));
                }
            }
            (None, pfn) => match pfn.and_then(|pfn| reader.held.remove(&(area, pfn))) {
                Some(tag) => reader.ops_of(task)?.push(release(tag)),
                None => unmatched += 1,
            },
        }
    }
    if reader.tags == 0 {
        return Err(TasksError::Nothing);
    }
    let names = reader.tasks.iter().map(|(name, pid)| format!("{}-{pid}", String::from_utf8_lossy(name))).collect();
    Ok(Tasks { plan: Plan::Tasks { ops: reader.ops, tags: reader.tags }, areas, names, left_out, unmatched })
}

/// The tasks and operations read so far.
#[derive(Default)]
struct Reader<'t> {
    tasks: Vec<(&'t [u8], u32)>,
    ops: Vec<Vec<Op>>,
    /// Tag of a buffer, by its area and first page.
    held: BTreeMap<(u8, u64), u32>,
    tags: u32,
}

impl<'t> Reader<'t> {
    fn ops_of(&mut self, task: (&'t [u8], u32)) -> Result<&mut Vec<Op>, TasksError> {
        let place = match self.tasks.iter().position(|&known| known == task) {
            Some(place) => place,
            None if self.tasks.len() == MAX_CALLERS => return Err(TasksError::TooMany),
            None => {
                self.tasks.push(task);
                self.ops.push(Vec::new());
                self.ops.len() - 1
            }
        };
        Ok(&mut self.ops[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(task: &str, event: &str) -> String {
        format!("  {task}  [000] .....     5.100000: {event} page=00000010 count=4")
    }

    fn read(lines: &[String]) -> Result<Tasks, TasksError> {
        tasks_of(lines.join("\n").as_bytes(), Part::ALL, None, |name| (name == b"here").then_some(AreaId(1)))
    }

    #[test]
    fn each_task_does_what_it_did() {
        let tasks = read(&[
            line("cam-7", "cma_alloc_finish: name=here pfn=0x100") + " align=2 errorno=0",
            line("gpu-8", "cma_alloc_finish: name=here pfn=0x200") + " align=2 errorno=0",
            line("gpu-8", "cma_alloc_finish: name=there pfn=0x200") + " align=2 errorno=0",
            line("gpu-8", "cma_release: name=here pfn=0x100"),
            line("cam-7", "cma_release: name=here pfn=0x900"),
        ])
        .unwrap();
        assert_eq!((tasks.names.join(" ").as_str(), tasks.left_out, tasks.unmatched), ("cam-7 gpu-8", 1, 1));
        let Plan::Tasks { ops, tags } = tasks.plan else { panic!("a plan of tasks") };
        let op = |tag, pages| Op { tag, pages, align_order: if pages > 0 { 2 } else { 0 }, area: 0 };
        assert_eq!((tags, ops), (2, alloc::vec![alloc::vec![op(0, 4)], alloc::vec![op(1, 4), op(0, 0)]]));
    }

    #[test]
    fn what_has_no_tasks_is_refused() {
        let refused = |trace: &[u8]| tasks_of(trace, Part::ALL, None, |_| None).unwrap_err();
        assert_eq!(refused(b"a 1 4 2\nr 1\n"), TasksError::NoTasks);
        assert_eq!(refused(line("x-1", "cma_release: name=x pfn=0x1").as_bytes()), TasksError::Nothing);
        let many: Vec<_> = (0..40)
            .map(|pid| line(&format!("x-{pid}"), "cma_alloc_finish: name=here pfn=0x1") + " align=0 errorno=0")
            .collect();
        assert_eq!(read(&many).unwrap_err(), TasksError::TooMany);
    }
}
