// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the loader left the device tree.
//!
//! A raw image finds its address in r2, an ELF image at the start of RAM. Only the header's first
//! two words are looked at here, to know how much to map; everything else about the tree is for
//! `devicetree` to judge.

use core::fmt;

use devicetree::{self as dt, TreeError};
use units::{ADDRESS_LIMIT, PhysRange};

use crate::board::RAM_BASE;
use crate::cpu::image;

/// The first tag of an ATAG list, its second word.
const ATAG_CORE: u32 = 0x5441_0001;
/// What is looked at here: the tree's magic number and its size.
const START_BYTES: u32 = 8;

/// Why there is no tree to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NoTree {
    /// The boot loader passed none, and there is none at the start of RAM either.
    Nowhere,
    /// The boot loader passed an ATAG list.
    Atags(u32),
    /// What it passed cannot be a tree's address.
    Address(u32),
    /// It lay where the kernel's own memory is, which the entry code has cleared.
    Overwritten(u32),
    /// What lies there cannot be a tree.
    Unusable(u32, TreeError),
}

/// Says that RAM is shorter than the image, or than QEMU needs to lay the tree behind it: it lays
/// it in RAM's middle.
pub(crate) struct TooLittleMemory;

impl fmt::Display for TooLittleMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = (2 * (image::image_end() - RAM_BASE)).div_ceil(1 << 20);
        let end = image::image_end();
        write!(
            f,
            "too little memory: the kernel ends at {end:#010x}, and the device tree has to lie behind it; start "
        )?;
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
    // SAFETY: aligned, and by the caller's word readable.
    let first = unsafe { word(address) };
    // SAFETY: as above; the address leaves room for two words.
    let second = unsafe { word(address + 4) };
    let start: [[u8; 4]; 2] = [first.to_ne_bytes(), second.to_ne_bytes()];
    match dt::total_size(start.as_flattened()) {
        Ok(size) => {
            let range = PhysRange::sized(address.into(), size as u64);
            // What the entry code has cleared already, or what wraps around, is no tree's place.
            let possible = range.end <= ADDRESS_LIMIT && !range.overlaps(&image::range());
            possible.then_some(range).ok_or(NoTree::Address(address))
        }
        Err(TreeError::NotATree { .. }) if second == ATAG_CORE => Err(NoTree::Atags(address)),
        Err(TreeError::NotATree { .. }) if r2 == 0 => Err(NoTree::Nowhere),
        Err(error) => Err(NoTree::Unusable(address, error)),
    }
}

/// A blob's bytes: the tree's, or the initrd's.
///
/// # Safety
/// `range` is mapped, and nothing writes there while the bytes are in use.
pub(crate) unsafe fn bytes<'a>(range: PhysRange) -> &'a [u8] {
    let start = core::ptr::with_exposed_provenance(range.start as usize);
    // SAFETY: by the caller's word.
    unsafe { core::slice::from_raw_parts(start, range.size() as usize) }
}

/// A word of physical memory.
///
/// # Safety
/// Aligned and readable.
unsafe fn word(address: u32) -> u32 {
    // SAFETY: by the caller's word.
    unsafe { core::ptr::with_exposed_provenance::<u32>(address as usize).read_volatile() }
}
