// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris run`: boots the image in QEMU, by `scripts/qemu` of the source tree.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::Run;
use crate::{Failure, STATUS_BAD};

const SCRIPT: &str = "scripts/qemu";

/// Replaces the process by QEMU, whose status is the kernel's; returns only if that fails.
pub(crate) fn run(arguments: &Run) -> Result<(), Failure> {
    let appended = arguments.append.as_deref().unwrap_or_default();
    if arguments.run.is_some()
        && appended.split_whitespace().any(|word| word.trim_start_matches('"').starts_with("run="))
    {
        return Err(Failure::bad("run: --append has run=, and --run says what to run, too; leave one out"));
    }
    let script = script()?;
    let append = [arguments.linux.map(|linux| format!("linux={linux}")), arguments.append.clone()];
    let append: Vec<String> = append.into_iter().flatten().collect();
    let path = |file: &Option<PathBuf>| file.as_ref().map(|file| file.as_os_str().to_owned());
    let variables = [
        ("MEM", arguments.mem.clone().map(Into::into)),
        ("SMP", arguments.smp.map(|count| count.to_string().into())),
        ("DTB", path(&arguments.dtb)),
        ("NODES", path(&arguments.nodes)),
        ("RAM_BASE", arguments.ram_base.clone().map(Into::into)),
        ("INITRD", path(&arguments.initrd)),
        ("DISK", path(&arguments.disk)),
        ("APPEND", (!append.is_empty()).then(|| append.join(" ").into())),
        ("RUN", arguments.run.clone().map(Into::into)),
        ("TIMEOUT", arguments.timeout.clone().map(Into::into)),
    ];
    let mut command = Command::new(&script);
    // The options replace the environment's variables.
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let error = command.args(&arguments.image).args(&arguments.qemu).exec();
    Err(Failure { line: format!("{}: {error}", script.display()), status: STATUS_BAD })
}

/// Returns the script of the tree that contains this program; for an installed one, of the tree
/// that it was built from.
fn script() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().unwrap_or_default();
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = program.ancestors().chain(built_from.ancestors()).map(|directory| directory.join(SCRIPT));
    let found = found.into_iter().find(|script| script.is_file());
    found.ok_or_else(|| {
        Failure::bad(format!("run: there is no {SCRIPT} above {}: run needs the source tree", program.display()))
    })
}
