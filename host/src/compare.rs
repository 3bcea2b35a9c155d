// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris compare`: the monitor's command, its loads on all processors.
//!
//! What holds true: every load runs on a board of its own, which is what an empty area is; what is
//! printed is what the monitor prints, but for times.

use host::board::Board;
use host::machine::Host;
use indicatif::ProgressBar;
use kernel::lab::compare::{Comparison, Row, Step};
use kernel::monitor::{Context, Monitor};
use kernel::system::System;
use rayon::prelude::*;

use crate::cli::{self, Compare};
use crate::interrupt::{is_stopped, stopped};
use crate::{Failure, lines, now_ns, progress, recording, say};

pub(crate) fn run(arguments: &Compare) -> Result<(), Failure> {
    let pages = cli::pages(&arguments.area).map_err(Failure::bad)?;
    let board = Board { linux: arguments.linux, ..Board::of_one(&arguments.area, pages) };
    let records = arguments.json;
    if arguments.keys.iter().any(|key| key == "load=replay") {
        return compare_replays(arguments, &board);
    }
    let (title, mut whole) = on(&board, |system, host| {
        let whole = comparison(system, host, arguments)?;
        Ok::<_, Failure>((whole.title(system), whole))
    })?;
    let progress = progress(whole.loads().into(), "loads");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.jobs.unwrap_or(0)).build();
    let pool = pool.map_err(|error| Failure::bad(format!("-j: {error}")))?;
    let loads = whole.loads();
    let rows: Result<Vec<Vec<Row>>, Failure> = pool.install(|| {
        (0..loads)
            .into_par_iter()
            .map(|load| on(&board, |system, host| one(system, host, arguments, load, &progress)))
            .collect()
    });
    let done = progress.position();
    progress.finish_and_clear();
    if is_stopped() {
        return Err(stopped(&format!(": {done} of {loads} loads were done, and nothing is printed")));
    }
    whole.join(rows?.into_iter().flatten());
    let text = format!("{title}\n{whole}");
    for line in text.lines().filter(|line| line.starts_with('{') == records) {
        say(format_args!("{line}\n"))?;
    }
    Ok(())
}

/// Runs one load.
fn one(
    system: &mut System<'_>,
    host: &mut Host,
    arguments: &Compare,
    load: u32,
    progress: &ProgressBar,
) -> Result<Vec<Row>, Failure> {
    let mut part = comparison(system, host, arguments)?.only(load);
    loop {
        match part.step(system, host).map_err(|error| Failure::bad(format!("compare: {error}")))? {
            Step::Finished => break,
            Step::Interrupted => return Err(stopped("")),
            Step::Done { .. } | Step::Running { .. } => {}
        }
    }
    progress.inc(1);
    Ok(part.into_rows())
}

fn comparison(system: &mut System<'_>, host: &mut Host, arguments: &Compare) -> Result<Comparison, Failure> {
    let comparison = Monitor::new(system, host, Context::default()).comparison(arguments.keys.iter().cloned());
    comparison.map_err(|line| Failure::bad(format!("compare: {line}")))
}

fn on<R>(board: &Board, experiment: impl FnOnce(&mut System<'_>, &mut Host) -> R) -> R {
    board.with(now_ns, Box::new(|_| {}), experiment)
}

/// A recording under several placements: by the monitor itself.
fn compare_replays(arguments: &Compare, board: &Board) -> Result<(), Failure> {
    let Some(file) = &arguments.initrd else {
        return Err(Failure::bad("compare: load=replay needs a recording: --initrd FILE"));
    };
    let (trace, _) = recording(file, arguments.anonymous)?;
    let records = arguments.json;
    let line = arguments.keys.iter().fold(String::from("compare"), |line, key| format!("{line} '{key}'"));
    let print = lines("compare", Some(records));
    let status = board.with(now_ns, print, |system, host| host::monitor_line(system, host, Some(&trace), &line));
    crate::ended(&line, status)
}
