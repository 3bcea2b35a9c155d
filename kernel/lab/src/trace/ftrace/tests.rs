// SPDX-License-Identifier: MIT OR Apache-2.0
use super::super::TraceError;
use super::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

fn read(text: &[u8]) -> Result<Vec<(u64, Event<'_>)>, TraceError> {
    events(text).map(|event| event.map(|(line, event)| (line.number, event))).collect()
}

fn error(text: &[u8]) -> (u64, Reason) {
    let error = read(text).expect_err("not a good recording");
    assert!(!error.to_string().contains('\n'));
    (error.line, error.reason)
}

fn alloc(area: &str, pfn: Option<u64>, pages: u32, align_order: u32) -> Event<'_> {
    Event::Alloc { area: area.as_bytes(), pfn, pages, align_order }
}

fn release(area: &str, pfn: u64, pages: u32) -> Event<'_> {
    Event::Release { area: area.as_bytes(), pfn, pages }
}

/// Output of Linux 6.12 and later.
const NEW: &str = "\
# tracer: nop
#
# entries-in-buffer/entries-written: 7/19   #P:4
#
#                                _-----=> irqs-off/BH-disabled
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
         kmscube-431     [002] .....    41.120332: cma_alloc_start: name=linux,cma request_count=2025 available_count=9 total_count=16384 align=8
         kmscube-431     [002] .....    41.120411: cma_alloc_busy_retry: name=linux,cma pfn=0x7c000 page=00000000a3b1c2d4 count=2025 align=8
         kmscube-431     [002] .....    41.120999: cma_alloc_finish: name=linux,cma pfn=0x7c800 page=00000000a3b1c2d5 count=2025 align=8 errorno=0
CPU:1 [LOST 12 EVENTS]
 a b: cma_release-77    [001] d..1.    41.200000: cma_alloc_finish: name=my area pfn=0x0 page=0000000000000000 count=64 align=6 errorno=-12
 kworker/u8:2-events-9  [000] .....    41.300000: cma_release: name=linux,cma pfn=0x7c800 page=00000000a3b1c2d5 count=2025
          <idle>-0       [000] d.h..    41.300001: sched_switch: prev_comm=x ==> next_comm=cma_y
           cat-9         [000] .....    41.300002: <stack trace>
 => cma_release
 => dma_free_contiguous
";

#[test]
fn the_newer_format() {
    let expected = [
        (3, Event::Lost(12)),
        (8, Event::Start { area: b"linux,cma", free: Some(9), pages: Some(16384) }),
        (10, alloc("linux,cma", Some(0x7c800), 2025, 8)),
        (11, Event::Lost(12)),
        (12, alloc("my area", None, 64, 6)),
        (13, release("linux,cma", 0x7c800, 2025)),
    ];
    assert_eq!(read(NEW.as_bytes()), Ok(expected.to_vec()));
    // trace_pipe has no head, and the last line may lack its end.
    let pipe: Vec<&str> = NEW.lines().skip(7).collect();
    assert_eq!(read(pipe.join("\n").as_bytes()).map(|events| events.len()), Ok(5));
}

#[test]
fn before_6_12_a_failure_has_no_page() {
    // The number is that of the last page that was tried, or -1 if none was.
    for (pfn, page, expected) in [
        ("0xffffffff", "00000000", None),
        ("0xffffffffffffffff", "0000000000000000", None),
        ("0x3f400", "(nil)", None),
        ("0x3f400", "          (null)", None),
        ("0x3f400", "(____ptrval____)", Some(0x3f400)),
        ("3f400", "ef9f8000", Some(0x3f400)),
        ("0x3f400", "0xffff7e0000fd0000", Some(0x3f400)),
    ] {
        let line =
            format!("v4l2_x-1 [000] 1.000001: cma_alloc_finish: name=reserved pfn={pfn} page={page} count=3 align=2\n");
        assert_eq!(read(line.as_bytes()), Ok(vec![(1, alloc("reserved", expected, 3, 2))]), "{line}");
    }
}

#[test]
fn trace_cmd_and_linux_before_5_13() {
    let text = "\
CPU 1 is empty
cpus=2
CPU:0 [204600 EVENTS DROPPED]
CPU:0 [EVENTS DROPPED]
     gst-launch-1.0-812   [000]   217.975284: cma_alloc:            pfn=3f400 page=0xef9f8000 count=300 align=8
     gst-launch-1.0-812   [000]   217.975299: cma_alloc:            pfn=ffffffff page=(nil) count=300 align=8
     gst-launch-1.0-812   [000]   217.975299: mm_page_alloc:        page=0xef pfn=12 order=0
     gst-launch-1.0-812   [000]   218.975284: cma_release:          pfn=3f400 page=0xef9f8000 count=300
";
    let expected = [
        (3, Event::Lost(204_600)),
        (4, Event::Lost(1)),
        (5, alloc("nameless", Some(0x3f400), 300, 8)),
        (6, alloc("nameless", None, 300, 8)),
        (8, release("nameless", 0x3f400, 300)),
    ];
    assert_eq!(read(text.as_bytes()), Ok(expected.to_vec()));
}

#[test]
fn fields_of_later_versions_are_passed_over() {
    let text = b"x-1 [000] 1.0: cma_release: name=a pfn=0x1 page=01 count=2 node=0\n";
    assert_eq!(read(text), Ok(vec![(1, release("a", 1, 2))]));
    let text = b"x-1 [000] 1.0: cma:cma_release: name=a pfn=0x1 page=01 count=2\n";
    assert_eq!(read(text), Ok(vec![(1, release("a", 1, 2))]), "as perf script prints it");
    let text = b"cma_alloc_start: name=a count=2 align=0\ncma_release: name=a pfn=0x1 page=01 count=2\n";
    assert_eq!(read(text), Ok(vec![(2, release("a", 1, 2))]), "without what stands in front of an event");
}

#[test]
fn every_error_has_its_line() {
    use Field::{Align, Count, Errorno, Name, Page, Pfn};
    let head = "# tracer: nop\n x-1 [000] ..... 1.000000: ";
    let at_2 = |rest: &str| {
        let (line, reason) = error(format!("{head}{rest}\n").as_bytes());
        assert_eq!(line, 2, "{rest}");
        reason
    };
    // Events cut off between their start and their end.
    assert_eq!(at_2(""), Reason::Missing(Name));
    assert_eq!(at_2("cma_al"), Reason::Missing(Name));
    assert_eq!(at_2("cma_alloc_finish"), Reason::Missing(Name));
    assert_eq!(at_2("cma_release: "), Reason::Missing(Name));
    assert_eq!(at_2("cma_release: na"), Reason::Missing(Name));
    assert_eq!(at_2("cma_release: name=a"), Reason::Missing(Pfn));
    assert_eq!(at_2("cma_release: name=a pfn="), Reason::Bad(Pfn));
    assert_eq!(at_2("cma_release: name=a pfn=0x"), Reason::Bad(Pfn));
    assert_eq!(at_2("cma_release: name=a pfn=0x1"), Reason::Missing(Page));
    assert_eq!(at_2("cma_release: name=a pfn=0x1 page=0000"), Reason::Missing(Count));
    assert_eq!(at_2("cma_release: name=a pfn=0x1 page=0000 count="), Reason::Bad(Count));
    assert_eq!(at_2("cma_alloc_finish: name=a pfn=0x1 page=01 count=1"), Reason::Missing(Align));
    assert_eq!(at_2("cma_alloc_finish: name=a pfn=0x1 page=01 count=1 align=0 errorno="), Reason::Bad(Errorno));
    // Out of range.
    assert_eq!(at_2("cma_release: name= pfn=0x1 page=01 count=1"), Reason::Bad(Name));
    assert_eq!(at_2("cma_release: name=a pfn=0x10000000000000000 page=01 count=1"), Reason::Bad(Pfn));
    assert_eq!(at_2("cma_release: name=a pfn=0xg page=01 count=1"), Reason::Bad(Pfn));
    assert_eq!(at_2("cma_release: name=a pfn=0x1 page= count=1"), Reason::Bad(Page));
    assert_eq!(at_2("cma_release: name=a pfn=0x1 page=01 count=0"), Reason::Bad(Count));
    assert_eq!(at_2("cma_release: name=a pfn=0x1 page=01 count=4294967296"), Reason::Bad(Count));
    assert_eq!(at_2("cma_alloc_finish: name=a pfn=0x1 page=01 count=1 align=21"), Reason::Bad(Align));
    assert_eq!(at_2("cma_alloc_finish: name=a pfn=0x1 page=01 count=1 align=0 errorno=x"), Reason::Bad(Errorno));
    assert_eq!(at_2("cma_release: name=a pfn=0x1 page=01 count=1 more"), Reason::Extra);
    assert_eq!(at_2("cma_release: name=a pfn=0x1 page=01 count=1\r\r"), Reason::Binary(b'\r'));
    assert_eq!(at_2("cma_release: name=a pfn=0x1 page=01 count=1\0"), Reason::Binary(0));
    assert_eq!(error(b"# tracer: nop\n\x1f\x8b\x08\n"), (2, Reason::Binary(0x1f)));
    assert_eq!(error(b"# tracer: nop\n\nhello world\n"), (3, Reason::NotFtrace));
    assert_eq!(error(b"# tracer: nop\na 1 16 4\n"), (2, Reason::NotFtrace));
    assert_eq!(error(b"# tracer: nop\n         monitor-1       [000]\n"), (2, Reason::NotFtrace));
}

#[test]
fn a_recording_is_cut_off_anywhere() {
    let line = "  x-1 [000] ..... 1.000000: cma_release: name=a pfn=0x1 page=01 count=1";
    let release = release("a", 1, 1);
    for cut in 1..line.len() {
        let front = format!("{}\r\n{line}\r\n", &line[cut..]);
        let expected = if cut <= line.find("cma").unwrap() { release } else { Event::Lost(1) };
        let events = read(front.as_bytes()).unwrap();
        assert_eq!(events.last(), Some(&(2, release)), "{front}");
        assert!(events.len() == 1 || events[0] == (1, expected), "{front}");
        let back = format!("{line}\n{}", &line[..cut]);
        let events = read(back.as_bytes()).unwrap();
        assert_eq!(events[0], (1, release), "{back}");
        assert!(events.len() == 1 || events[1] == (2, Event::Lost(1)), "{back}");
    }
    // Complete lines are not taken for cut ones.
    assert_eq!(error(b"x-1 [000] 1.0: cma_release: name=a pfn=0x1 page=01 count=0\n"), (1, Reason::Bad(Field::Count)));
    assert_eq!(error(b"\x7fELF\x01\n"), (1, Reason::Binary(1)));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_line_of_ten_megabytes() {
    let long = "x".repeat(10 << 20);
    assert_eq!(read(format!("# {long}\n").as_bytes()), Ok(vec![]));
    assert_eq!(error(format!("# tracer: nop\n{long}\n").as_bytes()), (2, Reason::NotFtrace));
    let name = format!("x-1 [000] 1.0: cma_release: name={long} pfn=0x1 page=01 count=2\n");
    assert_eq!(read(name.as_bytes()), Ok(vec![(1, release(&long, 1, 2))]));
    let under = "_ :cma_alloc: 1: ".repeat(600_000);
    assert_eq!(error(format!("\n{under}\n").as_bytes()), (2, Reason::Missing(Field::Name)));
}

#[test]
fn nothing_after_the_first_error() {
    let mut events = events(b"\nrubbish\nCPU:0 [LOST 1 EVENTS]\n");
    assert!(events.next().is_some_and(|event| event.is_err()));
    assert!(events.next().is_none());
}

proptest! {
    #![proptest_config(property::config(256))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        let _ = super::super::Format::of(&bytes);
    }

    #[test]
    fn nearly_events_never_panic(cut in 0..NEW.len(), from in 0..NEW.len(), junk in "[ -~\n]{0,8}") {
        let mut text: Vec<u8> = NEW.as_bytes()[from.min(cut)..].to_vec();
        let at = cut.min(text.len());
        text.splice(at..at, junk.bytes());
        let _ = read(&text);
        text.truncate(at);
        let _ = read(&text);
    }

    #[test]
    fn what_is_written_is_read(
        events in proptest::collection::vec(("[a-z@,0-9]{1,9}", any::<u64>(), 1u32.., 0..=MAX_ALIGN_ORDER, 0..4), 0..30),
    ) {
        let mut text = String::from("# tracer: nop\n");
        let mut expected = Vec::new();
        for (index, (area, pfn, pages, align, kind)) in events.iter().enumerate() {
            let event = match kind {
                0 => release(area, *pfn, *pages),
                1 => alloc(area, None, *pages, *align),
                _ => alloc(area, Some(*pfn), *pages, *align),
            };
            text += " some task-12 [003] d..1.  12.345678: ";
            text += &match kind {
                0 => format!("cma_release: name={area} pfn={pfn:#x} page=0000abcd count={pages}\n"),
                1 => format!("cma_alloc_finish: name={area} pfn={pfn:#x} page=0000abcd count={pages} align={align} errorno=-16\n"),
                2 => format!("cma_alloc_finish: name={area} pfn={pfn:#x} page=0000abcd count={pages} align={align} errorno=0\n"),
                _ => format!("cma_alloc_finish: name={area} pfn={pfn:#x} page=0000abcd count={pages} align={align}\n"),
            };
            expected.push((index as u64 + 2, event));
        }
        prop_assert_eq!(read(text.as_bytes()), Ok(expected));
    }
}
