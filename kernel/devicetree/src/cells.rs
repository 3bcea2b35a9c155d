// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cells: how many there are of what, and the numbers they make.
//!
//! `#address-cells` and `#size-cells` of a node speak of its children. Where a node has none, Linux
//! takes its parent's (`of_bus_n_addr_cells` in `drivers/of/base.c`) and, for the root, one and one
//! (`OF_ROOT_NODE_ADDR_CELLS_DEFAULT`); the Devicetree Specification says two and one, and not
//! inherited. Linux's rule is ours.

use super::validate::word;

/// The most cells a number may be made of; more is taken for nonsense. Four is Linux's
/// `OF_MAX_ADDR_CELLS`.
pub(super) const MAX_CELLS: u32 = 4;

/// Cell counts for the children of a node, as the tree says them: any number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cells {
    pub address: u32,
    pub size: u32,
}

impl Cells {
    /// What holds for the root where it says nothing.
    pub(crate) const ROOT_DEFAULT: Self = Self { address: 1, size: 1 };

    /// Bytes of an (address, size) pair; `None` where either count is none that a range can be made
    /// of.
    pub(crate) fn pair_bytes(self) -> Option<usize> {
        Some(bytes_of(self.address)? + bytes_of(self.size)?)
    }

    /// The (address, size) pairs in `value`, an incomplete last one left out; nothing where the
    /// counts are unusable. A number that does not fit into 64 bits is `None`.
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

/// Bytes of a number of `cells` cells; `None` if it has none or too many.
pub(super) fn bytes_of(cells: u32) -> Option<usize> {
    (1..=MAX_CELLS).contains(&cells).then_some(cells as usize * 4)
}

/// The number that whole cells make, most significant first; `None` where it takes more than 64
/// bits.
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
