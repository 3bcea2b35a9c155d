// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache maintenance in the image: every line that is shared with a device, at both levels, in the
//! right order. QEMU has no caches, so that no contents show it; `boot_tests::caches` reads it from
//! a log.

use std::collections::VecDeque;

use Level::{Inner, Outer};
use boot_tests::caches::{self, Level, Maintenance, Step};
use boot_tests::{Boot, Outcome, disk};
use kernel::dma::hardware::CacheOp::{self, Clean, CleanInvalidate, Invalidate};
use kernel::dma::{Direction, LINE_BYTES};
use kernel::monitor::selftest::{segments, transfers};
use kernel::units::PAGE_SIZE;

/// Returns all lines that a range touches: the first one's address, and their length.
fn lines_of((start, bytes): (u32, u32)) -> (u32, u32) {
    let first = start & !(LINE_BYTES - 1);
    (first, (start + bytes).next_multiple_of(LINE_BYTES) - first)
}

/// Adds the maintenance at one level for a range that a device will write or has written: its
/// partial lines are cleaned before they are invalidated.
fn drop_own(steps: &mut Maintenance, level: Level, (start, bytes): (u32, u32)) {
    let (first, length) = lines_of((start, bytes));
    let lines = (first..first + length).step_by(LINE_BYTES as usize);
    let (own, edges): (Vec<u32>, Vec<u32>) =
        lines.partition(|&line| line >= start && line + LINE_BYTES <= start + bytes);
    edges.iter().for_each(|&line| steps.lines(level, CleanInvalidate, line, LINE_BYTES));
    own.iter().for_each(|&line| steps.lines(level, Invalidate, line, LINE_BYTES));
}

/// Adds the maintenance before a device begins: level 1, then level 2.
fn to_device(steps: &mut Maintenance, ranges: &[(u32, u32)], direction: Direction) {
    for level in [Inner, Outer] {
        for &range in ranges {
            if direction == Direction::FromDevice {
                drop_own(steps, level, range);
            } else {
                let (first, length) = lines_of(range);
                steps.lines(level, Clean, first, length);
            }
        }
    }
    steps.steps.push(Step::Sync);
}

/// Adds the maintenance after a device has ended: level 2, then level 1.
fn to_cpu(steps: &mut Maintenance, ranges: &[(u32, u32)], direction: Direction) {
    if direction != Direction::ToDevice {
        ranges.iter().for_each(|&range| drop_own(steps, Outer, range));
        steps.steps.push(Step::Sync);
        ranges.iter().for_each(|&range| drop_own(steps, Inner, range));
    }
}

/// Adds cleaning and invalidating a range's lines at both levels; level 1 uses the address `cpu`.
fn purge(steps: &mut Maintenance, cpu: u32, range: (u32, u32)) {
    let (first, length) = lines_of(range);
    steps.lines(Inner, CleanInvalidate, cpu & !(LINE_BYTES - 1), length);
    steps.lines(Outer, CleanInvalidate, first, length);
    steps.steps.push(Step::Sync);
}

/// Returns the machine's maintenance since level 2 was switched on.
fn since_boot(maintenance: &Maintenance) -> &[Step] {
    let on = |step: &Step| *step == Step::Register { offset: 0x100, value: 1 };
    let at = maintenance.steps.iter().position(on).expect("level 2 was switched on");
    &maintenance.steps[at + 1..]
}

/// Shows the first difference: there may be thousands of steps.
#[track_caller]
fn assert_same(found: &[Step], expected: &[Step], outcome: &Outcome) {
    let differs = (0..found.len().max(expected.len())).find(|&step| found.get(step) != expected.get(step));
    if let Some(step) = differs {
        let (found, expected) = (found.get(step), expected.get(step));
        panic!("step {step} is {found:x?} and not {expected:x?}; {outcome}");
    }
}

#[test]
fn both_caches_are_emptied_before_level_2_is_switched_on() {
    let (outcome, found) = caches::run(Boot::commands("version"));
    outcome.ended_with(0);
    let mut sets_and_ways = found.sets_and_ways;
    sets_and_ways.sort_unstable();
    // 4 ways, whose number is in the highest bits, of 128 sets.
    let all: Vec<u32> = (0..4).flat_map(|way| (0..128).map(move |set| way << 30 | set << 5)).collect();
    assert_eq!(sets_and_ways, all);
    let registers: Vec<_> = found.steps.iter().filter(|step| !matches!(step, Step::Lines { .. })).collect();
    let write = |offset, value| Step::Register { offset, value };
    let lockdown = (0..16).map(|way| write(0x900 + 4 * way, 0));
    let rest = [write(0x77c, 0xff), Step::Sync, write(0x214, 0), write(0x220, 0x1ff), write(0x100, 1)];
    // The auxiliary control register is first: early response, prefetching, and no lookups for
    // non-cacheable accesses.
    let expected: Vec<Step> = [write(0x104, 0x7242_0000)].into_iter().chain(lockdown).chain(rest).collect();
    assert_eq!(registers, expected.iter().collect::<Vec<_>>(), "{outcome}");
}

#[test]
fn a_coherent_buffer_leaves_both_caches_when_it_is_made() {
    for processors in [1, 4] {
        let commands =
            "dma alloc BiscuitOS_CMA 1M; dma alloc display@10020000 4097; dma alloc BiscuitOS_CMA 1; dma free all";
        let (outcome, found) = caches::run(Boot::commands(commands).processors(processors));
        outcome.ended_with(0).has_line("freed 3");
        let mut expected = Maintenance::default();
        let address = |line: &str, before: &str| {
            let digits = line.split(before).nth(1).expect("an address").get(..8);
            digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).expect("eight digits")
        };
        let buffers = outcome.console().lines().filter(|line| line.contains("device address"));
        for (line, bytes) in buffers.zip([1 << 20, 2 * PAGE_SIZE as u32, PAGE_SIZE as u32]) {
            purge(&mut expected, address(line, "processor at 0x"), (address(line, "device address 0x"), bytes));
            // The zeroes are in memory before the driver gets the buffer.
            expected.steps.push(Step::Sync);
        }
        // One drain per release, for the driver's last writes.
        expected.steps.extend([Step::Sync; 3]);
        assert_eq!(expected.steps.len(), 3 * 4 + 3, "{outcome}");
        assert_same(since_boot(&found), &expected.steps, &outcome);
    }
}

#[test]
fn every_line_of_a_transfer_is_maintained_in_each_direction() {
    let (outcome, found) = caches::run(Boot::commands("selftest dma_streaming"));
    outcome.ended_with(0).has_line("ok 1 dma_streaming");
    let found = since_boot(&found);
    let first = transfers().next().expect("a transfer");
    let Some(&Step::Lines { start, .. }) = found.first() else { panic!("no maintenance: {outcome}") };
    let base = start - (first.0 & !(LINE_BYTES - 1));
    let mut expected = Maintenance::default();
    // The test acts as the device, whose data are in memory and in no cache.
    let device_writes = |expected: &mut Maintenance, range: (u32, u32)| purge(expected, range.0, range);
    let mut directions = [0; 3];
    for (offset, bytes, direction) in transfers() {
        let range = (base + offset, bytes);
        to_device(&mut expected, &[range], direction);
        if direction.device_writes() {
            device_writes(&mut expected, range);
        }
        to_cpu(&mut expected, &[range], direction);
        directions[Direction::ALL.iter().position(|&one| one == direction).expect("one of three")] += 1;
    }
    assert!(directions.iter().all(|&transfers| transfers > 50), "{directions:?}");
    let ranges: Vec<_> = segments().map(|(offset, bytes)| (base + offset, bytes)).collect();
    to_device(&mut expected, &ranges, Direction::FromDevice);
    ranges.iter().for_each(|&range| device_writes(&mut expected, range));
    to_cpu(&mut expected, &ranges, Direction::FromDevice);
    assert_same(found, &expected.steps, &outcome);
}

/// A request of the disk, from the first level 1 operation on its pages to the last.
#[derive(Debug)]
struct Transfer {
    ranges: Vec<(u32, u32)>,
    request: Option<u64>,
    ended: bool,
}

/// The disk's requests, as found from the maintenance around them.
#[derive(Default)]
struct Requests {
    /// Requests mapped, and not begun yet: reads and writes in one queue.
    waiting: VecDeque<(bool, Transfer)>,
    reads: Vec<Transfer>,
    writes: Vec<Transfer>,
    /// Requests that the disk ended during a sequence of maintenance operations.
    meanwhile: Vec<u64>,
    bytes: [u64; 2],
}

impl Requests {
    /// Returns the next step of the processor. Requests that the disk ends meanwhile are recorded,
    /// and count as ended after the sequence of operations.
    fn next<'s>(&mut self, steps: &'s mut VecDeque<Step>) -> Option<&'s mut Step> {
        while let Some(&Step::DiskEnds { request }) = steps.front() {
            self.meanwhile.push(request);
            steps.pop_front();
        }
        steps.front_mut()
    }

    /// Takes ranges of one level and operation from the front, `most` bytes at most.
    fn ranges(&mut self, steps: &mut VecDeque<Step>, level: Level, op: CacheOp, most: u32) -> Vec<(u32, u32)> {
        let mut found = Maintenance::default();
        let mut left = most;
        while let Some(Step::Lines { level: at, op: with, start, bytes }) = self.next(steps)
            && (*at, *with) == (level, op)
            && left > 0
        {
            // The maintenance of the next mapping may continue at the end of this one.
            let taken = left.min(*bytes);
            found.lines(level, op, *start, taken);
            (*start, *bytes, left) = (*start + taken, *bytes - taken, left - taken);
            if *bytes == 0 {
                steps.pop_front();
            }
        }
        let range = |step: &Step| match *step {
            Step::Lines { start, bytes, .. } => Some((start, bytes)),
            _ => None,
        };
        found.steps.iter().filter_map(range).collect()
    }

    fn sync(&mut self, steps: &mut VecDeque<Step>) {
        assert_eq!(self.next(steps).copied(), Some(Step::Sync), "level 2 is drained");
        steps.pop_front();
    }

    fn end(&mut self, request: u64) {
        let mut begun = self.reads.iter_mut().chain(&mut self.writes);
        let transfer = begun.find(|one| one.request == Some(request) && !one.ended).expect("a request that has begun");
        transfer.ended = true;
    }

    /// Takes the next event, which has to be in order.
    fn take(&mut self, steps: &mut VecDeque<Step>) {
        match steps[0] {
            Step::Lines { level: Inner, op: op @ (Clean | Invalidate), .. } => {
                let ranges = self.ranges(steps, Inner, op, u32::MAX);
                assert_eq!(self.ranges(steps, Outer, op, u32::MAX), ranges, "level 2 follows level 1");
                self.sync(steps);
                self.waiting.push_back((op == Clean, Transfer { ranges, request: None, ended: false }));
            }
            Step::Lines { level: Outer, op: Invalidate, .. } => {
                let ranges = self.ranges(steps, Outer, Invalidate, u32::MAX);
                self.sync(steps);
                let bytes = ranges.iter().map(|range| range.1).sum();
                assert_eq!(self.ranges(steps, Inner, Invalidate, bytes), ranges, "level 1 follows level 2");
                let ended = self.reads.iter().position(|read| read.ended && read.ranges == ranges);
                self.reads.remove(ended.unwrap_or_else(|| panic!("{ranges:x?} was not read: {:x?}", self.reads)));
            }
            Step::DiskBegins { request, writes, bytes } => {
                let (cleaned, mut transfer) = self.waiting.pop_front().expect("mapped before the disk begins");
                let mapped: u32 = transfer.ranges.iter().map(|range| range.1).sum();
                assert_eq!((cleaned, mapped), (writes, bytes), "{transfer:x?}");
                self.bytes[usize::from(writes)] += u64::from(bytes);
                transfer.request = Some(request);
                if writes { &mut self.writes } else { &mut self.reads }.push(transfer);
                steps.pop_front();
            }
            Step::DiskEnds { request } => {
                self.end(request);
                steps.pop_front();
            }
            ref step => panic!("{step:x?} belongs to no request"),
        }
        for request in std::mem::take(&mut self.meanwhile) {
            self.end(request);
        }
    }
}

#[test]
fn every_line_that_the_disk_reads_or_writes_is_maintained_around_it() {
    for transport in [&[][..], &["-global", "virtio-mmio.force-legacy=false"]] {
        let image = tempfile::NamedTempFile::new().expect("a temporary file");
        disk::create(image.path(), 4 << 20, &[("testdata".into(), 300_000)]).expect("the file fits");
        let commands = "disk check; disk bench pages=64; copytest files=1 size=200000";
        let boot = Boot::commands(commands).memory("32M").with("cma=8M").disk(image.path()).options(transport);
        let (outcome, found) = caches::run(boot);
        outcome.ended_with(0);
        let mut steps = since_boot(&found);
        // The queue and the requests' headers are coherent and never released.
        while let [first, second, Step::Sync, Step::Sync, rest @ ..] = steps
            && let Step::Lines { level: Inner, op: CleanInvalidate, bytes, .. } = first
            && let Step::Lines { level: Outer, op: CleanInvalidate, bytes: outer, .. } = second
        {
            assert_eq!(bytes, outer);
            steps = rest;
        }
        let mut steps: VecDeque<Step> = steps.iter().copied().collect();
        let mut requests = Requests::default();
        while !steps.is_empty() {
            requests.take(&mut steps);
        }
        let Requests { waiting, reads, writes, bytes, .. } = requests;
        assert!(waiting.is_empty() && reads.is_empty(), "{waiting:x?} {reads:x?}: {outcome}");
        assert!(writes.iter().all(|write| write.ended), "{outcome}");
        // The pages read according to the console.
        let counted = outcome.record("copytest");
        let pages = |field: &str| counted[field].as_u64().expect("a number");
        assert!(pages("pages_read") > 0 && pages("pages_written") > 0, "{counted}");
        assert!(bytes[0] >= pages("pages_read") * PAGE_SIZE && bytes[1] >= pages("pages_written") * PAGE_SIZE);
    }
}
