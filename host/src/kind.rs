// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kind of a file, for a command that was given one that it does not take.

use kernel::lab::state;

use crate::check::census;
use crate::explain::explain;

/// Maximum of bytes that are examined.
const LOOKED_AT: usize = 16 << 20;

/// The kind of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing, or only white space.
    Empty,
    /// Requests and releases, in any form.
    Recording,
    /// A list of free runs, or debugfs's `bitmap`.
    State,
    /// A log with lines on CMA.
    Log,
    /// Records, one line of JSON each.
    Records,
    /// The source of a device tree, or a part of one.
    TreeSource,
    /// A device tree blob.
    TreeBlob,
    /// Text in UTF-16.
    Utf16,
    /// Lines that end with CR alone.
    CrLines,
    /// Not text.
    Binary,
    /// Text of any other kind.
    Text,
}

impl Kind {
    /// Returns the kind of a file with the content `text`.
    pub fn of(text: &[u8]) -> Self {
        // Cut at the end of a line.
        let text = match text.get(..LOOKED_AT) {
            Some(front) => &front[..front.iter().rposition(|&byte| byte == b'\n').map_or(LOOKED_AT, |end| end + 1)],
            None => text,
        };
        let has = |words: &str| text.windows(words.len()).any(|part| part == words.as_bytes());
        let story = || explain(text);
        if text.iter().all(u8::is_ascii_whitespace) {
            Self::Empty
        } else if text.starts_with(&[0xd0, 0x0d, 0xfe, 0xed]) {
            Self::TreeBlob
        } else if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
            Self::Utf16
        } else if is_binary(text) {
            Self::Binary
        } else if census(text).is_ok_and(|census| !census.areas.is_empty()) {
            Self::Recording
        } else if state::find(text, None, None).is_ok() {
            Self::State
        } else if text.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"{\"record\":")) {
            Self::Records
        } else if has("/dts-v1/") || has("shared-dma-pool") || has("reserved-memory") && has("{") {
            Self::TreeSource
        } else if !story().lines.is_empty() {
            Self::Log
        } else if text.contains(&0) {
            Self::Binary
        } else if text.contains(&b'\r') && !text.contains(&b'\n') {
            Self::CrLines
        } else {
            Self::Text
        }
    }

    /// Describes the file and names the commands that take it; empty if none does.
    pub const fn says(self) -> &'static str {
        match self {
            Self::Empty => "the file is empty",
            Self::Recording => {
                "it is a recording: `debris size` says how large its area must be, `debris check` what is in it, and \
                 `debris replay` replays it"
            }
            Self::State => {
                "it has the state of an area: `debris view` shows it, and `debris explain` puts the lines of a log in words"
            }
            Self::Log => "it is a kernel's log: `debris explain` puts its lines on CMA in words",
            Self::Records => "it has records: `debris report` sums up those of runs",
            Self::TreeSource => {
                "it is the source of a device tree: `debris run --nodes` boots with its nodes; of a whole tree `dtc` makes \
                 what `debris run --dtb` takes"
            }
            Self::TreeBlob => "it is a device tree blob: `debris run --dtb` boots with it",
            Self::Utf16 => "it is UTF-16, of which `iconv -f UTF-16 -t UTF-8` makes what is read here",
            Self::CrLines => "its lines end with CR alone: `tr '\\r' '\\n'` makes what is read here",
            Self::Binary => "it is not text",
            Self::Text => "",
        }
    }
}

/// True if a program begins here, or a tenth of the first bytes are 0. A log may have a few.
fn is_binary(text: &[u8]) -> bool {
    let front = &text[..text.len().min(4096)];
    text.starts_with(b"\x7fELF") || 10 * front.iter().filter(|&&byte| byte == 0).count() > front.len()
}

/// Returns why a command does not take a file, with the file's kind if it is not `wanted`.
pub fn unfit(text: &[u8], why: &str, wanted: Kind) -> String {
    match Kind::of(text) {
        kind if wanted == kind || kind.says().is_empty() => why.to_owned(),
        kind => format!("{why}{} {}", if why.ends_with('?') { "" } else { ";" }, kind.says()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        let list: &[u8] = include_bytes!("../../tests/data/cases/free-list.log");
        for (text, kind) in [
            (b" \r\n".as_slice(), Kind::Empty),
            (b"a 1 5 0\nr 1\n", Kind::Recording),
            (include_bytes!("../../tests/data/cases/cma-debug.log"), Kind::Recording),
            (list, Kind::State),
            (b"[    0.0] cma: Reserved 16 MiB at 0x9f000000\n", Kind::Log),
            (b"board on\n{\"record\":\"meta\",\"v\":1}\n", Kind::Records),
            (b"pool { compatible = \"shared-dma-pool\"; };\n", Kind::TreeSource),
            (b"\xd0\x0d\xfe\xed\0\0\0\0", Kind::TreeBlob),
            (b"\xff\xfea\0 \0", Kind::Utf16),
            (b"a 1 5 0\rr 1\r", Kind::CrLines),
            (b"\x7fELF\0 reserved-memory { shared-dma-pool", Kind::Binary),
            (b"\0\0\0\0 /dts-v1/\n", Kind::Binary),
            (b"[    0.0] cma: Reserved 16 MiB at 0x9f000000\n\0\n", Kind::Log),
            (b"a letter\n", Kind::Text),
        ] {
            assert_eq!(Kind::of(text), kind, "{}", String::from_utf8_lossy(text));
        }
        let long = [list, &b"# no more\n".repeat(LOOKED_AT / 10)].concat();
        assert_eq!(Kind::of(&long), Kind::State);
    }

    #[test]
    fn what_fits_needs_no_words() {
        assert_eq!(unfit(b"a 1 5 0\n", "no", Kind::Recording), "no");
        assert_eq!(unfit(b"\n", "no", Kind::Recording), "no; the file is empty");
        assert_eq!(unfit(b"\n", "no?", Kind::Recording), "no? the file is empty");
    }
}
