// SPDX-License-Identifier: MIT OR Apache-2.0

//! The text before an event: its task, its processor and its time. Most readers need none of it, so
//! it is parsed only on request.

use super::{Lines, Reason, TraceError, decimal_u64};

/// A line of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'t> {
    /// The number, from 1.
    pub number: u64,
    /// The byte of the trace at which it begins.
    pub start: usize,
    /// The text, without its end.
    pub text: &'t [u8],
}

/// Task, processor and time of an event, as far as the line contains them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Head<'t> {
    /// The task's name (`comm`); in a log, the caller that printk prints (`T123`).
    pub task: Option<&'t [u8]>,
    /// The task's number.
    pub pid: Option<u32>,
    /// The processor.
    pub cpu: Option<u32>,
    /// The time in nanoseconds.
    pub time_ns: Option<u64>,
}

impl<'t> Line<'t> {
    /// Makes the error of this line.
    pub const fn error(&self, reason: Reason) -> TraceError {
        TraceError { line: self.number, reason }
    }

    /// Returns the line that begins at byte `start`; `None` if that is after the trace.
    pub fn at(trace: &'t [u8], number: u64, start: usize) -> Option<Self> {
        let line = Lines::new(trace.get(start..)?).next()?;
        Some(Self { number, start, ..line })
    }
}

/// Parses a time as both formats print it, `29.222887`; the fraction has up to nine digits.
pub(super) fn time_ns(text: &[u8]) -> Option<u64> {
    let dot = memchr::memchr(b'.', text)?;
    let (seconds, fraction) = (&text[..dot], &text[dot + 1..]);
    if fraction.len() > 9 {
        return None;
    }
    let seconds = decimal_u64(seconds)?.checked_mul(1_000_000_000)?;
    seconds.checked_add(decimal_u64(fraction)? * 10u64.pow(9 - fraction.len() as u32))
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;
    use std::{format, vec::Vec};

    fn head(format: Format, text: &str) -> Head<'_> {
        Line { number: 1, start: 0, text: text.as_bytes() }.head(format)
    }

    #[test]
    fn times() {
        for (text, ns) in [
            ("0.0", Some(0)),
            ("29.222887", Some(29_222_887_000)),
            ("5.123456789", Some(5_123_456_789)),
            ("18446744073.709551615", Some(u64::MAX)),
            ("18446744073.709551616", None),
            ("18446744074.0", None),
            ("1.1234567890", None),
            ("1.", None),
            (".5", None),
            ("12", None),
            ("-1.5", None),
            ("1.5x", None),
        ] {
            assert_eq!(time_ns(text.as_bytes()), ns, "{text}");
        }
    }

    #[test]
    fn ftrace_names_task_number_processor_and_time() {
        let event = "cma_release: name=x pfn=0x1 page=00000010 count=1";
        let known = |task: &'static str, pid, cpu, time_ns| Head {
            task: Some(task.as_bytes()),
            pid: Some(pid),
            cpu: Some(cpu),
            time_ns: Some(time_ns),
        };
        for (front, expected) in [
            ("         kmscube-431     [002] .....    41.120411: ", known("kmscube", 431, 2, 41_120_411_000)),
            (" a b: cma_release-77    [001] d..1.    41.200000: ", known("a b: cma_release", 77, 1, 41_200_000_000)),
            (" kworker/u8:2-events-9  [000] .....    41.3: ", known("kworker/u8:2-events", 9, 0, 41_300_000_000)),
            ("          <idle>-0       [000] d.h..    41.300001: ", known("<idle>", 0, 0, 41_300_001_000)),
            ("  x-1  (    1) [003] ....   0.000001: ", known("x", 1, 3, 1_000)),
            ("  x-1  (-------) [003] ....   0.000001: ", known("x", 1, 3, 1_000)),
            // `trace-cmd report` prints no flags, and with -t nine digits.
            ("  gst-launch-1.0-88 [011]  5.123456789: ", known("gst-launch-1.0", 88, 11, 5_123_456_789)),
            // A name that looks like a processor.
            ("  [1] 2.0:-5 [004] ..... 1.5: ", known("[1] 2.0:", 5, 4, 1_500_000_000)),
            // Clocks with a unit other than seconds.
            ("  x-1 [000] .....  123456: ", Head { time_ns: None, ..known("x", 1, 0, 0) }),
            // Lines without a part of the prefix.
            ("", Head::default()),
            ("1.5: ", Head { time_ns: Some(1_500_000_000), ..Head::default() }),
            ("x-1 .....  1.5: ", Head { time_ns: Some(1_500_000_000), ..Head::default() }),
            ("x [000] .....  1.5: ", Head { time_ns: Some(1_500_000_000), cpu: Some(0), ..Head::default() }),
        ] {
            let line = format!("{front}{event}");
            assert_eq!(head(Format::Ftrace, &line), expected, "{line}");
        }
        assert_eq!(head(Format::Ftrace, "CPU:0 [LOST 12 EVENTS]"), Head::default());
    }

    #[test]
    fn logs_name_times_and_some_callers() {
        let event = "cma: cma_alloc(): returned b7eb8f80";
        let at = Head { time_ns: Some(29_222_887_000), ..Head::default() };
        for (front, expected) in [
            ("[   29.222887] ", at),
            ("<7>[   29.222887] ", at),
            ("Nov 28 07:00:01 board[2.5] kernel: [   29.222887] ", at),
            ("[   29.222887][  T123] ", Head { task: Some(b"T123"), ..at }),
            ("[Sat Nov 28 07:00:01 2026] ", Head::default()),
            ("", Head::default()),
        ] {
            assert_eq!(head(Format::Dmesg, &format!("{front}{event}")), expected, "{front}");
        }
        assert_eq!(head(Format::Plain, "a 1 1 0"), Head::default());
    }

    #[test]
    fn lines_begin_where_they_say() {
        let text = b"a 1 1 0\r\n\n# x\nr 1";
        let lines: Vec<_> = super::super::plain::ops(text).map(|op| op.expect("good").0).collect();
        assert_eq!(lines.iter().map(|line| (line.number, line.start)).collect::<Vec<_>>(), [(1, 0), (4, 14)]);
        assert!(lines.iter().all(|line| text[line.start..].starts_with(line.text)));
        assert!(lines.iter().all(|line| Line::at(text, line.number, line.start) == Some(*line)));
        assert_eq!((Line::at(text, 1, text.len()), Line::at(text, 1, usize::MAX)), (None, None));
    }
}
