// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reasons why a tree cannot be read at all.

use alloc::string::String;
use core::fmt;

/// The whole tree is unusable; each reason displays as one line without the name of a crate or
/// module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TreeError {
    /// There is no tree at this address: an ATAG list, or nothing.
    NotATree {
        /// The word found where a tree has [`MAGIC`](super::MAGIC).
        magic: u32,
    },
    /// The header's size exceeds the available bytes.
    Truncated {
        /// Number of bytes needed.
        needed: usize,
        /// Number of bytes available.
        available: usize,
    },
    /// A field of the header is invalid.
    Header(&'static str),
    /// The structure block is not one tree of nodes and properties.
    Structure {
        /// Position in bytes from the start of the structure block.
        at: usize,
        /// The problem there.
        problem: &'static str,
    },
    /// A limit is exceeded.
    TooMany {
        /// The things counted.
        what: &'static str,
        /// The constant to raise.
        constant: &'static str,
        /// The constant's value.
        limit: usize,
    },
    /// The `fdt` crate refused bytes that passed all checks.
    Reader(String),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATree { magic } => {
                write!(f, "no device tree: found {magic:#010x} instead of the magic {:#010x}", super::MAGIC)
            }
            Self::Truncated { needed, available } => {
                write!(f, "device tree cut short: {needed} bytes needed, {available} there")
            }
            Self::Header(problem) => write!(f, "device tree header: {problem}"),
            Self::Structure { at, problem } => write!(f, "device tree structure, byte {at}: {problem}"),
            Self::TooMany { what, constant, limit } => {
                write!(f, "device tree too large: more than {limit} {what} (raise {constant})")
            }
            Self::Reader(problem) => write!(f, "device tree not readable: {problem}"),
        }
    }
}

impl core::error::Error for TreeError {}
