// SPDX-License-Identifier: MIT OR Apache-2.0

//! The published experiment, and what is measured of an area: what the laboratory's loads and the
//! minimal kernel share.
//!
//! The way of the data: [`rng`] draws a slot → [`sizes`] says how large it is, [`request`] how it
//! is aligned → [`debris`] fills it or gives it back → [`metrics`], [`fragmentation`] and
//! [`bitmap_view`] look at the area that is left → a line for people, and a [`record`] for
//! programs.
//!
//! What holds true: nothing here reads a clock or prints, and a seed repeats everything.
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
