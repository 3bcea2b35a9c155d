// SPDX-License-Identifier: MIT OR Apache-2.0

//! The meanings of all values of keys, for `help VALUE` and `help KEY`: every word that selects
//! something is explained.
//!
//! A usage lists the values (`[lend=movable|clean|none]`); this table explains each, and a test
//! compares the two. Placements and commands are explained in tables of their own, keys in `keys`.

mod keys;

use alloc::vec::Vec;

use super::commands;
pub use keys::{KEYS, Key, key_of_command};
use machine::Machine;
use placements::PLACEMENTS;

/// A value of a key, or a word that stands for something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    /// The key without its `=`; the command, if the word stands by itself; empty if it is in
    /// capitals.
    pub of: &'static str,
    /// The value.
    pub name: &'static str,
    /// The meaning.
    pub meaning: &'static str,
}

const fn value(of: &'static str, name: &'static str, meaning: &'static str) -> Value {
    Value { of, name, meaning }
}

/// All values, by key.
pub const VALUES: &[Value] = &[
    value(
        "align",
        "order",
        "at a multiple of the size rounded up to a power of two, at most 2^8 pages, as Linux does for devices",
    ),
    value("align", "page", "at any page"),
    value("align", "ORDER", "at a multiple of 2^ORDER pages, 0 to 20"),
    value("align", "asis", "as recorded"),
    value("bitmap", "off", "no bitmap is printed"),
    value("bitmap", "on", "the bitmap before and after each round"),
    value("callers", "tasks", "the tasks of the recording are callers at once"),
    value(
        "cma_use",
        "half",
        "movable requests use CMA pages first while more than half of the free memory is CMA, else last: Linux since 2020",
    ),
    value(
        "cma_use",
        "fallback",
        "movable requests use CMA pages last, before other pageblocks are taken: Linux before 2020",
    ),
    value("cma_use", "first", "movable requests always use CMA pages first; memory is freed before a large allocation"),
    value("failed", "release", "what failed on the board and succeeds here goes back at once"),
    value(
        "failed",
        "keep",
        "what failed on the board and succeeds here is kept as long as the median of its task's buffers lived",
    ),
    value("failures", "all", "every request that fails is a line; else the first 20 are"),
    value("held", "refuse", "an ID that is allocated while it is held is an error of the recording"),
    value("held", "release", "the buffer of an ID that is allocated again is given back first"),
    value("lend", "movable", "whatever can be moved or dropped may use the area: Linux"),
    value("lend", "clean", "only clean pages of the page cache may use the area: they are dropped, not copied (GCMA)"),
    value("lend", "none", "the area is not lent"),
    value("lifetime", "exponential", "a buffer's end is as likely at any age"),
    value("lifetime", "fixed", "every buffer lives exactly life= allocations"),
    value("load", "replay", "the recording in the initrd"),
    value("lock", "none", "nothing is locked around alloc_contig_range: Linux 5.13 to 5.17"),
    value("lock", "global", "one mutex for all areas: Linux until 5.12, and 5.18 to 6.14"),
    value("lock", "area", "one mutex for each area: Linux since 6.15"),
    value("lock", "all", "a row for each of them; by default, it is the lock of linux="),
    value("pinning", "on", "pages that the disk owns stay where they are"),
    value("pinning", "off", "pages that the disk owns may be moved, and checksums are then wrong"),
    value("rng", "glibc", "rand() of glibc, as the published program used"),
    value("rng", "wyrand", "another generator, to see whether a result depends on the first"),
    value("sabotage", "copy", "migration leaves the copy out: the check must find it"),
    value("sabotage", "tlb", "migration leaves out to invalidate the TLB: the check must find it"),
    value("sabotage", "mapping", "migration leaves the new mapping out: the check must find it"),
    value("scale", "none", "the published slots, whatever the area's size"),
    value("scale", "slots", "a larger area gets more slots of the same sizes: times area / 8 MiB"),
    value("scale", "sizes", "a larger area gets as many slots, with larger sizes: times area / 8 MiB"),
    value("scale", "both", "a larger area gets more slots and larger ones"),
    value("sizes", "orders", "each power of two, with the sizes up to the next, is as likely as any other"),
    value("sizes", "uniform", "every size is as likely as any other"),
    value("sizes", "powers", "powers of two only"),
    value("source", "reserved", "the buffer comes from memory that was set aside at boot"),
    value("source", "buddy", "the buffer comes from the page allocator, in blocks of up to 4 MiB"),
    value("source", "cma", "the buffer comes from the CMA area"),
    value("until", "failure", "it ends at the first request that fails"),
    value("until", "ops", "it goes on after failures, up to ops= steps"),
    value("until", "end", "the whole recording"),
    value("with", "idle", "the area is free"),
    value("with", "movable", "the area is full of movable pages, which are copied"),
    value("with", "clean", "the area is full of clean pages of the page cache, which are dropped"),
    value("with", "mixed", "half of the area is full of movable pages, and half of clean ones"),
    value("pressure", "latency", "what a buffer costs, phase by phase"),
    value("pressure", "underuse", "how many CMA pages are free when memory is full and something is killed"),
    value("pressure", "reliability", "whether a driver gets its large buffer in a full system"),
    value("pressure", "integrity", "whether every page keeps its content"),
    value("disk", "list", "the disk and its files"),
    value("disk", "check", "reads every file and compares its checksum"),
    value("disk", "bench", "reads and writes pages= pages in order, through the page cache"),
    value("dma", "alloc", "a coherent buffer of SIZE as the driver of DEVICE would get it"),
    value("dma", "free", "frees the buffer at ADDRESS, or all"),
    value("dma", "all", "all buffers"),
    value("release", "all", "every buffer, also those that loads left"),
    value("stop", "all", "every job"),
    value("wait", "all", "every job"),
    value("fault", "stack", "overflows the stack into its guard page"),
    value("fault", "null", "reads through a null pointer"),
    value("fault", "text", "writes to the kernel's code"),
    value("fault", "exec", "executes data"),
    value("fault", "unaligned", "loads a word from an odd address"),
    value("fault", "undefined", "executes an undefined instruction"),
    value("fault", "svc", "calls a supervisor, of which there is none"),
    value("fault", "irq", "receives an interrupt without a handler"),
    value("fault", "panic", "panics"),
    value("", "ADDRESS", "a device address, as dma prints it"),
    value("", "ALIGN_ORDER", "a buffer begins at a multiple of 2^ALIGN_ORDER pages, 0 to 20"),
    value("", "AREA", "the name of a CMA area; cma lists them"),
    value("", "SWITCHES", "STEP:CALLER for each switch to another caller, as schedules= prints them: 3:1,7:0"),
    value("", "BYTES", "a number of bytes, also with K, M or G"),
    value("", "COMMAND", "the name of a command; help lists them"),
    value("", "DEVICE", "a device of the tree; dma lists them"),
    value("", "ID", "the number of a buffer, as alloc prints it"),
    value("", "KEY", "a key of any command, without its ="),
    value("", "N", "a number"),
    value("", "NAME", "a name: of an area behind area=, of a self-test, of a benchmark or a group of them, of a file"),
    value("", "ORDER", "log2 of the pages whose multiple a buffer begins at, 0 to 20"),
    value("", "PAGES", "a number of pages of 4 KiB"),
    value("", "PATH", "a pseudo file; ls lists them"),
    value("", "PLACEMENT", "a rule that chooses where a buffer goes"),
    value("", "RECORDED", "the name of the area that was recorded"),
    value("", "PATTERN", "a name, in which * stands for any characters and ? for one"),
    value("", "RANGE", "the least and the most, as 64-256; either may be left out: 64- or -63"),
    value("", "SIZE", "a number of bytes, also with K, M or G"),
    value("", "STATUS", "the exit status of QEMU, 0 to 255"),
    value("", "VALUE", "a value of any key"),
    value("", "WORD", "any word"),
];

/// A word and its meaning, for `help`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explained {
    /// The key that the word is a value of, or empty.
    pub key: &'static str,
    /// The word; empty if the key itself is explained.
    pub name: &'static str,
    /// The command that the meaning is limited to; empty if it applies to all.
    pub of: &'static str,
    /// The parameters with their usual values, or empty.
    pub parameters: &'static str,
    /// The meaning.
    pub meaning: &'static str,
}

/// Returns the meanings of a word; of a key or a word in capitals, the meanings of all its values.
pub fn explain<M: Machine + ?Sized>(word: &str) -> Vec<Explained> {
    let key = word.strip_suffix('=').unwrap_or(word);
    let lists_placements = ["PLACEMENT", "placement", "placements"].contains(&key);
    let name = word.split(':').next().unwrap_or_default();
    let placements = PLACEMENTS.iter().filter(|entry| lists_placements || entry.name == name).map(|entry| Explained {
        key: "placement",
        name: entry.name,
        of: "",
        parameters: entry.parameters,
        meaning: entry.summary,
    });
    // A key with a command's name is explained by `help` itself.
    let is_key = |of: &str| of == key && !of.is_empty() && !commands::all::<M>().any(|command| command.help.name == of);
    let values = VALUES.iter().filter(|value| value.name == word || is_key(value.of)).map(|value| {
        let key = if commands::all::<M>().any(|command| command.help.name == value.of) { "" } else { value.of };
        Explained { key, name: value.name, of: "", parameters: "", meaning: value.meaning }
    });
    let keys = KEYS.iter().filter(|row| row.name == key).map(|row| Explained {
        key: row.name,
        name: "",
        of: row.of,
        parameters: "",
        meaning: row.meaning,
    });
    keys.chain(values).chain(placements).collect()
}

#[cfg(test)]
mod tests;
