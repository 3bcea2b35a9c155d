//! Memory, from the first look at the tree to the page allocator.
//!
//! `early` records what is RAM and what is taken in a [`memblock::Memblock`]; [`reserved`] places the tree's reserved
//! regions and the CMA areas in it; what is still free then goes to the page allocator.

pub mod early;
pub mod memblock;
pub mod reserved;
