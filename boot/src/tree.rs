//! Where the loader left the device tree.
//!
//! A raw image finds its address in r2, an ELF image at the start of RAM. Only the header's first two words are looked at
//! here; everything else about the tree is for `kernel::dt` to judge.

use core::fmt;

use kernel::units::PhysRange;

use crate::board::RAM_BASE;

/// The first word of a flattened device tree, big-endian (Devicetree Specification, 5.2).
const MAGIC: u32 = 0xd00d_feed;
/// The first tag of an ATAG list is ATAG_CORE, in its second word.
const ATAG_CORE: u32 = 0x5441_0001;
/// Header of a tree, in bytes.
const HEADER_BYTES: u32 = 40;
/// Largest tree accepted: Linux and QEMU stop at 1 MiB or 2 MiB too.
pub const MAX_TREE_BYTES: u32 = 2 << 20;

/// Why there is no tree to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoTree {
    /// r2 was 0, and there is none at the start of RAM either.
    Nowhere,
    /// The boot loader passed an ATAG list.
    Atags(u32),
    /// No tree at the address passed.
    BadMagic(u32, u32),
    /// Its size cannot be.
    BadSize(u32, u32),
}

impl fmt::Display for NoTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Nowhere => write!(f, "no device tree at {RAM_BASE:#010x}, and the boot loader passed none"),
            Self::Atags(address) => {
                write!(f, "the boot loader passed an ATAG list at {address:#010x} instead of a device tree")
            }
            Self::BadMagic(address, magic) => {
                write!(f, "no device tree at {address:#010x}: it begins with {magic:#010x} instead of {MAGIC:#010x}")
            }
            Self::BadSize(address, size) => write!(
                f,
                "no usable device tree at {address:#010x}: it says that it has {size} bytes (MAX_TREE_BYTES is {MAX_TREE_BYTES})"
            ),
        }?;
        f.write_str("; start QEMU with -dtb FILE")
    }
}

/// Finds the tree's bytes by the address in r2.
///
/// # Safety
/// The MMU is off: every physical address can be read.
pub unsafe fn locate(r2: u32) -> Result<PhysRange, NoTree> {
    let address = if r2 == 0 { RAM_BASE } else { r2 };
    if !address.is_multiple_of(4) || address.checked_add(HEADER_BYTES).is_none() {
        return Err(NoTree::BadMagic(address, 0));
    }
    // SAFETY: aligned, and by the caller's word readable.
    let magic = u32::from_be(unsafe { word(address) });
    // SAFETY: as above, and the address leaves room for a header.
    let second = unsafe { word(address + 4) };
    if magic != MAGIC {
        return Err(match second {
            ATAG_CORE => NoTree::Atags(address),
            _ if r2 == 0 => NoTree::Nowhere,
            _ => NoTree::BadMagic(address, magic),
        });
    }
    let size = u32::from_be(second);
    if !(HEADER_BYTES..=MAX_TREE_BYTES).contains(&size) || address.checked_add(size).is_none() {
        return Err(NoTree::BadSize(address, size));
    }
    Ok(PhysRange::sized(address.into(), size.into()))
}

/// The tree's bytes.
///
/// # Safety
/// `range` came from [`locate`] and is mapped, and nothing writes there while the bytes are in use.
pub unsafe fn bytes<'a>(range: PhysRange) -> &'a [u8] {
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
