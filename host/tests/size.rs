// SPDX-License-Identifier: MIT OR Apache-2.0

//! Smallest sizes compared with a simple model, and fingerprints with Linux's.

use std::collections::HashMap;
use std::fmt::Write;

use host::board::Board;
use host::size::{Alignment, Answer, FIRST_FIT, PAGEBLOCK_PAGES, Recording, Rule, one_by_one};
use kernel::lab::replay::WhenServed;

/// A linear congruential generator: a seed gives the same recording everywhere.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A request of a recording.
#[derive(Clone, Copy)]
enum Op {
    Alloc { id: u32, pages: usize, align_order: u32 },
    Release { id: u32 },
}

/// Returns a random recording: IDs are allocated again while they are held, and released twice.
fn random(seed: u64) -> Vec<Op> {
    let mut rng = Rng(seed);
    let most = 1 + rng.below(900);
    let ids = 4 + rng.below(60);
    let mut allocated = vec![false; ids as usize];
    let mut ops = Vec::new();
    for _ in 0..300 {
        let id = rng.below(ids);
        if allocated[id as usize] && rng.below(5) > 0 {
            ops.push(Op::Release { id: id as u32 });
        } else {
            let pages = 1 + rng.below(most);
            allocated[id as usize] = true;
            ops.push(Op::Alloc { id: id as u32, pages: pages as usize, align_order: rng.below(10) as u32 });
        }
    }
    ops
}

fn text(ops: &[Op]) -> String {
    ops.iter().fold(String::new(), |mut text, op| {
        let _ = match op {
            Op::Alloc { id, pages, align_order } => writeln!(text, "a {id} {pages} {align_order}"),
            Op::Release { id } => writeln!(text, "r {id}"),
        };
        text
    })
}

/// Replays a recording first-fit on a plain map; returns the number of failed requests.
fn model(ops: &[Op], area_pages: usize) -> u64 {
    let mut map = vec![false; area_pages];
    let mut held: HashMap<u32, (usize, usize)> = HashMap::new();
    let mut failed = 0;
    for op in ops {
        let (Op::Alloc { id, .. } | Op::Release { id }) = *op;
        if let Some((first, pages)) = held.remove(&id) {
            map[first..first + pages].fill(false);
        }
        if let Op::Alloc { pages, align_order, .. } = *op {
            let places = (0..(area_pages + 1).saturating_sub(pages)).step_by(1 << align_order);
            match places.into_iter().find(|&first| !map[first..first + pages].contains(&true)) {
                Some(first) => {
                    map[first..first + pages].fill(true);
                    held.insert(id, (first, pages));
                }
                None => failed += 1,
            }
        }
    }
    failed
}

fn clock() -> u64 {
    0
}

#[test]
fn the_smallest_size_is_that_of_a_plain_model() {
    let rule = Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis };
    for seed in 0..40 {
        let ops = random(seed);
        let text = text(&ops);
        let recording = Recording::open(text.as_bytes(), None, clock).unwrap();
        let answer = recording.size(&rule, None, PAGEBLOCK_PAGES, &one_by_one).unwrap();
        let sizes = (1..).map(|blocks| blocks * PAGEBLOCK_PAGES);
        let smallest = sizes.clone().find(|&pages| model(&ops, pages as usize) == 0).unwrap();
        assert_eq!(answer.smallest_pages, smallest, "seed {seed}");
        let below = smallest - PAGEBLOCK_PAGES;
        assert_eq!(answer.largest_failing_pages, (below > 0).then_some(below), "seed {seed}");
    }
}

#[test]
fn under_other_rules_nothing_fails_from_the_smallest_size_on() {
    for seed in 100..104 {
        let text = text(&random(seed));
        let recording = Recording::open(text.as_bytes(), None, clock).unwrap();
        for placement in ["best-fit", "next-fit", "two-ended", "zoned", "relocate"] {
            let rule = Rule { placement: placement.into(), alignment: Alignment::Page };
            let answer = recording.size(&rule, None, PAGEBLOCK_PAGES, &one_by_one).unwrap();
            assert!(answer.tried_to_pages >= 2 * answer.peak_pages, "{placement}, seed {seed}");
            let sizes = (1..=answer.tried_to_pages / PAGEBLOCK_PAGES).map(|blocks| blocks * PAGEBLOCK_PAGES);
            let failing: Vec<u32> = sizes
                .filter(|&pages| recording.run(&rule, WhenServed::Release, pages, false).unwrap().failed > 0)
                .collect();
            assert_eq!(answer.largest_failing_pages, failing.last().copied(), "{placement}, seed {seed}");
            let smallest = failing.last().unwrap_or(&0) + PAGEBLOCK_PAGES;
            assert_eq!(answer.smallest_pages, smallest, "{placement}, seed {seed}");
        }
    }
}

/// Returns the rows of a table, by the names of its columns: `trace,area_bits,…`.
fn linux_results() -> Vec<HashMap<String, String>> {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/linux-6.1/results.csv");
    let text = std::fs::read_to_string(data).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| head.iter().map(ToString::to_string).zip(line.split(',').map(str::to_owned)).collect();
    lines.map(row).collect()
}

#[test]
fn fingerprints_are_linux_s() {
    let mut traces = 0;
    for row in linux_results() {
        let name = &row["trace"];
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/linux-6.1/");
        let Ok(trace) = std::fs::read(format!("{data}{name}")) else { continue };
        let pages = row["area_bits"].parse().unwrap();
        let printed = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
        let sink = printed.clone();
        let print = Box::new(move |text: &str| sink.borrow_mut().push_str(text));
        let status = Board::of_one("area", pages)
            .with(clock, print, |system, host| host::monitor_line(system, host, Some(&trace), "replay area=area"));
        assert_eq!(status, 0, "{name}: {}", printed.borrow());
        for fingerprint in ["placement_fnv1a", "bitmap_fnv1a"] {
            let field = format!("\"{fingerprint}\":\"{}\"", row[fingerprint]);
            assert!(printed.borrow().contains(&field), "{name}: no {field} in {}", printed.borrow());
        }
        traces += 1;
    }
    assert!(traces >= 5, "{traces} traces");
}

/// A camera's buffers live for two seconds; three requests fail while others hold the area.
const FAILING: &str = "\
  cam-7  [000] .....     1.000000: cma_alloc_finish: name=x pfn=0x10000 page=0 count=1000 align=0 errorno=0
  cam-7  [000] .....     3.000000: cma_release: name=x pfn=0x10000 page=0 count=1000
  vpu-8  [000] .....     4.000000: cma_alloc_finish: name=x pfn=0x10000 page=0 count=1000 align=0 errorno=0
  cam-7  [000] .....     5.000000: cma_alloc_finish: name=x pfn=0x0 page=0 count=1000 align=0 errorno=-12
  cam-7  [000] .....     5.100000: cma_alloc_finish: name=x pfn=0x0 page=0 count=1000 align=0 errorno=-12
  cam-7  [000] .....     5.200000: cma_alloc_finish: name=x pfn=0x0 page=0 count=1000 align=0 errorno=-12
  vpu-8  [000] .....     9.000000: cma_release: name=x pfn=0x10000 page=0 count=1000
";

#[test]
fn what_failed_when_it_was_recorded_may_have_lived() {
    let recording = Recording::open(FAILING.as_bytes(), None, clock).unwrap();
    let rule = Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis };
    let size = |served| recording.size(&rule, served, 1, &one_by_one).unwrap();
    let released = size(Some(WhenServed::Release));
    assert_eq!((released.smallest_pages, released.failed_recorded), (2000, 3));
    let kept = size(Some(WhenServed::Keep));
    assert_eq!(kept.smallest_pages, 4000);
    assert_eq!(size(None), Answer { otherwise_pages: Some(2000), ..kept.clone() }, "the larger of the two");
    let text = kept.record("x").to_string();
    assert!(
        text.contains("\"smallest_pages\":4000,\"largest_failing_pages\":3999,")
            && text.ends_with("\"failed\":\"keep\",\"lost\":0,\"unmatched\":0,\"busy\":0,\"held_before\":0}")
    );
}

/// Events that a board recorded in two areas: requests fail, and the first releases are of buffers
/// from before.
enum Event {
    Alloc { area: usize, buffer: u32, pages: usize, align_order: u32 },
    Failed { area: usize, pages: usize, align_order: u32 },
    Release { area: usize, buffer: u32, pages: usize },
    Unknown { area: usize },
}

const AREAS: [&str; 2] = ["camera", "video"];

fn random_events(seed: u64) -> Vec<Event> {
    let mut rng = Rng(seed);
    let most = 1 + rng.below(700);
    let mut held: Vec<(usize, u32, usize)> = Vec::new();
    let mut events = Vec::new();
    for buffer in 0..150 {
        let (area, pages) = (rng.below(2) as usize, 1 + rng.below(most) as usize);
        let align_order = rng.below(9) as u32;
        match rng.below(10) {
            0 => events.push(Event::Failed { area, pages, align_order }),
            1 if seed.is_multiple_of(2) => events.push(Event::Unknown { area }),
            2..6 if !held.is_empty() => {
                let (area, buffer, pages) = held.swap_remove(rng.below(held.len() as u64) as usize);
                events.push(Event::Release { area, buffer, pages });
            }
            _ => {
                held.push((area, buffer, pages));
                events.push(Event::Alloc { area, buffer, pages, align_order });
            }
        }
    }
    events
}

/// Formats events like ftrace. Every buffer has page frames of its own.
fn ftrace(events: &[Event]) -> String {
    let pfn = |buffer: u32| 0x10000 + buffer * 0x400;
    (0..).zip(events).fold(String::from("# tracer: nop\n"), |text, (second, event)| {
        let line = match *event {
            Event::Alloc { area, buffer, pages, align_order } => format!(
                "cma_alloc_finish: name={} pfn={:#x} page=0 count={pages} align={align_order} errorno=0",
                AREAS[area],
                pfn(buffer)
            ),
            Event::Failed { area, pages, align_order } => format!(
                "cma_alloc_finish: name={} pfn=0x0 page=0 count={pages} align={align_order} errorno=-12",
                AREAS[area]
            ),
            Event::Release { area, buffer, pages } => {
                format!("cma_release: name={} pfn={:#x} page=0 count={pages}", AREAS[area], pfn(buffer))
            }
            Event::Unknown { area } => format!("cma_release: name={} pfn=0x8000 page=0 count=3", AREAS[area]),
        };
        format!("{text}  task-7  [000] .....  {second:>4}.000000: {line}\n")
    })
}

/// Returns the events of an area for the model: failed requests are released at once, and unknown
/// events are left out.
fn of_area(events: &[Event], wanted: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    for event in events {
        match *event {
            Event::Alloc { area, buffer, pages, align_order } if area == wanted => {
                ops.push(Op::Alloc { id: buffer, pages, align_order });
            }
            Event::Failed { area, pages, align_order } if area == wanted => {
                ops.extend([Op::Alloc { id: u32::MAX, pages, align_order }, Op::Release { id: u32::MAX }]);
            }
            Event::Release { area, buffer, .. } if area == wanted => ops.push(Op::Release { id: buffer }),
            _ => {}
        }
    }
    ops
}

#[test]
fn the_smallest_size_of_each_of_two_areas_is_that_of_a_plain_model() {
    let rule = Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis };
    let (mut failed, mut partial) = (0, 0);
    for seed in 0..12 {
        let events = random_events(seed);
        let text = ftrace(&events);
        for (area, name) in AREAS.into_iter().enumerate() {
            let recording = Recording::open(text.as_bytes(), Some(name), clock).unwrap();
            let answer = recording.size(&rule, Some(WhenServed::Release), 1, &one_by_one).unwrap();
            let ops = of_area(&events, area);
            let smallest = (1..).find(|&pages| model(&ops, pages) == 0).unwrap();
            assert_eq!(answer.smallest_pages as usize, smallest, "seed {seed}, {name}");
            let counted = |wanted: fn(&Event) -> Option<usize>| {
                events.iter().filter(|event| wanted(event) == Some(area)).count() as u64
            };
            let failures = counted(|event| if let Event::Failed { area, .. } = event { Some(*area) } else { None });
            let unknown = counted(|event| if let Event::Unknown { area } = event { Some(*area) } else { None });
            assert_eq!((answer.failed_recorded, answer.unmatched), (failures, unknown), "seed {seed}, {name}");
            assert_eq!(answer.partial, unknown > 0, "seed {seed}, {name}");
            failed += failures;
            partial += u32::from(answer.partial);
        }
    }
    assert!(failed > 20 && (4..24).contains(&partial), "{failed} failures, {partial} partial");
}
