// SPDX-License-Identifier: MIT OR Apache-2.0

//! Executes a page from its top to its end, as a reader who types all of it would.
//!
//! A page has a directory of its own, with links to the tree's files, so that the files it writes
//! are not in the tree. Its shell commands run there one after another; its monitor is the machine
//! that its last `make monitor` booted.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{Page, Prompt, Step, Typed, difference};
use crate::in_tree;
use crate::records;
use crate::session::Session;

/// Time limit of one command, on a busy machine.
const LIMIT_S: u64 = 300;
/// Command for the machine of a page that boots none itself.
const DEFAULT_MACHINE: &str = "make monitor";

/// Result of a page.
#[derive(Debug, Default)]
pub struct Report {
    /// Differences from the page.
    pub differences: Vec<String>,
    /// Fields of every record that was printed, as (record, field).
    pub fields: BTreeSet<(String, String)>,
}

impl Report {
    fn see(&mut self, page: &Page, typed: &Typed, printed: &str) {
        // A line without a record's end was truncated by the command.
        let wrong = records::check(printed.lines().filter(|line| line.ends_with('}')));
        if !wrong.is_empty() {
            self.differences.push(format!("{}:{}: {}\n{wrong}", page.name, typed.line, typed.command));
        }
        for line in printed.lines().filter(|line| line.starts_with("{\"record\":")) {
            if let Ok(serde_json::Value::Object(record)) = serde_json::from_str(line) {
                let name = record["record"].as_str().unwrap_or_default().to_owned();
                let fields = record.keys().filter(|field| *field != "record");
                self.fields.extend(fields.map(|field| (name.clone(), field.clone())));
            }
        }
        if let Some(patch) = difference(&typed.expected, printed, typed.tolerance) {
            self.differences.push(format!("{}:{}: {}\n{patch}", page.name, typed.line, typed.command));
        }
    }
}

/// Executes `page`.
///
/// # Errors
/// The error in the page itself.
///
/// # Panics
/// If a machine does not answer.
pub fn run_page(page: &Page) -> Result<Report, String> {
    let directory = Directory::new();
    let mut report = Report::default();
    let mut monitor: Option<Session> = None;
    for step in page.steps()? {
        let typed = match step {
            Step::File { name, text } => {
                fs::write(directory.path().join(name), text).expect("a file of the page can be written");
                continue;
            }
            Step::Command(typed) if typed.left_out.is_some() => continue,
            Step::Command(typed) => typed,
        };
        match typed.at {
            Prompt::Shell if boots_monitor(&typed.command) => {
                end(monitor.take());
                let (session, printed) = directory.boot(&typed.command);
                monitor = Some(session);
                if !typed.expected.is_empty() {
                    report.see(page, &typed, &printed);
                }
            }
            Prompt::Shell => {
                let (printed, status) = directory.shell(&typed.command);
                if !typed.expected.is_empty() {
                    report.see(page, &typed, &printed);
                }
                if status != Some(0) {
                    let (name, line, command) = (&page.name, typed.line, &typed.command);
                    report.differences.push(format!("{name}:{line}: {command}: status {status:?}\n{printed}"));
                }
            }
            Prompt::Monitor => {
                let session = monitor.get_or_insert_with(|| directory.boot(DEFAULT_MACHINE).0);
                let printed = if typed.command.starts_with("poweroff") {
                    let mut session = monitor.take().expect("it was there a line ago");
                    session.send(&format!("{}\r", typed.command));
                    // The output after the echo of the command.
                    let outcome = session.finish();
                    outcome.console().rsplit_once(&typed.command).map_or("", |(_, last)| last).trim_start().to_owned()
                } else {
                    without_echo(&session.command(&typed.command), &typed.command).to_owned()
                };
                report.see(page, &typed, &printed);
            }
        }
    }
    end(monitor);
    Ok(report)
}

/// Returns the output after the echo: a line that is longer than the screen is drawn once more when
/// it wraps.
fn without_echo<'t>(printed: &'t str, command: &str) -> &'t str {
    printed.split_once('\n').filter(|(first, _)| first.ends_with(command)).map_or(printed, |(_, rest)| rest)
}

fn boots_monitor(command: &str) -> bool {
    command.split(' ').any(|word| word == "monitor") && command.contains("make ")
}

fn end(monitor: Option<Session>) {
    if let Some(mut session) = monitor {
        session.send("poweroff\r");
        session.finish();
    }
}

/// Directory that a page's commands run in.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let root = fs::canonicalize(in_tree(".")).expect("the tree's root");
        let path = directory.path();
        for name in ["build", "dts", "tests", "bench", ".cargo", "rust-toolchain.toml"] {
            symlink(root.join(name), path.join(name)).expect("a link to the tree");
        }
        fs::create_dir_all(path.join("scripts"))
            .and_then(|()| fs::create_dir_all(path.join("bin")))
            .expect("directories");
        for entry in fs::read_dir(root.join("scripts")).expect("the scripts") {
            let script = entry.expect("a script");
            let words = format!("exec '{}' \"$@\"", script.path().display());
            program(&path.join("scripts").join(script.file_name()), &words);
        }
        // `make` runs in the tree's root, and finds the page's files by their absolute names.
        let words = r#"for word; do
            shift
            file=${word#*=}
            case $word in
            DTB=[!/]* | NODES=[!/]* | INITRD=[!/]* | DISK=[!/]*) [ ! -e "$file" ] || word=${word%%=*}=$PWD/$file ;;
            esac
            set -- "$@" "$word"
        done"#;
        let root = root.display();
        program(
            &path.join("bin/make"),
            &format!("{words}\nexec {} --no-print-directory -C '{root}' \"$@\"", found("make")),
        );
        // A script that passes the manifest's path itself runs in the caller's directory.
        let words = format!(
            "case \" $* \" in *' --manifest-path '*) ;; *) cd '{root}' ;; esac\nexec {} \"$@\"",
            found("cargo")
        );
        program(&path.join("bin/cargo"), &words);
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &LIMIT_S.to_string(), "sh", "-c", words]);
        command.current_dir(self.path());
        // Variables of the caller's make, cargo and shell are removed.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let is_cargos = name.starts_with("CARGO_") && !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&&*name);
            let is_scripts = SCRIPTS.contains(&&*name);
            if is_cargos || is_scripts || name.starts_with("MAKE") || name == "MFLAGS" {
                command.env_remove(&*name);
            }
        }
        command.env("PATH", format!("{}:{}", self.path().join("bin").display(), path_variable()));
        command.env("TIMEOUT", (LIMIT_S - 10).to_string());
        command
    }

    /// Runs a shell command; returns its output and status.
    fn shell(&self, words: &str) -> (String, Option<i32>) {
        let output = self.command(&format!("exec 2>&1\n{words}")).stdin(Stdio::null()).output().expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let lines = text.lines().filter(|line| !is_cargos(line));
        (lines.map(|line| format!("{line}\n")).collect(), output.status.code())
    }

    /// Boots a machine to its prompt; returns it and its output before. QEMU's own messages are not
    /// part of that.
    fn boot(&self, words: &str) -> (Session, String) {
        let mut session = Session::start(self.command(words), None, Duration::from_secs(LIMIT_S));
        let printed = session.expect("debris> ");
        (session, printed)
    }
}

/// Variables that the scripts read from the environment.
const SCRIPTS: [&str; 13] = [
    "MEM",
    "SMP",
    "DTB",
    "NODES",
    "INITRD",
    "DISK",
    "DISK_READONLY",
    "APPEND",
    "RUN",
    "ICOUNT",
    "TIMEOUT",
    "BOOT",
    "SEMIHOSTING",
];

/// True for cargo's messages about its own work.
fn is_cargos(line: &str) -> bool {
    let words = ["Finished", "Compiling", "Running", "Blocking", "Downloading", "Downloaded", "Updating", "Locking"];
    line.starts_with("   ") && words.iter().any(|word| line.trim_start().starts_with(word))
}

fn program(path: &PathBuf, words: &str) {
    fs::write(path, format!("#!/bin/sh\n{words}\n")).expect("a program can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("and made one");
}

/// Returns the path at which the shell finds a program.
fn found(name: &str) -> String {
    let directories = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let found = directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file());
    found.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

fn path_variable() -> String {
    std::env::var("PATH").unwrap_or_default()
}
