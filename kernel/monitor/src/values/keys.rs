// SPDX-License-Identifier: MIT OR Apache-2.0

//! The meanings of all keys, for `help KEY` and for the reference page.
//!
//! A usage lists the keys of a command; this table explains each, and a test compares the two. A
//! key that has one meaning for all commands has one row; a row with a command applies to that
//! command alone.

/// A key and its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// The command that takes the key; empty for all commands that have no row of their own.
    pub of: &'static str,
    /// The key without its `=`.
    pub name: &'static str,
    /// The meaning.
    pub meaning: &'static str,
}

const fn key(name: &'static str, meaning: &'static str) -> Key {
    Key { of: "", name, meaning }
}

const fn key_of(of: &'static str, name: &'static str, meaning: &'static str) -> Key {
    Key { of, name, meaning }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key("area", "the area; the one that a device names, else the default area, else the first, unless given"),
    key_of("replay", "area", "the area to replay on; the one of the recorded name unless given"),
    key_of("load", "area", "the area; the one of the recorded name or size unless given"),
    key("seed", "seed of the random numbers; the default of a load gives the published figures"),
    key("rng", "generator of the random numbers"),
    key("align", "alignment of every buffer"),
    key("placement", "rule that chooses where a buffer goes; the area's own unless given"),
    key("until", "what ends a round; until=ops needs ops="),
    key_of("replay", "until", "what ends the replay, for all areas"),
    key("ops", "most steps of a round; a step is an allocation, a release or a failure"),
    key("rounds", "rounds, each with the next seed and on what the last left; 0: until a round makes no allocation"),
    key_of("pressure", "rounds", "requests; 4, 64, 16 and 16 by experiment unless given"),
    key("sample", "prints a record `sample` after every N steps"),
    key("bitmap", "whether the bitmap is printed"),
    key(
        "relocatable",
        "with placement=relocate: of 1000 slots, or IDs of a recording, how many have buffers that may be moved",
    ),
    key(
        "timed",
        "times one call in this many, for the means; reading the clock takes longer in QEMU than a call, so a large \
         value makes a load faster",
    ),
    key("rate", "steps a second, 1 to 1000000, for watching a load in the background; as fast as it goes unless given"),
    key("scale", "how the published slots grow with the area's size over 8 MiB"),
    key("slots", "number of slots; more of them fill the area further"),
    key("frames", "number of large frames"),
    key_of("camera", "frame", "pages of a frame; an eighth of the area unless given"),
    key_of("decoder", "frame", "pages of the largest buffer; 3/64 of the area unless given"),
    key_of("compare", "frame", "pages of a frame or of the largest buffer, as for the load"),
    key("small", "number of small buffers"),
    key_of("camera", "most", "pages of the largest small buffer; 1/128 of the area unless given"),
    key_of("random", "most", "pages of the largest buffer; 1/64 of the area unless given"),
    key_of("compare", "most", "pages of the largest buffer, as for the load"),
    key("gap", "steps from one frame to the next"),
    key("pools", "number of pools"),
    key("buffers", "buffers of a pool"),
    key("sizes", "how sizes are drawn"),
    key("least", "pages of the smallest buffer"),
    key("life", "mean lifetime of a buffer, in allocations, at most 2048; what fills half of the area unless given"),
    key("lifetime", "how lifetimes are drawn"),
    key("placements", "the placements that are compared; all unless given"),
    key("load", "the load that is compared; debris unless given"),
    key("seeds", "number of seeds, from seed= upwards"),
    key(
        "held",
        "what becomes of an ID that is allocated while it is held; release unless given, but for plain recordings \
         under first-fit and align=asis: refuse",
    ),
    key_of("compare", "held", "what becomes of an ID that is allocated while it is held; release unless given"),
    key("failed", "what becomes of a buffer that failed on the board and succeeds here"),
    key("failures", "lines for the first N requests that fail; all of them are records"),
    key(
        "from",
        "which of several recorded areas is replayed; all that are here, in the recording's order, unless given",
    ),
    key("task", "replays the requests of these tasks only; !PATTERN: all requests but those"),
    key_of("replay", "pages", "replays the requests of these sizes only"),
    key_of(
        "pressure",
        "pages",
        "pages of a buffer, with integrity of the largest; 6656 (26 MiB), or the whole area, unless given; 64 with callers=",
    ),
    key_of(
        "picture",
        "pages",
        "pages that a character stands for; as many as fit the picture to a screen unless given",
    ),
    key_of("disk", "pages", "pages that are read and written"),
    key("width", "characters of a row"),
    key("line", "the state that begins at this line; the last one unless given"),
    key("order_per_bit", "log2 of the pages that a bit stands for; what the text says, or 0, unless given"),
    key("steps", "most steps to wait; until the job is over unless given"),
    key("files", "number of copies"),
    key("size", "bytes of the file that are copied; all unless given"),
    key_of("copytest", "source", "the file that is copied; the disk's first unless given"),
    key("source", "where the buffer comes from; each in turn unless given"),
    key("pinning", "whether pages that the disk owns are pinned"),
    key("fill", "pages that fill memory; all that there are unless given"),
    key("cma_use", "when movable requests use CMA pages; each in turn unless given"),
    key("lend", "what may use the areas' pages; each in turn unless given"),
    key("with", "what fills the area; each in turn unless given"),
    key("pins", "pages that cannot move, drawn before each request; 0, 1 and 100 in turn unless given"),
    key("sabotage", "the step that migration leaves out, to show that the check can fail; none unless given"),
    key("callers", "runs the tasks of the recording as callers at once"),
    key_of(
        "pressure",
        "callers",
        "callers that ask at once, or several numbers of them (2,4,8): an experiment of its own",
    ),
    key("lock", "what is locked around alloc_contig_range; the lock of linux= unless given"),
    key("requests", "requests of each caller; 4 unless given"),
    key("schedules", "tries every order of the callers' steps with at most N switches"),
    key("schedule", "runs one order of the callers' steps, as schedules= prints it"),
    key("work", "work items that need a mutex which the first caller's driver holds around its requests"),
];

/// Returns the row of key `name` for `command`.
pub fn key_of_command(command: &str, name: &str) -> Option<&'static Key> {
    let rows = || KEYS.iter().filter(move |key| key.name == name);
    rows().find(|key| key.of == command).or_else(|| rows().find(|key| key.of.is_empty()))
}
