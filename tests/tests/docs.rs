// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks the documents: every command on every page is run, and its output compared with the page.
//!
//! Each page is a test, and all its commands run in their order. README.zh-CN.md has the blocks of
//! README.md, so that they are not run twice. `boot_tests::docs` explains the syntax of a block.

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::{env, fs};

use boot_tests::docs::{Page, Step, Typed, commands_of, generated, pages, run_page};
use boot_tests::in_tree;
use kernel::machine::Machine;
use kernel::monitor::help_of_all;
use libtest_mimic::{Arguments, Failed, Trial};

const ENGLISH: &str = "README.md";
const CHINESE: &str = "README.zh-CN.md";
/// The page that explains every field of every record.
const RECORDS: &str = "docs/reference/records.md";
/// The page of measured figures.
const FIGURES: &str = "docs/research/figures.md";
/// The page that explains every command and key.
const REFERENCE: &str = "docs/reference/commands.md";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two machines at a time, however many processors there are.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let pages = pages();
    let mut trials: Vec<Trial> = pages
        .iter()
        .filter(|page| page.name != CHINESE && !page.blocks().is_empty())
        .map(|page| {
            let page = page.clone();
            let records = text_of(&pages, RECORDS);
            Trial::test(page.name.clone(), move || try_page(&page, &records))
        })
        .collect();
    let (english, chinese) = (find(&pages, ENGLISH), find(&pages, CHINESE));
    for readme in [english.clone(), chinese.clone()] {
        trials.push(Trial::test(format!("figures of {}", readme.name), move || has_the_figures(&readme)));
    }
    trials.push(Trial::test(CHINESE, move || has_the_same_blocks(&english, &chinese)));
    let all = pages.clone();
    trials.push(Trial::test("commands_and_keys", move || is_made_of_the_tables(&all)));
    trials.push(Trial::test("demo", is_the_demo));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The output of `--list` is for programs.
    if !arguments.list {
        println!("{}", counts(&pages));
    }
    conclusion.exit_code()
}

fn find(pages: &[Page], name: &str) -> Page {
    pages.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("there is no {name}")).clone()
}

fn text_of(pages: &[Page], name: &str) -> String {
    find(pages, name).text
}

fn try_page(page: &Page, records: &str) -> Result<(), Failed> {
    let mut report = run_page(page)?;
    report.differences.extend(undocumented(&report.fields, records));
    if report.differences.is_empty() { Ok(()) } else { Err(report.differences.join("\n").into()) }
}

/// Returns the fields that the page of records has no row for, under the heading of their record.
fn undocumented(fields: &BTreeSet<(String, String)>, records: &str) -> Vec<String> {
    let section = |record: &str| {
        let heading = format!("## `{record}`");
        let lines = records.lines().skip_while(move |line| *line != heading).skip(1);
        lines.take_while(|line| !line.starts_with("## ")).collect::<Vec<_>>().join("\n")
    };
    let missing = fields.iter().filter(|(record, field)| !section(record).contains(&format!("`{field}`")));
    missing.map(|(record, field)| format!("{RECORDS} does not explain `{field}` of `{record}`")).collect()
}

fn has_the_same_blocks(english: &Page, chinese: &Page) -> Result<(), Failed> {
    let blocks = |page: &Page| -> Vec<_> { page.blocks().into_iter().map(|block| (block.words, block.text)).collect() };
    let (english, chinese) = (blocks(english), blocks(chinese));
    match english.iter().zip(&chinese).position(|(english, chinese)| english != chinese) {
        Some(at) => Err(format!("block {} of {CHINESE} is not that of {ENGLISH}", at + 1).into()),
        None if english.len() != chinese.len() => {
            Err(format!("{ENGLISH} has {} blocks, and {CHINESE} {}", english.len(), chinese.len()).into())
        }
        None => Ok(()),
    }
}

/// Checks that the picture is that of `scripts/demo`; `UPDATE_GOLDEN=1` redraws it.
fn is_the_demo() -> Result<(), Failed> {
    let picture = in_tree("docs/demo.svg");
    let directory = tempfile::TempDir::new()?;
    let drawn = directory.path().join("demo.svg");
    let status = Command::new(in_tree("scripts/demo")).arg(&drawn).status()?;
    if !status.success() {
        return Err(format!("scripts/demo: {status}").into());
    }
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::copy(&drawn, &picture)?;
        return Ok(());
    }
    let (shown, drawn) = (fs::read_to_string(picture)?, fs::read_to_string(drawn)?);
    if shown == drawn { Ok(()) } else { Err("docs/demo.svg is not what `make demo` draws".into()) }
}

/// Checks that a README's table of comparisons with Linux has the figures of the page of figures.
fn has_the_figures(readme: &Page) -> Result<(), Failed> {
    let figures = fs::read_to_string(in_tree(FIGURES))?;
    // The cells of a row: benchmark, call, mean, 99.9 %, worst, Linux 6.1, 6.12, 7.2.
    let cells = |name: &str, call: &str, cell: usize| {
        let begins = format!("| {name} | {call} |");
        let row = figures.lines().find(|row| row.starts_with(&begins));
        let row = row.ok_or_else(|| format!("{FIGURES} has no row {begins}"))?;
        Ok::<_, Failed>(row.split('|').nth(1 + cell).unwrap_or_default().trim().to_owned())
    };
    for name in ["debris", "cma/1", "cma/2048", "migrate/1"] {
        let mut row = String::from("|");
        // Mean, Linux 6.1, Linux 7.2.
        for cell in [2, 5, 7] {
            let (alloc, release) = (cells(name, "allocate", cell)?, cells(name, "release", cell));
            row += &release.map_or(format!(" {alloc} |"), |release| format!(" {alloc} / {release} |"));
        }
        if !readme.text.contains(&row) {
            return Err(format!("{} has no row that ends with `{row}`, the figures of {name}", readme.name).into());
        }
    }
    Ok(())
}

/// Checks that generated parts equal the monitor's tables, and that every command has a part;
/// `UPDATE_GOLDEN=1` regenerates them.
fn is_made_of_the_tables(pages: &[Page]) -> Result<(), Failed> {
    let mut stale = Vec::new();
    for page in pages {
        let made = generated(&page.text).map_err(|error| format!("{}: {error}", page.name))?;
        if made == page.text {
            continue;
        }
        if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            fs::write(in_tree(&page.name), made)?;
        } else {
            let differs = made.lines().zip(page.text.lines()).find(|(made, kept)| made != kept);
            let (made, kept) = differs.unwrap_or_default();
            stale.push(format!(
                "{} is not what the tables say: UPDATE_GOLDEN=1 makes it anew\n-{kept}\n+{made}",
                page.name
            ));
        }
    }
    let reference = find(pages, REFERENCE);
    let mut parts = commands_of(&reference.text);
    let mut commands: Vec<&str> = help_of_all::<dyn Machine>().map(|help| help.name).collect();
    parts.sort_unstable();
    commands.sort_unstable();
    if parts != commands {
        stale.push(format!("{REFERENCE} has a part for each of {parts:?}, and the commands are {commands:?}"));
    }
    if stale.is_empty() { Ok(()) } else { Err(stale.join("\n").into()) }
}

/// Returns the number of commands, and of those that are not run, by reason.
fn counts(pages: &[Page]) -> String {
    let steps = pages.iter().filter(|page| page.name != CHINESE).flat_map(|page| page.steps().unwrap_or_default());
    let typed: Vec<Typed> =
        steps.filter_map(|step| if let Step::Command(typed) = step { Some(typed) } else { None }).collect();
    let left_out = |why: &str| typed.iter().filter(|typed| typed.left_out == Some(why)).count();
    let (install, slow, board) = (left_out("install"), left_out("slow"), left_out("board"));
    format!(
        "documents: {} commands, {} of them run; not run: {install} that install, {slow} that take longer than 20 s, \
         {board} for a board with Linux",
        typed.len(),
        typed.len() - install - slow - board
    )
}
