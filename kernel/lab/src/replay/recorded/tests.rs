// SPDX-License-Identifier: MIT OR Apache-2.0
use super::super::{Options, Part, ReplayError, ReplayReport, Sizes, WhenHeld, run};
use crate::trace::{Op, Reason, TraceError, plain};
use board_mock::{Mock, with_board};
use cma::AreaId;
use page_alloc::{Block, MAX_PAGE_ORDER, Migratetype};
use std::collections::{BTreeSet, HashMap};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use system::System;
use units::Pfn;

const CHURN: &[u8] = include_bytes!("../../../../../tests/data/linux-6.1/churn-full.trace");
const BASE: Pfn = Pfn(0x69800);

fn area(system: &System<'_>) -> AreaId {
    system.find_area("BiscuitOS_cma").expect("the board has it")
}

fn replay(system: &mut System<'_>, machine: &mut Mock, text: &str) -> Result<ReplayReport, ReplayError> {
    let area = area(system);
    let result = run(system, machine, Options::new(area), text.as_bytes());
    system.check().expect("the accounting balances");
    result
}

/// Replays on a fresh board; returns the report and the remaining buffers: offset and pages.
fn replayed(text: &str) -> (ReplayReport, Vec<(u32, u32)>) {
    with_board(64, |system, machine| {
        let free = system.zone().nr_free_pages();
        let report = replay(system, machine, text).expect("a good recording");
        let area = area(system);
        let kept: Vec<(u32, u32)> = system.kept(area).map(|kept| (kept.first.0 - BASE.0, kept.pages)).collect();
        assert_eq!(kept.iter().map(|kept| kept.1).sum::<u32>(), system.area(area).used_pages());
        system.release_all(area);
        assert_eq!(system.zone().nr_free_pages(), free);
        (report, kept)
    })
}

fn alloc(pfn: u32, pages: u32) -> String {
    format!(
        "    camera app-7  [000] .....  1.000001: cma_alloc_finish: name=x pfn={pfn:#x} page=0000abcd count={pages} align=0 errorno=0\n"
    )
}

fn failed(pages: u32) -> String {
    format!(
        "    camera app-7  [000] .....  1.000001: cma_alloc_finish: name=x pfn=0x0 page=00000000 count={pages} align=0 errorno=-12\n"
    )
}

fn release(pfn: u32, pages: u32) -> String {
    format!("    camera app-7  [000] .....  1.000002: cma_release: name=x pfn={pfn:#x} page=0000abcd count={pages}\n")
}

/// Returns the recording that ftrace of Linux 6.1 would have made of a plain trace.
fn recorded(trace: &[u8]) -> String {
    with_board(64, |system, _| {
        let area = area(system);
        let mut text = String::from("# tracer: nop\n#\n");
        let mut held = HashMap::new();
        for op in plain::ops(trace) {
            match op.expect("a good trace").1 {
                Op::Alloc { id, pages, align_order } => match system.cma_alloc(area, pages, align_order) {
                    Ok(buffer) => {
                        text += &format!(
                            " a-1 [000] .....  1.0: cma_alloc_finish: name=x pfn={:#x} page=ef00d000 count={pages} align={align_order}\n",
                            buffer.first().0
                        );
                        held.insert(id, buffer);
                    }
                    Err(_) => {
                        text += &format!(
                            " a-1 [000] .....  1.0: cma_alloc_finish: name=x pfn=0xffffffff page=00000000 count={pages} align={align_order}\n"
                        );
                    }
                },
                Op::Release { id } => {
                    if let Some(buffer) = held.remove(&id) {
                        text += &release(buffer.first().0, buffer.pages());
                        system.cma_release(buffer).expect("it was allocated");
                    }
                }
            }
        }
        for (_, buffer) in held {
            system.keep(buffer);
        }
        text
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_trace_told_by_ftrace_ends_as_the_trace_itself() {
    let text = recorded(CHURN);
    let (told, _) = replayed(&text);
    with_board(64, |system, machine| {
        let area = area(system);
        let plain = run(system, machine, Options::new(area), CHURN).expect("a good trace");
        assert_eq!((told.placements, told.bitmap), (plain.placements, plain.bitmap));
        assert_eq!((told.allocs, told.failed), (plain.allocs, plain.failed));
        assert_eq!((told.failed_recorded, told.failed_served), (plain.failed, 0));
        assert_eq!(told.as_recorded, plain.allocs - plain.failed);
        assert_eq!((told.lost, told.unmatched, told.held_released), (0, 0, 0));
        assert_eq!(told.from, "x");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn under_another_placement_what_failed_may_succeed() {
    with_board(64, |system, machine| {
        let (area, text) = (area(system), recorded(CHURN));
        system.area_mut(area).set_placement(placements::parse("best-fit").expect("a placement"));
        let told = run(system, machine, Options::new(area), text.as_bytes()).expect("a good recording");
        assert_eq!(told.failed_recorded, 1674);
        assert!(told.failed_served > 0 && told.as_recorded < told.allocs - told.failed_recorded, "{told}");
        system.release_all(area);
        // The plain trace has no results: if an ID is allocated twice, its buffer is released
        // first, and the report says so.
        let plain = run(system, machine, Options::new(area), CHURN).expect("usual is held=release here");
        assert!(plain.held_released > 0, "{plain}");
        assert!(plain.to_string().contains("given back because the ID was allocated again"), "{plain}");
        system.release_all(area);
        let refused = Options { held: Some(WhenHeld::Refuse), ..Options::new(area) };
        let error = run(system, machine, refused, CHURN).expect_err("an ID is held");
        assert!(matches!(error, ReplayError::Trace(TraceError { reason: Reason::Held(_), .. })), "{error}");
        assert_eq!(system.area(area).used_pages(), 0);
        system.check().expect("the accounting balances");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn any_part_of_a_recording_is_replayed() {
    let text = recorded(CHURN);
    let lines: Vec<&str> = text.lines().skip(2).collect();
    // From the middle on: earlier allocations are unknown. Every seventh line is lost, too.
    let mut part = String::new();
    // The plain model: the buffer of each page.
    let mut held: HashMap<u32, u32> = HashMap::new();
    let (mut lost, mut unmatched, mut again, mut buffers) = (0, 0, 0, 0);
    for (number, line) in lines.iter().enumerate().skip(9_000) {
        if number % 7 == 0 {
            part += "CPU:0 [LOST 1 EVENTS]\n";
            lost += 1;
            continue;
        }
        part += line;
        part.push('\n');
        let field = |name: &str| line.split(name).nth(1).and_then(|rest| rest.split(' ').next()).expect("a field");
        let first = u32::from_str_radix(field("pfn=0x"), 16).expect("a number");
        let pages: u32 = field("count=").parse().expect("a number");
        let range = first..first.saturating_add(pages);
        let touched: BTreeSet<u32> =
            held.iter().filter(|(page, _)| range.contains(page)).map(|(_, &buffer)| buffer).collect();
        if line.contains("cma_release") {
            let before = held.len();
            held.retain(|page, _| !range.contains(page));
            unmatched += u64::from(before - held.len() < pages as usize);
            // The rest after the released part is a buffer of its own.
            for buffer in touched {
                buffers += 1;
                held.iter_mut()
                    .filter(|(page, of)| **page >= range.end && **of == buffer)
                    .for_each(|(_, of)| *of = buffers);
            }
        } else if first != u32::MAX {
            again += touched.len() as u64;
            held.retain(|_, buffer| !touched.contains(buffer));
            buffers += 1;
            held.extend(range.map(|page| (page, buffers)));
        }
    }
    let (report, kept) = replayed(&part);
    assert_eq!((report.lost, report.held_released), (lost, again));
    assert_eq!(report.unmatched, unmatched);
    assert!(lost > 1000 && again > 500 && unmatched > 100, "{report}");
    let live: BTreeSet<u32> = held.into_values().collect();
    assert!(kept.len() <= live.len(), "some of what is held failed here");
    let record = report.record().to_string();
    assert!(record.contains(&format!("\"format\":\"ftrace\",\"from\":\"x\",\"lost\":{lost},")), "{record}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn parts_of_a_buffer_are_released() {
    let text = [alloc(0x100, 10), alloc(0x10a, 6), release(0x100, 2), release(0x104, 3), release(0x108, 4)].concat();
    let (report, kept) = replayed(&text);
    // 0 and 1, then 4 to 6, then the end of one and the beginning of the other.
    assert_eq!(kept, [(2, 2), (7, 1), (12, 4)]);
    assert_eq!((report.ops, report.unmatched), (5, 0));
    // Ranges known in part, and unknown ones.
    let (report, kept) =
        replayed(&(text + &release(0x102, 4) + &release(0x105, 1) + &release(0x50, 1) + &release(0x110, 9)));
    assert_eq!((report.unmatched, kept), (4, [(7, 1), (12, 4)].to_vec()));
    // Requests that failed here can be released in parts, too.
    let text =
        [alloc(0x1000, 4000), release(0x1000, 5), alloc(0x1000, 5), release(0x1005, 3995), release(0x1005, 1)].concat();
    let (report, kept) = replayed(&text);
    assert_eq!((report.failed, report.unmatched, report.held_released, kept), (1, 1, 0, [(0, 5)].to_vec()));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_is_allocated_again_was_released() {
    let text = [alloc(0x100, 10), alloc(0x110, 10), alloc(0x105, 20), release(0x105, 20), release(0x100, 10)].concat();
    let (report, kept) = replayed(&text);
    assert_eq!((report.held_released, report.unmatched, kept), (2, 1, Vec::new()));
    with_board(64, |system, machine| {
        let options = Options { held: Some(WhenHeld::Refuse), ..Options::new(area(system)) };
        let error = run(system, machine, options, text.as_bytes()).expect_err("pages are held");
        assert_eq!(error, TraceError { line: 3, reason: Reason::HeldPages(0x105) }.into());
        assert_eq!(system.area(options.area).used_pages(), 0);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_buffer_that_its_driver_never_had_goes_back() {
    let (report, kept) = replayed(&[alloc(0x100, 2), failed(2048), failed(2000), alloc(0x102, 2)].concat());
    assert_eq!((report.allocs, report.failed, report.failed_recorded, report.failed_served), (4, 1, 2, 1));
    assert_eq!((kept, report.as_recorded), ([(0, 2), (2, 2)].to_vec(), 2));
    assert!(report.to_string().contains("2 failed there, of which 1 succeeded here"), "{report}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_recorded_area_is_chosen() {
    let other = |text: String| text.replace("name=x", "name=BiscuitOS_cma");
    let both = alloc(0x100, 2) + &other(alloc(0x69801, 3)) + &release(0x100, 2) + &other(alloc(0x69810, 4));
    let (report, kept) = replayed(&both);
    assert_eq!((kept.as_slice(), report.ops, report.from.as_str()), (&[(0, 3), (3, 4)][..], 2, "BiscuitOS_cma"));
    // The recorded pages are in the area here: no buffer has its recorded place.
    assert_eq!(report.as_recorded, 0);
    with_board(64, |system, machine| {
        let id = area(system);
        let named = |from| Options { from, ..Options::new(id) };
        let report = run(system, machine, named(Some("x")), both.as_bytes()).expect("a good recording");
        assert_eq!((report.ops, report.metrics.used, report.as_recorded), (2, 0, 1));
        let error = run(system, machine, named(Some("y")), both.as_bytes()).expect_err("no such area");
        let list = "x (1 allocation, 1 release), BiscuitOS_cma (2 allocations, 0 releases)";
        assert_eq!(error.to_string(), format!("the recording has no area of that name; it has {list}"));
        let neither = both.replace("BiscuitOS_cma", "z");
        let error = run(system, machine, named(None), neither.as_bytes()).expect_err("which?");
        assert!(error.to_string().starts_with("choose with from=NAME; the recording has x (1"), "{error}");
        assert_eq!(run(system, machine, named(Some("x")), b"a 1 1 0\n").err(), Some(ReplayError::NoAreas));
        assert_eq!(system.area(id).stats().alloc_success, 1, "errors do not reach the area");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_cannot_be_followed_is_refused() {
    with_board(64, |system, machine| {
        // Nearly all memory is in use: all largest blocks except one.
        let blocks = core::iter::from_fn(|| system.zone_mut().alloc_pages(MAX_PAGE_ORDER, Migratetype::Unmovable).ok());
        let mut blocks: Vec<Block> = blocks.collect();
        system.zone_mut().free_pages(blocks.pop().expect("there was one"));
        let mut error = |text: String| {
            let free = system.zone().nr_free_pages();
            let error = replay(system, machine, &text).expect_err("not a good recording");
            assert_eq!(system.zone().nr_free_pages(), free);
            error
        };
        let far = error(alloc(0x100, 1) + &alloc(0x50_0000, 1));
        assert_eq!(far, TraceError { line: 2, reason: Reason::TooFar(0x50_0000) }.into());
        let long = error(alloc(0x100, u32::MAX));
        assert_eq!(long, TraceError { line: 1, reason: Reason::TooFar(0x100) }.into());
        // Pages that end after the largest number.
        for pfn in [u64::MAX, u64::MAX - 4] {
            let text = alloc(0x100, 1).replace("0x100", &format!("{pfn:#x}")).replace("count=1", "count=5");
            assert_eq!(error(text), TraceError { line: 1, reason: Reason::TooFar(pfn) }.into());
        }
        // The table for 12 GiB of recorded area does not fit into the board's memory.
        let much = error(alloc(0x100, 1) + &alloc(0x30_0000, 1));
        assert!(matches!(much, ReplayError::Memory { bytes } if bytes > 24 << 20), "{much}");
        let areas: String = (0..33).map(|number| release(1, 1).replace("name=x", &format!("name={number}"))).collect();
        assert_eq!(error(areas), TraceError { line: 33, reason: Reason::TooManyAreas(32) }.into());
        for nothing in ["# tracer: nop\n", "CPU:0 [LOST 5 EVENTS]\n", "version = 6\ncpus=8\n"] {
            assert_eq!(error(nothing.into()), TraceError { line: 0, reason: Reason::Empty }.into());
        }
        let cut = "  x-1 [000] 1.0: cma_release: name=x pfn=0x100 pa";
        let half = error(alloc(0x100, 1) + &alloc(0x101, 1) + cut + "\n" + &alloc(0x102, 1));
        assert!(matches!(half, ReplayError::Trace(TraceError { line: 3, .. })), "{half}");
        system.zone_mut().free_pages(blocks.pop().expect("there were several"));
        let report = replay(system, machine, &(alloc(0x100, 1) + &alloc(0x101, 1) + cut)).expect("a good recording");
        assert_eq!((report.ops, report.lost), (2, 1));
    });
}

/// Makes the start of a request, as newer kernels print it.
fn start(pages: u32, free: u32) -> String {
    format!(
        "    camera app-7  [000] .....  1.000000: cma_alloc_start: name=x request_count={pages} available_count={free} \
         total_count=2048 align=0\n"
    )
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn counts_tell_what_the_events_do_not() {
    let counts = |text: &str| replayed(text).0.counts;
    let whole = start(2, 2000) + &alloc(0x100, 2) + &start(3, 1998) + &alloc(0x102, 3) + &release(0x100, 2);
    let told = counts(&(whole.clone() + &start(1, 1997) + &alloc(0x100, 1)));
    assert_eq!((told.held_before, told.gaps), (Some(48), 0));
    // Another processor has taken the pages of its request, but its event comes later.
    let crossed = start(2, 2048) + &start(5, 2046) + &alloc(0x102, 5) + &alloc(0x100, 2) + &start(1, 2041);
    let told = counts(&(crossed + &alloc(0x107, 1) + &start(1, 2040) + &alloc(0x108, 1)));
    assert_eq!((told.held_before, told.gaps), (Some(0), 0), "once is no gap");
    // The events of 100 pages were lost.
    let lost = whole + &start(1, 1897) + &alloc(0x100, 1) + &start(1, 1896) + &alloc(0x101, 1);
    let (report, _) = replayed(&lost);
    assert_eq!((report.counts.gaps, report.counts.first_gap), (1, 6));
    let text = report.to_string();
    assert!(text.contains("48 pages held there when the recording began"), "{text}");
    assert!(text.contains("In 1 place, first at line 6, pages came or went without an event"), "{text}");
    assert!(report.record().to_string().contains(",\"gaps\":1,\"first_gap\":6,"));
    assert_eq!(counts(&alloc(0x100, 2)).held_before, None, "older kernels do not tell");
}

#[test]
fn a_recording_of_beginnings_says_what_to_record() {
    let old = "  x-1 [000] .....  1.0: cma_alloc_start: name=x count=2 align=0\n";
    for (text, count) in [(start(2, 2048).repeat(3), 3), (old.repeat(2), 2)] {
        let error = with_board(64, |system, machine| replay(system, machine, &text).expect_err("nothing to replay"));
        let line = format!("the recording has {count} lines cma_alloc_start, which do not say what was allocated");
        assert!(error.to_string().starts_with(&line), "{error}");
        assert!(error.to_string().contains("echo 1 > /sys/kernel/tracing/events/cma/enable"), "{error}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_part_is_replayed_and_two_parts_are_the_whole() {
    let by = |task: &str, text: String| text.replace("camera app", task);
    let text = by("vpu-dec", alloc(0x100, 64))
        + &by("isp", alloc(0x140, 8))
        + &by("vpu-enc", alloc(0x180, 16))
        + &by("isp", release(0x100, 64))
        + &by("isp", release(0x140, 8))
        + &by("vpu-dec", failed(100));
    let part = |task, (least, most)| {
        with_board(64, |system, machine| {
            let part = Part { task, pages: Sizes { least, most } };
            let options = Options { part, ..Options::new(area(system)) };
            run(system, machine, options, text.as_bytes()).expect("a good recording")
        })
    };
    let ops = |report: &ReplayReport| (report.allocs, report.ops, report.left_out, report.unmatched);
    assert_eq!(ops(&part(None, (0, u32::MAX))), (4, 6, 0, 0));
    let (vpu, isp) = (part(Some("vpu*"), (0, u32::MAX)), part(Some("isp"), (0, u32::MAX)));
    assert_eq!(ops(&vpu), (3, 4, 1, 0), "whoever releases it");
    assert_eq!((ops(&isp), isp.metrics.used), ((1, 2, 3, 0), 0));
    let (large, small) = (part(None, (64, u32::MAX)), part(None, (0, 63)));
    assert_eq!((ops(&large), ops(&small)), ((2, 3, 2, 0), (2, 3, 2, 0)));
    assert_eq!(part(Some("vpu*"), (64, 99)).allocs, 1);
    assert!(vpu.record().to_string().contains(",\"left_out\":1,"));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn lines_that_say_nothing_do_not_keep_ctrl_c_waiting() {
    let events = alloc(0x100, 2);
    let foreign = "  x-1 [000] .....  1.0: sched_switch: prev=x\n".repeat(3 * 4096);
    for text in [events.clone() + &foreign, foreign.clone() + &events] {
        with_board(64, |system, machine| {
            for (looks, pass) in [(1, "first"), (4, "second")] {
                machine.interrupt_after.set(Some(looks));
                let answer = replay(system, machine, &text);
                match pass {
                    "first" => assert_eq!(answer.err(), Some(ReplayError::Interrupted)),
                    _ => assert!(answer.is_ok_and(|report| report.interrupted), "{pass}"),
                }
                let area = area(system);
                system.release_all(area);
            }
        });
    }
    // Empty lines only add to the number of lines.
    let (report, kept) = replayed(&("\n".repeat(50_000) + &"\r\n".repeat(1000) + &events));
    assert_eq!((report.lines, kept.len()), (51_001, 1));
}

/// Replays on a loaded state; returns the report, and page offset and pages of each remaining
/// buffer.
fn replayed_on(state: &str, text: &str) -> (ReplayReport, Vec<(u32, u32)>) {
    with_board(64, |system, machine| {
        let id = area(system);
        let state = crate::state::find(state.as_bytes(), None, None).expect("a state");
        let loaded = crate::state::put(system, id, &state).expect("it fits").loaded;
        let options = Options { loaded: Some(loaded), ..Options::new(id) };
        let report = run(system, machine, options, text.as_bytes()).expect("a good recording");
        system.check().expect("the accounting balances");
        let left = system.kept(id).map(|kept| (kept.first.0 - BASE.0, kept.pages)).collect();
        // The remaining parts of the state's buffers still belong to the state.
        let own: u32 = system.kept(id).filter(|kept| loaded.has(kept.id)).map(|kept| kept.pages).sum();
        assert_eq!(own, loaded.pages(system));
        assert!(run(system, machine, options, text.as_bytes()).is_ok() || own < system.area(id).used_pages());
        (report, left)
    })
}

/// Pages 0-99 and 200-299 of 2048 are held when the recording begins.
const HELD: &str = "number of available pages: 100@100+1748@300=> 1848 free of 2048 total pages\n";

#[test]
fn releases_of_what_a_loaded_state_holds_release_it() {
    let text = [
        alloc(BASE.0 + 100, 4),
        // The middle of a buffer, the end of one, and a whole one with free pages after it.
        release(BASE.0 + 40, 20),
        release(BASE.0 + 90, 10),
        release(BASE.0 + 200, 100),
        // A second time, and of pages that were never held.
        release(BASE.0 + 40, 20),
        release(BASE.0 + 300, 5),
        release(BASE.0 + 100, 4),
    ];
    let (report, left) = replayed_on(HELD, &text.concat());
    assert_eq!(left, [(0, 40), (60, 30)]);
    assert_eq!((report.unmatched, report.ops), (2, 7));
    // A bitmap of debugfs, of a board whose area has another address.
    let mut words = ["0"; 64];
    (words[0], words[1], words[63]) = ("4294967295", "7", "2147483648");
    let files = format!("/d/x/base_pfn:4096\n/d/x/bitmap:{}\n/d/x/count:2048\n", words.join(" "));
    let text =
        [alloc(4096 + 64, 2), release(4096, 35), release(4096 + 2047, 1), release(4096 + 2048, 1), release(4095, 1)];
    let (report, left) = replayed_on(&files, &text.concat());
    assert_eq!(left, [(35, 2)], "the replay's own, where the state left room");
    assert_eq!(report.unmatched, 2);
    // Without a base the pages are unknown.
    let unknown = files.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
    let (report, _) = replayed_on(&unknown, &text.concat());
    assert_eq!(report.unmatched, 4);
}
