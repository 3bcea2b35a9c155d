// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program in QEMU's place, to see what `scripts/qemu` starts, and how it deals with what it
//! started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::boot::VARIABLES;
use crate::in_tree;

/// A shell script in QEMU's place, in a directory of its own with an image that nobody boots.
#[derive(Debug)]
pub struct FakeQemu {
    directory: TempDir,
}

impl FakeQemu {
    /// Prints its arguments, one a line, and ends with status 42.
    pub const PRINTS_ITS_ARGUMENTS: &str = "for word; do printf '%s\\n' \"$word\"; done\nexit 42";

    /// A QEMU that does what `script` says.
    ///
    /// # Panics
    /// Where the temporary directory cannot be written; so do the other functions.
    pub fn new(script: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let program = directory.path().join("qemu");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("it can be written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
        fs::write(directory.path().join("image.bin"), "no ELF").expect("it can be written");
        Self { directory }
    }

    /// A file of this name in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `scripts/qemu` with `image`, this QEMU and these variables; no tree unless they name one.
    pub fn command(&self, image: &Path, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(in_tree("scripts/qemu"));
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        if variables.iter().all(|(name, _)| *name != "NODES") {
            command.env("DTB", "none");
        }
        command.arg(image).env("QEMU", self.path("qemu")).envs(variables.iter().copied());
        command
    }

    /// Runs it, without input.
    pub fn run(&self, variables: &[(&str, &str)]) -> Output {
        self.command(&self.path("image.bin"), variables).stdin(Stdio::null()).output().expect("scripts/qemu runs")
    }

    /// The arguments that QEMU got.
    pub fn arguments(&self, variables: &[(&str, &str)]) -> Vec<String> {
        let output = self.run(variables);
        assert_eq!(output.status.code(), Some(42), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("arguments are text").lines().map(str::to_owned).collect()
    }

    /// The kernel command line, where there is one.
    pub fn command_line(&self, variables: &[(&str, &str)]) -> Option<String> {
        let arguments = self.arguments(variables);
        let at = arguments.iter().position(|word| word == "-append")?;
        Some(arguments[at + 1].clone())
    }
}
