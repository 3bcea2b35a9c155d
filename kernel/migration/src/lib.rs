// SPDX-License-Identifier: MIT OR Apache-2.0

//! Users of memory, and emptying a range of their pages: migration, reclaim and the contiguous
//! allocation itself (`mm/page_alloc.c`'s `alloc_contig_range`, `mm/migrate.c`, `mm/vmscan.c`).
//!
//! The data flow: [`live`] has the users (processes mapped in a window, a page cache, pins) and
//! finds pages for them → a driver requests a range that they use → [`contig_range`] isolates it,
//! `reclaim` drops clean cache pages and `migrate` moves the rest → the range is tested and taken,
//! or `undo` puts the pages back.
//!
//! Invariants:
//! 1. The descriptor of a page in use leads to its users, and each of them refers to the page;
//!    after each step the accounting balances ([`live::Mm::check`]).
//! 2. A contiguous allocation that fails takes back what it did; `undo` lists the exceptions, which
//!    lose no content.
//! 3. A pinned page is not moved; the error names who pinned it.
//! 4. The crate depends on three traits: [`live::space::AddressSpace`] for translation and memory,
//!    [`live::source::PageSource`] for pages that are slow to read and write,
//!    [`live::watch::FrameWatch`] to report accesses to frames that a device may own.
//!
//! # Example
//! The message of a page that blocks an allocation:
//! ```
//! use migration::contig_range::{Blocked, Owner, Phase, Why};
//! use units::Pfn;
//!
//! let blocked = Blocked { frame: Pfn(0x69900), owner: Owner::Pin("camera"), why: Why::Pinned, phase: Phase::Isolate };
//! let said = "the page at pfn 0x69900, of camera, is in the way: it is pinned (isolate)";
//! assert_eq!(blocked.to_string(), said);
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
