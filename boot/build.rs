// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hands the linker its script, wherever cargo is run and whatever RUSTFLAGS says.

fn main() {
    let script = format!("{}/../linker.ld", env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rustc-link-arg-bins=-T{script}");
}
