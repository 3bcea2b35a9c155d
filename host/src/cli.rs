// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands and their arguments.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use host::size::Alignment;
use kernel::units::linux::LinuxVersion;

use crate::sizes::count;
pub(crate) use crate::sizes::pages;
use crate::verify::Verify;

/// How large a CMA area must be, why requests failed, and what a board's log says.
#[derive(Parser, Debug)]
#[command(name = "debris", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// The smallest area in which no request of a recording fails
    Size(Size),
    /// Contents of a recording: areas, requests by size, tasks, lost events, failures
    Check {
        /// A recording
        trace: PathBuf,
        /// Replaces names of tasks and areas by task1, area1, ...
        #[arg(long)]
        anonymous: bool,
    },
    /// Prints a recording without the names of its tasks and areas, to be shown to others
    Anonymous {
        /// A recording
        trace: PathBuf,
        /// Writes it to a file, and not to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// A board's bitmap or list of free runs as a picture; whether a request fits, and what is in
    /// the way
    View(View),
    /// Replays a recording, as the prompt's command `replay`
    Replay(Replay),
    /// Runs a load with the same seeds under several placements, as the prompt's `compare`
    Compare(Compare),
    /// Explains what a kernel's log says of CMA: areas, failures, busy ranges; counts
    /// the requests of CONFIG_CMA_DEBUG
    Explain {
        /// A log: dmesg, a file of syslog, the serial console
        log: PathBuf,
    },
    /// Runs a load many times, over areas, placements and seeds, and appends a record of each run
    /// to a file
    Sweep(Sweep),
    /// Prints what to submit to an engine, so that a sweep is done in parts
    Jobs(Jobs),
    /// Results of the runs of sweeps, as tables
    Report(Report),
    /// Executes commands of the prompt on a board with areas of these sizes
    Lab(Lab),
    /// Boots the image in QEMU, from the source tree; the status is the kernel's
    Run(Run),
    /// Prints the JSON Schema of the records
    Schema,
    /// Prints the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man,
}

#[derive(Args, Debug)]
pub(crate) struct Size {
    /// A recording, in any form that `replay` reads
    pub trace: PathBuf,
    /// The recorded area, where there are several
    #[arg(long, value_name = "NAME")]
    pub area: Option<String>,
    /// Placements to try
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "P,...",
        default_value = "first-fit,best-fit,two-ended,spare-heads"
    )]
    pub placement: Vec<String>,
    /// Alignments to try
    #[arg(long, value_delimiter = ',', value_name = "A,...", default_value = "asis,order,page")]
    pub align: Vec<AlignWord>,
    /// Step of the sizes tried, in pages, or a size such as 4M
    #[arg(long, value_name = "PAGES", default_value_t = host::size::PAGEBLOCK_PAGES, value_parser = count)]
    pub step: u32,
    /// Room that is added to the verdict, such as 10%
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    pub headroom: u32,
    /// What becomes of a buffer whose request failed on the board; default: both, and the larger
    /// answer
    #[arg(long)]
    pub failed: Option<FailedWord>,
    /// Also sizes for N other orders in which the recorded tasks could have run
    #[arg(long, value_name = "N")]
    pub jitter: Option<u32>,
    /// The first of N seeds for --jitter
    #[arg(long, value_name = "S", default_value_t = 1, requires = "jitter")]
    pub seed: u32,
    /// Ends with status 1 if the verdict is larger, as in '<=64M'
    #[arg(long, value_name = "'<=SIZE'", value_parser = at_most)]
    pub assert: Option<u32>,
    /// Lets --assert hold for a recording that began late or lost events
    #[arg(long)]
    pub allow_partial: bool,
    /// Replaces names of tasks and areas by task1, area1, ..., in the page, too; --area takes
    /// these names
    #[arg(long)]
    pub anonymous: bool,
    /// Also writes a page that shows it, for a browser
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Prints the records
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct View {
    /// debugfs's `bitmap`, or a log with `number of available pages`
    pub file: PathBuf,
    /// Asks whether a buffer of N pages, or of a size such as 1M, fits
    #[arg(long, value_name = "N", value_parser = count)]
    pub pages: Option<u32>,
    /// Alignment order; default: that of the size, at most 8
    #[arg(long, value_name = "ORDER", requires = "pages")]
    pub align: Option<u32>,
    /// Pages that a bit of a bitmap stands for, as a power of two
    #[arg(long, value_name = "N")]
    pub order_per_bit: Option<u32>,
    /// Line at which the state begins; default: that of the last state
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub line: Option<u64>,
    /// Prints the records
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// A recording
    pub trace: PathBuf,
    /// More keys of the prompt's `replay`, such as `until=failure failed=keep task=vpu* pages=64-`
    #[arg(value_name = "KEY=VALUE")]
    pub keys: Vec<String>,
    /// The area's size; of several recorded areas, --from chooses the one
    #[arg(long, value_name = "SIZE")]
    pub area: Option<String>,
    /// Where requests are placed
    #[arg(long)]
    pub placement: Option<String>,
    /// asis, order or page
    #[arg(long)]
    pub align: Option<String>,
    /// release or refuse: what is done with a buffer whose ID is allocated again
    #[arg(long)]
    pub held: Option<String>,
    /// The recorded area to replay; default: each on an area of its own
    #[arg(long, value_name = "NAME")]
    pub from: Option<String>,
    /// Replaces names of tasks and areas by task1, area1, ...; --from takes these names
    #[arg(long)]
    pub anonymous: bool,
    /// Also writes a page that shows it, for a browser; of several areas the one in which most
    /// requests fail
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Prints the records
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// Keys of the prompt's `compare`, such as `placements=first-fit,zoned seeds=60 load=camera`
    #[arg(value_name = "KEY=VALUE")]
    pub keys: Vec<String>,
    /// The area's size, which is also its name; default: 8M, or a recording's own size
    #[arg(long, value_name = "SIZE")]
    pub area: Option<String>,
    /// The recording of `load=replay`, which it implies; it may stand among the keys, too
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// Replaces names of tasks and areas by task1, area1, ...; from= takes these names
    #[arg(long, requires = "initrd")]
    pub anonymous: bool,
    /// The version of Linux to answer as, such as 6.12
    #[arg(long, value_name = "VERSION", default_value = "6.1", value_parser = linux)]
    pub linux: LinuxVersion,
    /// Threads; default: one for each processor
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Prints the records
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The image; default: build/debris.bin of the tree
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Reserved-memory nodes, as published, in place of the board's own; or an overlay
    #[arg(long, value_name = "FILE", conflicts_with = "dtb")]
    pub nodes: Option<PathBuf>,
    /// A device tree blob in place of the board's own; `none` boots without one
    #[arg(long, value_name = "FILE")]
    pub dtb: Option<PathBuf>,
    /// Where RAM begins on the board that the nodes or the blob are of, such as 0x10000000
    #[arg(long, value_name = "ADDRESS")]
    pub ram_base: Option<String>,
    /// The version of Linux to answer as, such as 6.12
    #[arg(long, value_name = "VERSION", value_parser = linux)]
    pub linux: Option<LinuxVersion>,
    /// Words of the kernel's command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// Commands to run after boot, such as 'debris; bitmap; poweroff'; --append may have them as
    /// run=, too
    #[arg(long, value_name = "COMMANDS")]
    pub run: Option<String>,
    /// Memory, from 8M to 1024M
    #[arg(long, value_name = "SIZE")]
    pub mem: Option<String>,
    /// Processors
    #[arg(long, value_name = "N")]
    pub smp: Option<u32>,
    /// A recording or a state, for `replay` and `load`
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// A raw disk image
    #[arg(long, value_name = "FILE")]
    pub disk: Option<PathBuf>,
    /// Ends QEMU after this time, with status 124: seconds, or 10m, 2h
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Options of QEMU, behind --
    #[arg(last = true, value_name = "OPTION")]
    pub qemu: Vec<String>,
}

/// Which runs a sweep has.
#[derive(Args, Debug)]
pub(crate) struct Runs {
    /// A load of the laboratory with its keys, such as 'debris' or 'camera frames=8'
    #[arg(long, value_name = "L", default_value = "debris")]
    pub load: String,
    /// The areas' sizes
    #[arg(long, value_delimiter = ',', value_name = "SIZE,...", default_value = "8M")]
    pub area: Vec<String>,
    /// Placements, or `all`
    #[arg(long, value_delimiter = ',', value_name = "P,...", default_value = "first-fit")]
    pub placement: Vec<String>,
    /// Alignments: order, page, or an order
    #[arg(long, value_delimiter = ',', value_name = "A,...", default_value = "order")]
    pub align: Vec<String>,
    /// The first and the last seed
    #[arg(long, value_name = "A..B", default_value = "1..10", value_parser = seeds)]
    pub seeds: (u32, u32),
}

#[derive(Args, Debug)]
pub(crate) struct Sweep {
    #[command(flatten)]
    pub runs: Runs,
    /// Threads; default: one for each processor
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Does the i-th of n equal parts; each part has a file of its own
    #[arg(long, value_name = "i/n", default_value = "1/1", value_parser = shard)]
    pub shard: (usize, usize),
    /// Continues a file: skips the runs that it has, and removes a torn last line
    #[arg(long)]
    pub resume: bool,
    /// Checks memory's accounting, and ends with status 3 if it does not balance
    #[arg(long, value_name = "WHEN")]
    pub verify: Option<Verify>,
    /// The file that the records go to
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Jobs {
    #[command(flatten)]
    pub runs: Runs,
    /// Number of parts
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub parts: u32,
    /// The engine
    #[arg(long = "for", value_name = "ENGINE")]
    pub engine: Engine,
    /// The parts write NAME.1.jsonl, NAME.2.jsonl, ...
    #[arg(short, long, value_name = "NAME", default_value = "runs")]
    pub output: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Engine {
    /// HyperQueue: a Python script for its API
    Hq,
    /// Slurm: a script for sbatch, a job array
    Slurm,
    /// GNU parallel: a shell script
    Parallel,
}

#[derive(Args, Debug)]
pub(crate) struct Lab {
    /// Commands with `;` between them, as in `run=`
    #[arg(default_value = "help")]
    pub line: String,
    /// The areas' sizes, which are also their names; the first is the default of commands
    #[arg(long, value_delimiter = ',', value_name = "SIZE,...", default_value = "8M,32M,512M")]
    pub area: Vec<String>,
    /// A recording or a state, for `replay` and `load`
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// Replaces names of tasks and areas by task1, area1, ...; from= takes these names
    #[arg(long, requires = "initrd")]
    pub anonymous: bool,
    /// The version of Linux to answer as, such as 6.12
    #[arg(long, value_name = "VERSION", default_value = "6.1", value_parser = linux)]
    pub linux: LinuxVersion,
}

#[derive(Args, Debug)]
pub(crate) struct Report {
    /// Files of sweeps, or the output of `compare --json`; a run that occurs twice counts once
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// Compares with earlier runs
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Ends with status 1 if a median of the allocations to the first failure is below the
    /// baseline's by more than this
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "baseline")]
    pub fail_on: Option<u32>,
    /// Prints a table for a job's summary
    #[arg(long)]
    pub markdown: bool,
    /// Writes the table to a file, and not to standard output; to a file NAME.html, the page
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Also writes a page that shows it, for a browser
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Writes a verdict for each row as JUnit
    #[arg(long, value_name = "FILE", requires = "baseline")]
    pub junit: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum AlignWord {
    /// As recorded
    Asis,
    /// By the order of the size
    Order,
    /// By one page
    Page,
}

impl From<AlignWord> for Alignment {
    fn from(word: AlignWord) -> Self {
        match word {
            AlignWord::Asis => Self::Asis,
            AlignWord::Order => Self::Order,
            AlignWord::Page => Self::Page,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum FailedWord {
    /// Releases it at once
    Release,
    /// Keeps it as long as the median of its task's buffers
    Keep,
}

/// Replaces the tip that an unknown option could be a value. The keys of the prompt's commands are
/// no options.
pub(crate) fn with_fitting_tip(mut error: clap::Error, command: Option<String>) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return error };
    let key = option.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
    error.remove(ContextKind::Suggested);
    if let Some(command @ ("replay" | "compare")) = command.as_deref() {
        let tip = format!("a key of the prompt's `{command}` stands behind the file, without dashes: {key}=...");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// The arguments, for completions and the manual page.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

fn at_most(text: &str) -> Result<u32, String> {
    let size = text.strip_prefix("<=").ok_or_else(|| format!("{text}: --assert takes '<=SIZE', such as '<=64M'"))?;
    pages(size.trim())
}

fn percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok().filter(|&percent| percent <= 1000);
    number.ok_or_else(|| format!("{text}: 0% to 1000%"))
}

fn linux(text: &str) -> Result<LinuxVersion, String> {
    LinuxVersion::parse(text).ok_or_else(|| format!("{text}: {}", LinuxVersion::NAMES))
}

fn seeds(text: &str) -> Result<(u32, u32), String> {
    let numbers = text.split_once("..").and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    numbers.filter(|(first, last)| first <= last).ok_or_else(|| format!("{text}: FIRST..LAST, such as 1..1000"))
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    let good = numbers.filter(|&(part, parts)| 1 <= part && part <= parts);
    good.ok_or_else(|| format!("{text}: i/n with i from 1 to n, such as 2/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_hold_together() {
        command().debug_assert();
    }

    #[test]
    fn words() {
        assert_eq!((at_most("<=64M"), at_most("64M").is_err()), (Ok(16384), true));
        assert_eq!(
            (seeds("1..9"), seeds("9..1").is_err(), shard("2/8"), shard("0/8").is_err()),
            (Ok((1, 9)), true, Ok((2, 8)), true)
        );
        assert_eq!((percent("10%"), percent("10"), percent("x").is_err()), (Ok(10), Ok(10), true));
    }
}
