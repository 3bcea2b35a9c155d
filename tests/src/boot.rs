// SPDX-License-Identifier: MIT OR Apache-2.0

//! Describes a machine, and starts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::in_tree;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::terminal::Terminal;
use crate::tree::{Tree, TreeFile};

/// Longer than any boot here takes, on a busy machine too; a machine that runs longer is stuck.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Environment variables that `scripts/qemu` reads. The caller's values are for `make run`: tests
/// remove them.
pub(crate) const VARIABLES: [&str; 14] = [
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
    "QEMU",
];

/// Entry into the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Linux's protocol: raw image, r2 holds the tree's address.
    Raw,
    /// The ELF's entry point, all registers 0.
    Elf,
}

/// A machine to be started.
#[derive(Clone, Debug)]
pub struct Boot {
    memory: String,
    processors: u32,
    append: String,
    tree: Tree,
    initrd: Option<PathBuf>,
    disk: Option<(PathBuf, bool)>,
    options: Vec<String>,
    entry: Entry,
    semihosting: bool,
    icount: bool,
    time_limit: Duration,
}

impl Boot {
    /// Creates the board with 256 MiB, one processor, its own tree, the raw image, and `append` as
    /// the command line.
    pub fn new(append: &str) -> Self {
        Self {
            memory: "256M".into(),
            processors: 1,
            append: append.into(),
            tree: Tree::Board,
            initrd: None,
            disk: None,
            options: Vec::new(),
            entry: Entry::Raw,
            semihosting: true,
            icount: false,
            time_limit: TIME_LIMIT,
        }
    }

    /// Creates the default machine with `commands` as its `run=`, followed by a power-off with the
    /// worst status of the commands.
    pub fn commands(commands: &str) -> Self {
        Self::new(&format!("run=\"{commands}; poweroff\""))
    }

    /// Sets the size of RAM, as QEMU's `-m` takes it.
    pub fn memory(mut self, size: &str) -> Self {
        self.memory = size.into();
        self
    }

    /// Sets the number of processors.
    pub fn processors(mut self, count: u32) -> Self {
        self.processors = count;
        self
    }

    /// Adds `words` to the command line, in front of the others.
    pub fn with(mut self, words: &str) -> Self {
        self.append = format!("{words} {}", self.append);
        self
    }

    /// Sets the device tree.
    pub fn tree(mut self, tree: Tree) -> Self {
        self.tree = tree;
        self
    }

    /// Sets the initial RAM disk.
    pub fn initrd(mut self, path: impl AsRef<Path>) -> Self {
        self.initrd = Some(path.as_ref().to_owned());
        self
    }

    /// Sets the disk.
    pub fn disk(mut self, path: impl AsRef<Path>) -> Self {
        self.disk = Some((path.as_ref().to_owned(), false));
        self
    }

    /// Sets the disk, read-only.
    pub fn read_only_disk(mut self, path: impl AsRef<Path>) -> Self {
        self.disk = Some((path.as_ref().to_owned(), true));
        self
    }

    /// Adds options for QEMU.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(ToString::to_string));
        self
    }

    /// Sets the entry into the image.
    pub fn entry(mut self, entry: Entry) -> Self {
        self.entry = entry;
        self
    }

    /// Disables semihosting: the exit status is QEMU's own.
    pub fn without_semihosting(mut self) -> Self {
        self.semihosting = false;
        self
    }

    /// Makes an instruction take one nanosecond: the same run prints the same bytes.
    pub fn counted(mut self) -> Self {
        self.icount = true;
        self
    }

    /// Sets the time limit, which defaults to a minute.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Starts the machine; returns its keyboard and console.
    pub fn start(self) -> Session {
        let tree = self.tree.to_file();
        let command = self.command(tree.as_ref());
        Session::start(command, tree, self.time_limit)
    }

    /// Starts the machine with a terminal of this size as its console, as `make monitor` does.
    pub fn at_a_terminal(self, rows: u16, columns: u16) -> Terminal {
        let tree = self.tree.to_file();
        let command = self.command(tree.as_ref());
        Terminal::start(&command, tree, self.time_limit, rows, columns)
    }

    /// Runs the machine until it ends by itself.
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    /// Runs the machine with these bytes as its initial RAM disk.
    pub fn run_on(self, initrd: impl AsRef<[u8]>) -> Outcome {
        let file = NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), initrd).expect("it can be written");
        self.initrd(file.path()).run()
    }

    /// Returns the command that starts the machine, with more `options` for QEMU, and the tree,
    /// which must exist until the command has ended.
    pub(crate) fn into_command(self, options: &[&str]) -> (Command, Option<TreeFile>) {
        let tree = self.tree.to_file();
        let mut command = self.command(tree.as_ref());
        command.args(options);
        (command, tree)
    }

    fn command(&self, tree: Option<&TreeFile>) -> Command {
        let untouched = matches!(self.tree, Tree::Untouched(_));
        let elf = untouched || self.entry == Entry::Elf;
        let mut command = Command::new(in_tree("scripts/qemu"));
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command.env("MEM", &self.memory).env("SMP", self.processors.to_string()).env("APPEND", &self.append);
        command.arg(in_tree(if elf { "build/debris.elf" } else { "build/debris.bin" }));
        if elf {
            command.env("BOOT", "elf");
        }
        match tree {
            Some(file) if untouched => {
                let file = file.path().display();
                command
                    .env("DTB", "none")
                    .args(["-device", &format!("loader,file={file},addr=0x60000000,force-raw=on")]);
            }
            Some(file) => {
                command.env("DTB", file.path());
            }
            None if matches!(self.tree, Tree::None) => {
                command.env("DTB", "none");
            }
            None => {}
        }
        if let Some(initrd) = &self.initrd {
            command.env("INITRD", initrd);
        }
        if let Some((disk, read_only)) = &self.disk {
            command.env("DISK", disk);
            if *read_only {
                command.env("DISK_READONLY", "1");
            }
        }
        command.args(&self.options);
        if !self.semihosting {
            command.env("SEMIHOSTING", "off");
        }
        if self.icount {
            command.env("ICOUNT", "1");
        }
        command
    }
}
