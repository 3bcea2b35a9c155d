// SPDX-License-Identifier: MIT OR Apache-2.0

//! FNV-1a fingerprints: a whole run in 16 hex digits, to compare it with that of another kernel.
//!
//! Each value is one step, regardless of its width: `h = (h xor value) · prime`, 64 bits.

use core::fmt;

/// An FNV-1a hash of the values pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The value of a failed allocation in a placement fingerprint.
    pub const FAILED: u32 = 0xffff_ffff;

    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    /// Returns the hash of no values.
    pub const fn new() -> Self {
        Self(Self::OFFSET)
    }

    /// Adds one value.
    pub fn push(&mut self, value: u32) {
        self.0 = (self.0 ^ u64::from(value)).wrapping_mul(Self::PRIME);
    }

    /// Returns the fingerprint of a bitmap: one value for each bit, lowest first, 1 used, 0 free.
    pub fn of_bits(words: &[u32], bits: u32) -> Self {
        let mut fingerprint = Self::new();
        let mut left = bits;
        for &word in words {
            for bit in 0..left.min(32) {
                fingerprint.push((word >> bit) & 1);
            }
            left = left.saturating_sub(32);
        }
        fingerprint
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Fingerprint {
    /// Writes 16 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn empty_and_known_values() {
        assert_eq!(Fingerprint::new().to_string(), "cbf29ce484222325");
        // For values below 256 a step is the published algorithm's step for a byte: FNV-1a("a").
        let mut a = Fingerprint::new();
        a.push(u32::from(b'a'));
        assert_eq!(a.to_string(), "af63dc4c8601ec8c");
        // A value wider than a byte is one step, not four.
        let mut wide = Fingerprint::new();
        wide.push(0xffff_ffff);
        assert_eq!(wide.0, (Fingerprint::OFFSET ^ 0xffff_ffff).wrapping_mul(Fingerprint::PRIME));
    }

    #[test]
    fn bits_stop_at_the_length() {
        let mut three = Fingerprint::new();
        for value in [1, 0, 1] {
            three.push(value);
        }
        assert_eq!(Fingerprint::of_bits(&[0xffff_fffd], 3), three);
        let mut long = Fingerprint::new();
        for bit in 0..33 {
            long.push(u32::from(bit == 32));
        }
        assert_eq!(Fingerprint::of_bits(&[0, 1], 33), long);
    }
}
