// SPDX-License-Identifier: MIT OR Apache-2.0

//! The contents of a recording: areas, requests by size, tasks, lost events and failures.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use kernel::lab::metrics::Counted;
use kernel::lab::replay::size_order;
use kernel::lab::trace::{Format, TraceError};

use crate::events::{self, Happened};

/// Maximum of listed tasks.
const TASKS_SHOWN: usize = 12;

/// The events of an area.
#[derive(Clone, Default, Debug)]
pub struct AreaSeen {
    /// Requests.
    pub allocs: u64,
    /// Requests that failed; `None` if the format does not record failures.
    pub failed: Option<u64>,
    /// Releases.
    pub releases: u64,
    /// Maximum of pages held at once, as far as they are recorded.
    pub peak_pages: u64,
    /// Pages of the area, if an event has them.
    pub pages: Option<u64>,
    /// Pages held at present.
    held_pages: u64,
}

/// The contents of a recording.
#[derive(Clone, Default, Debug)]
pub struct Census {
    /// The format's name.
    pub format: &'static str,
    /// The areas by name; the name is empty if the format has none.
    pub areas: BTreeMap<String, AreaSeen>,
    /// Requests by [`size_order`]: their number, and the largest in pages.
    pub orders: BTreeMap<u32, (u64, u32)>,
    /// Requests by task.
    pub tasks: BTreeMap<String, u64>,
    /// Lost events, at least.
    pub lost: u64,
    /// Busy ranges.
    pub busy: u64,
    /// First and last time.
    pub times_ns: Option<(u64, u64)>,
}

/// Counts the events of a recording.
///
/// # Errors
/// The first invalid line.
pub fn census(text: &[u8]) -> Result<Census, TraceError> {
    let format = Format::of(text);
    let mut census = Census { format: format.name(), ..Census::default() };
    // A buffer's key is its pages, or its ID. A release in a log does not name an area.
    let mut held: HashMap<(&[u8], u64), (String, u64)> = HashMap::new();
    for event in events::each(text) {
        let event = event?;
        let named = event.names.map(|(first, _)| (if format == Format::Dmesg { b"" } else { event.area }, first));
        let gone = match event.happened {
            Happened::Alloc { .. } | Happened::Release => named.and_then(|named| held.remove(&named)),
            _ => None,
        };
        if let Some((area, pages)) = gone {
            census.areas.entry(area).or_default().held_pages -= pages;
        }
        let area = || shown(event.area);
        match event.happened {
            Happened::Alloc { pages, failed, .. } => {
                let seen = census.areas.entry(area()).or_default();
                seen.allocs += 1;
                if let Some(failed) = failed {
                    *seen.failed.get_or_insert(0) += u64::from(failed);
                }
                if let Some(named) = named.filter(|_| failed != Some(true)) {
                    seen.held_pages += u64::from(pages);
                    seen.peak_pages = seen.peak_pages.max(seen.held_pages);
                    held.insert(named, (area(), pages.into()));
                }
                let (requests, largest) = census.orders.entry(size_order(pages)).or_default();
                *requests += 1;
                *largest = (*largest).max(pages);
                if let Some(task) = event.head.task {
                    *census.tasks.entry(shown(task)).or_default() += 1;
                }
            }
            Happened::Release => census.areas.entry(area()).or_default().releases += 1,
            Happened::AreaPages(pages) => census.areas.entry(area()).or_default().pages = Some(pages),
            Happened::Lost(events) => census.lost = census.lost.saturating_add(events),
            Happened::Busy => census.busy += 1,
        }
        if let Some(time) = event.head.time_ns {
            let (first, last) = census.times_ns.unwrap_or((time, time));
            census.times_ns = Some((first.min(time), last.max(time)));
        }
    }
    Ok(census)
}

/// Returns text of a recording without control characters, which a terminal would execute.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

impl fmt::Display for Census {
    /// Prints the census; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article = if self.format == "ftrace" { "An" } else { "A" };
        write!(f, "{article} {} recording", self.format)?;
        if let Some((first, last)) = self.times_ns {
            write!(f, " of {}.{:03} s", (last - first) / 1_000_000_000, (last - first) / 1_000_000 % 1000)?;
        }
        writeln!(f, ".")?;
        for (name, area) in &self.areas {
            let name = if name.is_empty() { "(no name)" } else { name };
            write!(f, "{name}: {}, ", Counted(area.allocs, "request"))?;
            match area.failed {
                Some(failed) => write!(f, "{failed} of them failed, ")?,
                None if area.allocs > 0 => write!(f, "of which this form does not tell what failed, ")?,
                None => {}
            }
            write!(
                f,
                "{}, at most {} held at once",
                Counted(area.releases, "release"),
                Counted(area.peak_pages, "page")
            )?;
            match area.pages {
                Some(pages) => writeln!(f, "; an area of {pages} pages."),
                None => writeln!(f, "."),
            }?;
        }
        if self.lost > 0 {
            writeln!(f, "At least {} lost.", Counted(self.lost, "event"))?;
        }
        if self.busy > 0 {
            writeln!(f, "{} busy, and passed over.", Counted(self.busy, "range"))?;
        }
        writeln!(f, "\n{:>11} {:>9} {:>8}", "pages up to", "requests", "largest")?;
        for (order, (requests, largest)) in &self.orders {
            writeln!(f, "{:>11} {requests:>9} {largest:>8}", 1u64 << order)?;
        }
        let mut tasks: Vec<_> = self.tasks.iter().collect();
        tasks.sort_by_key(|&(_, requests)| std::cmp::Reverse(requests));
        if !tasks.is_empty() {
            writeln!(f, "\n{:<20} {:>9}", "task", "requests")?;
        }
        for (task, requests) in tasks.iter().take(TASKS_SHOWN) {
            writeln!(f, "{task:<20} {requests:>9}")?;
        }
        if tasks.len() > TASKS_SHOWN {
            writeln!(f, "and {} more tasks", tasks.len() - TASKS_SHOWN)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_counted() {
        let plain = census(b"a 1 5 0\na 2 9 0\nr 1\n").unwrap();
        assert_eq!((plain.format, plain.areas[""].allocs, plain.areas[""].releases), ("plain", 2, 1));
        assert!(
            plain
                .to_string()
                .contains("\n(no name): 2 requests, of which this form does not tell what failed, 1 release,")
        );
        assert_eq!(plain.orders, BTreeMap::from([(3, (1, 5)), (4, (1, 9))]));
        let ftrace = census(
            b"  vpu-7  [000] .....     5.500000: cma_alloc_finish: name=x pfn=0x100 page=0 count=16 align=4 errorno=0\n\
              CPU:0 [LOST 12 EVENTS]\n\
              \x20 vpu-7  [000] .....     6.000000: cma_alloc_finish: name=x pfn=0x0 page=0 count=16 align=4 errorno=-12\n",
        )
        .unwrap();
        assert_eq!((ftrace.areas["x"].allocs, ftrace.areas["x"].failed, ftrace.lost), (2, Some(1), 12));
        assert_eq!((ftrace.tasks["vpu"], ftrace.times_ns), (2, Some((5_500_000_000, 6_000_000_000))));
        let log = include_bytes!("../../tests/data/cases/cma-debug.log");
        let log = census(log).unwrap();
        assert_eq!(
            (log.format, log.busy, log.orders.values().map(|(requests, _)| requests).sum::<u64>()),
            ("dmesg", 2, 15)
        );
        assert!(census(b"a 1\n").is_err());
    }

    #[test]
    fn the_peak_is_of_what_was_held() {
        let peak = |text: &[u8]| census(text).unwrap().areas.values().map(|area| area.peak_pages).max();
        assert_eq!(peak(b"a 1 5 0\na 2 9 0\nr 1\na 3 4 0\nr 7\n"), Some(14));
        assert_eq!(peak(b"a 1 5 0\na 1 9 0\n"), Some(9), "allocated again, it was given back");
        assert_eq!(peak(include_bytes!("../../tests/data/cases/cma-debug.log")), Some(12543));
        assert_eq!(peak(include_bytes!("../../tests/data/linux-6.1/article.trace")).map(|pages| pages > 0), Some(true));
    }
}
