// SPDX-License-Identifier: MIT OR Apache-2.0

//! The random generators of the loads. `glibc`, the default, is the one of the published
//! experiment; `wyrand` is a modern one, to check that a result does not depend on the generator.

use alloc::boxed::Box;

/// Source of a load's random numbers. A closed set, so that the measured loop calls no function
/// pointer.
#[derive(Clone, Debug)]
pub enum Rng {
    /// glibc's `rand()`, bit for bit.
    Glibc(Box<GlibcRand>),
    /// wyrand, by `fastrand`.
    Wyrand(fastrand::Rng),
}

impl Rng {
    /// The names that [`Rng::named`] accepts.
    pub const NAMES: &'static [&'static str] = &["glibc", "wyrand"];

    /// Returns the generator named `name`, seeded; `None` if [`Rng::NAMES`] does not have it.
    pub fn named(name: &str, seed: u32) -> Option<Self> {
        match name {
            "glibc" => Some(Self::glibc(seed)),
            "wyrand" => Some(Self::seeded(seed)),
            _ => None,
        }
    }

    /// Returns the generator of the published experiment.
    pub fn glibc(seed: u32) -> Self {
        Self::Glibc(Box::new(GlibcRand::new(seed)))
    }

    /// Returns the generator for loads without published results: wyrand.
    pub fn seeded(seed: u32) -> Self {
        Self::Wyrand(fastrand::Rng::with_seed(u64::from(seed)))
    }

    /// Returns a number below `limit`, which must not be 0, by the generator's usual method.
    #[inline]
    pub fn below(&mut self, limit: u32) -> u32 {
        match self {
            Self::Glibc(rand) => rand.rand() % limit,
            Self::Wyrand(rand) => rand.u32(0..limit),
        }
    }

    /// Returns a number like [`Rng::below`], for a prepared limit.
    #[inline(always)]
    pub fn below_prepared(&mut self, limit: Limit) -> u32 {
        match self {
            Self::Glibc(rand) => limit.remainder(rand.rand()),
            Self::Wyrand(rand) => rand.u32(0..limit.limit),
        }
    }
}

/// A limit for many draws. The remainder is computed by a multiplication, because the processor
/// cannot divide.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    limit: u32,
    /// 2^32 divided by `limit`, at most 1 too small.
    reciprocal: u32,
}

impl Limit {
    /// Prepares a limit, which must not be 0.
    pub const fn new(limit: u32) -> Self {
        Self { limit, reciprocal: u32::MAX / limit }
    }

    /// Returns `value % limit`. The quotient is exact or 1 too small: the reciprocal is at most 1
    /// too small, and the value is below 2^32.
    #[inline(always)]
    const fn remainder(self, value: u32) -> u32 {
        let quotient = ((value as u64 * self.reciprocal as u64) >> u32::BITS) as u32;
        let rest = value - quotient * self.limit;
        if rest >= self.limit { rest - self.limit } else { rest }
    }
}

/// glibc's `rand()`: the additive feedback generator TYPE_3, `r[i] = r[i-3] + r[i-31]`, result
/// `r[i] >> 1`.
#[derive(Clone, Debug)]
pub struct GlibcRand {
    ring: [u32; Self::DEGREE],
    /// Index of the oldest value, `r[i-31]`, which the next one replaces.
    oldest: usize,
}

impl GlibcRand {
    const DEGREE: usize = 31;
    const SEPARATION: usize = 3;
    /// Outputs that seeding discards.
    const DROPPED: usize = 310;
    const MODULUS: u64 = (1 << 31) - 1;
    const MULTIPLIER: u64 = 16807;

    /// Returns the state after `srand(seed)`. Seed 0 is seed 1, as in glibc.
    pub fn new(seed: u32) -> Self {
        let mut ring = [0; Self::DEGREE];
        ring[0] = seed.max(1);
        // glibc stores the seed in a signed word: from 2^31 on it is negative, and the remainder is
        // made positive.
        let mut word = i64::from(ring[0].cast_signed()).rem_euclid(Self::MODULUS.cast_signed()).cast_unsigned();
        for slot in &mut ring[1..] {
            word = word * Self::MULTIPLIER % Self::MODULUS;
            *slot = word as u32;
        }
        // r[31..34] repeat r[0..3], so the first sum is r[34] = r[31] + r[3]: the oldest value is
        // the ring's fourth.
        let mut rand = Self { ring, oldest: Self::SEPARATION };
        for _ in 0..Self::DROPPED {
            rand.rand();
        }
        rand
    }

    /// Returns the next output, below 2^31.
    #[inline]
    pub fn rand(&mut self) -> u32 {
        let lag = self.oldest + Self::DEGREE - Self::SEPARATION;
        let lag = if lag >= Self::DEGREE { lag - Self::DEGREE } else { lag };
        let value = self.ring[self.oldest].wrapping_add(self.ring[lag]);
        self.ring[self.oldest] = value;
        self.oldest = if self.oldest + 1 == Self::DEGREE { 0 } else { self.oldest + 1 };
        value >> 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Printed by a C program on glibc 2.36: seed, the first six outputs, and output 10,001.
    const GLIBC: [(u32, [u32; 6], u32); 7] = [
        (0, [1804289383, 846930886, 1681692777, 1714636915, 1957747793, 424238335], 89057537),
        (1, [1804289383, 846930886, 1681692777, 1714636915, 1957747793, 424238335], 89057537),
        (1577527915, [1372641826, 713838335, 1745934070, 514630503, 126929314, 1630354555], 790040067),
        (2147483646, [1320593690, 1199968952, 1432693999, 317934276, 69604050, 522196235], 630763734),
        (2147483647, [1065668062, 2142264300, 1066566375, 1064012770, 2141034222, 1065509725], 2008753977),
        (2147483648, [1336741213, 1210407648, 1447044896, 337392383, 82502902, 538660432], 908223076),
        (4294967295, [254925627, 1205188300, 366127624, 1401405153, 76053476, 1604170158], 769493405),
    ];

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn glibc_bit_for_bit() {
        for (seed, first, late) in GLIBC {
            let mut rand = GlibcRand::new(seed);
            let outputs: Vec<u32> = (0..10_001).map(|_| rand.rand()).collect();
            assert_eq!(outputs[..6], first, "seed {seed}");
            assert_eq!(outputs[10_000], late, "seed {seed}");
        }
    }

    #[test]
    fn remainders_without_division() {
        let edges = [1, 2, 3, 254, 255, 256, 24_576, 65_535, 1 << 31, u32::MAX - 1, u32::MAX];
        for limit in edges {
            let multiples = edges.iter().map(|&times| limit.wrapping_mul(times));
            for value in multiples.flat_map(|multiple| [multiple.wrapping_sub(1), multiple, multiple.wrapping_add(1)]) {
                assert_eq!(Limit::new(limit).remainder(value), value % limit, "{value} % {limit}");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn names_and_bounds() {
        for name in Rng::NAMES {
            let mut rng = Rng::named(name, 7).expect("a listed name");
            let draws: Vec<u32> = (0..20_000).map(|_| rng.below(255)).collect();
            assert!(draws.iter().all(|&draw| draw < 255));
            assert!((0..255).all(|slot| draws.contains(&slot)), "{name} never drew some slot");
            let mut again = Rng::named(name, 7).expect("a listed name");
            assert!(draws.iter().all(|&draw| draw == again.below_prepared(Limit::new(255))), "{name} does not repeat");
        }
        assert!(Rng::named("dice", 1).is_none());
    }
}
