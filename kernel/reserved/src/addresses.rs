// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tree's addresses on this machine: moved to the RAM here, then cut to 32 bits.
//!
//! A board's tree contains addresses of that board's RAM. `ram_base=` is where that RAM begins;
//! addresses at or above it move to where RAM begins here, in 64 bits. Longer numbers are then cut
//! to what a 32-bit Linux without LPAE keeps in its `phys_addr_t`: the lower 32 bits of each
//! address, size and end.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::cmdline::{CmaPlace, Cmdline};
use super::{CMA_MIN_ALIGNMENT, MIB};
use devicetree::{Facts, Placement, ReservedNode};
use units::notes::{Note, Notes, Refused, Words};
use units::{ADDRESS_LIMIT, PAGE_SIZE, PhysRange};

/// Mask of the lower 32 bits of a number.
const LOW: u64 = u32::MAX as u64;

/// Common start addresses of boards' RAM, which a hint suggests.
const USUAL_BASES: [u64; 5] = [0xc000_0000, 0x8000_0000, 0x4000_0000, 0x1000_0000, 0];

/// The move from the RAM of a board to the RAM here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shift {
    /// Start of the board's RAM.
    pub from: u64,
    /// Start of RAM here.
    pub to: u64,
}

impl Shift {
    /// Moves an address of the board's RAM to the RAM here; one below it stays.
    pub const fn address(self, address: u64) -> u64 {
        if address < self.from { address } else { (address - self.from).saturating_add(self.to) }
    }

    /// Moves a range that begins in the board's RAM; an end below that stays (0: no limit). Of one
    /// that begins below it, moves only the end, if that is above `from` and below 4 GiB.
    pub const fn range(self, range: PhysRange) -> PhysRange {
        let PhysRange { start, end } = range;
        if start >= self.from || (end > self.from && end < ADDRESS_LIMIT) {
            let end = if end < self.from { end } else { (end - self.from).saturating_add(self.to) };
            return PhysRange { start: self.address(start), end };
        }
        range
    }
}

/// Moves and cuts the addresses of `facts` and `cma=`, caps `facts.memory`, and returns the lines.
pub fn adapt(facts: &mut Facts, cmdline: &mut Cmdline) -> Vec<Note> {
    let mut notes = Notes::default();
    let here = facts.memory.iter().map(|range| range.start).min();
    let shift = cmdline.ram_base.zip(here).filter(|(from, to)| from != to).map(|(from, to)| Shift { from, to });
    if let Some(shift) = shift {
        let Shift { from, to } = shift;
        notes.info(format_args!("debris: Reserved memory: the tree's RAM begins at {from:#010x}, here at {to:#010x}"));
        for range in &mut facts.memreserve {
            say_moved(&mut notes, "/memreserve/", range, shift);
        }
        for node in &mut facts.reserved {
            let ReservedNode { name, reg, alloc_ranges, .. } = node;
            let ranges = reg.value_mut().into_iter().chain(alloc_ranges.value_mut()).flatten();
            ranges.for_each(|range| say_moved(&mut notes, name, range, shift));
        }
    }
    if let (Some(shift), Some(cma)) = (shift, &mut cmdline.cma)
        && cmdline.cma_place != CmaPlace::default()
    {
        let CmaPlace { base: board_base, limit: board_limit } = cmdline.cma_place;
        let base = shift.address(board_base);
        let limit = if board_limit == 0 { 0 } else { shift.address(board_limit) };
        notes.info(format_args!("debris: cma=: {board_base:#010x} of the board is {base:#010x} here"));
        (cma.base, cma.limit) = (base as u32, limit as u32);
    }
    cap_ram(facts, cmdline, shift, &mut notes);
    for ReservedNode { name, reg, size, alignment, alloc_ranges, .. } in &mut facts.reserved {
        let mut cut = |what: &str, before: u64, after: u64| {
            if before != after {
                let name = Words(name);
                notes.warn(format_args!(
                    "debris: Reserved memory: {name}: {what} {before:#x} exceeds 32 bits; a 32-bit Linux keeps \
                     {after:#x} here"
                ));
            }
            after
        };
        for range in reg.value_mut().into_iter().flatten() {
            let size = range.size();
            let start = cut("address", range.start, range.start & LOW);
            *range = PhysRange::sized(start, cut("size", size, size & LOW));
        }
        for (what, number) in [("size", size.value_mut()), ("alignment", alignment.value_mut())] {
            if let Some(number) = number {
                *number = cut(what, *number, *number & LOW);
            }
        }
        for range in alloc_ranges.value_mut().into_iter().flatten() {
            let start = cut("alloc-ranges, address", range.start, range.start & LOW);
            let end = range.end;
            // An end at 4 GiB is no limit, also in 32 bits.
            let kept = if end == ADDRESS_LIMIT { end } else { end & LOW };
            // A range that wraps to its own start is empty; an end of 0 is no limit.
            *range = PhysRange { start, end: cut("alloc-ranges, end", end, kept) };
        }
    }
    facts.reserved.iter().for_each(|node| say_odd(&mut notes, node));
    if shift.is_none() {
        say_no_ram(&mut notes, facts);
    }
    notes.into_vec()
}

/// Cuts RAM to the tree's `linux,usable-memory-range`s, which may split it, then to `mem=`.
fn cap_ram(facts: &mut Facts, cmdline: &Cmdline, shift: Option<Shift>, notes: &mut Notes) {
    let start = facts.memory.iter().map(|ram| ram.start).min().unwrap_or(0);
    let usable: Vec<PhysRange> =
        facts.usable_memory.iter().map(|range| shift.map_or(*range, |shift| shift.range(*range))).collect();
    if !usable.iter().all(PhysRange::is_empty) {
        cut_ram(facts, &usable, "linux,usable-memory-range", notes);
    }
    if let Some(size) = cmdline.mem
        && !cut_ram(facts, &[PhysRange { start: 0, end: start.saturating_add(size) }], "mem=", notes)
    {
        notes.refuse(Refused::Parameter, "mem");
    }
}

/// Cuts RAM to the whole pages of `ranges`; returns false, and leaves RAM alone, if none is left.
fn cut_ram(facts: &mut Facts, ranges: &[PhysRange], by: &str, notes: &mut Notes) -> bool {
    let mut left = Vec::new();
    for ram in &facts.memory {
        for range in ranges {
            let start = ram.start.max(range.start.saturating_add(PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE);
            let end = ram.end.min(range.end / PAGE_SIZE * PAGE_SIZE);
            if start < end {
                left.push(PhysRange { start, end });
            }
        }
    }
    let Some(&PhysRange { end, .. }) = left.last() else {
        notes.error(format_args!("debris: {by} leaves no RAM: ignored"));
        return false;
    };
    if left != facts.memory {
        notes.info(format_args!("debris: {by}: RAM ends at {end:#010x}"));
        facts.memory = left;
    }
    true
}

/// Logs the oddities of a node that Linux's own lines leave out.
fn say_odd(notes: &mut Notes, node: &ReservedNode) {
    let name = Words(&node.name);
    if node.compatible.as_deref() == Some("restricted-dma-pool") {
        notes.info(format_args!(
            "debris: Reserved memory: {name}: a restricted-dma-pool is reserved, but not used here"
        ));
    }
    if !node.shared_dma_pool || !node.reusable || node.no_map {
        return;
    }
    let (start, size) = match node.placement() {
        Some(Placement::Fixed(ranges)) => match ranges.first() {
            Some(first) => (first.start, first.size()),
            None => return,
        },
        Some(Placement::Dynamic { size, .. }) => (0, size),
        None => return,
    };
    if !start.is_multiple_of(CMA_MIN_ALIGNMENT) {
        notes.warn(format_args!("debris: Reserved memory: {name}: base {start:#010x} is not a multiple of 4 MiB"));
    }
    if !size.is_multiple_of(CMA_MIN_ALIGNMENT) {
        let (number, unit) = if size.is_multiple_of(MIB) { (size / MIB, "MiB") } else { (size / 1024, "KiB") };
        notes.warn(format_args!("debris: Reserved memory: {name}: size {number} {unit} is not a multiple of 4 MiB"));
    }
}

fn say_moved(notes: &mut Notes, name: &str, range: &mut PhysRange, shift: Shift) {
    let before = *range;
    *range = shift.range(before);
    if *range != before {
        notes.info(format_args!("debris: Reserved memory: {}: {before} of the tree is {range} here", Words(name)));
    }
}

/// Writes one line if nodes require RAM at addresses where there is none.
fn say_no_ram(notes: &mut Notes, facts: &Facts) {
    let is_ram = |range: &PhysRange| facts.memory.iter().any(|ram| ram.overlaps(range));
    let lost = facts.reserved.iter().filter_map(|node| {
        let ranges = match node.placement()? {
            Placement::Fixed(ranges) if node.shared_dma_pool && node.reusable => ranges.get(..1)?.to_vec(),
            Placement::Fixed(_) => return None,
            Placement::Dynamic { alloc_ranges, .. } => alloc_ranges,
        };
        let first = *ranges.first()?;
        (!ranges.iter().any(|range| is_ram(range) || range.end <= range.start)).then_some((node, first))
    });
    let lost: Vec<_> = lost.collect();
    let Some((node, range)) = lost.first() else { return };
    let Some(ram) = facts.memory.iter().min_by_key(|ram| ram.start) else { return };
    let lowest = lost.iter().map(|(_, range)| range.start).min().unwrap_or(0);
    let base = USUAL_BASES.into_iter().find(|base| *base <= lowest).unwrap_or(0);
    let others = match lost.len() - 1 {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let name = Words(&node.name);
    notes.error(format_args!(
        "debris: Reserved memory: {name}{others}: no RAM at {range}; RAM is {ram} here; if the board's RAM \
         begins at {base:#010x}, say RAM_BASE={base:#010x}, or debris run --ram-base {base:#010x} (ram_base= on the command line)"
    ));
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::cmdline;

    const RAM: PhysRange = PhysRange { start: 0x6000_0000, end: 0xa000_0000 };

    fn node(placement: Placement) -> ReservedNode {
        ReservedNode { shared_dma_pool: true, reusable: true, ..ReservedNode::new("linux,cma", placement) }
    }

    fn adapted(placement: Placement, bootargs: &str) -> (Placement, Vec<Note>) {
        let mut facts = Facts { memory: vec![RAM], reserved: vec![node(placement)], ..Facts::default() };
        let notes = adapt(&mut facts, &mut cmdline::parse(bootargs));
        (facts.reserved.remove(0).placement().unwrap(), notes)
    }

    fn dynamic(size: u64, start: u64, range: u64) -> Placement {
        Placement::Dynamic { size, alignment: 0, alloc_ranges: vec![PhysRange::sized(start, range)] }
    }

    #[test]
    fn a_board_with_its_ram_elsewhere_moves() {
        let (placement, notes) = adapted(dynamic(0x400_0000, 0x1000_0000, 0x2000_0000), "ram_base=0x10000000");
        assert_eq!(placement, dynamic(0x400_0000, 0x6000_0000, 0x2000_0000));
        assert!(notes[1].text.contains("0x10000000") && notes[1].text.contains("0x60000000"), "{notes:?}");
        // Addresses below the base are not RAM there.
        let sram = Placement::Fixed(vec![PhysRange::sized(0x90_0000, 0x1000)]);
        assert_eq!(adapted(sram.clone(), "ram_base=0x10000000").0, sram);
        // Numbers above 32 bits are moved first, then cut.
        let high = Placement::Fixed(vec![PhysRange::sized(0x8_8000_0000, 0x40_0000)]);
        let moved = Placement::Fixed(vec![PhysRange::sized(0x6000_0000, 0x40_0000)]);
        assert_eq!(adapted(high, "ram_base=0x880000000").0, moved);
    }

    #[test]
    fn an_end_moves_where_it_lies_in_the_ram_of_the_board() {
        let shift = Shift { from: 0x1000_0000, to: 0x6000_0000 };
        let moved = |start, end| {
            let PhysRange { start, end } = shift.range(PhysRange { start, end });
            (start, end)
        };
        assert_eq!(moved(0x0f00_0000, 0x1000_0000), (0x0f00_0000, 0x1000_0000), "ends where RAM begins");
        assert_eq!(moved(0x0f00_0000, 0x1000_0001), (0x0f00_0000, 0x6000_0001));
        assert_eq!(moved(0x0f00_0000, 0xffff_ffff), (0x0f00_0000, 0x1_4fff_ffff));
        assert_eq!(moved(0, 1 << 32), (0, 1 << 32), "everywhere is everywhere");
        assert_eq!(moved(0x1000_0000, 1 << 32), (0x6000_0000, 0x1_5000_0000));
        assert_eq!(moved(0x2000_0000, 0), (0x7000_0000, 0), "an end of 0 is none");
    }

    #[test]
    fn numbers_have_32_bits() {
        let high = Placement::Fixed(vec![PhysRange::sized(0x8_8000_0000, 0x1000_0000)]);
        let (placement, notes) = adapted(high, "");
        assert_eq!(placement, Placement::Fixed(vec![PhysRange::sized(0x8000_0000, 0x1000_0000)]));
        assert!(notes[0].text.contains("0x880000000") && notes[0].text.contains("0x80000000"), "{notes:?}");
        assert_eq!(adapted(dynamic(4104 << 20, 0, 1 << 48), "").0, dynamic(8 << 20, 0, 0));
        let wraps = |start| PhysRange { start, end: start };
        let Placement::Dynamic { alloc_ranges, .. } = adapted(dynamic(1, 0x8800_0000, 1 << 32), "").0 else { panic!() };
        assert_eq!(alloc_ranges, [wraps(0x8800_0000)]);
        let (_, notes) = adapted(dynamic(0x80_0000, 0x6000_0000, 0xa000_0000), "");
        assert!(notes.is_empty(), "up to 4 GiB: {notes:?}");
    }

    #[test]
    fn where_ram_is_is_said_where_a_range_holds_none() {
        let (_, notes) = adapted(dynamic(0x400_0000, 0x1000_0000, 0x2000_0000), "");
        assert_eq!(notes.len(), 1);
        assert!(notes[0].text.contains("RAM_BASE=0x10000000") && notes[0].text.contains("0x60000000"), "{notes:?}");
        assert!(adapted(dynamic(0x400_0000, 0x7000_0000, 0x2000_0000), "").1.is_empty());
        // A fixed pool requires RAM; a plain region may be anywhere.
        let place = Placement::Fixed(vec![PhysRange::sized(0x1000_0000, 0x40_0000)]);
        let (_, notes) = adapted(place.clone(), "");
        assert!(notes.len() == 1 && notes[0].text.contains("no RAM at"), "{notes:?}");
        let plain = ReservedNode::new("sram", place);
        let mut facts = Facts { memory: vec![RAM], reserved: vec![plain], ..Facts::default() };
        assert_eq!(adapt(&mut facts, &mut cmdline::parse("")), []);
    }

    #[test]
    fn the_command_line_moves_too() {
        let mut facts = Facts { memory: vec![RAM], ..Facts::default() };
        let mut moved = cmdline::parse("cma=64M@0x20000000 ram_base=0x10000000");
        adapt(&mut facts, &mut moved);
        assert_eq!(moved.cma, cmdline::parse("cma=64M@0x70000000").cma);
        let mut high = cmdline::parse("cma=64M@0x890000000 ram_base=0x880000000");
        adapt(&mut facts, &mut high);
        assert_eq!(high.cma, cmdline::parse("cma=64M@0x70000000").cma, "moved first, then cut");
        assert_eq!(high.notes, [], "nothing was dropped");
        let mut unplaced = cmdline::parse("cma=64M ram_base=0x10000000");
        adapt(&mut facts, &mut unplaced);
        assert_eq!(unplaced.cma, cmdline::parse("cma=64M").cma);
    }

    #[test]
    fn ram_is_capped() {
        let capped = |usable: &[PhysRange], bootargs: &str| {
            let mut facts = Facts { memory: vec![RAM], usable_memory: usable.to_vec(), ..Facts::default() };
            let notes = adapt(&mut facts, &mut cmdline::parse(bootargs));
            assert!(notes.iter().all(|note| note.refusal.is_none()), "{notes:?}");
            (facts.memory, notes.len())
        };
        let half = PhysRange { start: 0x6000_0000, end: 0x8000_0000 };
        assert_eq!(capped(&[half], ""), (vec![half], 1));
        let elsewhere = PhysRange { start: 0x1000_0000, end: 0x3000_0000 };
        assert_eq!(capped(&[elsewhere], "ram_base=0x10000000"), (vec![half], 2));
        assert_eq!(capped(&[], "mem=512M"), (vec![half], 1));
        assert_eq!(capped(&[], "mem=2G"), (vec![RAM], 0));
        assert_eq!(capped(&[PhysRange::sized(0x1000, 0x1000)], ""), (vec![RAM], 1), "no RAM would be left");
        let quarter = PhysRange { start: 0x6000_0000, end: 0x7000_0000 };
        assert_eq!(capped(&[half], "mem=256M"), (vec![quarter], 2), "each says what it cuts");
        assert_eq!(capped(&[half], "mem=2G"), (vec![half], 1), "mem= cuts nothing");
        let before = PhysRange { start: 0x5000_0000, end: 0x6000_0000 };
        assert_eq!(capped(&[before, half], ""), (vec![half], 1), "RAM has no empty range");
        assert_eq!(capped(&[PhysRange::sized(0x1000, 0x1000)], "mem=512M"), (vec![half], 2), "one of them is ignored");
    }

    #[test]
    fn a_mem_that_leaves_no_ram_is_refused() {
        let mut facts = Facts { memory: vec![RAM], ..Facts::default() };
        let notes = adapt(&mut facts, &mut cmdline::parse("mem=4095"));
        let refused: Vec<_> = notes.iter().filter_map(|note| note.refusal.as_ref()).collect();
        assert_eq!((facts.memory, refused.len(), &*refused[0].name), (vec![RAM], 1, "mem"));
    }

    #[test]
    fn the_number_that_is_wrong_is_said() {
        let (_, notes) = adapted(Placement::Fixed(vec![PhysRange::sized(0x7000_0000, 0x10_0000)]), "");
        assert!(notes[0].text.ends_with("size 1 MiB is not a multiple of 4 MiB"), "{notes:?}");
        let (_, notes) = adapted(Placement::Fixed(vec![PhysRange::sized(0x7010_0000, 0x40_0000)]), "");
        assert!(notes[0].text.ends_with("base 0x70100000 is not a multiple of 4 MiB"), "{notes:?}");
    }

    #[test]
    fn a_base_off_4_mib_is_refused() {
        let cmdline = cmdline::parse("ram_base=0x10100000 cma=8M@0x10400000");
        assert_eq!(cmdline.ram_base, None);
        assert!(cmdline.notes[0].text.contains("4 MiB"), "{:?}", cmdline.notes);
    }
}
