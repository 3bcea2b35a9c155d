// SPDX-License-Identifier: MIT OR Apache-2.0

//! The laboratory: loads that allocate from a CMA area, and measurements of them.
//!
//! A load is a stream of allocations and releases: `debris` draws it from a generator, `replay`
//! reads it from a recorded `trace`. Both run on the [`System`](system::System) itself, through the
//! calls that every user of CMA has, time each call with `stopwatch`, leave their buffers
//! registered with the system, and return a report. Nothing in this crate prints: a report formats
//! its text for people and its record ([`record`]) for programs, and the monitor prints both.
//!
//! Invariant: nothing between two readings of the clock allocates from the heap or prints.
//!
//! # Example
//! The published experiment, on a board of the tests:
//! ```
//! # if cfg!(miri) { return; } // Too long for an interpreter.
//! use std::sync::Arc;
//!
//! use board_mock::with_board;
//! use lab::load::{DEFAULT_OPS, Debris, Options, PUBLISHED_SEED, run_round};
//! use lab::request::Align;
//! use lab::scale::Scale;
//!
//! with_board(64, |system, machine| {
//!     let options = Options {
//!         area: system.find_area("BiscuitOS_cma").unwrap(),
//!         seed: PUBLISHED_SEED,
//!         rng: "glibc",
//!         align: Align::Order,
//!         stop_at_failure: true,
//!         ops: DEFAULT_OPS,
//!         load: Arc::new(Debris(Scale::None)),
//!         relocatable: 1000,
//!         timed: 1,
//!         rate: 0,
//!     };
//!     let report = run_round(system, machine, &options, 1).unwrap();
//!     assert_eq!((report.allocs, report.releases, report.failure.unwrap().pages), (16687, 16550, 51));
//!     assert_eq!((report.metrics.free, report.metrics.longest), (664, 44));
//! });
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bench;
pub mod buffer_owner;
pub mod callers;
pub mod compare;
pub mod copytest;
pub mod diskbench;
pub mod files;
pub mod fingerprint;
pub mod held;
pub mod help;
pub mod ids;
pub mod keys;
pub mod load;
pub mod obstacles;
pub mod picture;
pub mod pressure;
pub mod replay;
pub mod room;
pub mod scale;
pub mod sign_test;
pub mod state;
pub mod stopwatch;
pub mod trace;
pub mod watch;
mod word_heap;
mod words;

pub use experiment::{bitmap_view, fragmentation, metrics, record, request, rng, sizes};
