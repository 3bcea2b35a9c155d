// SPDX-License-Identifier: MIT OR Apache-2.0

//! The monitor: one interface for the prompt, for `run=` and for tests.
//!
//! The steps of a command: `syntax` splits a line at `;`, `|` and blanks → `commands`, a table of
//! commands with usages, checks the words and keys and executes it on the [`System`] → `output`
//! filters what is printed → a status. Pseudo files are in `files`, line editing in `prompt`,
//! completion by Tab in `complete`.
//!
//! Invariants: a wrong command prints one line that says what is wrong and what would be right, and
//! the next command runs.
//!
//! # Example
//! A line on the board of the tests:
//! ```
//! use board_mock::with_board;
//! use monitor::{Context, Monitor, Outcome};
//!
//! let context = Context { version: "debris 1.2.3", ..Context::default() };
//! let said = with_board(64, |system, machine| {
//!     let mut monitor = Monitor::new(system, machine, context);
//!     assert_eq!(monitor.execute("alloc BiscuitOS_cma 8; release 1"), Outcome::Ok);
//!     assert_eq!(monitor.execute("alloc nowhere 8"), Outcome::Failed(2));
//!     machine.take()
//! });
//! assert!(said.ends_with("alloc: no area \"nowhere\"; there are linux,cma BiscuitOS_cma\n"), "{said}");
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod commands;
mod complete;
mod files;
pub mod help;
mod jobs;
mod news;
mod output;
mod prompt;
pub mod selftest;
pub mod syntax;
pub mod values;

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use commands::Session;
pub use commands::help_of_all;
use jobs::Jobs;
use lab::compare::Comparison;
use lab::keys::{did_you_mean, nearest, shown};
use lab::load;
use lab::metrics::Counted;
use lab::record::Record;
use lab::state::Loaded;
use machine::Machine;
use output::{Filter, Output};
pub use prompt::Prompt;
use syntax::{Args, split_outside_quotes, words};
use system::System;
use units::notes::{Refusal, Refused};

/// Version of the records: incremented when a field changes its meaning or is removed.
const VERSION_OF_RECORDS: u32 = 1;

/// Status of a bad command, key or trace, and of a missing area.
pub const STATUS_BAD_COMMAND: u8 = 2;
/// Status of a self-test or check that failed.
pub const STATUS_CHECK_FAILED: u8 = 3;

/// Assumed width of a terminal, in characters.
const TERMINAL_COLUMNS: usize = 80;

/// Commands that run after boot if there is no `run=`.
pub const DEFAULT_RUN: &str = "debris";

/// A self-test of the machine's own layer: its name, and a function that returns an error's text.
pub type MachineTest = (&'static str, fn() -> Result<(), String>);

/// Results of the boot that the monitor needs.
#[derive(Clone, Copy, Default)]
pub struct Context<'c> {
    /// The command line, unchanged.
    pub cmdline: &'c str,
    /// The text of `/proc/iomem`.
    pub iomem: &'c str,
    /// The initrd, if there is one.
    pub initrd: Option<&'c [u8]>,
    /// Time from the kernel's first instruction to the first command.
    pub ns_to_ready: u64,
    /// The line that `version` prints.
    pub version: &'c str,
    /// The image's version by itself.
    pub release: &'c str,
    /// The commit that the image was built from; empty if unknown.
    pub git: &'c str,
    /// Suppresses all records.
    pub quiet: bool,
    /// Refused parts of the device tree and of the command line.
    pub refused: &'c [Refusal],
    /// `strict=on`: nothing is run if anything was refused.
    pub strict: bool,
    /// Self-tests of the machine's own layer.
    pub tests: &'c [MachineTest],
}

/// The result of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Every command succeeded.
    Ok,
    /// The largest status of the commands that failed.
    Failed(u8),
    /// A `poweroff` with this status.
    PowerOff(u8),
    /// A `reboot`.
    Reboot,
}

/// A requested end of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Power off with this status.
    PowerOff(u8),
    /// Restart.
    Reboot,
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        match end {
            End::PowerOff(status) => Self::PowerOff(status),
            End::Reboot => Self::Reboot,
        }
    }
}

/// A failed command: the line that says why, and the status.
#[derive(Debug)]
struct Failure {
    line: String,
    status: u8,
}

impl Failure {
    fn bad(line: impl Into<String>) -> Self {
        Self { line: line.into(), status: STATUS_BAD_COMMAND }
    }

    fn check(line: impl Into<String>) -> Self {
        Self { line: line.into(), status: STATUS_CHECK_FAILED }
    }
}

impl From<String> for Failure {
    fn from(line: String) -> Self {
        Self::bad(line)
    }
}

impl From<core::fmt::Error> for Failure {
    fn from(_: core::fmt::Error) -> Self {
        Self::check("the output could not be written")
    }
}

/// Executes commands on a system.
pub struct Monitor<'a, 'm, M: ?Sized> {
    system: &'a mut System<'m>,
    machine: &'a mut M,
    context: Context<'a>,
    /// Largest status of the commands of `run=`.
    worst: u8,
    jobs: Jobs,
    loaded: Vec<Loaded>,
}

impl<'a, 'm, M: Machine + ?Sized> Monitor<'a, 'm, M> {
    /// Creates a monitor of `system` and `machine`.
    pub fn new(system: &'a mut System<'m>, machine: &'a mut M, context: Context<'a>) -> Self {
        Self { system, machine, context, worst: 0, jobs: Jobs::default(), loaded: Vec::new() }
    }

    /// Returns the system that commands are executed on.
    pub fn system(&self) -> &System<'m> {
        self.system
    }

    /// Prints the records of a boot: what runs here, the areas, the nodes that were refused.
    pub fn print_boot_records(&mut self) {
        if self.context.quiet {
            return;
        }
        let system = &self.system;
        let mut records = Vec::new();
        records.push(
            Record::new("meta")
                .number("v", VERSION_OF_RECORDS)
                .string("version", self.context.release)
                .string("git", self.context.git)
                .display("linux", system.linux()),
        );
        for id in system.area_ids() {
            let area = system.area(id);
            let device = system.area_users().iter().find(|user| user.area == area.name());
            records.push(
                Record::new("area")
                    .string("area", area.name())
                    .number("base", area.base().addr().0)
                    .number("pages", area.pages())
                    .number("default", u32::from(system.default_area() == Some(id)))
                    .string("device", device.map_or("", |user| &user.device)),
            );
        }
        let nodes = self.context.refused.iter().filter(|refusal| refusal.what == Refused::Node);
        records.extend(nodes.map(|node| Record::new("node").string("node", &node.name).string("why", &node.why)));
        records.push(
            Record::new("boot")
                .number("mem_pages", system.zone().managed_pages())
                .number("areas", system.areas().len() as u64)
                .number("ns_to_ready", self.context.ns_to_ready),
        );
        for record in records {
            self.machine.write_str(&format!("{record}\n"));
        }
    }

    /// Prints every refusal and returns true if `strict=on` forbids the run.
    fn refuses_to_run(&mut self) -> bool {
        let refused = self.context.refused;
        if !self.context.strict || refused.is_empty() {
            return false;
        }
        let mut text = String::new();
        for refusal in refused {
            text.push_str(&format!("strict=on: refused: {refusal}\n"));
        }
        text.push_str(&format!("strict=on: {}, so nothing is run\n", Counted(refused.len() as u64, "refusal")));
        self.machine.write_str(&text);
        true
    }

    /// Runs `run`, by default [`DEFAULT_RUN`], then the prompt, until a command ends the machine.
    /// Powers off at once if `strict=on` forbids the run.
    pub fn run_to_end(&mut self, run: Option<&str>) -> End {
        if self.refuses_to_run() {
            return End::PowerOff(STATUS_BAD_COMMAND);
        }
        let outcome = match run {
            Some(script) => self.run(script),
            None => self.execute(DEFAULT_RUN),
        };
        match outcome {
            Outcome::PowerOff(status) => End::PowerOff(status),
            Outcome::Reboot => End::Reboot,
            Outcome::Ok | Outcome::Failed(_) => prompt::run(self),
        }
    }

    /// Executes the commands of `run=`; `poweroff` remembers their largest status. Prints a line if
    /// one failed and none ended the machine: the prompt that follows waits for input, and a script
    /// that waits for the machine's end would wait, too.
    pub fn run(&mut self, script: &str) -> Outcome {
        let outcome = self.execute_all(script, true);
        if let Outcome::Failed(status) = outcome {
            let text = format!("run=: done, with status {status} (see above); `poweroff` ends the machine with it\n");
            self.machine.write_str(&text);
        }
        outcome
    }

    /// Executes a line as if typed at the prompt.
    pub fn execute(&mut self, line: &str) -> Outcome {
        self.execute_all(line, false)
    }

    fn execute_all(&mut self, line: &str, counts: bool) -> Outcome {
        let mut worst = 0;
        for command in split_outside_quotes(line, ';') {
            match self.execute_one(command) {
                Outcome::Failed(status) => {
                    worst = worst.max(status);
                    if counts {
                        self.worst = self.worst.max(status);
                    }
                }
                Outcome::Ok => {}
                end => return end,
            }
        }
        if worst == 0 { Outcome::Ok } else { Outcome::Failed(worst) }
    }

    fn execute_one(&mut self, command: &str) -> Outcome {
        let mut outcome = self.dispatch(command).unwrap_or_else(|failure| self.report(&failure));
        let ends = matches!(outcome, Outcome::PowerOff(_) | Outcome::Reboot);
        let checked = self.check();
        let said = if ends { self.stop_jobs() } else { self.go_on_with_jobs() };
        for failure in [checked, said].into_iter().filter_map(Result::err) {
            let failed = self.report(&failure);
            outcome = match outcome {
                Outcome::PowerOff(status) => Outcome::PowerOff(status.max(failure.status)),
                Outcome::Reboot => Outcome::Reboot,
                Outcome::Ok | Outcome::Failed(_) => failed,
            };
        }
        outcome
    }

    /// Returns the comparison that `compare` makes with `keys`, for a caller that runs its loads in
    /// parallel, each on a system of its own.
    ///
    /// # Errors
    /// A line that says what is wrong with the keys, and what would be right.
    pub fn comparison(&mut self, keys: impl IntoIterator<Item = String>) -> Result<Comparison, String> {
        let found = commands::find::<M>("compare").ok_or("there is no command compare")?;
        let args = Args::new(&found.usage(), keys)?;
        let session = Session {
            system: self.system,
            context: &self.context,
            name: found.help.name,
            worst: self.worst,
            jobs: &mut self.jobs,
            loaded: &mut self.loaded,
            background: None,
            out: Output::new(self.machine, self.context.quiet, Vec::new()),
            end: None,
        };
        session.comparison(&args).map_err(|failure| failure.line)
    }

    /// Checks the invariants, if enabled. A driver's misuse or a write to free memory fails only
    /// the command during which it is found.
    fn check(&mut self) -> Result<(), Failure> {
        let check = if self.system.check_enabled() { self.system.check() } else { Ok(()) };
        self.system.dma_mut().checker_mut().tell();
        let more = match self.system.forget_damage() {
            0 => String::new(),
            more => format!(", and {} more", Counted(more.into(), "run")),
        };
        check.map_err(|imbalance| Failure::check(format!("check=on: {imbalance}{more}")))
    }

    /// Lets the jobs do steps between two commands, and prints their news.
    fn go_on_with_jobs(&mut self) -> Result<(), Failure> {
        self.step_jobs();
        self.say_of_jobs()
    }

    fn report(&mut self, failure: &Failure) -> Outcome {
        self.machine.write_str(&format!("{}\n", failure.line));
        Outcome::Failed(failure.status)
    }

    fn dispatch(&mut self, command: &str) -> Result<Outcome, Failure> {
        let mut stages = split_outside_quotes(command, '|');
        let mut first = words(stages.next().unwrap_or_default())?;
        let background = in_background(&mut first);
        let mut filters = Vec::new();
        for stage in stages {
            if filters.len() == help::MAX_WORDS {
                return Err(Failure::bad(format!("more than {} filters (MAX_WORDS)", help::MAX_WORDS)));
            }
            filters.push(filter(stage)?);
        }
        if background && !filters.is_empty() {
            return Err(Failure::bad("& ends a command, and what runs in the background has no filter"));
        }
        let mut first = first.into_iter();
        let Some(name) = first.next() else {
            return if filters.is_empty() {
                Ok(Outcome::Ok)
            } else {
                Err(Failure::bad("grep: no command before the |"))
            };
        };
        if name.starts_with('#') {
            return Ok(Outcome::Ok);
        }
        let Some(found) = commands::find::<M>(&name) else {
            return Err(unknown_command::<M>(&name));
        };
        let name = found.help.name;
        let named = |failure: Failure| Failure { line: format!("{name}: {}", failure.line), ..failure };
        if background && load::find(name).is_none() {
            let names = load::names().collect::<Vec<_>>().join(", ");
            return Err(named(Failure::bad(format!("does not run in the background; these do: {names}"))));
        }
        let args = Args::new(&found.usage(), first).map_err(|line| named(line.into()))?;
        let mut session = Session {
            system: self.system,
            context: &self.context,
            name,
            worst: self.worst,
            jobs: &mut self.jobs,
            loaded: &mut self.loaded,
            background: background.then(|| command.trim().into()),
            out: Output::new(self.machine, self.context.quiet, filters),
            end: None,
        };
        let result = (found.run)(&mut session, &args);
        session.out.finish();
        let end = session.end;
        result.map(|()| end.map_or(Outcome::Ok, Outcome::from)).map_err(named)
    }
}

/// True if a command ends in `&`, which is removed.
fn in_background(words: &mut Vec<String>) -> bool {
    let Some(last) = words.last_mut() else { return false };
    let Some(rest) = last.strip_suffix('&') else { return false };
    *last = rest.into();
    if last.is_empty() {
        words.pop();
    }
    true
}

/// Parses a stage after a `|`, which is a `grep`.
fn filter(stage: &str) -> Result<Filter, Failure> {
    let mut words = words(stage)?;
    if words.first().is_none_or(|name| name != "grep") {
        let other = words.first().map_or_else(|| "nothing".into(), |word| shown(word));
        return Err(Failure::bad(format!("{other} after the |; the one filter is grep: COMMAND | grep WORD")));
    }
    words.remove(0);
    let filter = Filter::take(&mut words).map_err(|line| format!("grep: {line}"))?;
    match words.first() {
        None => Ok(filter),
        Some(extra) => Err(Failure::bad(format!("grep: takes one word, and there is {}", shown(extra)))),
    }
}

/// Names of commands in other systems, and our commands.
const CALLED_ELSEWHERE: &[(&str, &str)] = &[
    ("exit", "poweroff"),
    ("quit", "poweroff"),
    ("logout", "poweroff"),
    ("halt", "poweroff"),
    ("shutdown", "poweroff"),
    ("man", "help"),
    ("?", "help"),
    ("dir", "ls"),
    ("more", "cat"),
    ("less", "cat"),
    ("free", "cat /proc/meminfo"),
    ("dump", "bitmap"),
];

fn unknown_command<M: Machine + ?Sized>(name: &str) -> Failure {
    let called = CALLED_ELSEWHERE.iter().find(|called| called.0 == name).map(|called| called.1);
    let near = called.or_else(|| nearest(name, commands::all::<M>().map(|command| command.help.name)));
    let near = near.map_or_else(|| ";".into(), |near| format!("; {}", did_you_mean(near)));
    Failure::bad(format!("unknown command {}{near} `help` lists them all", shown(name)))
}
