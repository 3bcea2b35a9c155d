// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parses numbers with a unit, as Linux's `memparse` does (lib/cmdline.c, lib/kstrtox.c).

/// The number that [`memparse`] found at the start of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parsed<'a> {
    /// The number multiplied by its unit; wraps at 64 bits as Linux's does.
    pub value: u64,
    /// Number of digits; 0: there was no number, and the value is 0.
    pub digits: usize,
    /// The text after the number and its unit.
    pub rest: &'a [u8],
}

/// Reads a number at the start of `text`: decimal, octal after `0`, hexadecimal after `0x`; then a
/// unit of `KMGTPE` in either case, each 1024 times the one before.
pub fn memparse(text: &[u8]) -> Parsed<'_> {
    let (radix, body) = match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &text[2..]),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let mut value: u64 = 0;
    let mut digits = 0;
    while let Some(digit) = body.get(digits).and_then(|byte| char::from(*byte).to_digit(radix)) {
        value = value.wrapping_mul(u64::from(radix)).wrapping_add(u64::from(digit));
        digits += 1;
    }
    let rest = &body[digits..];
    let shift = match rest.first().map(u8::to_ascii_uppercase) {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        Some(b'T') => 40,
        Some(b'P') => 50,
        Some(b'E') => 60,
        _ => return Parsed { value, digits, rest },
    };
    Parsed { value: value << shift, digits, rest: &rest[1..] }
}
