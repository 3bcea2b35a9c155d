// SPDX-License-Identifier: MIT OR Apache-2.0

//! Other orders of events in which a recording's tasks could have run.
//!
//! Adjacent events of different tasks are swapped at random, in one pass over the recording. A
//! task's own events keep their order, and so do two events that name the same pages: an allocation
//! stays in front of its release.

use kernel::lab::rng::Rng;
use kernel::lab::trace::TraceError;

use crate::events::{self, Recorded};

/// A recording whose events can be swapped.
pub struct Jitter<'t> {
    events: Vec<Recorded<'t>>,
}

/// The reason why a recording has only one order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoJitter {
    /// A line is invalid.
    Trace(TraceError),
    /// The events have no tasks, or only one.
    OneTask,
}

impl<'t> Jitter<'t> {
    /// Reads a recording.
    ///
    /// # Errors
    /// See [`NoJitter`].
    pub fn of(text: &'t [u8]) -> Result<Self, NoJitter> {
        let events = events::all(text).map_err(NoJitter::Trace)?;
        let mut tasks = events.iter().filter_map(task);
        let first = tasks.next().ok_or(NoJitter::OneTask)?;
        if tasks.all(|task| task == first) { Err(NoJitter::OneTask) } else { Ok(Self { events }) }
    }

    /// Returns the recording in the order that `seed` gives.
    pub fn seeded(&self, seed: u32) -> Vec<u8> {
        let mut rng = Rng::seeded(seed);
        let mut order: Vec<&Recorded<'_>> = self.events.iter().collect();
        for place in 1..order.len() {
            if may_swap(order[place - 1], order[place]) && rng.below(2) == 1 {
                order.swap(place - 1, place);
            }
        }
        let mut text = Vec::new();
        for event in order {
            text.extend_from_slice(event.line.text);
            text.push(b'\n');
        }
        text
    }
}

/// Returns the task's name and number.
fn task<'t>(event: &Recorded<'t>) -> Option<(&'t [u8], Option<u32>)> {
    Some((event.head.task?, event.head.pid))
}

fn may_swap(first: &Recorded<'_>, second: &Recorded<'_>) -> bool {
    let others = matches!((task(first), task(second)), (Some(first), Some(second)) if first != second);
    others && !same_pages(first, second)
}

fn same_pages(first: &Recorded<'_>, second: &Recorded<'_>) -> bool {
    let (Some((first_page, first_pages)), Some((second_page, second_pages))) = (first.names, second.names) else {
        return false;
    };
    first.area == second.area
        && first_page < second_page.saturating_add(second_pages)
        && second_page < first_page.saturating_add(first_pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Happened;

    const TRACE: &str = "\
# tracer: nop
  a-1  [000] .....     1.000000: cma_alloc_finish: name=x pfn=0x100 page=0 count=16 align=0 errorno=0
  b-2  [001] .....     1.000001: cma_alloc_finish: name=x pfn=0x200 page=0 count=16 align=0 errorno=0
  a-1  [000] .....     1.000002: cma_release: name=x pfn=0x100 page=0 count=16
  b-2  [001] .....     1.000003: cma_alloc_finish: name=x pfn=0x100 page=0 count=16 align=0 errorno=0
  a-1  [000] .....     1.000004: cma_alloc_finish: name=x pfn=0x300 page=0 count=16 align=0 errorno=0
  b-2  [001] .....     1.000005: cma_release: name=x pfn=0x200 page=0 count=16
";

    #[test]
    fn orders_change_and_what_belongs_together_does_not() {
        let jitter = Jitter::of(TRACE.as_bytes()).unwrap();
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let text = jitter.seeded(seed);
            let events = events::all(&text).unwrap();
            assert_eq!(events.len(), 6);
            for name in [&b"a"[..], b"b"] {
                let times = events.iter().filter(|event| event.head.task == Some(name)).map(|event| event.head.time_ns);
                assert!(times.is_sorted(), "a task keeps its order");
            }
            let at_0x100 = events.iter().filter(|event| event.names == Some((0x100, 16)));
            let released: Vec<bool> = at_0x100.map(|event| event.happened == Happened::Release).collect();
            assert_eq!(released, [false, true, false]);
            orders.insert(text);
        }
        assert!(orders.len() >= 4, "{} orders", orders.len());
        assert_eq!(jitter.seeded(7), jitter.seeded(7));
    }

    #[test]
    fn one_task_has_one_order() {
        assert!(matches!(Jitter::of(b"a 1 1 0\nr 1\n"), Err(NoJitter::OneTask)));
        let one = TRACE.replace("b-2", "a-1");
        assert!(matches!(Jitter::of(one.as_bytes()), Err(NoJitter::OneTask)));
        assert!(matches!(Jitter::of(b"rubbish\n"), Err(NoJitter::Trace(_))));
    }
}
