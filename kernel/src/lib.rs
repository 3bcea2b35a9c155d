// SPDX-License-Identifier: MIT OR Apache-2.0

//! The portable half of the laboratory: all parts of Linux's contiguous memory allocator, and the
//! experiments on it, without a register or an address of any board.
//!
//! # Data flow
//! Bytes of a device tree → [`dt`] facts → [`mm::memblock`], RAM and its reservations →
//! [`mm::reserved`], the places of the CMA areas → [`mm::zone`], page frames and free lists →
//! [`system::System`], which activates the areas → a load of [`lab`] requests pages of an area → a
//! [`cma::placement`] chooses bits → the pages are taken from the zone → a [`cma::Buffer`] that
//! only its owner can release → records on the console, by the [`monitor`].
//!
//! # Invariants
//! 1. Linux's semantics and terms, in code of our own; a module states where Linux behaves
//!    differently.
//! 2. Cost depends on blocks, not pages, and no measured path allocates from the heap.
//! 3. Errors are values with the details. No content of a tree, a command line, a trace or typed
//!    input causes a panic.
//! 4. Deterministic: the same input has the same results, on the host and in the image, because it
//!    is the same code.
//! 5. No `unsafe`: the owners of memory and registers provide access to them, through
//!    [`machine::Machine`] and [`mm::poison::Poison`].
//!
//! # Example
//! A zone of four pageblocks, two of them an area:
//! ```
//! use kernel::cma::{CmaError, align_order_of};
//! use kernel::mm::zone::{Zone, descriptors};
//! use kernel::mm::{PAGEBLOCK_PAGES, Page};
//! use kernel::system::System;
//! use kernel::units::Pfn;
//!
//! let mut pages = vec![Page::default(); descriptors(4 * PAGEBLOCK_PAGES)];
//! let mut zone = Zone::new(Pfn(0x60000), &mut pages);
//! zone.free_range(Pfn(0x60000), 2 * PAGEBLOCK_PAGES);
//! let mut system = System::new(zone, Vec::new());
//! let area = system.activate_area("camera".into(), Pfn(0x60800), 2 * PAGEBLOCK_PAGES, true);
//!
//! let small = system.cma_alloc(area, 5, align_order_of(5)).unwrap();
//! let frame = system.cma_alloc(area, 1500, align_order_of(1500)).unwrap();
//! assert_eq!(frame.first(), Pfn(0x60900), "behind the small one, at a multiple of 256 pages");
//! system.cma_release(small).unwrap();
//! assert_eq!(system.cma_alloc(area, 512, 8), Err(CmaError::Fragmented { free: 548 }));
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod cma;
pub mod drivers;
pub mod mm;
pub use ::block;
pub use ::devicetree as dt;
pub use ::dma;
pub use ::lab;
pub use ::machine;
pub use ::monitor;
pub use ::reserved::cmdline;
pub use ::system;
pub use ::units;
pub use ::units::notes;

#[cfg(test)]
mod tests;
