// SPDX-License-Identifier: MIT OR Apache-2.0

//! The portable half of the laboratory: everything that Linux's contiguous memory allocator is made
//! of, and the experiments on it, without a register or an address of any board.
//!
//! # The way of the data
//! Bytes of a device tree → [`dt`] facts → [`mm::memblock`], what is RAM and what is taken →
//! [`mm::reserved`], where the CMA areas lie → [`mm::zone`], page frames and free lists →
//! [`system::System`], which activates the areas → a load of [`lab`] asks an area → a
//! [`cma::placement`] picks bits → the pages are taken out of the zone → a [`cma::Buffer`] that
//! only its owner can give back → records on the console, by the [`monitor`].
//!
//! # What holds in all of it
//! 1. Linux's semantics and Linux's words, in code of our own; where Linux behaves differently, the
//!    module says so.
//! 2. Cost follows blocks, not pages, and nothing on a measured path allocates from the heap.
//! 3. Errors are values that carry the answer. Nothing that a tree, a command line, a trace or a
//!    keyboard says panics.
//! 4. Deterministic: the same input gives the same answers, here and in the image, because it is
//!    the same code.
//! 5. No `unsafe`: whoever owns memory and registers hands them in, through [`machine::Machine`]
//!    and [`mm::poison::Poison`].
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
