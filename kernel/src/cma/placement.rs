//! Where a request goes: given the bitmap, a placement names the bit that a buffer shall begin at.
//!
//! A placement sees the present bitmap and the request, nothing of the past or the future. First-fit is Linux's
//! (`bitmap_find_next_zero_area_off`, `lib/bitmap.c`) and the default.

use super::bitmap::Bitmap;

/// What is looked for, in bits of the area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// How many bits; at least 1.
    pub bits: u32,
    /// The alignment in bits less one: a power of two less one.
    pub align_mask: u32,
    /// By how much the area's first bit lies above an aligned address, in bits.
    pub align_offset: u32,
}

impl Request {
    /// The first bit at or after `bit` that lies on an aligned address; `None` where that is beyond any bitmap.
    #[inline]
    pub fn align_up(&self, bit: u32) -> Option<u32> {
        let address = bit.checked_add(self.align_offset)?.checked_add(self.align_mask)?;
        Some((address & !self.align_mask) - self.align_offset)
    }
}

/// A rule that places requests.
pub trait Placement: Sync {
    /// What `placement=` calls it.
    fn name(&self) -> &'static str;

    /// The bit at or after `start` where the request goes, or `None` where it fits nowhere.
    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32>;
}

/// The lowest place that fits: Linux's rule.
pub struct FirstFit;

/// Every placement, the default first.
pub const PLACEMENTS: [&dyn Placement; 1] = [&FirstFit];

/// The placement of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Placement> {
    PLACEMENTS.into_iter().find(|placement| placement.name() == name)
}

impl Placement for FirstFit {
    fn name(&self) -> &'static str {
        "first-fit"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        map.first_fit(request, start)
    }
}
