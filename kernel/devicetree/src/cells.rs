// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cells: their counts, and the numbers that they encode.
//!
//! `#address-cells` and `#size-cells` of a node apply to its children. For a node without them,
//! Linux uses its parent's (`of_bus_n_addr_cells` in `drivers/of/base.c`) and, for the root, one
//! and one (`OF_ROOT_NODE_ADDR_CELLS_DEFAULT`); the Devicetree Specification defines two and one,
//! not inherited. This crate follows Linux.

use super::validate::word;

/// Maximum number of cells of a number; more are considered invalid. Four is Linux's
/// `OF_MAX_ADDR_CELLS`.
pub(super) const MAX_CELLS: u32 = 4;

/// Cell counts for the children of a node, as the tree gives them: any number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cells {
    pub address: u32,
    pub size: u32,
}

impl Cells {
    /// The counts of a root without properties.
    pub(crate) const ROOT_DEFAULT: Self = Self { address: 1, size: 1 };

    /// Length in bytes of an (address, size) pair; `None` if no range can be made of one of the
    /// counts.
    pub(crate) fn pair_bytes(self) -> Option<usize> {
        Some(bytes_of(self.address)? + bytes_of(self.size)?)
    }

    /// The (address, size) pairs in `value` without an incomplete last one; none if the counts are
    /// unusable. A number that does not fit into 64 bits is `None`.
    pub(crate) fn pairs(self, value: &[u8]) -> impl Iterator<Item = (Option<u64>, Option<u64>)> + '_ {
        let (bytes, address_bytes) = match (self.pair_bytes(), bytes_of(self.address)) {
            (Some(bytes), Some(address_bytes)) => (bytes, address_bytes),
            _ => (value.len() + 1, 0),
        };
        value.chunks_exact(bytes).map(move |pair| {
            let (address, size) = pair.split_at(address_bytes);
            (number(address), number(size))
        })
    }
}

/// Length in bytes of a number of `cells` cells; `None` if `cells` is 0 or above [`MAX_CELLS`].
pub(super) fn bytes_of(cells: u32) -> Option<usize> {
    (1..=MAX_CELLS).contains(&cells).then_some(cells as usize * 4)
}

/// The number that whole cells encode, most significant first; `None` if it exceeds 64 bits.
pub(super) fn number(cells: &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for cell in cells.chunks_exact(4) {
        if number >> 32 != 0 {
            return None;
        }
        number = number << 32 | u64::from(word(cell)?);
    }
    Some(number)
}
