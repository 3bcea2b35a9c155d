// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of a load whose memory is checked, for `debris sweep --verify`.
//!
//! What holds true: a run ends well only where the accounting balanced, and where all memory was
//! free once its buffers were released.

use std::cell::RefCell;
use std::rc::Rc;

use clap::ValueEnum;
use host::machine::Host;
use kernel::mm::poison::{Damage, FreeRun, POISON_WORD, Poison};
use kernel::monitor::{Context, Monitor, Outcome};
use kernel::system::System;

use crate::Failure;

/// The status of accounting that does not balance, as the monitor's.
const STATUS_CHECK: u8 = 3;

/// How often memory is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Verify {
    /// At the end of each run
    End,
    /// As with check=on, after every 1,000 steps: free pages are poisoned, and verified when they
    /// are handed out
    Steps,
}

/// Runs a load as a line of the monitor; `text` gets what it prints. Returns its status.
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
    let bad = |what: String| Failure { line: format!("`{line}`: {what}"), status: STATUS_CHECK };
    if verify == Verify::Steps {
        system.zone_mut().enable_poison(Box::new(FreeFrames::default()));
        system.check_after_commands(true);
    }
    let free = system.zone().nr_free_pages();
    let status = match verify {
        Verify::End => host::monitor_line(system, host, None, line),
        Verify::Steps => in_steps(system, host, line, text)?,
    };
    system.check().map_err(|imbalance| bad(imbalance.to_string()))?;
    for id in system.area_ids() {
        system.release_all(id);
    }
    system.check().map_err(|imbalance| bad(format!("all released: {imbalance}")))?;
    let left = system.zone().nr_free_pages();
    if left != free {
        return Err(bad(format!("{free} pages were free, and {left} are when all is released")));
    }
    Ok(status)
}

/// Runs the load as a job, which goes on for 1,000 steps after each command. Each command ends with
/// a check.
fn in_steps(system: &mut System<'_>, host: &mut Host, line: &str, text: &Rc<RefCell<String>>) -> Result<u8, Failure> {
    let mut monitor = Monitor::new(system, host, Context::default());
    let mut outcome = monitor.execute(&format!("{line} &"));
    while outcome == Outcome::Ok && !text.borrow().contains("\n[1] done: ") {
        outcome = monitor.execute("# and on");
    }
    match outcome {
        Outcome::Ok | Outcome::Reboot => Ok(0),
        Outcome::Failed(status) | Outcome::PowerOff(status) => Ok(status),
    }
}

/// What stands in free memory: of each frame the pattern, until it is handed out.
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

    /// Its user writes to a page that is handed out, so that one that is handed out twice is found.
    fn find_damage(&mut self, run: FreeRun) -> Option<Damage> {
        let words = self.of(&run);
        let place = words.iter().position(|&word| word != POISON_WORD);
        let damage = place.map(|place| Damage { addr: run.first().add(place as u32).addr(), found: words[place] });
        words.fill(0);
        damage
    }
}
