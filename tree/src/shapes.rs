// SPDX-License-Identifier: MIT OR Apache-2.0

//! Trees in the shapes of published ones: cells, forms, kinds of region and numbers of them. Each
//! keeps its numbers, and boots: the kernel's own crates read it, place its regions and make its
//! areas.

use devicetree::Facts;
use page_alloc::Page;
use page_alloc::zone::{Zone, descriptor_bytes, descriptors};
use reserved::addresses::adapt;
use reserved::early::PageFrames;
use reserved::memblock::{Memblock, RegionKind};
use reserved::{MAX_CMA_AREAS, cmdline, early, place};
use system::System;
use units::{PAGE_SIZE, PhysAddr, PhysRange};

use crate::tests::{nodes, nodes_or_why, value};

const M: u64 = 1 << 20;
/// RAM of the board.
const RAM: PhysRange = PhysRange { start: 0x6000_0000, end: 0xa000_0000 };
/// Start of the first region, and the distance between two starts.
const FIRST: u32 = 0x7000_0000;
const STEP: u32 = 4 << 20;

/// A kind of region: its properties, its size, and the kind of its reservation; `None` if Linux
/// refuses it.
type Kind = (&'static str, u32, Option<RegionKind>);

const KINDS: [Kind; 5] = [
    ("no-map;", STEP, Some(RegionKind::NoMap)),
    ("", STEP, Some(RegionKind::Reserved)),
    ("compatible = \"shared-dma-pool\"; no-map;", STEP, Some(RegionKind::NoMap)),
    ("compatible = \"shared-dma-pool\"; reusable;", STEP, Some(RegionKind::Cma)),
    // Less than a pageblock.
    ("compatible = \"shared-dma-pool\"; reusable;", 1 << 20, None),
];

/// An area: name, first address, bytes.
type Area = (String, u64, u64);

/// The result of a boot with a tree.
struct Booted {
    memblock: Memblock,
    areas: Vec<Area>,
}

/// Boots like the image, up to the page allocator; allocates and releases each area as a whole.
fn boot(blob: &[u8]) -> Booted {
    let mut facts = devicetree::read(blob).expect("a usable tree");
    let mut cmdline = cmdline::parse("");
    adapt(&mut facts, &mut cmdline);
    facts.memory = vec![RAM];
    let mut memblock = memory_map(&facts, blob);
    let placed = place(&facts, &cmdline, descriptor_bytes, &mut memblock);
    let frames = PageFrames::of(&memblock, descriptor_bytes);
    memblock.allocate(frames.search(), RegionKind::PageFrames).expect("a slot").expect("room for the page frames");
    let mut pages = vec![Page::default(); descriptors(frames.frames)];
    let mut zone = Zone::new(frames.start, &mut pages);
    let count = |range: &PhysRange| (range.size() / PAGE_SIZE) as u32;
    for range in memblock.free_pages() {
        zone.free_range(PhysAddr(range.start).pfn(), count(&range));
    }
    for ram in memblock.ram() {
        zone.mark_ram(PhysAddr(ram.start).pfn(), PhysAddr(ram.end - 1).pfn());
    }
    let mut system = System::new(zone, Vec::new());
    let mut areas = Vec::new();
    for plan in placed.areas {
        let pages = count(&plan.range);
        let id = system.activate_area(plan.name.clone(), PhysAddr(plan.range.start).pfn(), pages, plan.default);
        let buffer = system.cma_alloc(id, pages, 0).expect("a fresh area is free");
        system.cma_release(buffer).expect("it was allocated");
        areas.push((plan.name, plan.range.start, plan.range.size()));
    }
    system.check().expect("the accounting balances");
    Booted { memblock, areas }
}

fn memory_map(facts: &Facts, blob: &[u8]) -> Memblock {
    let image = PhysRange::sized(0x6001_0000, M);
    let tree = PhysRange::sized(0x6800_0000, blob.len() as u64);
    early::memory_map(facts, image, tree).memblock
}

/// Returns the areas that Linux 6.1 makes, by its rules: a dynamic node comes before fixed ones,
/// which are sorted by address; a default area comes last if no node is the default; there are at
/// most `MAX_CMA_AREAS`.
fn expected(kind: &Kind, regions: u32, is_default: bool) -> Vec<Area> {
    let cma = if is_default { RAM.end - 8 * M } else { 0x9000_0000 - 8 * M };
    let mut areas = vec![("linux,cma".to_owned(), cma, 8 * M)];
    if kind.2 == Some(RegionKind::Cma) {
        let fixed = (0..regions).map(|index| FIRST + index * STEP);
        areas.extend(fixed.map(|start| (format!("r@{start:x}"), start.into(), kind.1.into())));
    }
    if !is_default {
        areas.push(("reserved".to_owned(), RAM.end - 16 * M, 16 * M));
    }
    areas.truncate(MAX_CMA_AREAS);
    areas
}

/// Tests every combination of cells, form, kind of region and number of regions that published
/// trees have.
#[test]
fn shapes_of_published_trees_keep_their_numbers() {
    let mut shapes = 0;
    for (address, size) in [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)] {
        for kind in &KINDS {
            for regions in [1, 3, 12] {
                for is_default in [false, true] {
                    for text in forms((address, size), kind, regions, is_default) {
                        check(&text, kind, regions, is_default);
                        shapes += 1;
                    }
                }
            }
        }
    }
    assert!(shapes >= 390, "{shapes}");
}

/// Returns the forms in which trees of this shape are published.
fn forms((address, size): (usize, usize), kind: &Kind, regions: u32, is_default: bool) -> [String; 4] {
    let number = |cells: usize, value: u32| format!("{}{value:#x}", "0 ".repeat(cells - 1));
    let pair = |start, length| format!("<{} {}>", number(address, start), number(size, length));
    let nodes: String = (0..regions)
        .map(|index| {
            let start = FIRST + index * STEP;
            format!("pool{index}: r@{start:x} {{ {} reg = {}; }};\n", kind.0, pair(start, kind.1))
        })
        .collect();
    let place = match is_default {
        true => "linux,cma-default;".to_owned(),
        false => format!("alloc-ranges = {};", pair(0x8000_0000, 0x1000_0000)),
    };
    let dynamic = format!(
        "linux,cma {{ compatible = \"shared-dma-pool\"; reusable; size = <{}>; alignment = <{}>; {place} }};",
        number(size, 0x80_0000),
        number(address, 0x40_0000),
    );
    let cells = format!("#address-cells = <{address}>; #size-cells = <{size}>; ranges;");
    [
        format!("{nodes}{dynamic}"),
        format!("reserved-memory {{ {cells} {nodes}{dynamic} }};"),
        format!("/ {{ {cells} r: reserved-memory {{ ranges; {nodes} }}; }}; &r {{ {dynamic} }};"),
        format!("&{{/reserved-memory}} {{ {cells} {nodes}{dynamic} }}; &dev {{ memory-region = <&pool0>; }};"),
    ]
}

/// Checks the numbers and the boot of a text.
fn check(text: &str, kind: &Kind, regions: u32, is_default: bool) {
    let blob = nodes_or_why(text);
    let low = |path: &str, property: &str| {
        let mut cells = value(&blob, path, property);
        cells.retain(|cell| *cell != 0);
        cells
    };
    let starts = || (0..regions).map(|index| FIRST + index * STEP);
    for start in starts() {
        assert_eq!(low(&format!("/reserved-memory/r@{start:x}"), "reg"), [start, kind.1], "{text}");
    }
    let cma = "/reserved-memory/linux,cma";
    assert_eq!(low(cma, "size"), [0x80_0000], "{text}");
    assert_eq!(low(cma, "alignment"), [0x40_0000], "{text}");
    if !is_default {
        assert_eq!(low(cma, "alloc-ranges"), [0x8000_0000, 0x1000_0000], "{text}");
    }

    let booted = boot(&blob);
    let areas = expected(kind, regions, is_default);
    assert_eq!(booted.areas, areas, "{text}");
    for start in starts() {
        let range = PhysRange::sized(start.into(), kind.1.into());
        let found = booted.memblock.reserved().iter().find(|region| region.range.overlaps(&range));
        let is_area = areas.iter().any(|area| area.1 == range.start);
        // A pool that is refused, or that is one too many, releases its place.
        let kept = kind.2.filter(|kind| *kind != RegionKind::Cma || is_area);
        assert_eq!(found.map(|region| (region.kind, region.range)), kept.map(|kind| (kind, range)), "{text}");
    }
}

/// Reserved memory whose addresses or sizes have no cells, or too many, is refused with their
/// numbers.
#[test]
fn cells_that_hold_no_number_are_refused() {
    for (cells, reg) in [
        ("#address-cells = <1>; #size-cells = <0>;", "<0x70000000>"),
        ("#address-cells = <0>; #size-cells = <1>;", "<0x800000>"),
        ("#address-cells = <0>; #size-cells = <0>;", "<>"),
        ("#address-cells = <5>; #size-cells = <1>;", "<0 0 0 0 0x70000000 0x400000>"),
    ] {
        let region = format!("a@70000000 {{ compatible = \"shared-dma-pool\"; reusable; reg = {reg}; }};");
        for text in [
            format!("reserved-memory {{ {cells} ranges; {region} }};"),
            format!("/ {{ {cells} reserved-memory {{ ranges; {region} }}; }};"),
            format!("/ {{ reserved-memory {{ {cells} ranges; {region} }}; }};"),
        ] {
            let why = nodes(&text).unwrap_err();
            assert!(why.contains("has 1 to 4 cells"), "{text}: {why}");
        }
    }
    let region = "a@70000000 { compatible = \"shared-dma-pool\"; reusable; reg = <0 0 0 0x70000000 0 0 0 0x400000>; };";
    let four = format!("reserved-memory {{ #address-cells = <4>; #size-cells = <4>; ranges; {region} }};");
    assert_eq!(boot(&nodes_or_why(&four)).areas[0], ("a@70000000".to_owned(), 0x7000_0000, 4 * M));
}
