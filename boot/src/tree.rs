// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds the device tree that the loader passed.
//!
//! For a raw image its address is in r2, for an ELF image it is at the start of RAM. Only the first
//! two words of its header are read here, to find the size to map; `devicetree` checks everything
//! else.

use core::fmt;

use devicetree::{self as dt, TreeError};
use units::{ADDRESS_LIMIT, PhysRange};

use crate::board::RAM_BASE;
use crate::cpu::image;

/// First tag of an ATAG list, which is the list's second word.
const ATAG_CORE: u32 = 0x5441_0001;
/// Bytes that are read here: the tree's magic number and its size.
const START_BYTES: u32 = 8;

/// Reason that there is no tree to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NoTree {
    /// The boot loader passed none, and there is none at the start of RAM either.
    Nowhere,
    /// The boot loader passed an ATAG list.
    Atags(u32),
    /// The address that it passed cannot be a tree's.
    Address(u32),
    /// The tree was inside the kernel's own memory, which the entry code has cleared.
    Overwritten(u32),
    /// The data at the address is not a usable tree.
    Unusable(u32, TreeError),
}

/// Message that RAM is too small for the image, or for the tree after it, which QEMU places in the
/// middle of RAM.
pub(crate) struct TooLittleMemory;

impl fmt::Display for TooLittleMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = (2 * (image::image_end() - RAM_BASE)).div_ceil(1 << 20);
        let end = image::image_end();
        write!(f, "too little memory: the kernel ends at {end:#010x}, and the device tree must fit after it; start ")?;
        write!(f, "QEMU with -m {mib}M or more (MEM={mib}M)")
    }
}

impl fmt::Display for NoTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overwritten(address) => {
                return write!(
                    f,
                    "no device tree: it lay at {address:#010x}, in the kernel's own memory; {TooLittleMemory}"
                );
            }
            Self::Nowhere => {
                write!(f, "no device tree: the boot loader passed none, and none lies at {RAM_BASE:#010x}")
            }
            Self::Atags(address) => {
                write!(f, "no device tree: the boot loader passed an ATAG list at {address:#010x}")
            }
            Self::Address(address) => write!(f, "no device tree: none can lie at {address:#010x}"),
            Self::Unusable(address, error) => write!(f, "no device tree at {address:#010x}: {error}"),
        }?;
        f.write_str("; start QEMU with -dtb FILE")
    }
}

/// Finds the tree's bytes by the address in r2.
///
/// # Safety
/// The MMU is off: every physical address can be read.
pub(crate) unsafe fn locate(r2: u32) -> Result<PhysRange, NoTree> {
    let address = if r2 == 0 { RAM_BASE } else { r2 };
    if !address.is_multiple_of(4) || address.checked_add(START_BYTES).is_none() {
        return Err(NoTree::Address(address));
    }
    if PhysRange::sized(address.into(), START_BYTES.into()).overlaps(&image::range()) {
        return Err(NoTree::Overwritten(address));
    }
    // SAFETY: aligned, and readable as the caller guarantees.
    let first = unsafe { word(address) };
    // SAFETY: as above; the address leaves room for two words.
    let second = unsafe { word(address + 4) };
    let start: [[u8; 4]; 2] = [first.to_ne_bytes(), second.to_ne_bytes()];
    match dt::total_size(start.as_flattened()) {
        Ok(size) => {
            let range = PhysRange::sized(address.into(), size as u64);
            // A tree can neither overlap the memory that the entry code has cleared nor wrap
            // around.
            let possible = range.end <= ADDRESS_LIMIT && !range.overlaps(&image::range());
            possible.then_some(range).ok_or(NoTree::Address(address))
        }
        Err(TreeError::NotATree { .. }) if second == ATAG_CORE => Err(NoTree::Atags(address)),
        Err(TreeError::NotATree { .. }) if r2 == 0 => Err(NoTree::Nowhere),
        Err(error) => Err(NoTree::Unusable(address, error)),
    }
}

/// Returns the bytes of a blob: the tree or the initrd.
///
/// # Safety
/// `range` is mapped, and nothing writes there while the bytes are in use.
pub(crate) unsafe fn bytes<'a>(range: PhysRange) -> &'a [u8] {
    let start = core::ptr::with_exposed_provenance(range.start as usize);
    // SAFETY: guaranteed by the caller.
    unsafe { core::slice::from_raw_parts(start, range.size() as usize) }
}

/// Reads a word of physical memory.
///
/// # Safety
/// `address` is aligned and readable.
unsafe fn word(address: u32) -> u32 {
    // SAFETY: guaranteed by the caller.
    unsafe { core::ptr::with_exposed_provenance::<u32>(address as usize).read_volatile() }
}
