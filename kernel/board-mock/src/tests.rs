// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of lower crates on a whole board: those that need a system, a machine or a generator of
//! the laboratory.

mod dma;
mod live;
mod relocate;
