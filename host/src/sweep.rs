// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris sweep`: a load over areas, placements, alignments and seeds, a record for each run.
//!
//! Invariants: a record has its run's key, the line that repeats the run; with `--resume`, a run
//! whose key is in the file is skipped; records are whole lines, except one that the end of the
//! process or a failed write tears.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

use host::board::Board;
use kernel::cma::placements::PLACEMENTS;
use rayon::prelude::*;
use serde_json::Value;

use crate::cli::{self, Runs, Sweep};
use crate::interrupt::{is_stopped, stopped};
use crate::verify::{self, Verify};
use crate::{Failure, now_ns, progress};

/// A run.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    area: String,
    pages: u32,
    /// The line of the monitor, which is the key of the record.
    line: String,
}

pub(crate) fn run(arguments: &Sweep) -> Result<(), Failure> {
    let (part, parts) = arguments.shard;
    let runs = all_runs(&arguments.runs)?;
    let total = runs.len();
    let runs: Vec<Run> = runs.into_iter().skip(part - 1).step_by(parts).collect();
    let (file, done) = open(&arguments.output, arguments.resume)?;
    let left: Vec<&Run> = runs.iter().filter(|run| !done.contains(&run.line)).collect();
    eprintln!(
        "debris: {total} runs, {} of them in part {part}/{parts}, {} of those done",
        runs.len(),
        runs.len() - left.len()
    );
    let progress = progress(left.len() as u64, "runs");
    let file = Mutex::new(file);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.jobs.unwrap_or(0)).build();
    let pool = pool.map_err(|error| Failure::bad(format!("-j: {error}")))?;
    let result = pool.install(|| {
        left.par_iter().try_for_each(|run| {
            let record = record_of(run, arguments.verify);
            // After Ctrl-C, the run may have ended early, so its record is dropped.
            if is_stopped() {
                return Err(stopped(""));
            }
            let record = record?;
            let mut file = file.lock().map_err(|_| Failure::bad("another run failed"))?;
            file.write_all(record.as_bytes())
                .map_err(|error| Failure::bad(format!("{}: {error}", arguments.output.display())))?;
            progress.inc(1);
            Ok(())
        })
    });
    let done = runs.len() - left.len() + progress.position() as usize;
    progress.finish_and_clear();
    if is_stopped() {
        let (all, file) = (runs.len(), arguments.output.display());
        return Err(stopped(&format!(": {done} of {all} runs are in {file}, and --resume goes on")));
    }
    result
}

/// Returns every run of the sweep, in an order that does not depend on the machine.
fn all_runs(arguments: &Runs) -> Result<Vec<Run>, Failure> {
    let all: Vec<String> = PLACEMENTS.iter().map(|entry| entry.name.to_owned()).collect();
    let placements = if arguments.placement == ["all"] { &all } else { &arguments.placement };
    let mut runs = Vec::new();
    for area in &arguments.area {
        let pages = cli::pages(area).map_err(Failure::bad)?;
        for placement in placements {
            for align in &arguments.align {
                for seed in arguments.seeds.0..=arguments.seeds.1 {
                    let load = &arguments.load;
                    let line = format!("{load} area={area} placement={placement} align={align} seed={seed}");
                    runs.push(Run { area: area.clone(), pages, line });
                }
            }
        }
    }
    Ok(runs)
}

/// Opens the file to append to it, and cuts a torn last line off; returns the keys in it. Errs if
/// it has content and `resume` is false.
fn open(path: &Path, resume: bool) -> Result<(File, HashSet<String>), Failure> {
    let failed = |error: io::Error| Failure::bad(format!("{}: {error}", path.display()));
    // The file is read to its end, which a device or a pipe may not have.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Failure::bad(format!("{}: not a regular file, to which records can be appended", path.display())));
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(failed)?;
    if !text.is_empty() && !resume {
        return Err(Failure::bad(format!("{} is not empty: --resume continues it", path.display())));
    }
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
    }
    let keys = String::from_utf8_lossy(&text[..whole]).lines().filter_map(key_of).collect();
    Ok((file, keys))
}

/// Returns the key of a record.
pub(crate) fn key_of(record: &str) -> Option<String> {
    let value: Value = serde_json::from_str(record).ok()?;
    Some(value.get("key")?.as_str()?.to_owned())
}

/// Does a run; returns the line of its record.
fn record_of(run: &Run, verify: Option<Verify>) -> Result<String, Failure> {
    let text = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
    let sink = text.clone();
    let print = Box::new(move |piece: &str| sink.borrow_mut().push_str(piece));
    let board = Board::of_one(&run.area, run.pages);
    let status = board.with(now_ns, print, |system, host| match verify {
        None => Ok(host::monitor_line(system, host, None, &run.line)),
        Some(verify) => verify::run(system, host, &run.line, verify, &text),
    })?;
    let text = text.take();
    if status != 0 {
        let why = text.lines().rfind(|line| !line.starts_with("run=:")).unwrap_or_default();
        return Err(Failure { line: format!("`{}`: {why}", run.line), status });
    }
    let record = text.lines().rfind(|line| line.starts_with('{'));
    let record = record.and_then(|record| serde_json::from_str::<Value>(record).ok());
    let Some(Value::Object(mut record)) = record else {
        return Err(Failure::bad(format!("`{}` has no record: is it a load?", run.line)));
    };
    record.insert("key".into(), run.line.clone().into());
    Ok(format!("{}\n", Value::Object(record)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(output: &Path) -> Sweep {
        arguments_of(output, "debris until=ops ops=500")
    }

    fn arguments_of(output: &Path, load: &str) -> Sweep {
        Sweep {
            runs: Runs {
                load: load.into(),
                area: vec!["8M".into()],
                placement: vec!["first-fit".into(), "best-fit".into()],
                align: vec!["order".into()],
                seeds: (1, 6),
            },
            jobs: None,
            shard: (1, 1),
            resume: false,
            verify: None,
            output: output.into(),
        }
    }

    /// Returns the keys of a file, sorted, with duplicates.
    fn keys(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let mut keys: Vec<String> = text.lines().map(|line| key_of(line).unwrap()).collect();
        keys.sort();
        keys
    }

    fn done(arguments: &Sweep) {
        run(arguments).map_err(|failure| failure.line).unwrap();
    }

    #[test]
    fn what_was_torn_is_done_again_and_nothing_twice() {
        let directory = tempfile::TempDir::new().unwrap();
        let whole = arguments(&directory.path().join("whole.jsonl"));
        done(&whole);
        let expected = keys(&whole.output);
        assert_eq!(expected.len(), 12);
        let torn = arguments(&directory.path().join("torn.jsonl"));
        let text = std::fs::read_to_string(&whole.output).unwrap();
        std::fs::write(&torn.output, &text[..text.len() / 2]).unwrap();
        assert!(run(&torn).is_err_and(|failure| failure.line.contains("--resume")));
        done(&Sweep { resume: true, ..torn });
        assert_eq!(keys(&directory.path().join("torn.jsonl")), expected);
    }

    #[test]
    fn a_device_is_refused_before_it_is_read() {
        for resume in [false, true] {
            let endless = Sweep { resume, ..arguments(Path::new("/dev/zero")) };
            assert!(run(&endless).is_err_and(|failure| failure.status == 2 && failure.line.contains("/dev/zero")));
        }
    }

    #[test]
    fn parts_are_the_whole() {
        let directory = tempfile::TempDir::new().unwrap();
        let mut all = Vec::new();
        for part in 1..=5 {
            let one = Sweep { shard: (part, 5), ..arguments(&directory.path().join(part.to_string())) };
            done(&one);
            all.extend(keys(&one.output));
        }
        all.sort();
        let whole = arguments(&directory.path().join("whole"));
        done(&whole);
        assert_eq!(all, keys(&whole.output));
    }

    /// A verified run has the same figures as one that is not verified.
    #[test]
    fn a_run_that_is_verified_does_the_same() {
        let directory = tempfile::TempDir::new().unwrap();
        let figures = |verify, name: &str| {
            let arguments = arguments_of(&directory.path().join(name), "debris until=ops ops=4500");
            done(&Sweep { verify, ..arguments });
            let text = std::fs::read_to_string(directory.path().join(name)).unwrap();
            let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let mut figures: Vec<Vec<String>> = records
                .map(|record| {
                    ["key", "allocs", "releases", "live", "maxchunk"].map(|name| record[name].to_string()).into()
                })
                .collect();
            figures.sort();
            figures
        };
        let plain = figures(None, "plain");
        assert!(plain.len() == 12 && plain.iter().all(|run| !run.contains(&"null".into())), "{plain:?}");
        assert_eq!(figures(Some(Verify::End), "end"), plain);
        assert_eq!(figures(Some(Verify::Steps), "steps"), plain);
    }

    #[test]
    fn what_is_no_load_is_named() {
        let directory = tempfile::TempDir::new().unwrap();
        for (load, words) in [("debrs", "did you mean"), ("cma", "cma"), ("debris frames=3", "frames")] {
            let bad = arguments_of(&directory.path().join("bad"), load);
            let failure = run(&bad).unwrap_err();
            assert!(failure.line.contains(words) && failure.status == 2, "{load}: {}", failure.line);
        }
    }
}
