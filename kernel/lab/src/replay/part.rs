// SPDX-License-Identifier: MIT OR Apache-2.0

//! A part of a recording: the requests of some tasks, or of some sizes, so that one recording can
//! be split over two areas.

use crate::trace::{Format, Line};

/// Selection of the requests that are replayed. Their buffers are released when the recording
/// releases them, whichever task does that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'n> {
    /// Pattern for the task's name: `*` is any characters, `?` one character; a `!` in front
    /// selects all requests except that task's. `None`: all requests, also without a known task.
    pub task: Option<&'n str>,
    /// Range of the number of pages.
    pub pages: Sizes,
}

/// Range of sizes of requests, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// The smallest.
    pub least: u32,
    /// The largest.
    pub most: u32,
}

impl Sizes {
    /// All sizes.
    pub const ALL: Self = Self { least: 0, most: u32::MAX };
}

impl Part<'_> {
    /// All requests.
    pub const ALL: Self = Self { task: None, pages: Sizes::ALL };

    /// True if the request of a line is selected.
    pub(crate) fn wants(&self, line: &Line<'_>, format: Format, pages: u32) -> bool {
        (self.pages.least..=self.pages.most).contains(&pages)
            && self.task.is_none_or(|pattern| {
                let task = line.head(format).task;
                let of_task = |pattern: &str| task.is_some_and(|task| matches(pattern.as_bytes(), task));
                pattern.strip_prefix('!').map_or_else(|| of_task(pattern), |others| !of_task(others))
            })
    }
}

/// True if a pattern matches the whole text. A `*` first matches as little as possible, and more if
/// the rest does not match: only the last `*` is tried more than once, so the work is at most the
/// product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                again = Some((at + 1, read));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((behind, from)) = again else { return false };
                again = Some((behind, from + 1));
                (at, read) = (behind, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_names() {
        for (pattern, text, found) in [
            ("vpu*", "vpu-dec", true),
            ("vpu*", "vp", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("?", "x", true),
            ("?", "", false),
            ("*dec", "vpu-dec", true),
            ("*dec", "vpu-decx", false),
            ("*ab", "aab", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("gst:?rc", "gst:src", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), found, "{pattern} {text}");
        }
    }

    #[test]
    fn tasks_and_sizes() {
        let text = b" vpu-1 [000] ..... 1.5: cma_release: name=x pfn=0x1 page=00000010 count=1";
        let line = Line { number: 1, start: 0, text };
        let wants = |task, (least, most)| Part { task, pages: Sizes { least, most } }.wants(&line, Format::Ftrace, 64);
        assert!(wants(Some("vpu"), (64, u32::MAX)) && wants(None, (0, 64)));
        assert!(!wants(Some("vp"), (0, 64)) && !wants(Some("vpu"), (65, 99)) && !wants(None, (0, 63)));
        let nobody = Line { text: b"a 1 64 0", ..line };
        assert!(!Part { task: Some("*"), ..Part::ALL }.wants(&nobody, Format::Plain, 64), "no task is known");
        assert!(Part::ALL.wants(&nobody, Format::Plain, 64));
        assert!(wants(Some("!vp"), (0, 64)) && !wants(Some("!vpu"), (0, 64)) && !wants(Some("!vp"), (65, 99)));
        assert!(Part { task: Some("!*"), ..Part::ALL }.wants(&nobody, Format::Plain, 64), "of none is not of any");
    }
}
