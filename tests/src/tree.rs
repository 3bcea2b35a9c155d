// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device trees for the machine: the board's, changed ones, broken ones, none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::in_tree;

/// Device tree of a machine.
#[derive(Clone, Debug)]
pub enum Tree {
    /// The board's own tree with its two areas.
    Board,
    /// `dts/upstream-like.dts`: the shape of Linux's tree for this board, without areas.
    UpstreamLike,
    /// No tree: the kernel finds an ATAG list, or nothing.
    None,
    /// The board's tree with these nodes of `/reserved-memory` (or these fragments) in place of its
    /// own.
    Nodes(String),
    /// The board's tree without areas, and these fragments unchanged: without the repairs of
    /// `scripts/tree`.
    Fragments(String),
    /// A whole tree in source form.
    Source(String),
    /// A whole tree as bytes, which QEMU reads and rewrites.
    Blob(Vec<u8>),
    /// A tree as bytes that QEMU must not change: it is loaded at the start of RAM and the ELF is
    /// entered.
    Untouched(Vec<u8>),
}

/// A compiled tree, kept until the machine has ended.
#[derive(Debug)]
pub struct TreeFile {
    _directory: TempDir,
    path: PathBuf,
}

impl TreeFile {
    /// Returns the path of the blob.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the blob.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("the tree that was just compiled can be read")
    }
}

impl Tree {
    /// Writes the tree to a file; `None` for the machine's default, or no tree.
    ///
    /// # Panics
    /// If dtc refuses the source: a mistake in the test.
    pub(crate) fn to_file(&self) -> Option<TreeFile> {
        match self {
            Self::Board | Self::None => None,
            Self::UpstreamLike => {
                let source = fs::read_to_string(in_tree("dts/upstream-like.dts")).expect("dts/upstream-like.dts");
                Some(compile_source(&source))
            }
            Self::Nodes(nodes) => {
                let (output, file) = compile_nodes(nodes);
                assert!(output.status.success(), "scripts/tree: {}", String::from_utf8_lossy(&output.stderr));
                Some(file)
            }
            Self::Fragments(fragments) => Some(compile_fragments(fragments)),
            Self::Source(source) => Some(compile_source(source)),
            Self::Blob(bytes) | Self::Untouched(bytes) => {
                let file = empty_file();
                fs::write(&file.path, bytes).expect("the temporary directory can be written");
                Some(file)
            }
        }
    }
}

fn empty_file() -> TreeFile {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("tree.dtb");
    TreeFile { _directory: directory, path }
}

fn compile_source(source: &str) -> TreeFile {
    let file = empty_file();
    let input = file.path.with_extension("dts");
    fs::write(&input, source).expect("the temporary directory can be written");
    let output = Command::new("dtc")
        .args(["--quiet", "-I", "dts", "-O", "dtb", "-i"])
        .arg(in_tree("dts"))
        .arg("-o")
        .args([&file.path, &input])
        .output()
        .expect("dtc runs: scripts/setup installs it");
    assert!(output.status.success(), "dtc: {}", String::from_utf8_lossy(&output.stderr));
    file
}

/// Compiles the board's tree without areas, followed by `fragments`, with dtc alone.
///
/// # Panics
/// If dtc refuses the source: a mistake in the test.
pub fn compile_fragments(fragments: &str) -> TreeFile {
    compile_source(&format!("/dts-v1/;\n/include/ \"board.dtsi\"\n{fragments}"))
}

/// Compiles the board's tree with `nodes` in place of its own areas, as `make run NODES=…` does,
/// from a file named `my.dtsi`. Returns the output of `scripts/tree`, and the tree if it succeeded.
pub fn compile_nodes(nodes: &str) -> (Output, TreeFile) {
    let file = empty_file();
    let input = file.path.with_file_name("my.dtsi");
    fs::write(&input, nodes).expect("the temporary directory can be written");
    let output =
        Command::new(in_tree("scripts/tree")).arg(&file.path).env("NODES", &input).output().expect("scripts/tree runs");
    (output, file)
}
