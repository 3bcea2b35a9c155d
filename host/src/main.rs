// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris` on the host: parses arguments, prints text and records, and returns statuses like the
//! image's.

mod cli;
mod compare;
mod files;
mod html;
mod interrupt;
mod jobs;
mod report;
mod report_page;
mod run;
mod runs;
mod size_command;
mod sizes;
mod sweep;
mod verify;
mod view;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Instant;

use clap::Parser;
use cli::{Cli, Command};
use files::read;
use host::board::{AreaSpec, BASE_ALIGNMENT_PAGES, Board, MAX_AREA_PAGES};
use host::check::Census;
use host::kind::Kind;
use host::machine::Host;
use host::size::mib;
use host::size::{Alignment, FIRST_FIT, PAGEBLOCK_PAGES, Recording, Rule, SizeError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kernel::lab::replay::{self, RecordedSize, ReplayError, WhenServed};
use kernel::units::linux::LinuxVersion;

/// Status of a bad argument or input, as in the image.
const STATUS_BAD: u8 = 2;
/// Status if a limit (`--assert`, `--fail-on`) is exceeded.
const STATUS_ASSERT: u8 = 1;

/// The reason for a command's failure, and its status.
struct Failure {
    line: String,
    status: u8,
}

impl Failure {
    fn bad(line: impl Into<String>) -> Self {
        Self { line: line.into(), status: STATUS_BAD }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::bad(format!("the output cannot be written: {error}"))
    }
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| cli::with_fitting_tip(error, std::env::args().nth(1)).exit());
    match interrupt::heeded_by(cli.command, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("debris: {}", failure.line);
            ExitCode::from(failure.status)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Size(arguments) => size_command::run(&arguments),
        Command::Replay(arguments) => replay_recording(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Explain { log } => {
            let text = read(&log)?;
            let story = host::explain::explain(&text);
            let other = Some(Kind::of(&text)).filter(|kind| story.is_empty() && !kind.says().is_empty());
            match other {
                Some(kind) => {
                    let why = format!("no line says anything of CMA; {}", kind.says());
                    Err(Failure::bad(format!("{}: {why}", log.display())))
                }
                None => say(format_args!("{story}")),
            }
        }
        Command::Anonymous { trace, output } => {
            let (text, _) = recording(&trace, true)?;
            match output {
                Some(file) => files::write(&file, &text),
                None => say(format_args!("{}", String::from_utf8_lossy(&text))),
            }
        }
        Command::Check { trace, anonymous } => {
            let (_, census) = recording(&trace, anonymous)?;
            say(format_args!("{census}"))
        }
        Command::View(arguments) => view::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Jobs(arguments) => say(format_args!("{}", jobs::script(&arguments)?)),
        Command::Report(arguments) => report::run(&arguments),
        Command::Lab(arguments) => lab(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Schema => say(format_args!("{}", include_str!("../../docs/reference/records.schema.json"))),
        Command::Completions { shell } => {
            // It takes a writer that cannot fail.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "debris", &mut text);
            say(format_args!("{}", String::from_utf8_lossy(&text)))
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(cli::command()).render(&mut text)?;
            say(format_args!("{}", String::from_utf8_lossy(&text)))
        }
    }
}

/// Replays like the monitor's `replay`, on a board with the recorded area, or with all of them.
fn replay_recording(arguments: &cli::Replay) -> Result<(), Failure> {
    let (trace, _) = recording(&arguments.trace, arguments.anonymous)?;
    let areas = replay_areas(&trace, arguments)?;
    let mut line = String::from("replay");
    if let [only] = &areas[..] {
        line += &format!(" area={}", only.name);
    }
    let keys = [("placement", &arguments.placement), ("align", &arguments.align), ("held", &arguments.held)];
    for (key, value) in keys.into_iter().chain([("from", &arguments.from)]) {
        if let Some(value) = value {
            line += &format!(" {key}='{value}'");
        }
    }
    for key in &arguments.keys {
        line += &format!(" '{key}'");
    }
    if arguments.html.is_some() && arguments.held.as_deref() == Some("refuse") {
        return Err(Failure::bad("--html: a page gives a buffer back whose ID is allocated again; leave --held out"));
    }
    let board = board_of(areas.clone(), LinuxVersion::default())?;
    let records = arguments.json;
    let status = board.with(now_ns, lines("replay", Some(records)), |system, host| {
        host::monitor_line(system, host, Some(&trace), &line)
    });
    if let Some(file) = &arguments.html {
        // A refused replay has no result to show.
        if status == STATUS_BAD {
            return Err(Failure::bad(format!("--html: the replay was refused, so {} is not written", file.display())));
        }
        replay_page(arguments, &trace, &areas, file)?;
    }
    ended(&line, status)
}

/// Writes a page about a replay; of several areas, about the one in which most requests fail.
fn replay_page(arguments: &cli::Replay, trace: &[u8], areas: &[AreaSpec], file: &Path) -> Result<(), Failure> {
    let bad = |error: SizeError| Failure::bad(format!("{}: {error}", arguments.trace.display()));
    let alignment = match arguments.align.as_deref() {
        None => Alignment::Asis,
        Some(word) => Alignment::ALL
            .into_iter()
            .find(|alignment| alignment.name() == word)
            .ok_or_else(|| Failure::bad(format!("--align is {word}; it can be asis, order or page")))?,
    };
    let rule = Rule { placement: arguments.placement.clone().unwrap_or(FIRST_FIT.into()), alignment };
    let mut shown: Option<(u64, Recording<'_>, &AreaSpec)> = None;
    for area in areas {
        let from = if areas.len() == 1 { arguments.from.as_deref() } else { Some(&*area.name) };
        let recording = Recording::open(trace, from, now_ns).map_err(bad)?;
        let failed = match areas {
            [_] => 0,
            _ => recording.run(&rule, WhenServed::Release, area.pages, false).map_err(bad)?.failed,
        };
        if shown.as_ref().is_none_or(|&(most, ..)| failed > most) {
            shown = Some((failed, recording, area));
        }
    }
    let Some((failed, recording, area)) = shown else { return Ok(()) };
    if areas.len() > 1 {
        let name = &area.name;
        eprintln!(
            "debris: --html: the page shows {name}, where most requests fail: {failed}; --from chooses another area"
        );
    }
    let answers = size_command::usual_answers(&recording).map_err(bad)?;
    let page = html::Page {
        trace: &arguments.trace,
        text: trace,
        from: recording.area(),
        pages: Some(area.pages),
        rule,
        served: Some(WhenServed::Release),
        headroom_percent: 0,
        answers: &answers,
    };
    page.write(&recording, file)
}

/// Executes a line of the monitor on a board with several areas.
fn lab(arguments: &cli::Lab) -> Result<(), Failure> {
    let initrd = match &arguments.initrd {
        Some(file) if arguments.anonymous => Some(recording(file, true)?.0),
        file => file.as_deref().map(read).transpose()?,
    };
    let mut areas = Vec::new();
    for name in &arguments.area {
        areas.push(AreaSpec { name: name.clone(), pages: cli::pages(name).map_err(Failure::bad)? });
    }
    let board = board_of(areas, arguments.linux)?;
    ended(
        &arguments.line,
        board.with(now_ns, lines("", None), |system, host| {
            host::monitor_line(system, host, initrd.as_deref(), &arguments.line)
        }),
    )
}

/// Returns a board with these areas; errs if they do not fit on one.
fn board_of(areas: Vec<AreaSpec>, linux: LinuxVersion) -> Result<Board, Failure> {
    let pages: u64 = areas.iter().map(|area| u64::from(area.pages.next_multiple_of(BASE_ALIGNMENT_PAGES))).sum();
    if areas.len() > kernel::cma::MAX_CMA_AREAS || pages > MAX_AREA_PAGES.into() {
        let (most, mib) = (kernel::cma::MAX_CMA_AREAS, MAX_AREA_PAGES / 256);
        return Err(Failure::bad(format!(
            "a board has {most} areas at most, with {mib} MiB together; of a recording, --from chooses one"
        )));
    }
    Ok(Board { areas, linux })
}

/// Prints whole lines: with `records` those alone, without it all others, all if it is `None`. If
/// there are only records, the line in which `command` says why it failed goes to standard error.
fn lines(command: &'static str, records: Option<bool>) -> Box<dyn FnMut(&str)> {
    let mut pending = String::new();
    Box::new(move |text| {
        pending.push_str(text);
        while let Some(end) = pending.find('\n') {
            let line: String = pending.drain(..=end).collect();
            let why = line.strip_prefix(command).is_some_and(|rest| rest.starts_with(": "));
            if records == Some(true) && why {
                eprint!("debris: {line}");
            }
            // One call for each line, so that lines of concurrent runs stay whole.
            // The line of `run=:` announces a prompt, which does not exist here.
            let wanted = records.is_none_or(|records| line.starts_with('{') == records) && !line.starts_with("run=:");
            if let Err(failure) = if wanted { say(format_args!("{line}")) } else { Ok(()) } {
                eprintln!("debris: {}", failure.line);
                std::process::exit(failure.status.into());
            }
        }
    })
}

fn ended(line: &str, status: u8) -> Result<(), Failure> {
    match status {
        0 => Ok(()),
        status => Err(Failure { line: format!("`{line}` ended with status {status}"), status }),
    }
}

/// Returns the areas to replay on: one of the requested size, else those recorded, under their
/// names if there are several.
fn replay_areas(trace: &[u8], arguments: &cli::Replay) -> Result<Vec<AreaSpec>, Failure> {
    let bad = |error| Failure::bad(format!("{}: {error}", arguments.trace.display()));
    let survey = replay::survey(&mut Host::new(now_ns, Box::new(|_| {})), trace).map_err(bad)?;
    let recorded: Vec<(&str, RecordedSize)> = survey.recorded().collect();
    let key = arguments.keys.iter().find_map(|key| key.strip_prefix("from="));
    let from = arguments.from.as_deref().or(key);
    if arguments.area.is_some() || from.is_some() || recorded.len() < 2 {
        return Ok(vec![chosen_area((trace, &arguments.trace), (arguments.area.as_deref(), from), "--from NAME")?]);
    }
    let spec = |&(name, size): &(&str, RecordedSize)| {
        let peak = || held_at_once(trace, &arguments.trace, Some(name));
        Ok(AreaSpec { name: name.into(), pages: recorded_pages(Some(name), size, peak)? })
    };
    recorded.iter().map(spec).collect()
}

/// Returns the area to replay one recorded area on: of the requested size, else of the recorded
/// one. `choose` is the option that chooses the recorded area.
fn chosen_area(
    (trace, file): (&[u8], &Path),
    (area, from): (Option<&str>, Option<&str>),
    choose: &str,
) -> Result<AreaSpec, Failure> {
    let bad = |error: ReplayError| Failure::bad(format!("{}: {}", file.display(), chosen_by(&error, choose)));
    let survey = replay::survey(&mut Host::new(now_ns, Box::new(|_| {})), trace).map_err(bad)?;
    let pages = match area {
        None => {
            let peak = || match survey.recorded().next() {
                Some(_) => held_at_once(trace, file, from),
                None => Ok(None),
            };
            recorded_pages(None, survey.recorded_size(from).map_err(bad)?, peak)?
        }
        Some(area) => {
            let pages = cli::pages(area).map_err(|why| match survey.recorded().any(|(name, _)| name == area) {
                true => {
                    let choose = choose.replace("NAME", area);
                    Failure::bad(format!("--area is the size of the area here; the recorded one is chosen by {choose}"))
                }
                false => Failure::bad(why),
            })?;
            // Of several, one has to be chosen.
            survey.recorded_size(from).map_err(bad)?;
            let whole = pages.next_multiple_of(PAGEBLOCK_PAGES);
            if whole != pages {
                let (block, asked) = (mib(PAGEBLOCK_PAGES), mib(pages));
                eprintln!("debris: an area of {}, because areas are multiples of {block}, not {asked}", mib(whole));
            }
            whole
        }
    };
    Ok(AreaSpec { name: AREA.into(), pages })
}

/// Describes a bad choice of a recorded area with the tool's options.
fn chosen_by(error: &ReplayError, choose: &str) -> String {
    match error {
        ReplayError::SeveralAreas(areas) => format!("choose with {choose}; the recording has {areas}"),
        ReplayError::NoAreas => format!("{choose} is for recordings of ftrace; this one has no areas"),
        error => error.to_string(),
    }
}

/// Returns the maximum of pages of a recorded area that are held at once.
fn held_at_once(trace: &[u8], file: &Path, from: Option<&str>) -> Result<Option<u32>, Failure> {
    let peak = Recording::open(trace, from, now_ns).and_then(|recording| recording.peak_pages());
    peak.map(Some).map_err(|error| Failure::bad(format!("{}: {error}", file.display())))
}

/// Returns the size of a recorded area; if unknown, the smallest that holds all its pages; without
/// known pages, the smallest that holds `peak`; without areas, 8 MiB.
fn recorded_pages(
    area: Option<&str>,
    size: RecordedSize,
    peak: impl FnOnce() -> Result<Option<u32>, Failure>,
) -> Result<u32, Failure> {
    let (pages, why) = match size {
        RecordedSize::Pages(pages) => (pages, "as recorded"),
        RecordedSize::AtLeast(pages) => (pages, "which holds every recorded page"),
        RecordedSize::Unknown => match peak()? {
            Some(peak) => (
                peak.max(1).into(),
                "because the recording names no pages: as much as is held at once; `debris size` says what is enough",
            ),
            None => (USUAL_PAGES.into(), "because the recording names no pages"),
        },
    };
    let pages = pages.next_multiple_of(PAGEBLOCK_PAGES.into());
    let pages = u32::try_from(pages).ok().filter(|&pages| pages <= MAX_AREA_PAGES);
    let pages = pages.ok_or_else(|| Failure::bad(format!("an area of {} MiB at most", MAX_AREA_PAGES / 256)))?;
    match area {
        Some(name) => {
            eprintln!("debris: {name}: an area of {} MiB, {why}; --from chooses one recorded area", pages / 256)
        }
        None => eprintln!("debris: an area of {} MiB, {why}; --area chooses another", pages / 256),
    }
    Ok(pages)
}

/// Pages of an area whose size and pages are not recorded: 8 MiB.
const USUAL_PAGES: u32 = 2048;
/// The default name of an area.
const AREA: &str = "area";

/// Creates a progress bar on standard error; hidden if that is not a terminal.
fn progress(of: u64, what: &'static str) -> ProgressBar {
    let shown = io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let progress = ProgressBar::with_draw_target(Some(of), target);
    match ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {what}, {{eta}} left")) {
        Ok(style) => progress.with_style(style),
        Err(_) => progress,
    }
}

/// Reads a recording, and counts its events; if `anonymous`, without its names.
fn recording(path: &Path, anonymous: bool) -> Result<(Vec<u8>, Census), Failure> {
    let text = read(path)?;
    let unfit = |why: &dyn std::fmt::Display| unfit(path, &text, why, Kind::Recording);
    let census = host::check::census(&text).map_err(|error| unfit(&error))?;
    if census.areas.values().all(|area| area.allocs + area.releases == 0) {
        // This error says what is missing.
        let why = replay::survey(&mut Host::new(now_ns, Box::new(|_| {})), &text).err();
        return Err(match why {
            Some(why) => unfit(&why),
            None => unfit(&"no line allocates or releases anything"),
        });
    }
    if !anonymous {
        return Ok((text, census));
    }
    let text = host::anonymous::anonymous(&text).map_err(|error| unfit(&error))?;
    let census = host::check::census(&text).map_err(|error| unfit(&error))?;
    Ok((text, census))
}

/// Returns why a file is not of the `wanted` kind, and which command takes it.
fn unfit(path: &Path, text: &[u8], why: &dyn std::fmt::Display, wanted: Kind) -> Failure {
    Failure::bad(format!("{}: {}", path.display(), host::kind::unfit(text, &why.to_string(), wanted)))
}

/// Writes to standard output. If its reader has closed it, ends the process with status 0.
fn say(text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    match io::stdout().write_fmt(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

/// Returns nanoseconds since the first call.
fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
