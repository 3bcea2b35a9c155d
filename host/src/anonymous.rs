// SPDX-License-Identifier: MIT OR Apache-2.0

//! A recording without the names of its tasks and areas, to be shown to others.
//!
//! Invariants: a name becomes one word in all its places (`task1`, `area1`, numbered by first use);
//! every line keeps its number and every event its meaning; lines that are not events are emptied,
//! because they may contain anything.

use std::collections::HashMap;

use kernel::lab::trace::{Format, TraceError};

use crate::events::{self, Recorded};

/// Pseudonyms for names.
struct Pseudonyms<'t> {
    kind: &'static str,
    words: HashMap<&'t [u8], String>,
}

impl<'t> Pseudonyms<'t> {
    fn new(kind: &'static str) -> Self {
        Self { kind, words: HashMap::new() }
    }

    fn word(&mut self, name: &'t [u8]) -> &str {
        let next = self.words.len() + 1;
        self.words.entry(name).or_insert_with(|| format!("{}{next}", self.kind))
    }
}

/// Text in front of an area in a log.
const BEFORE_AREA: &[u8] = b"(cma ";
/// Calls whose lines of a log are kept.
const CALLS: [&[u8]; 5] = [
    b"cma_",
    b"dma_alloc_from_contiguous",
    b"dma_release_from_contiguous",
    b"memory range at",
    b"number of available pages: ",
];

/// Returns the recording without names.
///
/// # Errors
/// The first invalid line.
pub fn anonymous(text: &[u8]) -> Result<Vec<u8>, TraceError> {
    let format = Format::of(text);
    let recorded = events::all(text)?;
    let (mut tasks, mut areas) = (Pseudonyms::new("task"), Pseudonyms::new("area"));
    let mut lines: HashMap<u64, Vec<u8>> = HashMap::new();
    match format {
        Format::Plain | Format::Ftrace => {
            for event in &recorded {
                lines.insert(event.line.number, of_event(event, &mut tasks, &mut areas));
            }
        }
        // A request takes two lines of a log, of which an event has one.
        Format::Dmesg => {
            for name in recorded.iter().map(|event| event.area).filter(|name| is_name(name)) {
                areas.word(name);
            }
            for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
                if CALLS.iter().any(|call| find(line, call).is_some()) {
                    lines.insert(number, of_log(line, &areas));
                }
            }
        }
    }
    let mut whole = Vec::new();
    if format == Format::Ftrace {
        // The first line identifies the format.
        lines.entry(1).or_insert_with(|| b"# tracer: nop".to_vec());
    }
    for number in 1..=lines.keys().copied().max().unwrap_or(0) {
        whole.extend(lines.remove(&number).unwrap_or_else(|| b"#".to_vec()));
        whole.push(b'\n');
    }
    Ok(whole)
}

/// Returns the line of an event with words for its names.
fn of_event<'t>(event: &Recorded<'t>, tasks: &mut Pseudonyms<'t>, areas: &mut Pseudonyms<'t>) -> Vec<u8> {
    let line = event.line.text;
    let mut made = Vec::with_capacity(line.len());
    let mut done = 0;
    let named = [event.head.task.map(|task| (task, tasks.word(task))), Some((event.area, areas.word(event.area)))];
    for (name, word) in named.into_iter().flatten() {
        // A name is a slice of its line, except in a line without one.
        let Some(at) = name.as_ptr().addr().checked_sub(line.as_ptr().addr()) else { continue };
        if name.is_empty() || at < done || at + name.len() > line.len() {
            continue;
        }
        made.extend_from_slice(&line[done..at]);
        made.extend_from_slice(word.as_bytes());
        done = at + name.len();
    }
    made.extend_from_slice(&line[done..]);
    made
}

/// Returns a line of a log from the kernel's own words on, with words for areas.
fn of_log(line: &[u8], areas: &Pseudonyms<'_>) -> Vec<u8> {
    const KERNEL: &[u8] = b" kernel: ";
    let line = find(line, KERNEL).map_or(line, |at| &line[at + KERNEL.len()..]);
    let Some(at) = find(line, BEFORE_AREA).map(|at| at + BEFORE_AREA.len()) else { return line.to_vec() };
    let names = areas.words.iter().filter(|(name, _)| line[at..].starts_with(name));
    match names.max_by_key(|(name, _)| name.len()) {
        Some((name, word)) => [&line[..at], word.as_bytes(), &line[at + name.len()..]].concat(),
        None => line.to_vec(),
    }
}

/// True for a name; false for a pointer in place of one.
fn is_name(area: &[u8]) -> bool {
    !area.is_empty() && !area.starts_with(b"(") && !area.iter().all(|byte| byte.is_ascii_hexdigit())
}

fn find(line: &[u8], words: &[u8]) -> Option<usize> {
    line.windows(words.len()).position(|part| part == words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::all;

    /// Returns the contents of events without names.
    fn meaning(text: &[u8]) -> Vec<String> {
        let say = |event: Recorded<'_>| {
            let Recorded { line, head, names, happened, .. } = event;
            format!("{} {:?} {:?} {:?} {names:?} {happened:?}", line.number, head.pid, head.cpu, head.time_ns)
        };
        all(text).unwrap().into_iter().map(say).collect()
    }

    const FTRACE: &str = "\
# tracer: nop
# board: secret
  camera-7    [000] .....     1.000000: cma_alloc_finish: name=camera pfn=0x10000 page=0 count=16 align=0 errorno=0
  bash-9      [000] .....     1.500000: sched_switch: secret
  video dec-8 [001] .....     2.000000: cma_alloc_finish: name=vpu,secret pfn=0x0 page=0 count=16 align=0 errorno=-12
  camera-7    [000] .....     3.000000: cma_release: name=camera pfn=0x10000 page=0 count=16
";

    #[test]
    fn names_go_and_nothing_else_does() {
        let made = anonymous(FTRACE.as_bytes()).unwrap();
        assert_eq!(meaning(&made), meaning(FTRACE.as_bytes()));
        let said = String::from_utf8(made).unwrap();
        for word in ["camera", "video", "vpu", "secret", "bash"] {
            assert!(!said.contains(word), "{word}: {said}");
        }
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..2], ["# tracer: nop", "#"]);
        assert!(lines[2].contains("task1-7") && lines[2].contains("name=area1 "), "{said}");
        assert!(lines[4].contains("task2-8") && lines[4].contains("name=area2 "), "{said}");
        assert!(lines[5].contains("task1-7") && lines[5].contains("name=area1 "), "{said}");
    }

    #[test]
    fn recordings_in_every_form_mean_what_they_meant() {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/");
        for name in ["linux-6.1/churn-full.trace", "cases/cma-debug.log"] {
            let text = std::fs::read(format!("{data}{name}")).unwrap();
            let made = anonymous(&text).unwrap();
            assert_eq!(Format::of(&made), Format::of(&text), "{name}");
            assert_eq!(meaning(&made), meaning(&text), "{name}");
        }
        let log = "Jan  1 00:00:01 secret kernel: [    1.0] cma: cma_alloc(cma secret, count 16, align 4)\n\
                   secret: unlock\n\
                   Jan  1 00:00:01 secret kernel: [    1.1] cma: cma_alloc(): returned (ptrval)\n";
        let made = anonymous(log.as_bytes()).unwrap();
        assert!(!meaning(&made).is_empty() && meaning(&made) == meaning(log.as_bytes()));
        assert!(find(&made, b"secret").is_none() && find(&made, b"(cma area1, count 16").is_some());
    }
}
