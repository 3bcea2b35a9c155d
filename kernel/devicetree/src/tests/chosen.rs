// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::string::String;

use super::super::{Facts, MAX_BOOTARGS_BYTES};
use super::build::{Builder, board};
use super::{facts, notes, range};

fn with_chosen(fill: impl FnOnce(&mut Builder)) -> Facts {
    facts(&board(|root| {
        root.node("aliases", |node| {
            node.text("serial0", "/bus@10000000/uart@9000").text("bus", "/bus@10000000").text("nowhere", "/nothing");
        });
        root.node("chosen", fill);
        root.node("bus@10000000", |bus| {
            bus.cells("#address-cells", &[1]).cells("#size-cells", &[1]).cells("ranges", &[0, 0x1000_0000, 0x2_0000]);
            bus.node("uart@9000", |node| {
                node.text("compatible", "arm,pl011|arm,primecell").cells("reg", &[0x9000, 0x1000]);
            });
            bus.node("uart@a000", |node| {
                node.text("status", "disabled").cells("reg", &[0xa000, 0x1000]);
            });
        });
    }))
}

#[test]
fn an_empty_node_says_nothing() {
    let facts = with_chosen(|_| {});
    assert_eq!((facts.bootargs, facts.initrd, facts.stdout), (None, None, None));
    assert!(facts.notes.is_empty());
}

#[test]
fn the_console_is_named_in_many_ways() {
    let paths = [
        "serial0",
        "serial0:115200n8",
        "/bus@10000000/uart@9000",
        "/bus@10000000/uart@9000:9600",
        "bus/uart@9000",
        "/bus/uart@9000",
        "/bus@10000000//uart@9000",
    ];
    for path in paths {
        for property in ["stdout-path", "linux,stdout-path"] {
            let facts = with_chosen(|chosen| {
                chosen.text(property, path);
            });
            let console = facts.stdout.map(|index| facts.devices[index].path.as_str());
            assert_eq!(console, Some("/bus@10000000/uart@9000"), "{path}: {:?}", notes(&facts));
        }
    }
}

#[test]
fn a_console_that_is_none_is_reported() {
    let cases = [
        ("serial9", "debris: OF: stdout-path names no node: 'serial9'"),
        ("nowhere", "debris: OF: stdout-path names no node: 'nowhere'"),
        ("", "debris: OF: stdout-path names no node: ''"),
        ("/bus/uart@9001", "debris: OF: stdout-path names no node: '/bus/uart@9001'"),
        ("/bus/uart@a000", "debris: OF: stdout-path names uart@a000, which is not an enabled device"),
        ("/chosen", "debris: OF: stdout-path names chosen, which is not an enabled device"),
        ("serial\n0", "debris: OF: stdout-path is not a string: ignored"),
    ];
    for (path, line) in cases {
        let facts = with_chosen(|chosen| {
            chosen.text("stdout-path", path);
        });
        assert_eq!(facts.stdout, None);
        assert_eq!(notes(&facts), [line]);
    }
}

#[test]
fn bootargs_end_at_the_first_nul() {
    let args = |value: &[u8]| {
        with_chosen(|chosen| {
            chosen.bytes("bootargs", value);
        })
    };
    assert_eq!(args(b"run=\"debris\" cma=8M\0").bootargs.as_deref(), Some("run=\"debris\" cma=8M"));
    assert_eq!(args(b"a\0b\0").bootargs.as_deref(), Some("a"));
    assert_eq!(args(b"no end").bootargs.as_deref(), Some("no end"));
    assert_eq!(args(b"\0").bootargs, None);
    assert_eq!(args(b"").bootargs, None);
    assert_eq!(args(b"a\xffb\0").bootargs.as_deref(), Some("a\u{fffd}b"));
    let long = args(&[b'x'; 20_000]);
    assert_eq!(long.bootargs.as_ref().map(String::len), Some(MAX_BOOTARGS_BYTES));
    assert!(notes(&long)[0].contains("raise MAX_BOOTARGS_BYTES"));
}

#[test]
fn an_initrd_in_one_cell_or_two() {
    let initrd = |start: &[u32], end: &[u32]| {
        with_chosen(|chosen| {
            chosen.cells("linux,initrd-start", start).cells("linux,initrd-end", end);
        })
    };
    let expected = Some(range(0x6800_0000, 0x1234));
    assert_eq!(initrd(&[0x6800_0000], &[0x6800_1234]).initrd, expected);
    assert_eq!(initrd(&[0, 0x6800_0000], &[0, 0x6800_1234]).initrd, expected);
    assert_eq!(initrd(&[0x6800_0000], &[0, 0x6800_1234]).initrd, expected);
    for (start, end) in [
        (&[0x6800_1234][..], &[0x6800_0000][..]),
        (&[0x6800_0000], &[0x6800_0000]),
        (&[1, 0x6800_0000], &[1, 0x6800_1234]),
        (&[0, 0, 0x6800_0000], &[0x6800_1234]),
        (&[], &[0x6800_1234]),
    ] {
        let facts = initrd(start, end);
        assert_eq!(facts.initrd, None);
        assert_eq!(facts.notes.len(), 1);
    }
}
