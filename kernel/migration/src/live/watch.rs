// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the users of memory ask of those above them who also use it: who has to know of an access.

use core::any::Any;
use core::panic::Location;

use units::Pfn;

/// Whoever keeps account of which pages a device owns for the moment (the DMA API).
///
/// A source of pages that works by DMA finds its own layer again by [`Any`].
pub trait FrameWatch: Any {
    /// Whether it looks at accesses at all.
    fn is_watching(&self) -> bool;

    /// The processor is about to read a page, or to write it; `at` is whoever asked for that.
    fn on_access(&mut self, frame: Pfn, write: bool, at: &'static Location<'static>);
}
