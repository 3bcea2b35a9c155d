// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::vec;
use alloc::vec::Vec;

use super::super::{AreaUser, Facts, MAX_AREA_USERS, MAX_INTERRUPTS, MAX_LOOKUP_STEPS};
use super::build::{Builder, board, board_with_reserved};
use super::{facts, notes, range};
use units::notes::MAX_NOTES;

const GIC: u32 = 1;

fn gic(root: &mut Builder) {
    root.node("interrupt-controller@1e001000", |node| {
        node.text("compatible", "arm,cortex-a9-gic").cells("#interrupt-cells", &[3]).cells("#address-cells", &[0]);
        node.flag("interrupt-controller")
            .cells("reg", &[0x1e00_1000, 0x1000, 0x1e00_0100, 0x100])
            .cells("phandle", &[GIC]);
    });
}

fn device<'a>(facts: &'a Facts, name: &str) -> &'a super::super::Device {
    facts.devices.iter().find(|device| device.path.ends_with(name)).unwrap_or_else(|| panic!("{name}: {facts:?}"))
}

/// The form of the upstream board: a nexus with chip selects, three buses deep.
fn deep(fill_uart: impl FnOnce(&mut Builder)) -> Facts {
    facts(&board(|root| {
        root.cells("interrupt-parent", &[GIC]);
        gic(root);
        root.node("bus@40000000", |smb| {
            smb.cells("#address-cells", &[2]).cells("#size-cells", &[1]);
            smb.cells("ranges", &[0, 0, 0x4000_0000, 0x400_0000, 7, 0, 0x1000_0000, 0x2_0000]);
            smb.cells("#interrupt-cells", &[1]).cells("interrupt-map-mask", &[0, 0, 63]);
            smb.cells("interrupt-map", &[0, 0, 4, GIC, 0, 4, 4, 0, 0, 5, GIC, 0, 5, 4, 0, 0, 6, GIC, 1, 13, 4]);
            smb.node("motherboard-bus@40000000", |board| {
                board.cells("#address-cells", &[2]).cells("#size-cells", &[1]).flag("ranges");
                board.node("flash@0", |flash| {
                    flash.cells("reg", &[0, 0x100, 0x1000]);
                });
                board.node("iofpga@7", |fpga| {
                    fpga.cells("#address-cells", &[1]).cells("#size-cells", &[1]).cells("ranges", &[0, 7, 0, 0x2_0000]);
                    fpga.node("uart@9000", |uart| {
                        fill_uart(uart.cells("reg", &[0x9000, 0x1000]));
                    });
                });
            });
        });
    }))
}

#[test]
fn addresses_and_interrupts_through_three_buses() {
    let facts = deep(|uart| {
        uart.text("compatible", "arm,pl011|arm,primecell").cells("interrupts", &[5, 69, 6]);
    });
    let uart = device(&facts, "/iofpga@7/uart@9000");
    assert_eq!(uart.reg, vec![range(0x1000_9000, 0x1000)]);
    // 69 is 5 under the mask.
    assert_eq!(uart.interrupts, vec![32 + 5, 32 + 5, 16 + 13]);
    assert_eq!(uart.compatible, ["arm,pl011", "arm,primecell"]);
    assert_eq!(device(&facts, "/flash@0").reg, vec![range(0x4000_0100, 0x1000)]);
    assert_eq!(notes(&facts), [""; 0]);
}

#[test]
fn interrupts_that_lead_nowhere_are_reported() {
    let facts = deep(|uart| {
        uart.cells("interrupts", &[5, 9]);
    });
    assert_eq!(device(&facts, "uart@9000").interrupts, vec![37]);
    assert_eq!(facts.notes.len(), 1);
    assert!(
        notes(&facts)[0].starts_with("debris: OF: 1 interrupts of 1 devices do not lead to the GIC, first those of /")
    );
    let facts = deep(|uart| {
        uart.cells("interrupt-parent", &[99]).cells("interrupts", &[5]);
    });
    assert_eq!((device(&facts, "uart@9000").interrupts.len(), facts.notes.len()), (0, 1));
}

#[test]
fn interrupts_extended_come_first() {
    let facts = deep(|uart| {
        uart.cells("interrupts", &[5]).cells("interrupts-extended", &[GIC, 0, 8, 4, GIC, 1, 2, 4]);
    });
    assert_eq!(device(&facts, "uart@9000").interrupts, vec![40, 18]);
    let facts = deep(|uart| {
        uart.cells("interrupts-extended", &[GIC, 0, 8, 4, GIC, 1]);
    });
    assert_eq!((device(&facts, "uart@9000").interrupts.clone(), facts.notes.len()), (vec![40], 1));
}

#[test]
fn specifiers_of_the_gic() {
    let facts = facts(&board(|root| {
        root.cells("interrupt-parent", &[GIC]);
        gic(root);
        root.node("timer@1e000600", |node| {
            node.cells("reg", &[0x1e00_0600, 0x20])
                .cells("interrupts", &[1, 13, 0xf04, 0, 987, 4, 0, 988, 4, 1, 16, 4, 2, 0, 4]);
        });
    }));
    assert_eq!(device(&facts, "timer@1e000600").interrupts, vec![29, 1019]);
    assert_eq!(device(&facts, "interrupt-controller@1e001000").reg.len(), 2);
    assert!(notes(&facts)[0].contains("3 interrupts of 1 devices"));
}

#[test]
fn circles_end() {
    // Two nexuses that name each other, one that names itself, and interrupt parents in a circle.
    let facts = facts(&board(|root| {
        for (name, phandle, next) in [("a@1000", 10, 11), ("b@2000", 11, 10), ("c@3000", 12, 12)] {
            root.node(name, |node| {
                node.cells("#interrupt-cells", &[1]).cells("#address-cells", &[0]).cells("phandle", &[phandle]);
                node.cells("interrupt-map", &[1, next, 1]).cells("reg", &[phandle << 12, 0x1000]);
                node.cells("interrupt-parent", &[phandle]).cells("interrupts", &[1]);
            });
        }
        root.node("d@4000", |node| {
            node.cells("phandle", &[13])
                .cells("interrupt-parent", &[13])
                .cells("interrupts", &[1])
                .cells("reg", &[0x4000, 1]);
        });
    }));
    assert_eq!(facts.devices.len(), 4);
    assert!(facts.devices.iter().all(|device| device.interrupts.is_empty()));
    assert_eq!(facts.notes.len(), 2, "one line for all: {:?}", facts.notes);
}

#[test]
fn a_bus_without_ranges_hides_what_is_behind_it() {
    let facts = facts(&board(|root| {
        root.node("i2c@1000", |bus| {
            bus.cells("reg", &[0x1000, 0x1000]).cells("#address-cells", &[1]).cells("#size-cells", &[0]);
            bus.node("sensor@39", |node| {
                node.cells("reg", &[0x39]);
            });
        });
        root.node("pci@2000", |bus| {
            bus.cells("#address-cells", &[3]).cells("#size-cells", &[2]);
            bus.cells("ranges", &[0x0200_0000, 0, 0x5000_0000, 0x5000_0000, 0, 0x1000_0000]);
            bus.node("card@0", |node| {
                node.cells("reg", &[0x0200_0000, 0, 0x5000_0000, 0, 0x1000]);
            });
        });
        root.node("far@3000", |bus| {
            bus.cells("#address-cells", &[1]).cells("#size-cells", &[1]).cells("ranges", &[0, 0xffff_f000, 0x2000]);
            bus.node("edge@0", |node| {
                node.cells("reg", &[0, 0x1000, 0x800, 0x1000, 0x1000, 0x10, 0x2000, 4]);
            });
        });
    }));
    let paths: Vec<&str> = facts.devices.iter().map(|device| device.path.as_str()).collect();
    assert_eq!(paths, ["/i2c@1000", "/far@3000/edge@0"]);
    assert_eq!(facts.devices[1].reg, vec![range(0xffff_f000, 0x1000)]);
    assert_eq!(
        notes(&facts),
        [
            "debris: OF: edge@0: registers at [mem 0xfffff800-0x1000007ff] ignored: above 4 GiB",
            "debris: OF: edge@0: registers at [mem 0x100000000-0x10000000f] ignored: above 4 GiB",
        ]
    );
}

#[test]
fn a_disabled_bus_disables_its_devices() {
    let facts = facts(&board(|root| {
        root.node("bus", |bus| {
            bus.text("status", "disabled").flag("ranges").node("dev@1000", |node| {
                node.text("status", "okay").text("CMA-name", "area").cells("reg", &[0x1000, 0x1000]);
            });
        });
    }));
    assert_eq!((facts.devices, facts.area_users, facts.notes), (vec![], vec![], vec![]));
}

#[test]
fn areas_are_named_by_phandle_or_by_name() {
    let bytes = board_with_reserved(|reserved| {
        for (name, phandle, kind) in [("camera@70000000", 5, "reusable"), ("vram@71000000", 6, "no-map")] {
            reserved.node(name, |node| {
                node.text("compatible", "shared-dma-pool").flag(kind).cells("phandle", &[phandle]);
                node.cells("reg", &[0x7000_0000, 0x80_0000]);
            });
        }
        // Also a child of /reserved-memory, but without a form; that must not harm the tree.
        reserved.node("BiscuitOS_CMA", |node| {
            node.text("CMA-name", "BiscuitOS_cma").cells("memory-region", &[6, 5, 77, 78]).cells("phandle", &[78]);
        });
    });
    let facts = facts(&bytes);
    let user =
        |area: &str| AreaUser { device: "BiscuitOS_CMA".into(), area: area.into(), by_region: area != "BiscuitOS_cma" };
    assert_eq!(facts.area_users, vec![user("BiscuitOS_cma"), user("camera@70000000")]);
    assert_eq!(
        notes(&facts),
        [
            "debris: OF: BiscuitOS_CMA: memory-region names no node: ignored",
            "debris: OF: BiscuitOS_CMA: memory-region BiscuitOS_CMA is not reserved memory: ignored",
        ]
    );
}

#[test]
fn ill_formed_interrupts_of_a_whole_board_are_one_line() {
    let facts = facts(&board(|root| {
        for number in 0..40 {
            root.node(&std::format!("dev@{number}000"), |node| {
                node.cells("reg", &[number << 12, 0x1000]).cells("interrupts", &[0]);
            });
        }
    }));
    assert_eq!(notes(&facts), ["debris: OF: interrupts of 40 devices are ill-formed, first those of /dev@0000"]);
}

#[test]
fn an_area_name_has_a_nodes_characters() {
    for name in ["", "two words", "quote\"d", "new\nline", &"x".repeat(128)] {
        let facts = facts(&board(|root| {
            root.node("dev", |node| {
                node.text("CMA-name", name);
            });
        }));
        assert_eq!(facts.area_users, vec![]);
        assert_eq!(notes(&facts), ["debris: OF: dev: CMA-name is not the name of a node: ignored"]);
    }
}

#[test]
fn limits_name_their_constants() {
    let many = facts(&board(|root| {
        (0..1000).for_each(|n| {
            root.node(&alloc::format!("dev@{n:x}000"), |node| {
                node.cells("reg", &[n << 12, 0x1000]).text("CMA-name", "area").cells("memory-region", &[99]);
            });
        });
    }));
    assert_eq!((many.devices.len(), many.area_users.len(), many.notes.len()), (1000, MAX_AREA_USERS, MAX_NOTES + 1));
    let lines = notes(&many);
    assert!(lines.iter().any(|line| line.contains("raise MAX_AREA_USERS")), "{lines:?}");
    assert!(lines[MAX_NOTES].contains("raise MAX_NOTES"), "{lines:?}");

    let busy = facts(&board(|root| {
        gic(root);
        root.node("dev@1000", |node| {
            let interrupts: Vec<u32> = (0..40).flat_map(|n| [0, n, 4]).collect();
            node.cells("reg", &[0x1000, 0x1000]).cells("interrupt-parent", &[GIC]).cells("interrupts", &interrupts);
        });
    }));
    assert_eq!(device(&busy, "dev@1000").interrupts.len(), MAX_INTERRUPTS);
    let line =
        "debris: OF: only 32 interrupts of each of 1 devices count (raise MAX_INTERRUPTS), first those of /dev@1000";
    assert_eq!(notes(&busy), [line]);

    // Every device searches a bus's 4,000 windows, of which only the last fits.
    let mut ranges: Vec<u32> = (0..4000).flat_map(|n| [0x1000 + n, 0, 1]).collect();
    ranges.extend([0, 0x1000_0000, 0x1000]);
    let tangled = facts(&board(|root| {
        root.node("bus", |bus| {
            bus.cells("ranges", &ranges);
            (0..100).for_each(|n| {
                bus.node(&alloc::format!("dev@{n:x}"), |node| {
                    node.cells("reg", &[n, 1]);
                });
            });
        });
    }));
    assert_eq!(tangled.devices.len(), MAX_LOOKUP_STEPS as usize / 4001);
    assert!(notes(&tangled)[0].contains("raise MAX_LOOKUP_STEPS"));
}
