// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sign test: the probability that one of two placements is better in at least a given number
//! of the seeds, if in fact neither is better.
//!
//! Exact, in integers: under that hypothesis the number of better seeds among those that differ is
//! binomial with probability one half.

use alloc::vec;
use alloc::vec::Vec;

/// Bits of a digit.
const DIGIT_BITS: u32 = u32::BITS;

/// Returns the probability, in permille and rounded down, that in `better + worse` throws of a coin
/// one side, either one, comes up at least as often as the larger of the two counts. Returns 1000
/// if both counts are equal.
pub fn sign_test_permille(better: u32, worse: u32) -> u32 {
    let throws = better + worse;
    let fewer = better.min(worse);
    if better == worse {
        return 1000;
    }
    // The binomial coefficients of `throws` over 0, 1, … `fewer`, and their sum.
    let mut coefficient = Natural::one();
    let mut sum = Natural::one();
    for place in 0..fewer {
        coefficient.multiply(throws - place);
        coefficient.divide(place + 1);
        sum.add(&coefficient);
    }
    // Both sides, over 2^throws: fewer than half of the throws are on one.
    sum.multiply(2 * 1000);
    sum.shifted_down(throws).min(1000)
}

/// A natural number of any size, by its digits, lowest first.
#[derive(Clone, Debug)]
struct Natural(Vec<u32>);

impl Natural {
    fn one() -> Self {
        Self(vec![1])
    }

    fn multiply(&mut self, factor: u32) {
        let mut carry = 0;
        for digit in &mut self.0 {
            let product = u64::from(*digit) * u64::from(factor) + carry;
            *digit = product as u32;
            carry = product >> DIGIT_BITS;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Divides by an exact divisor.
    fn divide(&mut self, divisor: u32) {
        let mut rest = 0;
        for digit in self.0.iter_mut().rev() {
            let value = rest << DIGIT_BITS | u64::from(*digit);
            *digit = (value / u64::from(divisor)) as u32;
            rest = value % u64::from(divisor);
        }
        debug_assert_eq!(rest, 0);
    }

    fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        let mut carry = 0;
        for (place, digit) in self.0.iter_mut().enumerate() {
            let sum = u64::from(*digit) + u64::from(other.0.get(place).copied().unwrap_or(0)) + carry;
            *digit = sum as u32;
            carry = sum >> DIGIT_BITS;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Returns the number without its lowest `bits` bits; the result has to fit 32 bits.
    fn shifted_down(&self, bits: u32) -> u32 {
        let digit = |place: u32| self.0.get(place as usize).copied().unwrap_or(0);
        let (place, low) = (bits / DIGIT_BITS, bits % DIGIT_BITS);
        let both = u64::from(digit(place)) | u64::from(digit(place + 1)) << DIGIT_BITS;
        (both >> low) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_probabilities() {
        // By hand: 2 / 2^n if all are on one side; 2 (1 + 5) / 2^5.
        for ((better, worse), permille) in [
            ((0, 0), 1000),
            ((7, 7), 1000),
            ((1, 0), 1000),
            ((0, 5), 62),
            ((5, 0), 62),
            ((4, 1), 375),
            ((10, 0), 1),
            ((11, 0), 0),
            // 1 + 15 + 105 + 455 of 2^15, twice.
            ((12, 3), 35),
            // A difference that was not significant.
            ((25, 21), 658),
            ((501, 499), 974),
            ((600, 400), 0),
            ((1000, 0), 0),
        ] {
            assert_eq!(sign_test_permille(better, worse), permille, "{better}:{worse}");
        }
    }

    #[test]
    fn against_sums_in_128_bits() {
        for throws in 1..=60u32 {
            for better in 0..=throws {
                let fewer = better.min(throws - better);
                let (mut coefficient, mut sum) = (1u128, 1u128);
                for place in 0..u128::from(fewer) {
                    coefficient = coefficient * (u128::from(throws) - place) / (place + 1);
                    sum += coefficient;
                }
                let expected = if better * 2 == throws { 1000 } else { ((2000 * sum) >> throws).min(1000) };
                assert_eq!(u128::from(sign_test_permille(better, throws - better)), expected);
            }
        }
    }
}
