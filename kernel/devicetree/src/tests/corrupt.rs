// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random trees, broken at random: nothing panics, and the facts' invariants hold.

use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::*;
use super::build::{Builder, tree};
use units::notes::MAX_NOTES;
use units::{ADDRESS_LIMIT, PAGE_SIZE};

/// Names that the reader looks for, so that random trees reach all of it.
const NODE_NAMES: [&str; 16] = [
    "reserved-memory",
    "chosen",
    "aliases",
    "memory@60000000",
    "memory",
    "linux,cma",
    "camera@70000000",
    "bus@0",
    "uart@9000",
    "gic@1000",
    "pool_a",
    "vram@4c000000",
    "chosen@0",
    "n",
    "BiscuitOS_CMA",
    "iofpga@7,00000000",
];
const PROPERTY_NAMES: [&str; 29] = [
    "#address-cells",
    "#size-cells",
    "#interrupt-cells",
    "reg",
    "ranges",
    "size",
    "alignment",
    "alloc-ranges",
    "no-map",
    "reusable",
    "linux,cma-default",
    "compatible",
    "status",
    "device_type",
    "phandle",
    "linux,phandle",
    "memory-region",
    "CMA-name",
    "interrupt-parent",
    "interrupts",
    "interrupts-extended",
    "interrupt-map",
    "interrupt-map-mask",
    "interrupt-controller",
    "bootargs",
    "linux,initrd-start",
    "linux,initrd-end",
    "stdout-path",
    "serial0",
];
const TEXTS: [&str; 12] = [
    "memory",
    "okay",
    "disabled",
    "shared-dma-pool",
    "serial0:115200n8",
    "/bus@0/uart@9000",
    "serial0",
    "arm,pl011|x",
    "BiscuitOS_cma",
    "/",
    "",
    "\u{7f}\n",
];
const CELLS: [u32; 20] = [
    0,
    1,
    1,
    1,
    2,
    2,
    3,
    4,
    5,
    7,
    16,
    0x1000,
    0x9000,
    0x80_0000,
    0x1000_0000,
    0x6000_0000,
    0x7000_0000,
    0x8000_0000,
    0xffff_f000,
    u32::MAX,
];

#[derive(Clone, Debug)]
enum Value {
    Cells(Vec<usize>),
    Text(usize),
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Random {
    properties: Vec<(usize, Value)>,
    children: Vec<(usize, Random)>,
}

fn random_tree() -> impl Strategy<Value = Random> {
    let value = prop_oneof![
        8 => prop::collection::vec(0..CELLS.len(), 0..9).prop_map(Value::Cells),
        2 => (0..TEXTS.len()).prop_map(Value::Text),
        1 => prop::collection::vec(any::<u8>(), 0..14).prop_map(Value::Bytes),
    ];
    let properties = prop::collection::vec((0..PROPERTY_NAMES.len(), value), 0..8);
    let leaf = properties.clone().prop_map(|properties| Random { properties, children: Vec::new() });
    leaf.prop_recursive(4, 24, 5, move |below| {
        let children = prop::collection::vec((0..NODE_NAMES.len(), below), 0..6);
        (properties.clone(), children).prop_map(|(properties, children)| Random { properties, children })
    })
}

fn write(builder: &mut Builder, random: &Random) {
    for (name, value) in &random.properties {
        match value {
            Value::Cells(cells) => {
                let cells: Vec<u32> = cells.iter().map(|&cell| CELLS[cell]).collect();
                builder.cells(PROPERTY_NAMES[*name], &cells)
            }
            Value::Text(text) => builder.text(PROPERTY_NAMES[*name], TEXTS[*text]),
            Value::Bytes(bytes) => builder.bytes(PROPERTY_NAMES[*name], bytes),
        };
    }
    for (name, child) in &random.children {
        builder.node(NODE_NAMES[*name], |node| write(node, child));
    }
}

/// Checks the invariants of [`Facts`].
fn check(facts: &Facts) {
    let reachable = |range: &PhysRange| !range.is_empty() && range.end <= ADDRESS_LIMIT;
    assert!(facts.memory.len() <= MAX_MEMORY_RANGES);
    for range in &facts.memory {
        assert!(reachable(range) && range.start % PAGE_SIZE == 0 && range.end % PAGE_SIZE == 0);
    }
    assert!(!facts.memory.is_empty() || facts.notes.iter().any(|note| note.text.contains("no RAM")) || is_full(facts));
    assert!(facts.memreserve.len() <= MAX_MEMRESERVE && facts.memreserve.iter().all(|range| !range.is_empty()));
    assert!(facts.initrd.as_ref().is_none_or(reachable));
    assert!(facts.bootargs.as_ref().is_none_or(|args| !args.is_empty() && args.len() <= 3 * MAX_BOOTARGS_BYTES));
    assert!(facts.reserved.len() <= MAX_RESERVED_NODES);
    for node in &facts.reserved {
        assert!(is_name(&node.name));
        for ranges in [&node.reg, &node.alloc_ranges] {
            assert!(ranges.value().is_none_or(|ranges| ranges.len() <= MAX_RANGES_PER_NODE));
        }
    }
    assert!(facts.devices.len() <= MAX_DEVICES && facts.stdout.is_none_or(|index| index < facts.devices.len()));
    for device in &facts.devices {
        assert!(device.path.starts_with('/') && device.path.len() <= MAX_PATH_BYTES);
        assert!(!device.reg.is_empty() && device.reg.iter().all(reachable));
        assert!(device.interrupts.len() <= MAX_INTERRUPTS);
        assert!(device.interrupts.iter().all(|id| (16..1020).contains(id)));
        assert!(device.compatible.len() <= MAX_COMPATIBLE);
    }
    assert!(facts.area_users.len() <= MAX_AREA_USERS);
    assert!(facts.area_users.iter().all(|user| is_name(&user.area) && user.device.len() <= MAX_NAME_BYTES));
    assert!(facts.notes.len() <= MAX_NOTES + 1);
    for note in &facts.notes {
        assert!(note.text.chars().all(|letter| letter == ' ' || letter.is_ascii_graphic()), "{note:?}");
    }
}

fn is_full(facts: &Facts) -> bool {
    facts.notes.len() == MAX_NOTES + 1
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(validate::is_name_byte)
}

/// Reads a tree and checks the facts; returns true if the tree was readable.
fn survives(bytes: &[u8]) -> bool {
    match read(bytes) {
        Ok(facts) => {
            check(&facts);
            true
        }
        Err(error) => {
            let line: String = alloc::format!("{error}");
            assert!(!line.is_empty() && !line.contains('\n'));
            false
        }
    }
}

/// A generator with the same output on every machine (Marsaglia's xorshift); proptest's strategies
/// would spend most of the test's time on choosing single bytes.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// Returns a copy of `bytes`, broken in one of four ways.
fn broken(bytes: &[u8], random: &mut Xorshift) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match random.below(8) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            // A word of the header.
            let at = random.below(10) * 4;
            let word = [random.below(bytes.len()) as u32, CELLS[random.below(CELLS.len())]][random.below(2)];
            bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        2..=4 => {
            // A word anywhere, often set to a valid token or cell count.
            let at = random.below(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&CELLS[random.below(CELLS.len())].to_be_bytes());
        }
        _ => {
            for _ in 0..=random.below(16) {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
        }
    }
    bytes
}

/// Random trees in a run, broken copies of each, and broken copies of the rich tree; few for Miri,
/// which is a thousand times slower.
const TREES: u32 = 4000;
const WRECKS: usize = 20;
const RICH_WRECKS: usize = if cfg!(miri) { 30 } else { 40_000 };

proptest! {
    #![proptest_config(property::config(TREES))]

    /// Random trees, each unbroken and broken in many ways.
    #[test]
    #[cfg_attr(miri, ignore = "proptest's own work takes Miri minutes")]
    fn random_trees_and_their_wrecks(random in random_tree(), seed in 1..u64::MAX) {
        let bytes = tree(|root| write(root, &random));
        prop_assert!(survives(&bytes), "a whole tree was refused");
        let mut random = Xorshift(seed);
        for _ in 0..WRECKS {
            survives(&broken(&bytes, &mut random));
        }
    }
}

/// Broken copies of one tree that uses everything; many of them are still readable, and many are
/// not.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_rich_tree_and_its_wrecks() {
    let bytes = rich_tree();
    assert!(survives(&bytes));
    let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
    let readable = (0..RICH_WRECKS).filter(|_| survives(&broken(&bytes, &mut random))).count();
    assert!((RICH_WRECKS / 10..RICH_WRECKS * 9 / 10).contains(&readable), "{readable} of {RICH_WRECKS} were readable");
}

/// Every truncation of that tree.
#[test]
fn every_truncation() {
    let bytes = rich_tree();
    let step = if cfg!(miri) { 397 } else { 1 };
    assert!((0..bytes.len()).step_by(step).all(|len| !survives(&bytes[..len])));
}

fn rich_tree() -> Vec<u8> {
    tree(|root| {
        root.cells("#address-cells", &[1]).cells("#size-cells", &[1]).cells("interrupt-parent", &[1]);
        root.reserve(0x6000_0000, 0x1000);
        root.node("chosen", |node| {
            node.text("bootargs", "cma=8M").text("stdout-path", "serial0:115200n8");
            node.cells("linux,initrd-start", &[0x6800_0000]).cells("linux,initrd-end", &[0x6801_0000]);
        });
        root.node("aliases", |node| {
            node.text("serial0", "/bus@40000000/uart@7,9000");
        });
        root.node("memory@60000000", |node| {
            node.text("device_type", "memory").cells("reg", &[0x6000_0000, 0x4000_0000]);
        });
        root.node("reserved-memory", |parent| {
            parent.cells("#address-cells", &[1]).cells("#size-cells", &[1]).flag("ranges");
            parent.node("linux,cma", |node| {
                node.text("compatible", "shared-dma-pool").flag("reusable").flag("linux,cma-default");
                node.cells("size", &[0x80_0000])
                    .cells("alloc-ranges", &[0x6900_0000, 0x80_0000])
                    .cells("phandle", &[2]);
            });
            parent.node("vram@4c000000", |node| {
                node.text("compatible", "shared-dma-pool").flag("no-map").cells("reg", &[0x4c00_0000, 0x80_0000]);
            });
        });
        root.node("gic@1e001000", |node| {
            node.cells("#interrupt-cells", &[3]).cells("#address-cells", &[0]).flag("interrupt-controller");
            node.cells("reg", &[0x1e00_1000, 0x1000, 0x1e00_0100, 0x100]).cells("phandle", &[1]);
        });
        root.node("bus@40000000", |bus| {
            bus.cells("#address-cells", &[2]).cells("#size-cells", &[1]);
            bus.cells("ranges", &[0, 0, 0x4000_0000, 0x400_0000, 7, 0, 0x1000_0000, 0x2_0000]);
            bus.cells("#interrupt-cells", &[1]).cells("interrupt-map-mask", &[0, 0, 63]);
            bus.cells("interrupt-map", &[0, 0, 4, 1, 0, 4, 4, 0, 0, 5, 1, 0, 5, 4]);
            bus.node("uart@7,9000", |node| {
                node.cells("reg", &[7, 0x9000, 0x1000]).cells("interrupts", &[5]).text("status", "okay");
                node.text("compatible", "arm,pl011|arm,primecell").cells("memory-region", &[2]).text("CMA-name", "x");
            });
        });
    })
}
