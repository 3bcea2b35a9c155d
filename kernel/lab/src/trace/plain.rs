// SPDX-License-Identifier: MIT OR Apache-2.0

//! The laboratory's own format: `a ID PAGES ALIGN_ORDER` allocates, `r ID` releases; lines that
//! start with `#`, empty lines and those of a state (`lab::state`) have no operation.

use super::{Field, Parsed, Reason, Whole, decimal, text_only};
use crate::state::is_state;
use cma::MAX_ALIGN_ORDER;

/// One line of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Allocates `pages` pages aligned to 2^`align_order` pages, as buffer `id`.
    Alloc {
        /// The trace's name for the buffer.
        id: u32,
        /// Size in pages, not 0.
        pages: u32,
        /// Order of the alignment, at most [`MAX_ALIGN_ORDER`].
        align_order: u32,
    },
    /// Releases buffer `id`.
    Release {
        /// The trace's name for the buffer.
        id: u32,
    },
}

/// Reads the operations of a trace.
pub fn ops(bytes: &[u8]) -> Parsed<'_, Op> {
    Parsed::new(bytes, parse_line)
}

/// True if a line is an operation.
pub(super) fn is_line(line: &[u8]) -> bool {
    matches!(parse_line(line, Whole { start: true, end: true }), Ok(Some(_)))
}

/// Parses a line: an operation, or `None` for a comment, a state or an empty line. A cut line is an
/// error also at the ends of a trace: its last number could be wrong.
fn parse_line(line: &[u8], _whole: Whole) -> Result<Option<Op>, Reason> {
    if line.first() == Some(&b'#') {
        return Ok(None);
    }
    text_only(line)?;
    let mut words = line.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
    let op = match words.next() {
        None => return Ok(None),
        Some(b"a") => Op::Alloc {
            id: number(words.next(), Field::Id, 0, u32::MAX)?,
            pages: number(words.next(), Field::Pages, 1, u32::MAX)?,
            align_order: number(words.next(), Field::AlignOrder, 0, MAX_ALIGN_ORDER)?,
        },
        Some(b"r") => Op::Release { id: number(words.next(), Field::Id, 0, u32::MAX)? },
        // The state in which the recording begins, for `lab::state`.
        Some(_) if is_state(line) => return Ok(None),
        Some(_) => return Err(Reason::UnknownOp),
    };
    if words.next().is_some() { Err(Reason::Extra) } else { Ok(Some(op)) }
}

/// Parses a decimal number from `least` to `most`.
fn number(word: Option<&[u8]>, field: Field, least: u32, most: u32) -> Result<u32, Reason> {
    decimal(word.ok_or(Reason::Missing(field))?, field, least, most)
}

#[cfg(test)]
mod tests {
    use super::super::TraceError;
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn read(text: &[u8]) -> Result<Vec<(u64, Op)>, TraceError> {
        ops(text).map(|op| op.map(|(line, op)| (line.number, op))).collect()
    }

    fn error(text: &[u8]) -> (u64, Reason) {
        let error = read(text).expect_err("not a good trace");
        assert!(!error.to_string().contains('\n'));
        (error.line, error.reason)
    }

    #[test]
    fn lines_comments_and_blanks() {
        let ops = read(b"# head\n\na 4294967295 51 6\r\n#\xff\r\n  \nr 0").expect("a good trace");
        assert_eq!(ops, [(3, Op::Alloc { id: u32::MAX, pages: 51, align_order: 6 }), (6, Op::Release { id: 0 })]);
    }

    #[test]
    fn every_error_has_its_line() {
        use Field::{AlignOrder, Id, Pages};
        assert_eq!(error(b"a 1 1 0\nb 1\n"), (2, Reason::UnknownOp));
        assert_eq!(error(b"alloc 1 1 0\n"), (1, Reason::UnknownOp));
        assert_eq!(error(b"a\n"), (1, Reason::Missing(Id)));
        assert_eq!(error(b"a 1\n"), (1, Reason::Missing(Pages)));
        assert_eq!(error(b"# x\na 1 2"), (2, Reason::Missing(AlignOrder)));
        assert_eq!(error(b"r\n"), (1, Reason::Missing(Id)));
        assert_eq!(error(b"a 1 2 3 4\n"), (1, Reason::Extra));
        assert_eq!(error(b"r 1 2\n"), (1, Reason::Extra));
        assert_eq!(error(b"a 4294967296 1 0\n"), (1, Reason::Bad(Id)));
        assert_eq!(error(b"r -1\n"), (1, Reason::Bad(Id)));
        assert_eq!(error(b"a 1 0 0\n"), (1, Reason::Bad(Pages)));
        assert_eq!(error(b"a 1 0x10 0\n"), (1, Reason::Bad(Pages)));
        assert_eq!(error(b"a 1 99999999999999999999 0\n"), (1, Reason::Bad(Pages)));
        assert_eq!(error(b"a 1 1 21\n"), (1, Reason::Bad(AlignOrder)));
        assert_eq!(error(b"a 1 1 0\r\r\n"), (1, Reason::Binary(b'\r')));
        assert_eq!(error(b"a 1 1 0\n\x1f\x8b\x08"), (2, Reason::Binary(0x1f)));
        assert_eq!(error(b"a 1 1 0\0\n"), (1, Reason::Binary(0)));
    }

    #[test]
    fn nothing_after_the_first_error() {
        let mut read = ops(b"x\na 1 1 0\n");
        assert!(read.next().is_some_and(|op| op.is_err()));
        assert!(read.next().is_none());
    }

    proptest! {
        #![proptest_config(property::config(256))]

        #[test]
        #[cfg_attr(miri, ignore = "too long for an interpreter")]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        #[cfg_attr(miri, ignore = "too long for an interpreter")]
        fn nearly_traces_never_panic(text in "([ar#\t ]{1,2}[0-9 x\r-]{0,14}\n?){0,20}") {
            let _ = read(text.as_bytes());
        }

        #[test]
        #[cfg_attr(miri, ignore = "too long for an interpreter")]
        fn what_is_written_is_read(ops in proptest::collection::vec((any::<u32>(), 1u32.., 0..=MAX_ALIGN_ORDER, any::<bool>()), 0..50)) {
            let mut text = std::string::String::new();
            let mut expected = Vec::new();
            for (line, &(id, pages, align_order, release)) in ops.iter().enumerate() {
                let op = if release { Op::Release { id } } else { Op::Alloc { id, pages, align_order } };
                text += &match op {
                    Op::Release { id } => std::format!("r {id}\n"),
                    Op::Alloc { id, pages, align_order } => std::format!("a {id} {pages} {align_order}\n"),
                };
                expected.push((line as u64 + 1, op));
            }
            prop_assert_eq!(read(text.as_bytes()), Ok(expected));
        }
    }
}
