// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris jobs`: scripts that submit a sweep in parts to an existing engine.
//!
//! Invariants: each part has a file of its own and runs with `--resume`, so that a part that was
//! killed and is submitted again does only what is left.

use std::path::PathBuf;

use crate::Failure;
use crate::cli::{Engine, Jobs, Runs};

/// Returns the script.
pub(crate) fn script(arguments: &Jobs) -> Result<String, Failure> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("debris"));
    let program = program.to_str().ok_or_else(|| Failure::bad("the tool's own path is not text"))?;
    let words = sweep_words(program, &arguments.runs);
    Ok(match arguments.engine {
        Engine::Hq => for_hq(arguments, &words),
        Engine::Slurm => for_slurm(arguments, &words),
        Engine::Parallel => for_parallel(arguments, &words),
    })
}

/// Returns the sweep's command without the options of its parts.
fn sweep_words(program: &str, runs: &Runs) -> Vec<String> {
    let Runs { load, area, placement, align, seeds: (first, last) } = runs;
    let options = [
        ("--load", load.clone()),
        ("--area", area.join(",")),
        ("--placement", placement.join(",")),
        ("--align", align.join(",")),
        ("--seeds", format!("{first}..{last}")),
    ];
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    [program.to_owned(), "sweep".to_owned()].into_iter().chain(options).collect()
}

/// Quotes a word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn in_shell(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn for_parallel(arguments: &Jobs, words: &[String]) -> String {
    let Jobs { parts, output, .. } = arguments;
    let command = format!("{} -j 1 --resume --shard {{}}/{parts} -o {}.{{}}.jsonl", in_shell(words), quoted(output));
    format!("#!/bin/sh\n# {parts} parts for GNU parallel.\nseq {parts} | parallel {}\n", quoted(&command))
}

fn for_slurm(arguments: &Jobs, words: &[String]) -> String {
    let Jobs { parts, output, .. } = arguments;
    format!(
        "#!/bin/sh\n#SBATCH --array=1-{parts} --cpus-per-task=1 --requeue\n# {parts} parts for Slurm: sbatch this file.\n\
         exec {} -j 1 --resume --shard \"$SLURM_ARRAY_TASK_ID/{parts}\" -o {}.\"$SLURM_ARRAY_TASK_ID\".jsonl\n",
        in_shell(words),
        quoted(output)
    )
}

fn for_hq(arguments: &Jobs, words: &[String]) -> String {
    let Jobs { parts, output, .. } = arguments;
    // JSON's strings and lists are also valid in Python.
    let (words, output) = (serde_json::json!(words), serde_json::json!(output));
    format!(
        r#"#!/usr/bin/env python3
# {parts} parts for HyperQueue (pip install hyperqueue). With the directory of a server (`hq server start`, which also
# asks Slurm and PBS for workers) as its argument, this submits to that; without, it starts one on this machine.
import sys

from hyperqueue import Client, Job
from hyperqueue.cluster import LocalCluster, WorkerConfig

PARTS = {parts}
SWEEP = {words}
OUTPUT = {output}
ROUNDS = 3


def submit(client):
    """Submits all parts; what was killed goes on where it was in the next round."""
    for _ in range(ROUNDS):
        job = Job(max_fails=PARTS)
        for part in range(1, PARTS + 1):
            words = SWEEP + ["-j", "1", "--resume", "--shard", f"{{part}}/{{PARTS}}", "-o", f"{{OUTPUT}}.{{part}}.jsonl"]
            job.program(words, name=f"part {{part}}", stdout=None, stderr=None)
        if client.wait_for_jobs([client.submit(job)], raise_on_error=False):
            return True
    return False


if len(sys.argv) > 1:
    done = submit(Client(sys.argv[1]))
else:
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig())
        done = submit(cluster.client())
sys.exit(0 if done else 1)
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(engine: Engine) -> String {
        let runs = Runs {
            load: "camera frames=8".into(),
            area: vec!["8M".into()],
            placement: vec!["all".into()],
            align: vec!["order".into()],
            seeds: (1, 9),
        };
        let script = script(&Jobs { runs, parts: 4, engine, output: "it's".into() });
        script.map_err(|failure| failure.line).unwrap()
    }

    #[test]
    fn a_script_has_the_whole_sweep() {
        for engine in [Engine::Hq, Engine::Slurm, Engine::Parallel] {
            let script = printed(engine);
            for words in ["camera frames=8", "1..9", "--resume", "--shard"] {
                assert!(script.contains(words), "{engine:?}: no {words} in\n{script}");
            }
        }
        assert!(printed(Engine::Slurm).contains("-o 'it'\\''s'.\"$SLURM_ARRAY_TASK_ID\".jsonl"));
    }
}
