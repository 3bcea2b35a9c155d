// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interface to a layer above that has to be notified of accesses to pages.

use core::any::Any;
use core::panic::Location;

use units::Pfn;

/// A record of the pages that devices own at present (the DMA API).
///
/// A page source that uses DMA gets its own layer from it by a downcast of [`Any`].
pub trait FrameWatch: Any {
    /// True if it checks accesses.
    fn is_watching(&self) -> bool;

    /// Receives an access before the processor reads or writes a page; `at` is the code that asked
    /// for it.
    fn on_access(&mut self, frame: Pfn, write: bool, at: &'static Location<'static>);
}
