// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hands the linker its script, wherever cargo is run and whatever RUSTFLAGS says; for both images.

use std::path::Path;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = here.ancestors().map(|directory| directory.join("linker.ld"));
    let script = scripts.into_iter().find(|script| script.exists()).expect("the script lies beside the workspace");
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
}
