// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines of a log that are explained without others: areas and nodes at boot, and pages in the way.

use kernel::lab::metrics::Counted;

use super::{BUSY_HELPS, PAGE_KIB, after, mib, number, printable, word};

/// Returns the explanation and a remedy of a line that needs no others.
pub(super) fn other(line: &str) -> Option<(String, Option<&'static str>)> {
    const NO_ROOM: &str = "a smaller size, or other alloc-ranges; no-map regions, the kernel and the initrd take room, \
                           too. `debris run --nodes FILE` places the nodes as the kernel does, in the RAM of its board.";
    if let Some(rest) = after(line, "cma: Reserved ") {
        let (mib, at) = (number(rest)?, after(rest, " at ").and_then(word)?);
        return Some((format!("The default area was made: {mib} MiB at {at}."), None));
    }
    if let Some(rest) = after(line, "created CMA memory pool at ") {
        let (at, mib) = (word(rest)?, after(rest, "size ").and_then(number)?);
        return Some((format!("A node of the device tree became an area: {mib} MiB at {at}."), None));
    }
    if let Some(rest) = after(line, "initialized node ") {
        return Some((format!("That area is called {}.", word(rest)?), None));
    }
    if line.contains("map reusable ") && line.contains("reserved mem: ") {
        let name = after(line, "map reusable ").and_then(word)?;
        let range = after(line, "reserved mem: ").and_then(word)?;
        return Some((format!("A node of the device tree reserved {range} for the area {name}."), None));
    }
    if let Some(rest) = after(line, "cma: Failed to reserve ") {
        let says = format!("There was no room for the default area of {} MiB: there is none.", number(rest)?);
        return Some((says, Some(NO_ROOM)));
    }
    if let Some(rest) = after(line, "failed to allocate memory for node '") {
        let name = rest.split('\'').next()?;
        let size = after(rest, "size ").map_or("", |size| size.trim());
        return Some((format!("There was no room for the node {name} ({size}): it has no area."), Some(NO_ROOM)));
    }
    if line.contains("incorrect alignment of CMA region") {
        return Some((
            "A node's base or size is not a multiple of a pageblock (4 MiB on ARM, unless configured otherwise): it has no \
             area, and its devices get -EINVAL."
                .into(),
            Some("`reg`, `size` and `alignment` in multiples of 0x400000."),
        ));
    }
    if let Some(rest) = after(line, "failed to reserve memory for node '") {
        let name = printable(rest.split('\'').next()?);
        return Some((
            format!(
                "The range of the node {name} was not to be had, because there is no RAM or because something else has it: \
                 it is not reserved, and there is no area in it."
            ),
            Some("another `reg`, in RAM, and away from the kernel, the initrd and the other nodes."),
        ));
    }
    if let Some((property, rest)) = ["reg", "size"]
        .into_iter()
        .find_map(|name| Some((name, after(line, &format!("invalid {name} property in '"))?)))
    {
        let name = printable(rest.split('\'').next()?);
        return Some((
            format!(
                "`{property}` of the node {name} has another length than the cells of its parent say: it is passed over."
            ),
            Some(
                "`#address-cells` and `#size-cells` of /reserved-memory as the root's, and as many cells in the node.",
            ),
        ));
    }
    if line.contains("compatible matching fail") {
        return Some((
            "Nothing made a pool of the node, and its range is used like any other memory. For an area it needs \
             `compatible = \"shared-dma-pool\"` and `reusable`, no `no-map`, and whole pageblocks."
                .into(),
            None,
        ));
    }
    if line.contains("regions without no-map are not yet supported") {
        return Some((
            "A pool of a device has neither `reusable`, which makes an area of it, nor `no-map`, which ARM wants of all \
             others: it is no pool."
                .into(),
            Some("`reusable` for an area, or `no-map`."),
        ));
    }
    if line.contains("linux,cma-default node") || line.contains("bypass linux,cma node") {
        return Some(("`cma=` on the command line took the place of the tree's default area.".into(), None));
    }
    if let Some(rest) = after(line, "alloc_contig_range: [") {
        let range = rest.split(')').next()?;
        return Some((
            format!(
                "The range [{range}) of page frames could not be emptied: a page in it is in use and stays where it is."
            ),
            Some(BUSY_HELPS),
        ));
    }
    if line.contains("page dumped because: ") {
        let why = after(line, "page dumped because: ")?.trim();
        return Some((format!("The page above stood in the way ({why}); its mapping names the owner."), None));
    }
    if line.contains("OVERLAP DETECTED!") {
        return Some((
            "Two regions of the device tree lie on each other: one of them may be without memory.".into(),
            None,
        ));
    }
    if line.contains("not enough space for all defined regions") {
        return Some((
            "The tree has more reserved regions than this kernel keeps (64 until 6.6): the last ones are not reserved."
                .into(),
            Some("fewer nodes, or a newer kernel."),
        ));
    }
    if let Some(at) = line.find("K cma-reserved") {
        let kib: u64 = line[..at].rsplit(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
        return Some((format!("All areas together have {}.", mib(kib / PAGE_KIB)), None));
    }
    if let Some(at) = line.find(" pages cma reserved") {
        let pages: u64 = line[..at].rsplit(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
        return Some((format!("All areas together have {}.", mib(pages)), None));
    }
    if let Some(rest) = after(line, "free_cma:") {
        let kib = number(rest)?;
        return Some((format!("{} of the areas' pages were free.", Counted(kib / PAGE_KIB, "page")), None));
    }
    None
}
