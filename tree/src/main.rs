// SPDX-License-Identifier: MIT OR Apache-2.0

//! `tree OUTPUT` makes the board's device tree for `scripts/tree`; `tree base BLOB` prints the
//! start of a board's RAM, for `scripts/qemu`.
//!
//! NODES names a file with reserved memory in one of its published forms: nodes, children of
//! `/reserved-memory` alone, fragments by path or label, overlays. dtc reads the values;
//! [`preprocess`] runs cpp, [`source`] finds each node in the text, [`paste`] chooses its place in
//! the board's tree, [`editor`] leaves out what that cannot use, [`cells`] finds the number of cells
//! of its numbers.
//!
//! Invariants:
//! 1. Everything left out or replaced is a line on standard error. Nothing is guessed.
//! 2. dtc reports a mistake with its file and line.
//! 3. The output is written at once, or not at all.

mod board;
mod cells;
mod editor;
mod input;
mod labels;
mod paste;
mod preprocess;
#[cfg(test)]
mod shapes;
mod source;
mod tools;

use std::env;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};

use board::Board;
use cells::{Cells, ONE};

/// The board without areas.
const BOARD: &str = "/dts-v1/;\n/include/ \"board.dtsi\"\n";
/// The board with the areas that overlays can change.
const BOARD_WITH_AREAS: &str = "/dts-v1/;\n/include/ \"board.dtsi\"\n/include/ \"areas.dtsi\"\n";

/// The first bytes of a compiled tree.
const DTB_MAGIC: [u8; 4] = 0xd00d_feed_u32.to_be_bytes();

/// Added if the file deletes the board's video memory, which the display refers to.
const WITHOUT_ITS_USER: &str = "&{/display@1001f000} { /delete-property/ memory-region; };\n";
/// Added with RAM_BASE, where this board's video memory would be at another address.
const WITHOUT_VRAM: &str = "&{/display@1001f000} { /delete-property/ memory-region; };\n/delete-node/ &vram;\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["base", blob] => base(Path::new(blob)),
        [output] => make(Path::new(output)),
        _ => Err("usage: scripts/tree OUTPUT".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("scripts/tree: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the directory of the sources of the board's tree.
fn sources() -> PathBuf {
    env::var_os("DTS").map_or_else(|| PathBuf::from("dts"), PathBuf::from)
}

fn make(output: &Path) -> Result<(), String> {
    let dts = sources();
    let blob = match env::var_os("NODES").filter(|nodes| !nodes.is_empty()) {
        None => tools::dtc("dts", "dtb", false, &[&dts], BOARD_WITH_AREAS.as_bytes())?,
        Some(nodes) => with_nodes(&dts, Path::new(&nodes)).map_err(|why| format!("NODES: {why}"))?,
    };
    write(output, &blob).map_err(|error| format!("{}: {error}", output.display()))
}

/// Writes `blob` to `output` in one step: of concurrent writers, one's blob remains.
fn write(output: &Path, blob: &[u8]) -> io::Result<()> {
    let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The umask applies, as to any other file.
    let permissions = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().prefix(".tree").permissions(permissions).tempfile_in(directory)?;
    file.write_all(blob)?;
    file.persist(output)?;
    Ok(())
}

fn say(line: String) {
    eprintln!("scripts/tree: NODES: {line}");
}

fn parsed<'a>(blob: &'a [u8], what: &str) -> Result<Fdt<'a>, String> {
    Fdt::new(blob).map_err(|error| format!("{what}: {error}"))
}

/// Returns the board's tree with the nodes of a file.
fn with_nodes(dts: &Path, file: &Path) -> Result<Vec<u8>, String> {
    let name = file.display();
    let text = fs::read(file).map_err(|error| format!("cannot read '{name}': {error}"))?;
    if text.starts_with(&DTB_MAGIC) {
        return Err(format!("'{name}' is a compiled tree: pass DTB={name} instead"));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    if let Some(why) = preprocess::is_patch(&text) {
        return Err(why.to_owned());
    }
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let include = [dts, directory];
    let text = preprocess::preprocess(text, include, &mut say)?;
    let text = format!("# 1 \"{name}\"\n{text}");
    if paste::is_overlay(&text) {
        return with_overlay(&include, &text);
    }
    let board_blob = tools::dtc("dts", "dtb", true, &include, BOARD.as_bytes())?;
    let board = parsed(&board_blob, "the board's tree")?;
    let names = Board::new(board);
    let pasted = paste::paste(&labels::own_labels(&text, &names), &names, &mut say)?;
    let moved = env::var_os("RAM_BASE").is_some_and(|base| !base.is_empty());
    let vram = match moved {
        true => WITHOUT_VRAM,
        false if pasted.deletes_vram => WITHOUT_ITS_USER,
        false => "",
    };
    let source = format!("/dts-v1/;\n{}/include/ \"board.dtsi\"\n{vram}{}", pasted.reservations, pasted.nodes);
    let blob = tools::dtc("dts", "dtb", false, &include, source.as_bytes())?;
    with_cells(&include, &source, blob, board, pasted.cells)
}

/// Returns the board's tree and its areas with an overlay applied.
fn with_overlay(include: &[&Path], text: &str) -> Result<Vec<u8>, String> {
    let board_blob = tools::dtc("dts", "dtb", true, include, BOARD_WITH_AREAS.as_bytes())?;
    let overlay_blob = tools::dtc("dts", "dtb", true, include, text.as_bytes())?;
    let board = parsed(&board_blob, "the board's tree")?;
    let overlay = parsed(&overlay_blob, "the overlay")?;
    let missing = Board::new(board).missing_targets(overlay);
    if !missing.is_empty() {
        return Err(format!(
            "an overlay for {}, which this board's tree does not have: give its nodes as a fragment, such as / {{ \
             reserved-memory {{ … }}; }};",
            missing.join(", ")
        ));
    }
    let blob = tools::fdtoverlay(&board_blob, &overlay_blob)
        .map_err(|why| format!("an overlay that does not apply to this board's tree: {why}"))?;
    let source = tools::dtc("dtb", "dts", false, &[], &blob)?;
    with_cells(include, &String::from_utf8_lossy(&source), blob, board, None)
}

/// Returns the compiled `source`: `blob`, or two cells each if reserved memory has not one each.
fn with_cells(
    include: &[&Path],
    source: &str,
    blob: Vec<u8>,
    board: Fdt<'_>,
    said: Option<Cells>,
) -> Result<Vec<u8>, String> {
    let tree = parsed(&blob, "the tree")?;
    let cells = match said {
        Some(cells) => cells,
        None => cells::infer(tree, board)?,
    };
    if cells == ONE {
        return Ok(blob);
    }
    let wide = cells::widen(tree, board, cells, &mut say);
    tools::dtc("dts", "dtb", false, include, format!("{source}\n{wide}").as_bytes())
}

/// Prints the lowest address of a blob's RAM, or nothing if it is unknown.
fn base(blob: &Path) -> Result<(), String> {
    let blob = fs::read(blob).map_err(|error| format!("{}: {error}", blob.display()))?;
    // QEMU refuses a file that is not a tree.
    let Ok(tree) = Fdt::new(&blob) else { return Ok(()) };
    let root = tree.root();
    let count = |name| cells::word(root, name).unwrap_or(1) as usize;
    let (address, size) = (count("#address-cells"), count("#size-cells"));
    if !(1..=4).contains(&address) || !(1..=4).contains(&size) {
        return Ok(());
    }
    let mut bases = Vec::new();
    for node in root.children() {
        let is_memory = node.property("device_type").is_some_and(|kind| kind.value() == b"memory\0");
        let Some(reg) = node.property("reg").filter(|_| is_memory) else { continue };
        let cells: Vec<u32> = reg.value().as_chunks::<4>().0.iter().map(|cell| u32::from_be_bytes(*cell)).collect();
        for entry in cells.chunks_exact(address + size) {
            let (base, size) = (cells::number(&entry[..address]), cells::number(&entry[address..]));
            // Zeros are placeholders, which a boot loader replaces.
            if size != 0 || base != 0 || node.name().contains('@') {
                bases.push(base);
            }
        }
    }
    if let Some(base) = bases.iter().min() {
        println!("{base:#x}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

    fn made(file: &Path) -> Result<Vec<u8>, String> {
        with_nodes(&Path::new(ROOT).join("dts"), file)
    }

    fn case(name: &str) -> Vec<u8> {
        made(&Path::new(ROOT).join("tests/data/cases").join(name)).unwrap()
    }

    pub(crate) fn nodes(text: &str) -> Result<Vec<u8>, String> {
        let directory = tempfile::TempDir::new().unwrap();
        let file = directory.path().join("my.dtsi");
        fs::write(&file, text).unwrap();
        made(&file)
    }

    /// Returns a property's cells.
    pub(crate) fn value(blob: &[u8], path: &str, property: &str) -> Vec<u32> {
        let node = Fdt::new(blob).unwrap().find_node(path).unwrap_or_else(|| panic!("no {path}"));
        let value = node.property(property).unwrap_or_else(|| panic!("{path} has no {property}"));
        value.value().as_chunks::<4>().0.iter().map(|cell| u32::from_be_bytes(*cell)).collect()
    }

    #[test]
    fn builds_side_by_side_write_one_tree() {
        let directory = tempfile::TempDir::new().unwrap();
        let output = directory.path().join("board.dtb");
        let writer = |byte: u8| (0..200).try_for_each(|_| write(&output, &vec![byte; 20_000]));
        std::thread::scope(|scope| {
            let writers = [1, 2, 3, 4].map(|byte| scope.spawn(move || writer(byte)));
            for writer in writers {
                writer.join().unwrap().unwrap();
            }
        });
        let left = fs::read(&output).unwrap();
        assert_eq!(left, vec![left[0]; 20_000]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
        let plain = directory.path().join("plain");
        fs::write(&plain, []).unwrap();
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode(&output), mode(&plain));
    }

    #[test]
    fn files_as_people_publish_them_are_taken() {
        let two = case("two-cells.dtsi");
        assert_eq!(value(&two, "/reserved-memory/linux,cma", "size"), [0, 0x2800_0000]);
        assert_eq!(value(&two, "/", "#address-cells"), [2], "the root's cells are those of reserved memory");
        assert_eq!(value(&two, "/serial@10009000", "reg"), [0, 0x1000_9000, 0, 0x1000]);
        assert_eq!(value(&two, "/reserved-memory/vram@4c000000", "reg"), [0, 0x4c00_0000, 0, 0x80_0000]);
        let children = case("two-cells-children.dtsi");
        assert_eq!(value(&children, "/reserved-memory/buffer@70000000", "reg"), [0, 0x7000_0000, 0, 0x400_0000]);
        assert_eq!(value(&children, "/reserved-memory", "#size-cells"), [2]);
        let vendor = case("vendor-fragment.dtsi");
        let pool = value(&vendor, "/reserved-memory/vpu@94000000", "phandle");
        assert_eq!(value(&vendor, "/vpu_g1", "memory-region"), pool, "a device that the board lacks is stood in for");
        assert_eq!(value(&case("macro.dtsi"), "/reserved-memory/cma", "reg"), [0x7000_0000, 0x1000_0000]);
        let refused = case("refused-region.dtsi");
        let pool = value(&refused, "/reserved-memory/pool@70000000", "phandle");
        assert_eq!(value(&refused, "/capture@0", "memory-region"), pool);
        let reserved = case("memreserve.dtsi");
        let reservations: Vec<_> = Fdt::new(&reserved).unwrap().memory_reservations().collect();
        assert_eq!(reservations.len(), 1);
        assert_eq!((reservations[0].address(), reservations[0].size()), (0x9fc0_0000, 0x40_0000));
    }

    #[test]
    fn an_overlay_is_applied_or_refused_with_what_is_missing() {
        let overlay = case("overlay.dts");
        assert_eq!(value(&overlay, "/reserved-memory/linux,cma", "size"), [0x1000_0000]);
        let why = nodes("/dts-v1/; /plugin/; &vpu { status = \"okay\"; }; &{/soc} { a; };").unwrap_err();
        assert!(why.contains("&vpu") && why.contains("/soc") && why.contains("fragment"), "{why}");
    }

    #[test]
    fn cells_are_recognised_or_both_readings_are_shown() {
        let reads = |node: &str, cells: [u32; 2]| {
            let blob = nodes(node).unwrap_or_else(|why| panic!("{node}: {why}"));
            let found = ["#address-cells", "#size-cells"].map(|name| value(&blob, "/reserved-memory", name)[0]);
            assert_eq!(found, cells, "{node}");
        };
        reads("a@70000000 { reg = <0x70000000 0x800000>; };", [1, 1]);
        reads("a@70000000 { reg = <0x70000000 0x800000 0x78000000 0x800000>; };", [1, 1]);
        reads("a { reg = <0 0x70000000 0 0x800000>; };", [2, 2]);
        reads("a@880000000 { reg = <8 0x80000000 0 0x10000000>; };", [2, 2]);
        reads("a { size = <0 0x800000>; };", [2, 2]);
        reads("a { size = <0x800000>; };", [1, 1]);
        // Other cells become two each.
        for node in [
            "a@70000000 { reg = <0 0x70000000 0x800000>; };",
            "a@70000000 { reg = <0x70000000 0 0x800000>; };",
            "a@70000000 { reg = <0 0 0x70000000 0 0x800000>; };",
        ] {
            let blob = nodes(node).unwrap();
            assert_eq!(value(&blob, "/reserved-memory/a@70000000", "reg"), [0, 0x7000_0000, 0, 0x80_0000], "{node}");
        }
        for node in ["a@0 { reg = <0 0x70000000 0 0x800000>; };", "a@1 { reg = <0x70000000 1 0x800000 1>; };"] {
            let why = nodes(node).unwrap_err();
            assert!(why.contains("1 and 1 cells") && why.contains("2 and 2 cells"), "{node}: {why}");
        }
    }

    #[test]
    fn a_label_that_the_board_has_is_the_files_own() {
        let text = "/ { reserved-memory { #address-cells = <1>; #size-cells = <1>; ranges; vram: pool@70000000 { \
                    compatible = \"shared-dma-pool\"; reusable; reg = <0x70000000 0x400000>; }; }; \
                    camera { memory-region = <&vram>; note = \"vram: &vram\"; }; };";
        let blob = nodes(text).unwrap();
        let pool = value(&blob, "/reserved-memory/pool@70000000", "phandle");
        assert_eq!(value(&blob, "/camera", "memory-region"), pool);
        let note = Fdt::new(&blob).unwrap().find_node("/camera").unwrap().property("note").unwrap().value().to_vec();
        assert_eq!(note, b"vram: &vram\0", "a string is not a label");
        assert_ne!(value(&blob, "/display@1001f000", "memory-region"), pool, "the board's own is as it was");
    }

    #[test]
    fn what_nothing_explains_is_named() {
        let why = nodes("a@70000000 { reg = <BASE_A (SIZE_B * 2)>; };").unwrap_err();
        assert!(why.contains("BASE_A, SIZE_B"), "{why}");
        let text = "#include <dt-bindings/none.h>\n#define M 0x100000\n/ { model = \"x\"; memory@0 { device_type = \"memory\"; reg = <0 1>; };\n\
                    reserved-memory { p: p@70000000 { reusable; reg = <0x70000000 (8 * M)>; }; };\n\
                    cam { memory-region = <&p>; clocks = <&clk CLK_CAM>; }; };\n&gpu { status = \"okay\"; };\n/delete-node/ &gpu;";
        let blob = nodes(text).unwrap();
        assert_eq!(value(&blob, "/reserved-memory/p@70000000", "reg"), [0x7000_0000, 0x80_0000]);
        let tree = Fdt::new(&blob).unwrap();
        assert!(tree.find_node("/memory@0").is_none() && tree.find_node("/cam").unwrap().property("clocks").is_none());
        assert_eq!(tree.root().property("model").unwrap().value(), b"V2P-CA9\0");
    }

    pub(crate) fn nodes_or_why(text: &str) -> Vec<u8> {
        nodes(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    /// Pastes as users bring them, with a resulting property of reserved memory: node, name, cells.
    #[test]
    fn pastes_get_in() {
        let fixed = "a@70000000 { no-map; reg = <0 0x70000000 0 0x100000>; };";
        let two = "#address-cells = <2>; #size-cells = <2>; ranges;";
        let reg: (&str, &str, &[u32]) = ("a@70000000", "reg", &[0, 0x7000_0000, 0, 0x10_0000]);
        let size: (&str, &str, &[u32]) = ("linux,cma", "size", &[0x800_0000]);
        for (text, (node, property, cells)) in [
            // A board's file, whose devices refer to nodes that were left out with their pin
            // controller or its memory.
            (
                format!(
                    "/dts-v1/;\n#include \"soc.dtsi\"\n/ {{ model = \"x\"; memory@0 {{ m: m {{ }}; }}; \
                     reserved-memory {{ {two} {fixed} }}; x {{ p = <&m>; }}; }};\n\
                     &uart2 {{ pinctrl-0 = <&pins>; }};\n&iomuxc {{ pins: pins {{ }}; }};"
                ),
                reg,
            ),
            // The SoC's file has the label.
            (format!("&reserved_memory {{ {fixed} }};"), reg),
            (format!("&resmem {{ {two} {fixed} }};"), reg),
            (format!("&soc_regions {{ {fixed} }};"), reg),
            (format!("/dts-v1/; /dts-v1/; / {{ reserved-memory {{ {two} {fixed} }}; }}; /dts-v1/;"), reg),
            (format!("/include/ \"skeleton.dtsi\"\n/ {{ reserved-memory {{ {two} {fixed} }}; }};"), reg),
            // dtc's output for the tree of a running board: references are numbers.
            (
                format!(
                    "/dts-v1/; / {{ interrupt-parent = <1>; {} cpus {{ cpu@0 {{ phandle = <2>; }}; }}; \
                     reserved-memory {{ {two} {fixed} }}; vpu {{ interrupts = <0 1 4 0>; memory-region = <3>; }}; }};",
                    two.replace("ranges;", "")
                ),
                reg,
            ),
            ("/ { reserved-memory { /delete-node/ vram@4c000000; linux,cma { size = <SZ_128M>; }; }; };".into(), size),
            ("\u{feff}reserved-memory {\r\n linux,cma { size = <(1 << 27)>; };\r\n};\r\n".into(), size),
            ("// don't \"{\nlinux,cma { /* it's } */ size = <0x8000000>; };".into(), size),
        ] {
            let blob = nodes_or_why(&text);
            assert_eq!(value(&blob, &format!("/reserved-memory/{node}"), property), cells, "{text}");
        }
        let board = nodes_or_why("/dts-v1/; / { cpus { }; soc { }; reserved-memory { b { size = <4096>; }; }; };");
        assert!(Fdt::new(&board).unwrap().find_node("/soc").is_none(), "of another board's devices nothing is there");
        let lost =
            nodes_or_why("/ { soc { reserved-memory { }; }; b { memory-region = <&c>; }; }; &cma { size = <1>; };");
        assert!(Fdt::new(&lost).unwrap().find_node("/soc/reserved-memory").is_none(), "no board has it there");
    }

    #[test]
    fn what_does_not_get_in_says_what_to_do() {
        for (text, advice) in [
            ("", "a node is linux,cma {"),
            ("size = <0x4000000>;\nreusable;", "put them into one, such as linux,cma {"),
            ("+\treserved-memory {\n+\t};\n", "without + and -"),
            ("--- a/x.dts\n+++ b/x.dts\n@@ -1 +1 @@\n+a { };\n", "without + and -"),
            ("\u{d0}", "a node is linux,cma {"),
            ("/dts-v1/; / { };", "a tree without reserved memory"),
            ("/dts-v1/; / { cpus { }; soc { }; };", "a tree without reserved memory"),
            ("/dts-v1/; / { compatible = \"arm,vexpress\"; cpus { }; };", "pass DTB=my.dtb"),
            ("/dts-v1/; /plugin/; &cma { size = <0x10000000>; };", "give its nodes as a fragment"),
        ] {
            let why = nodes(text).unwrap_err();
            assert!(why.contains(advice), "{text}: {why}");
        }
        let directory = tempfile::TempDir::new().unwrap();
        let file = directory.path().join("my.dtsi");
        fs::write(&file, nodes_or_why("a { size = <0x1000>; };")).unwrap();
        assert!(made(&file).unwrap_err().contains("a compiled tree: pass DTB="));
    }

    #[test]
    fn no_text_stops_it() {
        for text in [
            "}",
            "a {",
            "a { b = <",
            "&{",
            "&x",
            "/plugin/;",
            "/dts-v1/; /plugin/; / { };",
            "/include/ \"none\"",
            "/memreserve/",
        ] {
            // Either result is fine.
            let _ = nodes(text);
        }
    }
}
