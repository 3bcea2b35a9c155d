// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random commands at the prompt, each checked by its effects.
//!
//! Invariants: the checker reads only pseudo files and what commands print; a script consists of
//! lines that can be typed; a script that fails is shortened before it is shown.
//!
//! `make test-random COMMANDS=100000 SEED=7` runs more of them; `RANDOM_SCRIPT='LINE; LINE'` runs
//! one script.

mod files;
mod make;
mod model;

use super::*;
use fastrand::Rng;
use files::Files;
use model::Model;
use std::collections::BTreeMap;
use std::env;
use std::panic::{self, AssertUnwindSafe};

/// Commands of a run in `make test`.
const COMMANDS: u64 = 1000;
/// Commands on one board, after which all is released, and memory has to be as after boot.
const ON_A_BOARD: u64 = 50;
/// Maximum of runs that shorten a script that fails.
const SHORTER: usize = 300;
/// Commands that release everything.
const CLEAN_UP: [&str; 3] = ["stop all", "dma free all", "release all"];

/// The source of commands.
enum Source<'a> {
    /// A script.
    Script(core::slice::Iter<'a, String>),
    /// A generator, and the number of commands that are left.
    Random(Rng, u64),
}

impl Source<'_> {
    fn next(&mut self, model: &Model) -> Option<String> {
        match self {
            Self::Script(lines) => lines.next().cloned(),
            Self::Random(rng, left) => {
                *left = left.checked_sub(1)?;
                Some(make::command(rng, model))
            }
        }
    }
}

/// The commands of a run.
#[derive(Default)]
struct Log {
    /// The commands, including one that failed.
    script: Vec<String>,
    /// Successes of commands, by name.
    done: BTreeMap<String, u32>,
}

/// Runs commands on a fresh board, and releases everything.
///
/// # Errors
/// The checker's finding, with the command before it.
fn run(mut source: Source<'_>, log: &mut Log) -> Result<(), String> {
    let done = panic::catch_unwind(AssertUnwindSafe(|| {
        with_board(64, |system, machine| {
            // This version has all files of an area.
            system.answer_like(LinuxVersion::V7_2);
            let mut monitor = Monitor::new(system, machine, context(Some(TRACE)));
            let boot = Files::read(&mut monitor)?;
            boot.agree().map_err(|what| format!("after boot: {what}"))?;
            let mut model = Model::new(&boot);
            let mut before = boot.clone();
            while let Some(line) = source.next(&model) {
                log.script.push(line.clone());
                before = step(&mut monitor, &mut model, &before, &line, log)?;
            }
            for line in CLEAN_UP {
                before = step(&mut monitor, &mut model, &before, line, log)?;
            }
            before.is_as_after(&boot)
        })
    }));
    done.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("of no text")))
    })
}

/// Executes a command, and checks its effects.
fn step(
    monitor: &mut Monitor<'_, '_, Mock>,
    model: &mut Model,
    before: &Files,
    line: &str,
    log: &mut Log,
) -> Result<Files, String> {
    let outcome = monitor.execute(line);
    if let (Outcome::Ok, Some(name)) = (outcome, line.split(' ').next()) {
        *log.done.entry(name.into()).or_default() += 1;
    }
    let printed = monitor.machine.take();
    let after = Files::read(monitor)?;
    let checked = after.agree().and_then(|()| model.step(line, outcome, &printed, before, &after));
    checked.map_err(|what| format!("after `{line}`: {what}\nIt printed:\n{printed}"))?;
    Ok(after)
}

/// Removes the lines that a script does not need to fail.
fn shortened(mut script: Vec<String>) -> Vec<String> {
    let (mut tries, mut size) = (0, script.len().div_ceil(2));
    while size > 0 {
        let mut at = 0;
        while at < script.len() && tries < SHORTER {
            let mut shorter = script.clone();
            shorter.drain(at..(at + size).min(script.len()));
            tries += 1;
            if run(Source::Script(shorter.iter()), &mut Log::default()).is_err() {
                script = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    script
}

fn fails(script: Vec<String>, what: &str) -> ! {
    let hook = panic::take_hook();
    panic::set_hook(std::boxed::Box::new(|_| {}));
    let script = shortened(script);
    let what = run(Source::Script(script.iter()), &mut Log::default()).err().unwrap_or_else(|| what.into());
    panic::set_hook(hook);
    panic!("{what}\nThese commands show it; RANDOM_SCRIPT='...' runs them here:\n{}", script.join("; "))
}

fn setting(name: &str, usual: u64) -> u64 {
    env::var(name)
        .ok()
        .filter(|text| !text.is_empty())
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}; it has to be a number")))
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn pseudo_files_agree_after_random_commands() {
    if let Ok(script) = env::var("RANDOM_SCRIPT") {
        let script: Vec<String> = script.split([';', '\n']).map(|line| line.trim().to_string()).collect();
        run(Source::Script(script.iter()), &mut Log::default()).unwrap_or_else(|what| panic!("{what}"));
        return;
    }
    let commands = setting("RANDOM_COMMANDS", COMMANDS);
    let (mut left, mut log) = (commands, Log::default());
    for seed in setting("RANDOM_SEED", 1).. {
        let now = left.min(ON_A_BOARD);
        log.script.clear();
        if let Err(what) = run(Source::Random(Rng::with_seed(seed), now), &mut log) {
            fails(log.script, &what);
        }
        left -= now;
        if left == 0 {
            break;
        }
    }
    std::println!("{commands} commands; those that did what they should: {:?}", log.done);
    for name in make::NAMES {
        assert!(commands < COMMANDS || log.done.contains_key(name), "no {name} that worked: {:?}", log.done);
    }
}
