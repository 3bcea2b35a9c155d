// SPDX-License-Identifier: MIT OR Apache-2.0

//! The named mappings: the only owner of the [`AddressSpace`], and the description of an address in
//! a fault's report.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use units::PhysRange;

use super::image;
use super::irq::IrqMutex;
use super::mmu::{Access, AddressSpace, OutOfPageTables};

/// Most named ranges kept for reports; further ones are mapped and reported as "mapped, unnamed".
pub(crate) const MAX_NAMED_RANGES: usize = 512;

/// The address space, with the names of its parts.
pub(crate) struct Mappings {
    space: AddressSpace,
    named: Vec<Named>,
}

/// A range that was mapped, or deliberately left unmapped.
struct Named {
    range: PhysRange,
    name: Cow<'static, str>,
}

static MAPPINGS: IrqMutex<Option<Mappings>> = IrqMutex::new(None);

impl Mappings {
    /// Maps `range` and records its name.
    pub(crate) fn map(
        &mut self,
        range: PhysRange,
        access: Access,
        name: impl Into<Cow<'static, str>>,
    ) -> Result<(), OutOfPageTables> {
        self.name(range, name);
        self.space.map(range, access)
    }

    /// Records the name of a range without mapping it.
    pub(crate) fn name(&mut self, range: PhysRange, name: impl Into<Cow<'static, str>>) {
        if self.named.len() < MAX_NAMED_RANGES {
            self.named.push(Named { range, name: name.into() });
        }
    }

    /// Returns the tables, for mappings that change at run time.
    pub(crate) fn space(&mut self) -> &mut AddressSpace {
        &mut self.space
    }
}

/// Stores the tables that the processor started with.
pub(crate) fn adopt(space: AddressSpace) {
    *MAPPINGS.lock() = Some(Mappings { space, named: Vec::new() });
}

/// Runs `change` on the mappings, under their lock.
///
/// # Panics
/// Before [`adopt`].
pub(crate) fn with<T>(change: impl FnOnce(&mut Mappings) -> T) -> T {
    let mut mappings = MAPPINGS.lock();
    change(mappings.as_mut().expect("the page tables have not been adopted yet"))
}

/// Writes the part of the image, guard page or named range that `address` is in, or that it is in
/// none. Never waits for a lock.
pub(crate) fn describe(out: &mut impl Write, address: u32) -> fmt::Result {
    if let Some(name) = image_part(address) {
        return out.write_str(name);
    }
    for stack in image::stacks() {
        if (stack.guard..stack.guard + image::GUARD_BYTES).contains(&address) {
            return write!(out, "the guard page under the {}", stack.name);
        }
        if (stack.guard..stack.top).contains(&address) {
            return write!(out, "the {}", stack.name);
        }
    }
    if address < 4096 {
        return out.write_str("the null page, never mapped");
    }
    let Some(mappings) = MAPPINGS.try_lock() else { return out.write_str("unknown: the map is being changed") };
    let Some(mappings) = mappings.as_ref() else { return out.write_str("unknown: there is no map yet") };
    let range = PhysRange::sized(address.into(), 1);
    match (mappings.named.iter().find(|named| named.range.contains(&range)), mappings.space.rights(address)) {
        (Some(named), Some(access)) => write!(out, "{} ({})", named.name, access.words()),
        (Some(named), None) => write!(out, "{} (not mapped)", named.name),
        (None, Some(access)) => write!(out, "mapped, unnamed ({})", access.words()),
        (None, None) => out.write_str("no mapping"),
    }
}

fn image_part(address: u32) -> Option<&'static str> {
    if (image::text_start()..image::text_end()).contains(&address) {
        Some("the kernel's text (read-only, executable)")
    } else if (image::rodata_start()..image::rodata_end()).contains(&address) {
        Some("the kernel's constants (read-only, execute-never)")
    } else if (image::data_start()..image::data_end()).contains(&address) {
        Some("the kernel's data (read-write, execute-never)")
    } else {
        None
    }
}
