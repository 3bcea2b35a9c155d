//! The portable half of the laboratory: everything that Linux's contiguous memory allocator is made of, and the
//! experiments on it, without a register or an address of any board.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod dt;
pub mod machine;
pub mod units;
