// SPDX-License-Identifier: MIT OR Apache-2.0

//! Users of memory, and how a range is emptied of them: migration, reclaim and the contiguous
//! allocation itself (`mm/page_alloc.c`'s `alloc_contig_range`, `mm/migrate.c`, `mm/vmscan.c`).
//!
//! The way of the data: [`live`] has the users (processes mapped in a window, a page cache, pins)
//! and finds pages for them → a driver wants a range that they use → [`contig_range`] isolates it,
//! `reclaim` drops what can be made again and `migrate` moves the rest → the range is tested and
//! taken, or `undo` puts everything back where it was.
//!
//! What holds true:
//! 1. A page in use is found from its descriptor, and whoever shows it knows it; after each step
//!    the accounting balances ([`live::Mm::check`]).
//! 2. A contiguous allocation that fails leaves everything as it was; `undo` lists what is not,
//!    because nothing is lost by it.
//! 3. Whoever is pinned is not moved, and is named.
//! 4. The crate asks for what it needs by three traits: [`live::space::AddressSpace`] for
//!    translation and memory, [`live::source::PageSource`] for pages that are slow to come,
//!    [`live::watch::FrameWatch`] for who else uses them.
//!
//! # Example
//! How a page in the way is reported:
//! ```
//! use migration::contig_range::{Blocked, Owner, Phase, Why};
//! use units::Pfn;
//!
//! let blocked = Blocked { frame: Pfn(0x69900), owner: Owner::Pin("camera"), why: Why::Pinned, phase: Phase::Isolate };
//! assert_eq!(blocked.to_string(), "the page at pfn 0x69900, of camera, did not go: it is pinned (isolate)");
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "mock")]
extern crate std;

pub mod contig_range;
pub mod live;
mod migrate;
mod reclaim;
pub mod trace;
mod undo;

pub use reclaim::Undo;
