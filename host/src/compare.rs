// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris compare`: the monitor's command, with its loads on all processors.
//!
//! Invariants: every load runs on its own board, so that its area is empty; the output is that of
//! the monitor, except for times.

use std::path::{Path, PathBuf};

use host::board::Board;
use host::machine::Host;
use host::size::mib;
use indicatif::ProgressBar;
use kernel::lab::compare::{Comparison, Row, Step};
use kernel::monitor::{Context, Monitor};
use kernel::system::System;
use rayon::prelude::*;

use crate::cli::{self, Compare};
use crate::interrupt::{is_stopped, stopped};
use crate::{Failure, chosen_area, lines, now_ns, progress, recording, say};

/// The area on which loads are compared.
const USUAL_AREA: &str = "8M";

pub(crate) fn run(arguments: &Compare) -> Result<(), Failure> {
    let area = arguments.area.clone();
    if let Some((file, keys)) = of_recording(arguments)? {
        return compare_replays(arguments, &file, &keys);
    }
    let area = area.unwrap_or_else(|| USUAL_AREA.into());
    let pages = cli::pages(&area).map_err(Failure::bad)?;
    let board = Board { linux: arguments.linux, ..Board::of_one(&area, pages) };
    let records = arguments.json;
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

/// Returns the recording and the keys, if a recording or `load=replay` is given.
fn of_recording(arguments: &Compare) -> Result<Option<(PathBuf, Vec<String>)>, Failure> {
    let mut keys = arguments.keys.clone();
    let mut file = arguments.initrd.clone();
    let words =
        keys.iter().position(|key| !key.contains('=') && key != arguments.area.as_deref().unwrap_or(USUAL_AREA));
    if let Some(place) = words {
        let word = PathBuf::from(&keys[place]);
        let is_recording = file.is_none() && (word.is_file() || keys[place] == "-");
        if !is_recording {
            let word = word.display();
            return Err(Failure::bad(format!("compare: {word} is not a file; it takes a recording, and KEY=VALUE")));
        }
        keys.remove(place);
        file = Some(word);
    }
    let load = keys.iter().find_map(|key| key.strip_prefix("load="));
    match (file, load) {
        (None, Some("replay")) => Err(Failure::bad("compare: load=replay needs a recording: --initrd FILE")),
        (None, _) => Ok(None),
        (Some(file), load) => {
            match load {
                None => keys.push("load=replay".into()),
                Some("replay") => {}
                Some(load) => {
                    let why = format!("compare: {} is a recording, which load={load} does not read", file.display());
                    return Err(Failure::bad(format!("{why}; leave load= or the recording out")));
                }
            }
            Ok(Some((file, keys)))
        }
    }
}

/// Compares placements on a recording: by the monitor itself, by default in an area of the recorded
/// size.
fn compare_replays(arguments: &Compare, file: &Path, keys: &[String]) -> Result<(), Failure> {
    let (trace, _) = recording(file, arguments.anonymous)?;
    let from = keys.iter().find_map(|key| key.strip_prefix("from="));
    let spec = chosen_area((&trace, file), (arguments.area.as_deref(), from), "from=NAME")?;
    let name = arguments.area.clone().unwrap_or_else(|| mib(spec.pages));
    let board = &Board { linux: arguments.linux, ..Board::of_one(&name, spec.pages) };
    let records = arguments.json;
    let line = keys.iter().fold(String::from("compare"), |line, key| format!("{line} '{key}'"));
    let print = lines("compare", Some(records));
    let status = board.with(now_ns, print, |system, host| host::monitor_line(system, host, Some(&trace), &line));
    crate::ended(&line, status)
}
