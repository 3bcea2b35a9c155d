// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/sys/kernel/tracing`: the trace ring in ftrace's format (`kernel/trace/trace_output.c`), the
//! events in that of `include/trace/events/cma.h` and `page_isolation.h`.

use alloc::format;
use core::fmt;

use super::{PseudoFile, Read, Write};
use migration::trace::{Event, TRACE_EVENTS};
use system::System;
use units::Pfn;

pub(super) const ENTRIES: &[PseudoFile] = &[
    PseudoFile {
        path: "/sys/kernel/tracing/trace",
        read: Read::System(trace),
        write: Write::System(0, 0, |system, _| {
            system.trace_mut().clear();
            Ok(())
        }),
    },
    PseudoFile {
        path: "/sys/kernel/tracing/events/cma/enable",
        read: Read::System(|out, system| writeln!(out, "{}", u8::from(system.trace().is_enabled()))),
        write: Write::System(0, 1, |system, on| {
            system.trace_mut().enable(on == 1);
            Ok(())
        }),
    },
];

/// Frame that Linux prints for an allocation without a candidate: all ones.
const NO_PFN: u32 = u32::MAX;

/// The head that ftrace prints over the events.
const HEAD: &str = "\
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
";

/// Prints the ring, oldest event first.
fn trace(out: &mut dyn fmt::Write, system: &System<'_>) -> fmt::Result {
    let written = system.trace().written();
    let kept = written.min(TRACE_EVENTS as u64);
    writeln!(out, "# tracer: nop\n#\n# entries-in-buffer/entries-written: {kept}/{written}   #P:1\n#")?;
    out.write_str(HEAD)?;
    let mut candidates = [NO_PFN; 1 + u8::MAX as usize];
    for ((ns, event), task) in system.trace().events().zip(system.trace().tasks()) {
        let micros = ns / 1000;
        match task {
            0 => out.write_str("         monitor-1      ")?,
            // Linux's columns: the name right-aligned in 16 characters, the number left-aligned in
            // 7. Caller n is task n + 1 here.
            _ => write!(out, "{:>16}-{:<7}", format!("caller{}", task - 1), 1 + u32::from(task))?,
        }
        write!(out, " [000] ..... {:>5}.{:06}: ", micros / 1_000_000, micros % 1_000_000)?;
        let candidate = &mut candidates[usize::from(task)];
        write_event(out, system, event, *candidate)?;
        *candidate = match *event {
            Event::BusyRetry { first, .. } => first.0,
            Event::TestIsolated { .. } | Event::MigrateRange { .. } => *candidate,
            _ => NO_PFN,
        };
    }
    Ok(())
}

/// Prints one event in the format of the emulated version of Linux. `candidate` is the frame that
/// the allocation tried last.
fn write_event(out: &mut dyn fmt::Write, system: &System<'_>, event: &Event, candidate: u32) -> fmt::Result {
    let linux = system.linux().differences();
    let name = |area: u8| system.areas().get(usize::from(area)).map_or("?", |area| area.name());
    match *event {
        Event::AllocStart { area, count, available, total, align } => {
            let name = name(area);
            if linux.start_has_counts {
                write!(out, "cma_alloc_start: name={name} request_count={count} available_count={available} ")?;
                writeln!(out, "total_count={total} align={align}")
            } else {
                writeln!(out, "cma_alloc_start: name={name} count={count} align={align}")
            }
        }
        Event::AllocFinish { area, first, count, align, errno } => {
            let Page(mut pfn, page) = page(first);
            if first.is_none() && linux.finish_has_last_pfn {
                pfn = candidate;
            }
            let name = name(area);
            write!(out, "cma_alloc_finish: name={name} pfn={pfn:#x} page={page:08x} count={count} align={align}")?;
            if linux.finish_has_errorno {
                write!(out, " errorno={errno}")?;
            }
            writeln!(out)
        }
        Event::BusyRetry { area, first, count, align } => {
            let Page(pfn, page) = page(Some(first));
            writeln!(
                out,
                "cma_alloc_busy_retry: name={} pfn={pfn:#x} page={page:08x} count={count} align={align}",
                name(area)
            )
        }
        Event::Release { area, first, count } => {
            let Page(pfn, page) = page(Some(first));
            writeln!(out, "cma_release: name={} pfn={pfn:#x} page={page:08x} count={count}", name(area))
        }
        Event::TestIsolated { start, end, fin, success } => writeln!(
            out,
            "test_pages_isolated: start_pfn={:#x} end_pfn={:#x} fin_pfn={:#x} ret={}",
            start.0,
            end.0,
            fin.0,
            if success { "success" } else { "fail" }
        ),
        Event::MigrateRange { start, end, migrated, reclaimed, mapped } => writeln!(
            out,
            "mm_alloc_contig_migrate_range_info: start={:#x} end={:#x} migratetype=4 nr_migrated={migrated} \
             nr_reclaimed={reclaimed} nr_mapped={mapped}",
            start.0, end.0
        ),
    }
}

/// A page as the events print it: its frame's number, and a number in place of the descriptor's
/// address, which Linux hashes.
struct Page(u32, u32);

fn page(first: Option<Pfn>) -> Page {
    first.map_or(Page(0, 0), |first| Page(first.0, first.0.wrapping_mul(size_of::<page_alloc::Page>() as u32)))
}
