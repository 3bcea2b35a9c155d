// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a tree could not be read at all.

use alloc::string::String;
use core::fmt;

/// The whole tree is unusable; each displays as one line without the name of the part it comes
/// from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TreeError {
    /// There is no tree here: an ATAG list, or nothing at all.
    NotATree {
        /// The word found where a tree has [`MAGIC`](super::MAGIC).
        magic: u32,
    },
    /// The header announces more bytes than there are.
    Truncated {
        /// Bytes needed.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// A field of the header cannot be true.
    Header(&'static str),
    /// The structure block is not one tree of nodes and properties.
    Structure {
        /// Where, in bytes from the start of the structure block.
        at: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// More of something than there is room for.
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The constant to raise.
        constant: &'static str,
        /// Its value.
        limit: usize,
    },
    /// The `fdt` crate refused what the checks above had passed.
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
