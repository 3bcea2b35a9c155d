// SPDX-License-Identifier: MIT OR Apache-2.0

//! A stand-in for QEMU, to test what `scripts/qemu` starts and how it handles that process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::boot::VARIABLES;
use crate::in_tree;

/// A shell script as QEMU, in a directory of its own with an image that is never booted.
#[derive(Debug)]
pub struct FakeQemu {
    directory: TempDir,
}

impl FakeQemu {
    /// Script that prints its arguments, one a line, and ends with status 42.
    pub const PRINTS_ITS_ARGUMENTS: &str = "for word; do printf '%s\\n' \"$word\"; done\nexit 42";

    /// Creates a QEMU that runs `script`.
    ///
    /// # Panics
    /// If the temporary directory cannot be written; so do the other functions.
    pub fn new(script: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let program = directory.path().join("qemu");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("it can be written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
        fs::write(directory.path().join("image.bin"), "no ELF").expect("it can be written");
        Self { directory }
    }

    /// Returns the path of the file `name` in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns `scripts/qemu` with `image`, this QEMU and `variables`; no tree unless they name
    /// one.
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

    /// Runs `scripts/qemu`, without input.
    pub fn run(&self, variables: &[(&str, &str)]) -> Output {
        self.command(&self.path("image.bin"), variables).stdin(Stdio::null()).output().expect("scripts/qemu runs")
    }

    /// Returns the arguments passed to QEMU.
    pub fn arguments(&self, variables: &[(&str, &str)]) -> Vec<String> {
        let output = self.run(variables);
        assert_eq!(output.status.code(), Some(42), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("arguments are text").lines().map(str::to_owned).collect()
    }

    /// Returns the kernel command line, if there is one.
    pub fn command_line(&self, variables: &[(&str, &str)]) -> Option<String> {
        let arguments = self.arguments(variables);
        let at = arguments.iter().position(|word| word == "-append")?;
        Some(arguments[at + 1].clone())
    }
}
