// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls of dtc, fdtoverlay and cpp.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Returns definitions of Linux's names for sizes: `SZ_1K` to `SZ_2G`.
fn sizes() -> impl Iterator<Item = String> {
    (0..32).map(|shift| {
        let (unit, bits) = [("", 0), ("K", 10), ("M", 20), ("G", 30)][shift as usize / 10];
        format!("-DSZ_{}{unit}={:#x}", 1_u64 << (shift - bits), 1_u64 << shift)
    })
}

/// Runs a program on `input`; `None` if it is not installed.
fn run(command: &mut Command, input: &[u8]) -> Result<Option<Output>, String> {
    let program = command.get_program().display().to_string();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{program}: {error}")),
    };
    let mut stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends early reports why.
            stdin.take().map(|mut stdin| stdin.write_all(input))
        });
        child.wait_with_output()
    });
    output.map(Some).map_err(|error| format!("{program}: {error}"))
}

/// Returns the program's output, or its messages.
fn printed(output: Output) -> Result<Vec<u8>, String> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
}

/// Compiles source to a blob (`from` "dts", `to` "dtb"), or a blob to source. `include` are the
/// directories of `/include/`.
///
/// # Errors
/// dtc's messages, or that it is missing.
pub(crate) fn dtc(from: &str, to: &str, symbols: bool, include: &[&Path], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("dtc");
    command.args(["-q", "-I", from, "-O", to]);
    if symbols {
        command.arg("-@");
    }
    for directory in include {
        command.arg("-i").arg(directory);
    }
    let output = run(command.arg("-"), input)?.ok_or("dtc is missing: run scripts/setup")?;
    printed(output)
}

/// Runs the C preprocessor; `None` if it is not installed.
///
/// # Errors
/// The preprocessor's messages.
pub(crate) fn cpp(directory: &Path, input: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut command = Command::new("cpp");
    command.args(["-nostdinc", "-undef", "-D__DTS__", "-x", "assembler-with-cpp"]).args(sizes());
    command.arg("-I").arg(directory);
    for above in directory.ancestors().filter(|above| above.join("include/dt-bindings").is_dir()) {
        command.arg("-I").arg(above.join("include"));
    }
    run(command.arg("-"), input)?.map(printed).transpose()
}

/// Applies an overlay to a tree.
///
/// # Errors
/// The reason why it does not apply.
pub(crate) fn fdtoverlay(base: &[u8], overlay: &[u8]) -> Result<Vec<u8>, String> {
    let work = TempDir::new().map_err(|error| format!("no temporary directory: {error}"))?;
    let [base_file, overlay_file, output] = ["base", "overlay", "output"].map(|name| work.path().join(name));
    let failed = |error: std::io::Error| format!("{}: {error}", work.path().display());
    fs::write(&base_file, base).map_err(failed)?;
    fs::write(&overlay_file, overlay).map_err(failed)?;
    let arguments = [OsStr::new("-i"), base_file.as_os_str(), OsStr::new("-o"), output.as_os_str()];
    let mut command = Command::new("fdtoverlay");
    let done = run(command.args(arguments).arg(&overlay_file), &[])?
        .ok_or("an overlay needs fdtoverlay, which comes with dtc: run scripts/setup")?;
    printed(done)?;
    fs::read(&output).map_err(failed)
}
