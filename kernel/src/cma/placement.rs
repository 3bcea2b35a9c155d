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
        let alignment = request.align_mask + 1;
        if request.bits <= alignment && alignment <= u32::BITS && request.align_offset == 0 {
            return first_fit_within_words(map, request, start);
        }
        first_fit_by_runs(map, request, start)
    }
}

/// First-fit where an aligned buffer cannot cross a word: every position of a word is tried at once.
///
/// The alignment is at least the length, so a buffer that begins on an aligned bit ends in the same word.
fn first_fit_within_words(map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
    let aligned = ALIGNED_BITS[request.align_mask.trailing_ones() as usize];
    let first = (start / u32::BITS) as usize;
    let mut allowed = aligned & (u32::MAX << (start % u32::BITS));
    for (word, &used) in map.words().iter().enumerate().skip(first) {
        if used != u32::MAX {
            let fits = runs_of(!used, request.bits) & allowed;
            if fits != 0 {
                return Some(word as u32 * u32::BITS + fits.trailing_zeros());
            }
        }
        allowed = aligned;
    }
    None
}

/// The bits that a run of `length` set bits begins at, `1 <= length <= 32`, by doubling.
#[inline]
fn runs_of(mut free: u32, length: u32) -> u32 {
    let mut known = 1;
    while known < length {
        let step = known.min(length - known);
        free &= free >> step;
        known += step;
    }
    free
}

/// The bits of a word that are multiples of 2^index.
const ALIGNED_BITS: [u32; 6] = [u32::MAX, 0x5555_5555, 0x1111_1111, 0x0101_0101, 0x0001_0001, 1];

/// First-fit from run to run, for any request.
fn first_fit_by_runs(map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
    let mut at = start;
    loop {
        let bit = request.align_up(map.next_clear(at)?)?;
        let end = bit.checked_add(request.bits)?;
        if end > map.bits() {
            return None;
        }
        let used = map.next_set(bit);
        if used >= end {
            return Some(bit);
        }
        at = used + 1;
    }
}
