//! The portable half of the laboratory: everything that Linux's contiguous memory allocator is made of, and the
//! experiments on it, without a register or an address of any board.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod cma;
pub mod cmdline;
pub mod dt;
pub mod lab;
pub mod machine;
pub mod mm;
#[cfg(test)]
mod mock;
pub mod monitor;
pub mod notes;
pub mod system;
pub mod units;
