//! The device tree's one door: bytes in, typed facts out.
//!
//! Header, structure and strings are validated once, here; behind the door nothing can fail on the tree. What the tree
//! says wrongly is reported as a [`Note`] and left out, and the rest goes on.

use alloc::string::String;
use alloc::vec::Vec;

use crate::units::PhysRange;

/// A line for the boot log, found before there is a console to print it on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The level it is logged at.
    pub level: log::Level,
    /// The whole line, in Linux's words where Linux has them.
    pub text: String,
}

/// What the tree says, checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// `/model`.
    pub model: Option<String>,
    /// RAM in the tree's order, clipped below 4 GiB, page-aligned inwards, non-empty.
    pub memory: Vec<PhysRange>,
    /// The `/memreserve/` entries.
    pub memreserve: Vec<PhysRange>,
    /// The children of `/reserved-memory` that are well-formed, in the tree's order.
    pub reserved: Vec<ReservedNode>,
    /// `/chosen/bootargs`.
    pub bootargs: Option<String>,
    /// `/chosen/linux,initrd-start` and `-end`.
    pub initrd: Option<PhysRange>,
    /// Index in [`Facts::devices`] of the device `/chosen/stdout-path` names, aliases followed.
    pub stdout: Option<usize>,
    /// Enabled devices with a translated `reg`, in the tree's order.
    pub devices: Vec<Device>,
    /// Devices that name a reserved area, in the tree's order.
    pub area_users: Vec<AreaUser>,
    /// What was found wrong, in the order found.
    pub notes: Vec<Note>,
}

/// A child of `/reserved-memory` whose properties are well-formed; whether it can be placed is for
/// `mm::reserved` to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReservedNode {
    /// Full node name, unit address included (`camera@70000000`).
    pub name: String,
    /// `phandle`, if it has one.
    pub phandle: Option<u32>,
    /// Where it wants to lie.
    pub placement: Placement,
    /// `compatible` contains `shared-dma-pool`.
    pub shared_dma_pool: bool,
    /// `compatible`'s first string, for Linux's "compatible id" line.
    pub compatible: Option<String>,
    /// `reusable` is present.
    pub reusable: bool,
    /// `no-map` is present.
    pub no_map: bool,
    /// `linux,cma-default` is present.
    pub cma_default: bool,
}

/// Fixed by `reg`, or dynamic by `size`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Placement {
    /// One range per `reg` entry, not empty.
    Fixed(Vec<PhysRange>),
    /// To be placed.
    Dynamic {
        /// `size` in bytes.
        size: u64,
        /// `alignment` in bytes; 0 where absent.
        alignment: u64,
        /// `alloc-ranges`; empty: anywhere.
        alloc_ranges: Vec<PhysRange>,
    },
}

/// A device node that is enabled and has at least one translated register range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Full path from the root.
    pub path: String,
    /// `compatible`, most specific first.
    pub compatible: Vec<String>,
    /// `reg`, translated to CPU physical addresses through every `ranges` above.
    pub reg: Vec<PhysRange>,
    /// GIC interrupt identifiers (SPI n is 32 + n, PPI n is 16 + n), `interrupt-map` followed.
    pub interrupts: Vec<u32>,
}

/// A device that names an area, by `memory-region` or by `CMA-name`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaUser {
    /// The device's full node name (`BiscuitOS_CMA`).
    pub device: String,
    /// The area's name.
    pub area: String,
}
