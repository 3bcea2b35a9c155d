// SPDX-License-Identifier: MIT OR Apache-2.0

//! The text of debugfs's `bitmap`: decimal words, read as runs of clear bits.

use super::{Why, decimal, quoted};
use crate::trace::{Line, Lines};

/// Bits of a word.
pub(super) const WORD_BITS: u64 = 32;

/// The words of a bitmap's text.
struct BitmapWords<'t> {
    lines: Lines<'t>,
    rest: &'t [u8],
}

impl<'t> BitmapWords<'t> {
    fn of(text: &'t [u8]) -> Self {
        let mut lines = Lines::new(text);
        let rest = lines.next().map_or(&[][..], |line| line.text);
        Self { lines, rest }
    }
}

impl<'t> Iterator for BitmapWords<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        loop {
            let rest = self.rest.trim_ascii_start();
            if !rest.is_empty() {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                self.rest = &rest[end..];
                return Some(&rest[..end]);
            }
            let Line { text, .. } = self.lines.next()?;
            words_of(text)?;
            self.rest = text;
        }
    }
}

/// The clear runs of a bitmap's text.
pub(super) struct BitmapRuns<'t> {
    words: BitmapWords<'t>,
    word: u32,
    /// Number of bits in the words that were read.
    pub(super) bits: u64,
    at: u64,
}

impl<'t> BitmapRuns<'t> {
    pub(super) fn of(text: &'t [u8]) -> Self {
        Self { words: BitmapWords::of(text), word: 0, bits: 0, at: 0 }
    }

    /// Returns the next bit that is set, or clear, from the last one on.
    fn seek(&mut self, set: bool) -> Result<Option<u64>, Why> {
        loop {
            if self.at == self.bits {
                let Some(word) = self.words.next() else { return Ok(None) };
                let value = decimal(word).and_then(|word| u32::try_from(word).ok());
                self.word = value.ok_or_else(|| Why::Word(quoted(word)))?;
                self.bits += WORD_BITS;
            }
            let low = self.at % WORD_BITS;
            let wanted = (if set { self.word } else { !self.word }) >> low;
            if wanted != 0 {
                self.at += u64::from(wanted.trailing_zeros());
                return Ok(Some(self.at));
            }
            self.at = self.bits;
        }
    }

    /// Returns the next run: its first bit, and the number of bits.
    pub(super) fn next(&mut self) -> Option<Result<(u64, u64), Why>> {
        let run = self.seek(false).and_then(|start| {
            let Some(start) = start else { return Ok(None) };
            let end = self.seek(true)?.unwrap_or(self.bits);
            Ok(Some((start, end - start)))
        });
        run.transpose()
    }
}

/// Returns the number of words in a line; `None` if it has none, or anything else.
pub(super) fn words_of(text: &[u8]) -> Option<usize> {
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let digits = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
    let count = words.clone().count();
    (count > 0 && words.clone().all(digits)).then_some(count)
}
