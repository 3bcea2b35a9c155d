// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::string::ToString;
use alloc::vec::Vec;

use super::super::{MAX_DEPTH, MAX_NODES, MAX_PROPERTIES, TreeError, read, total_size};
use super::build::{board, tree};
use super::facts;

fn with_word(mut bytes: Vec<u8>, at: usize, word: u32) -> Vec<u8> {
    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
    bytes
}

fn refused(bytes: &[u8]) -> TreeError {
    read(bytes).expect_err("a broken tree was read")
}

#[test]
fn more_bytes_than_the_tree_are_fine() {
    let bytes = board(|_| {});
    let mut longer = bytes.clone();
    longer.extend([0xff; 100]);
    assert_eq!(total_size(&longer[..8]), Ok(bytes.len()));
    assert_eq!(facts(&longer), facts(&bytes));
    assert_eq!(facts(&bytes).model.as_deref(), Some("test"));
}

#[test]
fn what_is_no_tree_is_told_from_what_is_cut() {
    let bytes = board(|_| {});
    // An ATAG list: ATAG_CORE of five words.
    let atags = [5, 0, 0, 0, 1, 0, 0x41, 0x54];
    assert_eq!(refused(&atags).to_string(), "no device tree: found 0x05000000 instead of the magic 0xd00dfeed");
    assert_eq!(refused(&[]), TreeError::Truncated { needed: 40, available: 0 });
    for cut in [8, 39, 40, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(refused(&bytes[..cut]), TreeError::Truncated { needed: bytes.len(), available: cut });
    }
}

#[test]
fn header_fields_that_cannot_be_true() {
    let bytes = board(|_| {});
    let big = !7;
    for (field, value) in [
        (1, 39),
        (1, 56),
        (2, big),
        (2, 1),
        (3, big),
        (4, big),
        (4, 4),
        (5, 16),
        (6, 18),
        (8, big),
        (9, big),
        (9, 2),
        (9, 4),
        (9, 0),
        (8, 0),
        (8, 3),
        (2, 0),
    ] {
        let error = refused(&with_word(bytes.clone(), field * 4, value));
        assert!(!error.to_string().is_empty() && !error.to_string().contains('\n'));
    }
    let huge = with_word(bytes, 4, 1 << 22);
    assert!(refused(&huge).to_string().contains("raise MAX_TREE_BYTES"));
}

#[test]
fn nops_are_skipped_everywhere() {
    let with_nops = tree(|root| {
        root.nop().cells("#address-cells", &[1]).nop().nop().cells("#size-cells", &[1]).nop();
        root.node("memory", |node| {
            node.nop().text("device_type", "memory").nop().cells("reg", &[0x6000_0000, 0x1000]).nop();
        });
        root.nop();
    });
    assert_eq!(facts(&with_nops).memory.len(), 1);
}

#[test]
fn structure_errors() {
    let after_subnode = tree(|root| {
        root.node("a", |_| {}).flag("late");
    });
    assert!(refused(&after_subnode).to_string().contains("after a subnode"));
    let slash = tree(|root| {
        root.node("a/b", |_| {});
    });
    assert!(refused(&slash).to_string().contains("name"));
    let nameless = tree(|root| {
        root.node("", |_| {});
    });
    assert!(refused(&nameless).to_string().contains("name"));
    let long = tree(|root| {
        root.node(&"x".repeat(128), |_| {});
    });
    assert!(refused(&long).to_string().contains("raise MAX_NAME_BYTES"));
    // Changes the root's tokens, one by one.
    let bytes = tree(|_| {});
    let structure = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    for (word, token) in [(0, 2), (0, 3), (0, 9), (0, 5), (2, 1), (2, 9), (3, 1), (3, 2), (3, 4), (3, 0)] {
        refused(&with_word(bytes.clone(), structure + word * 4, token));
    }
}

#[test]
fn limits_name_their_constants() {
    let depth = |levels: usize| {
        fn nest(builder: &mut super::build::Builder, levels: usize) {
            if levels > 0 {
                builder.node("n", |node| nest(node, levels - 1));
            } else {
                builder.text("CMA-name", "deepest");
            }
        }
        tree(|root| nest(root, levels))
    };
    assert_eq!(facts(&depth(MAX_DEPTH)).area_users.len(), 1);
    assert!(refused(&depth(MAX_DEPTH + 1)).to_string().contains("raise MAX_DEPTH"));
    let wide = |nodes: usize| {
        tree(|root| {
            (0..nodes).for_each(|_| {
                root.node("n", |_| {});
            });
        })
    };
    facts(&wide(MAX_NODES - 1));
    assert!(refused(&wide(MAX_NODES)).to_string().contains("raise MAX_NODES"));
    let full = |properties: usize| {
        tree(|root| {
            (0..properties).for_each(|_| {
                root.flag("p");
            });
        })
    };
    facts(&full(MAX_PROPERTIES));
    assert!(refused(&full(MAX_PROPERTIES + 1)).to_string().contains("raise MAX_PROPERTIES"));
}
