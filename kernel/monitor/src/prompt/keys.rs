// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keys: decodes the bytes that a terminal sends (ECMA-48 sequences as xterm sends them, and the
//! control characters that shells use). Bytes that are not a key are ignored.

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// A printable ASCII character.
    Char(char),
    Enter,
    Tab,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Older,
    Newer,
    Backspace,
    Delete,
    /// Alt-Backspace: letters and digits, or other signs, in front of the cursor.
    DeleteWordLeft,
    /// Ctrl-W: back to a blank.
    DeleteToBlank,
    DeleteWordRight,
    DeleteToStart,
    DeleteToEnd,
    ClearScreen,
    /// Ctrl-C.
    Cancel,
    /// Ctrl-D: deletes a character, or ends the input in an empty line.
    EndOfInput,
    /// Not a key: the terminal's answer, the column of its cursor, counted from 1.
    Column(usize),
}

/// Numbers of a sequence that are kept; the digits of further ones are appended to the last.
const PARAMETERS: usize = 2;
/// Maximum of a parameter; no key or column needs a larger one.
const MOST_PARAMETER: usize = 9999;

/// The position in a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC `[` or ESC `O`: the numbers so far, and the index of the current one.
    Sequence([usize; PARAMETERS], usize),
}

/// Decodes bytes into keys.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    last: u8,
}

impl Decoder {
    /// Returns the key that `byte` completes.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Key> {
        let last = core::mem::replace(&mut self.last, byte);
        match (core::mem::take(&mut self.state), byte) {
            (State::Escape, b'[' | b'O') => self.state = State::Sequence([0; PARAMETERS], 0),
            (State::Escape, b' '..=b'~') | (State::Escape, 0x7f) => return after_escape(byte),
            (State::Sequence(mut numbers, at), b'0'..=b'9') => {
                numbers[at] = (numbers[at] * 10 + usize::from(byte - b'0')).min(MOST_PARAMETER);
                self.state = State::Sequence(numbers, at);
            }
            (State::Sequence(numbers, at), b';') => {
                self.state = State::Sequence(numbers, (at + 1).min(PARAMETERS - 1));
            }
            (State::Sequence(numbers, at), b' '..=b'?') => self.state = State::Sequence(numbers, at),
            (State::Sequence(numbers, _), b'@'..=b'~') => return sequence(numbers, byte),
            (_, 0x1b) => self.state = State::Escape,
            // The second half of CR LF, or of LF CR.
            (_, b'\n') if last == b'\r' => self.last = 0,
            (_, b'\r') if last == b'\n' => self.last = 0,
            // Any other byte ends an unfinished sequence.
            _ => return single(byte),
        }
        None
    }
}

/// Returns the key of a single byte.
fn single(byte: u8) -> Option<Key> {
    Some(match byte {
        b' '..=b'~' => Key::Char(byte.into()),
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x08 | 0x7f => Key::Backspace,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Cancel,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x0b => Key::DeleteToEnd,
        0x0c => Key::ClearScreen,
        0x0e => Key::Newer,
        0x10 => Key::Older,
        0x15 => Key::DeleteToStart,
        0x17 => Key::DeleteToBlank,
        _ => return None,
    })
}

/// Returns the key of a byte after ESC (Alt).
fn after_escape(byte: u8) -> Option<Key> {
    Some(match byte {
        b'b' => Key::WordLeft,
        b'f' => Key::WordRight,
        b'd' => Key::DeleteWordRight,
        0x7f => Key::DeleteWordLeft,
        _ => return None,
    })
}

/// Returns the key of a sequence with these numbers and this last byte.
fn sequence(numbers: [usize; PARAMETERS], last: u8) -> Option<Key> {
    // The second number is the modifier: 3 is Alt, 5 is Ctrl.
    let by_word = matches!(numbers[1], 3 | 5);
    Some(match last {
        b'A' => Key::Older,
        b'B' => Key::Newer,
        b'C' if by_word => Key::WordRight,
        b'D' if by_word => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'R' => Key::Column(numbers[1]),
        b'~' => match numbers[0] {
            1 | 7 => Key::Home,
            4 | 8 => Key::End,
            3 if by_word => Key::DeleteWordRight,
            3 => Key::Delete,
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|&byte| decoder.feed(byte)).collect()
    }

    #[test]
    fn what_terminals_send() {
        let single = [
            (&b"\x1b[A"[..], Key::Older),
            (b"\x1bOB", Key::Newer),
            (b"\x1b[1;5D", Key::WordLeft),
            (b"\x1b[1;3C", Key::WordRight),
            (b"\x1bb", Key::WordLeft),
            (b"\x1b[H", Key::Home),
            (b"\x1b[1~", Key::Home),
            (b"\x1bOF", Key::End),
            (b"\x1b[8~", Key::End),
            (b"\x1b[3~", Key::Delete),
            (b"\x1b[3;5~", Key::DeleteWordRight),
            (b"\x1b\x7f", Key::DeleteWordLeft),
            (b"\x1b[24;132R", Key::Column(132)),
            (b"\x7f", Key::Backspace),
            (b"\x08", Key::Backspace),
        ];
        for (bytes, key) in single {
            assert_eq!(keys(bytes), [key], "{bytes:?}");
        }
    }

    #[test]
    fn every_line_end_is_one() {
        let ends = |bytes: &[u8]| keys(bytes).iter().filter(|&&key| key == Key::Enter).count();
        assert_eq!((ends(b"\r"), ends(b"\n"), ends(b"\r\n"), ends(b"\n\r")), (1, 1, 1, 1));
        assert_eq!((ends(b"\r\r"), ends(b"\n\n"), ends(b"\r\n\r\n"), ends(b"\n\r\n\r")), (2, 2, 2, 2));
    }

    #[test]
    fn what_is_no_key_says_nothing_and_hides_nothing() {
        assert_eq!(keys(b"\x1bOQ\x1b[200~\x1b[?25h\x1b[5Z\x1bZ\x00\xff\xc3\xa9\x80"), []);
        assert_eq!(keys(b"\x1b[99\rx"), [Key::Enter, Key::Char('x')]);
        assert_eq!(keys(b"\x1b[\x03"), [Key::Cancel]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Older]);
        assert_eq!(keys(b"\x1b[1;99999999999999999999999R"), [Key::Column(MOST_PARAMETER)]);
    }
}
