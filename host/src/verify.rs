// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of a load with checks of memory, for `debris sweep --verify`.
//!
//! Invariants: a run succeeds only if the accounting balances, and if all memory is free once its
//! buffers are released.

use std::cell::RefCell;
use std::rc::Rc;

use clap::ValueEnum;
use host::machine::Host;
use kernel::mm::poison::{Damage, FreeRun, POISON_WORD, Poison};
use kernel::monitor::{Context, Monitor, Outcome};
use kernel::system::System;

use crate::Failure;

/// Status of accounting that does not balance, as in the monitor.
const STATUS_CHECK: u8 = 3;

/// The frequency of the checks of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Verify {
    /// At the end of each run
    End,
    /// As with check=on, after every 1,000 steps: free pages are poisoned, and verified when they
    /// are handed out
    Steps,
}

/// Runs a load as a line of the monitor, which prints to `text`. Returns its status.
///
/// # Errors
/// The accounting does not balance, or pages were not free in the end.
pub(crate) fn run(
    system: &mut System<'_>,
    host: &mut Host,
    line: &str,
    verify: Verify,
    text: &Rc<RefCell<String>>,
) -> Result<u8, Failure> {
    let free = system.zone().nr_free_pages();
    let status = match verify {
        Verify::End => host::monitor_line(system, host, None, line),
        Verify::Steps => in_steps(system, host, line, Box::new(FreeFrames::default()), text),
    };
    settle(system, line, free)?;
    Ok(status)
}

/// Releases all buffers, and checks before and after.
///
/// # Errors
/// The accounting does not balance, or not `free` pages are free in the end.
fn settle(system: &mut System<'_>, line: &str, free: u32) -> Result<(), Failure> {
    let bad = |what: String| Failure { line: format!("`{line}`: {what}"), status: STATUS_CHECK };
    system.check().map_err(|imbalance| bad(imbalance.to_string()))?;
    for id in system.area_ids() {
        system.release_all(id);
    }
    system.check().map_err(|imbalance| bad(format!("all released: {imbalance}")))?;
    let left = system.zone().nr_free_pages();
    if left != free {
        return Err(bad(format!("{free} pages were free, and {left} are when all is released")));
    }
    Ok(())
}

/// Runs the load as a job, which does 1,000 steps after each command. Each command ends with a
/// check of the accounting and of free memory, which `poison` fills. Returns its status.
fn in_steps<'m>(
    system: &mut System<'m>,
    host: &mut Host,
    line: &str,
    poison: Box<dyn Poison + 'm>,
    text: &Rc<RefCell<String>>,
) -> u8 {
    system.zone_mut().enable_poison(poison);
    system.check_after_commands(true);
    let mut monitor = Monitor::new(system, host, Context::default());
    let mut outcome = monitor.execute(&format!("{line} &"));
    while outcome == Outcome::Ok && !text.borrow().contains("\n[1] done: ") {
        outcome = monitor.execute("# and on");
    }
    match outcome {
        Outcome::Ok | Outcome::Reboot => 0,
        Outcome::Failed(status) | Outcome::PowerOff(status) => status,
    }
}

/// One word for each frame: the pattern while the frame is free, else 0.
#[derive(Default)]
struct FreeFrames {
    words: Vec<u32>,
}

impl FreeFrames {
    fn of(&mut self, run: &FreeRun) -> &mut [u32] {
        let (first, pages) = (run.first().0 as usize, run.pages() as usize);
        if self.words.len() < first + pages {
            self.words.resize(first + pages, 0);
        }
        &mut self.words[first..first + pages]
    }
}

impl Poison for FreeFrames {
    fn fill(&mut self, run: FreeRun) {
        self.of(&run).fill(POISON_WORD);
    }

    /// Clears the words, as the pages' user would, so that a page handed out twice is found.
    fn find_damage(&mut self, run: FreeRun) -> Option<Damage> {
        let words = self.of(&run);
        let place = words.iter().position(|&word| word != POISON_WORD);
        let damage = place.map(|place| Damage { addr: run.first().add(place as u32).addr(), found: words[place] });
        words.fill(0);
        damage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::board::Board;
    use kernel::mm::Migratetype;
    use kernel::mm::lru::Place;

    const LOAD: &str = "debris until=ops ops=4500";

    /// Runs `test` on a board, with the text that it prints.
    fn on_board<R>(test: impl FnOnce(&mut System<'_>, &mut Host, &Rc<RefCell<String>>) -> R) -> R {
        let text = Rc::new(RefCell::new(String::new()));
        let sink = text.clone();
        let print = Box::new(move |piece: &str| sink.borrow_mut().push_str(piece));
        Board::of_one("area", 2048).with(|| 0, print, |system, host| test(system, host, &text))
    }

    #[test]
    fn a_page_that_is_lost_is_told() {
        on_board(|system, host, _| {
            let free = system.zone().nr_free_pages();
            assert_eq!(host::monitor_line(system, host, None, LOAD), 0);
            system.zone_mut().alloc_pages(0, Migratetype::Movable).map(drop).unwrap();
            let failure = settle(system, LOAD, free).unwrap_err();
            let told = format!("{free} pages were free, and {} are when all is released", free - 1);
            assert_eq!((failure.line, failure.status), (format!("`{LOAD}`: {told}"), STATUS_CHECK));
        });
    }

    #[test]
    fn accounting_that_does_not_balance_is_told() {
        on_board(|system, host, _| {
            let free = system.zone().nr_free_pages();
            assert_eq!(host::monitor_line(system, host, None, LOAD), 0);
            // A page on no list, without an owner.
            let zone = system.zone_mut();
            let inside = zone.frames().find(|&frame| zone.is_body(zone.pfn(frame))).unwrap();
            zone.bring_to_life(inside, 0, 0, Place::None);
            let failure = settle(system, LOAD, free).unwrap_err();
            assert_eq!(failure.status, STATUS_CHECK);
            assert!(failure.line.starts_with(&format!("`{LOAD}`: ")), "{}", failure.line);
        });
    }

    /// Works like [`FreeFrames`], but a device writes to the first page that becomes free after
    /// `fills` runs were filled.
    struct WrittenTo {
        frames: FreeFrames,
        fills: u32,
    }

    impl Poison for WrittenTo {
        fn fill(&mut self, run: FreeRun) {
            let words = self.frames.of(&run);
            words.fill(POISON_WORD);
            if self.fills == 0 {
                words[0] = !POISON_WORD;
            }
            self.fills = self.fills.wrapping_sub(1);
        }

        fn find_damage(&mut self, run: FreeRun) -> Option<Damage> {
            self.frames.find_damage(run)
        }
    }

    #[test]
    fn a_write_to_free_memory_is_told() {
        for (fills, expected) in [(2000, STATUS_CHECK), (u32::MAX, 0)] {
            on_board(|system, host, text| {
                let poison = Box::new(WrittenTo { frames: FreeFrames::default(), fills });
                let status = in_steps(system, host, LOAD, poison, text);
                assert_eq!(status, expected, "{}", text.borrow());
                assert_eq!(text.borrow().contains("free memory"), expected != 0, "{}", text.borrow());
            });
        }
    }
}
