// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of the crates below on a whole board: what needs a system, a machine or a generator of the
//! laboratory.

mod dma;
mod live;
mod relocate;
