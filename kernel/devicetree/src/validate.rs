// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks the bytes once: header, memory reservation block, structure block, strings block.
//!
//! The first step: all later ones rely on what is checked here, and only on that. The `fdt` crate
//! trusts the header (it adds offsets and sizes that may wrap, and slices by them) and ends its
//! walk silently at a depth of sixteen, so it gets only bytes that passed these checks. The layout
//! is the Devicetree Specification's, chapter 5, version 17. One pass, no recursion, no heap.

use super::{MAGIC, MAX_DEPTH, MAX_NAME_BYTES, MAX_NODES, MAX_PROPERTIES, MAX_TREE_BYTES, TreeError};

/// Size of the header: ten words.
const HEADER_BYTES: usize = 40;
/// The version whose layout is read, and the largest valid `last_comp_version`.
const VERSION: u32 = 17;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// A tree that has been checked, and its sizes.
pub(super) struct Checked<'a> {
    /// Exactly the tree's `totalsize` bytes.
    pub tree: &'a [u8],
    /// The memory reservation block's entries, 16 bytes each, without the terminator.
    pub reservations: &'a [u8],
    /// Number of nodes, the root included.
    pub nodes: usize,
    /// Number of properties in all nodes.
    pub properties: usize,
}

/// The first word of `bytes`, big-endian.
pub(super) fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// Returns the tree's size in bytes, from the first eight bytes of its header: the length of the
/// slice that [`read`](super::read) needs.
pub fn total_size(start: &[u8]) -> Result<usize, TreeError> {
    let (Some(magic), Some(total)) = (word(start), start.get(4..).and_then(word)) else {
        return Err(TreeError::Truncated { needed: HEADER_BYTES, available: start.len() });
    };
    if magic != MAGIC {
        return Err(TreeError::NotATree { magic });
    }
    let total = total as usize;
    if total > MAX_TREE_BYTES {
        return Err(TreeError::TooMany { what: "bytes", constant: "MAX_TREE_BYTES", limit: MAX_TREE_BYTES });
    }
    if total < HEADER_BYTES {
        return Err(TreeError::Header("the total size is smaller than the header"));
    }
    Ok(total)
}

/// Checks everything that later steps rely on.
pub(super) fn check(bytes: &[u8]) -> Result<Checked<'_>, TreeError> {
    let total = total_size(bytes)?;
    let tree = bytes.get(..total).ok_or(TreeError::Truncated { needed: total, available: bytes.len() })?;
    // `total` is at least the header's size, so the header is complete.
    let field = |index: usize| tree.get(index * 4..).and_then(word).unwrap_or(0);
    let (structure_at, strings_at, reservations_at) = (field(2), field(3), field(4));
    let (version, compatible_with, strings_size, structure_size) = (field(5), field(6), field(8), field(9));
    if version < VERSION || compatible_with > VERSION {
        return Err(TreeError::Header("not readable as version 17"));
    }
    if reservations_at % 8 != 0 || structure_at % 4 != 0 || structure_size % 4 != 0 {
        return Err(TreeError::Header("a block is not aligned"));
    }
    let reservations = tree.get(reservations_at as usize..).ok_or(OUTSIDE)?;
    let reservations = reservations_in(reservations)?;
    let strings = block(tree, strings_at, strings_size)?;
    check_strings(strings)?;
    let structure = block(tree, structure_at, structure_size)?;
    let (nodes, properties) = check_structure(structure, strings.len())?;
    Ok(Checked { tree, reservations, nodes, properties })
}

const OUTSIDE: TreeError = TreeError::Header("a block lies outside the tree");

fn block(tree: &[u8], at: u32, size: u32) -> Result<&[u8], TreeError> {
    tree.get(at as usize..).and_then(|rest| rest.get(..size as usize)).ok_or(OUTSIDE)
}

fn reservations_in(block: &[u8]) -> Result<&[u8], TreeError> {
    let entries = block.chunks_exact(16).position(|entry| entry.iter().all(|&byte| byte == 0));
    let entries = entries.ok_or(TreeError::Header("the memory reservation block has no end"))?;
    Ok(&block[..entries * 16])
}

/// Checks that all strings end in the block and are printable ASCII without spaces.
fn check_strings(strings: &[u8]) -> Result<(), TreeError> {
    if strings.last().is_some_and(|&last| last != 0) {
        return Err(TreeError::Header("the strings block does not end with a NUL"));
    }
    if strings.iter().any(|&byte| byte != 0 && !byte.is_ascii_graphic()) {
        return Err(TreeError::Header("the strings block is not ASCII text"));
    }
    Ok(())
}

/// Checks that there is one root, properties come before subnodes, and nothing follows. Returns the
/// number of nodes and of properties.
fn check_structure(structure: &[u8], strings_len: usize) -> Result<(usize, usize), TreeError> {
    let mut rest = structure;
    let (mut nodes, mut properties, mut depth) = (0, 0, 0);
    let mut properties_may_follow = false;
    loop {
        let at = structure.len() - rest.len();
        let problem = |problem| TreeError::Structure { at, problem };
        let token = take_word(&mut rest).ok_or(problem("the block ends without an end token"))?;
        match token {
            BEGIN_NODE => {
                if depth == 0 && nodes > 0 {
                    return Err(problem("a second root"));
                }
                if depth > MAX_DEPTH {
                    return Err(TreeError::TooMany {
                        what: "levels of nodes",
                        constant: "MAX_DEPTH",
                        limit: MAX_DEPTH,
                    });
                }
                let name = take_name(&mut rest).ok_or(problem("a node's name does not end"))?;
                if (depth == 0) != name.is_empty() || !name.iter().all(|&byte| is_name_byte(byte)) {
                    return Err(problem("a node's name is empty or has an invalid character"));
                }
                if name.len() > MAX_NAME_BYTES {
                    return Err(TreeError::TooMany {
                        what: "bytes in a node's name",
                        constant: "MAX_NAME_BYTES",
                        limit: MAX_NAME_BYTES,
                    });
                }
                if nodes == MAX_NODES {
                    return Err(TreeError::TooMany { what: "nodes", constant: "MAX_NODES", limit: MAX_NODES });
                }
                nodes += 1;
                depth += 1;
                properties_may_follow = true;
            }
            END_NODE => {
                if depth == 0 {
                    return Err(problem("a node ends that did not begin"));
                }
                depth -= 1;
                properties_may_follow = false;
            }
            PROPERTY => {
                if !properties_may_follow {
                    return Err(problem("a property outside a node, or after a subnode"));
                }
                let (Some(len), Some(name_at)) = (take_word(&mut rest), take_word(&mut rest)) else {
                    return Err(problem("a property without length or name"));
                };
                if name_at as usize >= strings_len {
                    return Err(problem("a property's name lies outside the strings block"));
                }
                take_padded(&mut rest, len as usize).ok_or(problem("a property longer than the block"))?;
                if properties == MAX_PROPERTIES {
                    let constant = "MAX_PROPERTIES";
                    return Err(TreeError::TooMany { what: "properties", constant, limit: MAX_PROPERTIES });
                }
                properties += 1;
            }
            NOP => {}
            END if depth != 0 || nodes == 0 => return Err(problem("the block ends inside a node, or without one")),
            END if !rest.is_empty() => return Err(problem("something follows the end token")),
            END => return Ok((nodes, properties)),
            _ => return Err(problem("not a token")),
        }
    }
}

/// True for bytes that dtc accepts in a full node name. No slash: it separates names in paths.
pub(super) fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b',' | b'.' | b'_' | b'+' | b'*' | b'#' | b'?' | b'@' | b'-')
}

fn take_word(rest: &mut &[u8]) -> Option<u32> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes(*first))
}

fn take_name<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = rest.iter().position(|&byte| byte == 0)?;
    let name = &rest[..len];
    take_padded(rest, len + 1)?;
    Some(name)
}

/// Takes `len` bytes and their padding to whole words. The block's length is a multiple of four, so
/// if the padding does not fit, the bytes do not either.
fn take_padded(rest: &mut &[u8], len: usize) -> Option<()> {
    *rest = rest.get(len.checked_next_multiple_of(4)?..)?;
    Some(())
}
