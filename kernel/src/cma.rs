// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CMA areas' items, under the names that the laboratory uses.

pub use ::cma::{
    AreaId, AreaUser, Buffer, CMA_ALIGNMENT, CmaError, MAX_ALIGN_ORDER, ReleaseError, align_order_of, area,
};
pub use ::placement::{self, bitmap};
pub use ::placements;
pub use ::reserved::MAX_CMA_AREAS;

/// The report of an allocation's steps.
pub mod alloc {
    pub use system::Reported;
}

/// Buffers that can be moved while they are held.
pub mod relocate {
    pub use ::cma::Relocations;
    pub use system::{MAX_LOOKS, MAX_MOVABLE, MAX_OWNERS, MAX_PLANS, OwnerId, ROUNDS, Relocatable, StillBusy, WINDOWS};
}
