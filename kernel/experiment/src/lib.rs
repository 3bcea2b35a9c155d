// SPDX-License-Identifier: MIT OR Apache-2.0

//! The published experiment, and measures of an area: the part that the laboratory's loads and the
//! minimal kernel share.
//!
//! Data flow: [`rng`] draws a slot → [`sizes`] has its size, [`request`] its alignment → [`debris`]
//! allocates or releases its buffer → [`metrics`], [`fragmentation`] and [`bitmap_view`] describe
//! the area at the end → a line for people, and a [`record`] for programs.
//!
//! Invariants: no function reads a clock or prints, and a seed gives the same results each time.
//!
//! # Example
//! The figures of the article:
//! ```
//! # if cfg!(miri) { return; } // Too long for an interpreter.
//! use cma::Areas;
//! use experiment::debris::{self, PUBLISHED_SEED};
//! use page_alloc::zone::{Zone, descriptors};
//! use page_alloc::Page;
//! use units::Pfn;
//!
//! let mut pages = vec![Page::default(); descriptors(2048)];
//! let mut zone = Zone::new(Pfn(0x69800), &mut pages);
//! let mut areas = Areas::default();
//! let area = areas.activate(&mut zone, "8M".into(), Pfn(0x69800), 2048, true);
//! let ruins = debris::run(&mut areas, &mut zone, area, PUBLISHED_SEED, debris::DEFAULT_OPS).unwrap();
//! assert_eq!((ruins.allocs, ruins.releases, ruins.failure.unwrap().pages), (16687, 16550, 51));
//! assert_eq!((ruins.metrics.free, ruins.metrics.longest), (664, 44));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bitmap_view;
pub mod debris;
pub mod fragmentation;
pub mod metrics;
pub mod record;
pub mod request;
pub mod rng;
pub mod sizes;
