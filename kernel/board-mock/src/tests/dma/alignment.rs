// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache lines: every alignment of start and end in every direction, and random transfers over
//! caches that fill and evict lines at random.

use proptest::prelude::*;

use super::*;
use crate::dma::Step;
use dma::hardware::CacheOp;
use dma::lines::Lines;

const LINE: u32 = LINE_BYTES;
/// The longest range whose ends are tested at every alignment.
const LONGEST: u32 = if cfg!(miri) { 34 } else { 4 * LINE };

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn parts_cover_a_range_and_only_edges_are_shared() {
    for start in 0..LINE {
        for bytes in 1..=LONGEST {
            let (head, whole, tail) = Lines::new(PhysAddr(u64::from(0x6000_0000 + start)), bytes).parts();
            let mut covered = vec![false; (start + bytes).next_multiple_of(LINE) as usize];
            for (place, part) in [head, whole, tail].into_iter().enumerate() {
                let Some((first, length)) = part else { continue };
                let first = first - 0x6000_0000;
                assert!(first.is_multiple_of(LINE) && length.is_multiple_of(LINE) && length > 0);
                let inside = first >= start && first + length <= start + bytes;
                assert_eq!(inside, place == 1, "{start}+{bytes}: what may be dropped is all the range's own");
                for byte in &mut covered[first as usize..(first + length) as usize] {
                    assert!(!core::mem::replace(byte, true), "{start}+{bytes}: no line twice");
                }
            }
            assert!(covered.iter().all(|&byte| byte), "{start}+{bytes}: every line");
        }
    }
    let top = Lines::new(PhysAddr(0xffff_ffe1), 31);
    assert_eq!((top.all(), top.parts()), ((0xffff_ffe0, 32), (Some((0xffff_ffe0, 32)), None, None)));
}

/// The operations needed to drop a range, computed line by line.
fn drop_of(first: u32, end: u32) -> Vec<(CacheOp, u32)> {
    let lines = (first / LINE..end.div_ceil(LINE)).map(|line| line * LINE);
    lines
        .map(|line| {
            let own = line >= first && line + LINE <= end;
            (if own { CacheOp::Invalidate } else { CacheOp::CleanInvalidate }, line)
        })
        .collect()
}

/// The steps as single lines: those of level 1, then those of level 2, each sorted by line.
fn by_line(steps: &[Step]) -> [Vec<(CacheOp, u32)>; 2] {
    let mut levels = [Vec::new(), Vec::new()];
    for step in steps {
        let (level, op, first, bytes) = match *step {
            Step::Inner(op, first, bytes) => (0, op, first, bytes),
            Step::Outer(op, first, bytes) => (1, op, first, bytes),
            Step::Sync => continue,
        };
        levels[level].extend((first..first + bytes).step_by(LINE as usize).map(|line| (op, line)));
    }
    levels.iter_mut().for_each(|level| level.sort_by_key(|&(_, line)| line));
    levels
}

/// The order of the first operations on level 1 and on level 2, and of the wait.
fn order(steps: &[Step]) -> Vec<char> {
    let mut order: Vec<char> = steps
        .iter()
        .map(|step| match step {
            Step::Inner(..) => '1',
            Step::Outer(..) => '2',
            Step::Sync => 's',
        })
        .collect();
    order.dedup();
    order
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn operations_at_every_alignment_in_every_direction() {
    with_pages(0, |system, hardware, device, page| {
        for direction in Direction::ALL {
            for (offset, bytes) in (0..LINE).flat_map(|offset| (1..=LONGEST).map(move |bytes| (offset, bytes))) {
                let start = PhysAddr(page.0 + 64 + u64::from(offset));
                let first = start.0 as u32;
                hardware.model_mut().steps.clear();
                let mapping = system.streaming().map(device, start, bytes, direction).unwrap();
                let out = core::mem::take(&mut hardware.model_mut().steps);
                let mapping = system.streaming().sync_for_cpu(mapping).unwrap();
                let back = core::mem::take(&mut hardware.model_mut().steps);
                system.streaming().unmap(mapping).unwrap();
                assert_eq!(hardware.model().steps, [], "the processor has it already");

                let dropped = drop_of(first, first + bytes);
                let cleaned = dropped.iter().map(|&(_, line)| (CacheOp::Clean, line)).collect();
                let expected = if direction == Direction::FromDevice { dropped.clone() } else { cleaned };
                assert_eq!(by_line(&out), [expected.clone(), expected]);
                assert_eq!(order(&out), ['1', '2', 's'], "outwards");
                if direction == Direction::ToDevice {
                    assert_eq!(back, [], "nothing came");
                } else {
                    assert_eq!(by_line(&back), [dropped.clone(), dropped]);
                    assert_eq!(order(&back), ['2', 's', '1'], "inwards");
                }
            }
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn data_survive_at_every_alignment_in_every_direction() {
    with_pages(0, |system, hardware, device, page| {
        let (at, room) = (page.0 as u32, LONGEST + 4 * LINE);
        hardware.model_mut().restless = 64;
        let mut round = 0_u8;
        for direction in Direction::ALL {
            for (offset, bytes) in
                (0..LINE).flat_map(|offset| (1..=LONGEST).step_by(3).map(move |bytes| (2 * LINE + offset, bytes)))
            {
                round = round.wrapping_add(1);
                let value = |place: u32, who: u8| (place as u8).wrapping_mul(7) ^ round ^ who;
                (0..room).for_each(|place| hardware.cpu_write(at + place, value(place, 0)));
                let start = PhysAddr(page.0 + u64::from(offset));
                let mapping = system.streaming().map(device, start, bytes, direction).unwrap();
                for place in offset..offset + bytes {
                    let address = mapping.device_address().offset(place - offset);
                    if direction != Direction::FromDevice {
                        assert_eq!(hardware.device_read(address), value(place, 0), "{direction:?} {offset}+{bytes}");
                    }
                    if direction.device_writes() {
                        hardware.device_write(address, value(place, 1));
                    }
                }
                system.streaming().unmap(mapping).unwrap();
                for place in 0..room {
                    let devices = direction.device_writes() && (offset..offset + bytes).contains(&place);
                    let expected = value(place, u8::from(devices));
                    assert_eq!(hardware.cpu_read(at + place), expected, "{direction:?} {offset}+{bytes} at {place}");
                }
            }
        }
        assert_eq!(misuses(system), []);
    });
}

/// Number of bytes that random transfers use.
const ARENA: u32 = 512;

#[derive(Clone, Debug)]
enum Act {
    CpuWrite(u32, u8),
    CpuRead(u32),
    Map(u32, u32, Direction),
    DeviceWrites(u32, u8),
    DeviceReads(u32),
    ForCpu,
    ForDevice,
    Unmap,
}

fn act() -> impl Strategy<Value = Act> {
    let direction = prop::sample::select(Direction::ALL.to_vec());
    prop_oneof![
        6 => (0..ARENA, any::<u8>()).prop_map(|(at, byte)| Act::CpuWrite(at, byte)),
        4 => (0..ARENA).prop_map(Act::CpuRead),
        2 => (0..ARENA - 160, 1..160_u32, direction).prop_map(|(at, bytes, direction)| Act::Map(at, bytes, direction)),
        6 => (0..160_u32, any::<u8>()).prop_map(|(at, byte)| Act::DeviceWrites(at, byte)),
        4 => (0..160_u32).prop_map(Act::DeviceReads),
        1 => Just(Act::ForCpu),
        1 => Just(Act::ForDevice),
        2 => Just(Act::Unmap),
    ]
}

/// A mapping, by the side that owns it.
enum Lent {
    Nobody,
    Device(Mapping<ForDevice>),
    Cpu(Mapping<ForCpu>),
}

/// The contents of a plain memory; `None` for bytes that a device was to write but has not.
struct Shadow {
    bytes: [Option<u8>; ARENA as usize],
    start: u32,
    end: u32,
    direction: Direction,
}

impl Shadow {
    /// Hands the mapping to the device: bytes that only it may write are unknown until it has.
    fn given_to_device(&mut self) {
        if self.direction == Direction::FromDevice {
            self.bytes[self.start as usize..self.end as usize].fill(None);
        }
    }

    fn lent(&self, at: u32) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// True if a byte is in a line that is lent.
    fn in_lent_line(&self, at: u32) -> bool {
        (self.start / LINE * LINE..self.end.next_multiple_of(LINE)).contains(&at)
    }
}

proptest! {
    #![proptest_config(property::config(300))]

    /// A correct driver sees a plain memory over caches that fill and evict lines at random.
    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn restless_caches_lose_nothing(acts in prop::collection::vec(act(), 1..200), restless in 0..200_u32) {
        with_pages(0, |system, hardware, device, page| {
            let at = page.0 as u32;
            hardware.model_mut().restless = restless;
            let mut shadow = Shadow { bytes: [None; ARENA as usize], start: 0, end: 0, direction: Direction::ToDevice };
            let mut lent = Lent::Nobody;
            for act in acts {
                let mut streaming = system.streaming();
                match (act, &mut lent) {
                    (Act::CpuWrite(place, byte), Lent::Device(_)) if !shadow.in_lent_line(place) => {
                        hardware.cpu_write(at + place, byte);
                        shadow.bytes[place as usize] = Some(byte);
                    }
                    (Act::CpuWrite(place, byte), Lent::Cpu(mapping)) if shadow.lent(place) => {
                        if streaming.write(mapping, place - shadow.start, &[byte]).is_ok() {
                            shadow.bytes[place as usize] = Some(byte);
                        } else {
                            assert_eq!(shadow.direction, Direction::FromDevice);
                            streaming.dma.checker_mut().take_reports();
                        }
                    }
                    (Act::CpuWrite(place, byte), Lent::Nobody) => {
                        hardware.cpu_write(at + place, byte);
                        shadow.bytes[place as usize] = Some(byte);
                    }
                    (Act::CpuRead(place), Lent::Cpu(mapping)) if shadow.lent(place) => {
                        let mut byte = [0];
                        streaming.read(mapping, place - shadow.start, &mut byte).unwrap();
                        assert!(shadow.bytes[place as usize].is_none_or(|expected| expected == byte[0]), "{place}");
                    }
                    (Act::CpuRead(place), Lent::Nobody | Lent::Device(_)) if !shadow.lent(place) => {
                        let byte = hardware.cpu_read(at + place);
                        assert!(shadow.bytes[place as usize].is_none_or(|expected| expected == byte), "{place}");
                    }
                    (Act::Map(start, bytes, direction), Lent::Nobody) => {
                        (shadow.start, shadow.end, shadow.direction) = (start, start + bytes, direction);
                        let start = PhysAddr(u64::from(at + start));
                        lent = Lent::Device(streaming.map(device, start, bytes, direction).unwrap());
                        shadow.given_to_device();
                    }
                    (Act::DeviceWrites(place, byte), Lent::Device(mapping))
                        if place < mapping.bytes() && mapping.direction().device_writes() =>
                    {
                        hardware.device_write(mapping.device_address().offset(place), byte);
                        shadow.bytes[(shadow.start + place) as usize] = Some(byte);
                    }
                    (Act::DeviceReads(place), Lent::Device(mapping)) if place < mapping.bytes() => {
                        let byte = hardware.device_read(mapping.device_address().offset(place));
                        let expected = shadow.bytes[(shadow.start + place) as usize];
                        assert!(expected.is_none_or(|expected| expected == byte), "{place}");
                    }
                    (Act::ForCpu, Lent::Device(_)) => {
                        if let Lent::Device(mapping) = core::mem::replace(&mut lent, Lent::Nobody) {
                            lent = Lent::Cpu(streaming.sync_for_cpu(mapping).unwrap());
                        }
                    }
                    (Act::ForDevice, Lent::Cpu(_)) => {
                        if let Lent::Cpu(mapping) = core::mem::replace(&mut lent, Lent::Nobody) {
                            lent = Lent::Device(streaming.sync_for_device(mapping).unwrap());
                            shadow.given_to_device();
                        }
                    }
                    (Act::Unmap, _) => {
                        match core::mem::replace(&mut lent, Lent::Nobody) {
                            Lent::Nobody => {}
                            Lent::Device(mapping) => streaming.unmap(mapping).unwrap(),
                            Lent::Cpu(mapping) => streaming.unmap(mapping).unwrap(),
                        }
                        (shadow.start, shadow.end) = (0, 0);
                    }
                    _ => {}
                }
            }
            match lent {
                Lent::Nobody => {}
                Lent::Device(mapping) => system.streaming().unmap(mapping).unwrap(),
                Lent::Cpu(mapping) => system.streaming().unmap(mapping).unwrap(),
            }
            for (place, expected) in shadow.bytes.into_iter().enumerate() {
                let byte = hardware.cpu_read(at + place as u32);
                assert!(expected.is_none_or(|expected| expected == byte), "{place}");
            }
            assert_eq!(misuses(system), []);
        });
    }
}
