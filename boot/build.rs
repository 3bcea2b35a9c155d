// SPDX-License-Identifier: MIT OR Apache-2.0

//! Passes the linker script to the linker, independent of the working directory and RUSTFLAGS, and
//! the commit's name to the image; for both images.

use std::path::Path;
use std::process::Command;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|directory| directory.join("linker.ld").exists());
    let root = root.expect("the script lies beside the workspace");
    let script = root.join("linker.ld");
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    println!("cargo::rustc-env=DEBRIS_GIT={}", git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]));
    // The commit changes with these files; whether the image differs from it, with the parts below.
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--path-format=absolute", "--git-path", file]);
        if !path.is_empty() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for part in ["boot", "kernel", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
}

/// Returns git's output; empty without git or a repository.
fn git(arguments: &[&str]) -> String {
    let asked = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let answer = asked.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&answer).trim().to_owned()
}
