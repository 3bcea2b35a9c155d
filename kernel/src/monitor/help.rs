//! Every command: what it takes, what it does, and an example that works. `help` prints this table, the executor checks
//! words and keys against it, and completion reads its names.

use super::syntax::MAX_WORDS;

/// One command.
#[derive(Debug)]
pub struct Entry {
    /// What is typed.
    pub name: &'static str,
    /// How it is written.
    pub usage: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// More, if there is more to say.
    pub details: &'static str,
    /// A line that can be typed.
    pub example: &'static str,
    /// The keys it takes.
    pub keys: &'static [&'static str],
    /// Fewest words it takes.
    pub least_words: usize,
    /// Most words it takes.
    pub most_words: usize,
}

/// All commands, in the order `help` lists them.
pub const COMMANDS: [Entry; 23] = [
    Entry {
        name: "debris",
        usage: "debris [area=] [seed=1577527915] [rng=glibc|wyrand] [align=order|page|ORDER] [placement=NAME] \
                [until=failure|ops] [ops=] [rounds=1] [sample=N]",
        summary: "fills and empties 255 slots at random until the area is in ruins",
        details: "The published experiment. Its live buffers are leaked on purpose and stay until `release all`. rounds=0: \
                  again with the next seed, until a round makes no allocation. sample=N: a `sample` record after every N \
                  steps, with the free runs by length and the fragmentation indices by order. Ctrl-C stops between two \
                  steps.",
        example: "debris seed=1 until=ops ops=20000",
        keys: &["area", "seed", "rng", "align", "placement", "until", "ops", "rounds", "sample"],
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "compare",
        usage: "compare [placements=NAME,NAME] [seeds=10] [area=] [seed=1577527915] [rng=glibc|wyrand] \
                [align=order|page|ORDER] [until=failure|ops] [ops=10000000]",
        summary: "runs the debris load with the same seeds under several placements, as one table",
        details: "Each load begins on an empty area. Prints allocations to the first failure (least, quartiles, most), how \
                  full the area was then, its longest free run, and the cost of an allocation. A load that does not fail \
                  within ops= steps survived. Ctrl-C prints what is done. Without placements= all are compared: first-fit, \
                  next-fit, best-fit, worst-fit, zoned[:1:5:9], size-classes[:1:5:9], two-ended[:24], spare-heads.",
        example: "compare placements=first-fit,zoned seeds=2 ops=20000",
        keys: &["placements", "seeds", "area", "seed", "rng", "align", "until", "ops"],
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "replay",
        usage: "replay [area=] [placement=NAME] [align=asis|order|page]",
        summary: "replays the trace in the initrd on an empty area, and leaves its buffers",
        details: "A line of a trace is `a ID PAGES ALIGN_ORDER` or `r ID`. A bad trace changes nothing.",
        example: "replay align=page",
        keys: &["area", "placement", "align"],
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "bitmap",
        usage: "bitmap [AREA]",
        summary: "shows which pages of an area are used",
        details: "X is a used page and . a free one, 64 to the row, lowest first; the index counts 32-bit words.",
        example: "bitmap BiscuitOS_cma",
        keys: &[],
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "metrics",
        usage: "metrics [AREA]",
        summary: "shows how fragmented an area is: free runs by length, Gorman's indices by order",
        details: "Unusable free: the part of the free pages that cannot serve an aligned block of that order. Fragmentation \
                  index, where none is left: near 0 for lack of memory, near 1 because it is scattered.",
        example: "metrics BiscuitOS_cma",
        keys: &[],
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "cma",
        usage: "cma",
        summary: "lists the areas: base, pages, used, longest free run, placement",
        details: "",
        example: "cma",
        keys: &[],
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "alloc",
        usage: "alloc AREA PAGES [ALIGN_ORDER]",
        summary: "allocates contiguous pages by hand",
        details: "Aligned by the order of its size, capped at 8, unless told. Prints the ID for `release`.",
        example: "alloc BiscuitOS_cma 64 0",
        keys: &[],
        least_words: 2,
        most_words: 3,
    },
    Entry {
        name: "release",
        usage: "release ID|all [AREA]",
        summary: "gives a buffer back, or all buffers of an area",
        details: "Leaked buffers of loads are among them.",
        example: "release all BiscuitOS_cma",
        keys: &[],
        least_words: 1,
        most_words: 2,
    },
    Entry {
        name: "dma",
        usage: "dma [alloc DEVICE SIZE] [free ADDRESS|all]",
        summary: "lists devices, their areas, buffers and mappings; allocates and frees buffers as a driver would",
        details: "A device's own area serves it (memory-region, CMA-name), any other device the default area, single pages \
                  and what an area refuses the page allocator. SIZE is in bytes or with K, M, G; ADDRESS is the device's. \
                  What the checker has seen (check=on) is listed last. Linux's view: /sys/kernel/debug/dma-api.",
        example: "dma alloc BiscuitOS_CMA 1M",
        keys: &[],
        least_words: 0,
        most_words: 3,
    },
    Entry {
        name: "cat",
        usage: "cat PATH",
        summary: "prints a pseudo file",
        details: "`ls` shows which there are.",
        example: "cat /proc/meminfo | grep Cma",
        keys: &[],
        least_words: 1,
        most_words: 1,
    },
    Entry {
        name: "ls",
        usage: "ls [PATH]",
        summary: "lists pseudo files",
        details: "",
        example: "ls /proc",
        keys: &[],
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "echo",
        usage: "echo N > PATH",
        summary: "writes a number to a pseudo file",
        details: "To `alloc` or `free` of /sys/kernel/debug/cma/NAME: allocates so many pages, or frees so many of those \
                  allocated last. To /sys/kernel/tracing/events/cma/enable: 1 begins to trace, 0 stops; to \
                  /sys/kernel/tracing/trace: 0 forgets the events.",
        example: "echo 16 > /sys/kernel/debug/cma/BiscuitOS_cma/alloc",
        keys: &[],
        least_words: 3,
        most_words: 3,
    },
    Entry {
        name: "pressure",
        usage: "pressure latency|underuse|reliability|integrity [area=] [pages=] [fill=] [rounds=] [seed=1] \
                [cma_use=half|fallback|first] [lend=movable|clean|none] [with=idle|movable|clean|mixed] \
                [source=reserved|buddy|cma] [pins=] [sabotage=copy|tlb|mapping]",
        summary: "fills memory with movable and reclaimable pages while CMA allocates",
        details: "latency: what a buffer of `pages` costs, phase by phase, by what fills the areas (with=). underuse: kills, \
                  and CMA pages free at the first one, by cma_use=. reliability: a driver's large buffer in a full system, by \
                  source=, cma_use=, lend= and pins=. integrity: whether every page survives; with sabotage= migration leaves \
                  a step out. Without a key its values are tried in turn. fill= is in pages. cat /sys/kernel/tracing/trace \
                  shows what was traced.",
        example: "pressure latency pages=64 with=movable",
        keys: &["area", "pages", "fill", "rounds", "seed", "cma_use", "lend", "with", "source", "pins", "sabotage"],
        least_words: 1,
        most_words: 1,
    },
    Entry {
        name: "copytest",
        usage: "copytest [files=5] [size=BYTES] [source=NAME] [seed=1] [pinning=on|off]",
        summary: "copies a file of the disk several times while CMA allocates, and compares checksums",
        details: "Reads each copy and the original twice before it is synced, twice after, and twice after the cache has \
                  dropped it; meanwhile a driver allocates from every area, and pages migrate while the disk owns others. \
                  The copies stay on the disk as copy.1, copy.2 and so on, for scripts/disk-image verify. size= takes K, M \
                  and G. pinning=off lets pages move that the disk owns: the checksums are then wrong. Needs DISK=disk.img.",
        example: "copytest files=2 size=8M",
        keys: &["files", "size", "source", "seed", "pinning"],
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "disk",
        usage: "disk [list|check|bench] [pages=1024]",
        summary: "shows the disk and its files",
        details: "check: reads every file and compares its CRC-32 with the table of files. bench: reads and writes so many \
                  pages in their order, through the cache. Ctrl-C stops a disk, for good, that has not answered two seconds \
                  later. Needs DISK=disk.img; scripts/disk-image makes one.",
        example: "disk check",
        keys: &["pages"],
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "bench",
        usage: "bench [NAME...]",
        summary: "measures single operations",
        details: "A NAME is one benchmark (cma/64) or a group (cma); without one, all run that have an area of the size they \
                  need. Everything is left as it was found. `make bench` counts instructions on areas of every size.",
        example: "bench cma/64 buddy",
        keys: &[],
        least_words: 0,
        most_words: MAX_WORDS,
    },
    Entry {
        name: "selftest",
        usage: "selftest [NAME]",
        summary: "runs the kernel's tests and prints KTAP",
        details: "NAME is a test's, or the first word of several: books, buddy, cma, live, dma.",
        example: "selftest",
        keys: &[],
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "fault",
        usage: "fault stack|null|text|exec|unaligned|undefined|svc|irq|panic",
        summary: "takes a fault on purpose; ends with status 101",
        details: "",
        example: "fault null",
        keys: &[],
        least_words: 1,
        most_words: 1,
    },
    Entry {
        name: "help",
        usage: "help [COMMAND]",
        summary: "lists the commands, or explains one",
        details: "`COMMAND | grep WORD` prints the lines that hold WORD; `;` separates commands.",
        example: "help debris",
        keys: &[],
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "grep",
        usage: "COMMAND | grep WORD",
        summary: "prints the lines of another command that hold a word",
        details: "",
        example: "cat /proc/vmstat | grep cma",
        keys: &[],
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "version",
        usage: "version",
        summary: "says what this is",
        details: "",
        example: "version",
        keys: &[],
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "poweroff",
        usage: "poweroff [STATUS]",
        summary: "ends QEMU with a status from 0 to 255",
        details: "Without one: with the largest status that the commands of run= met.",
        example: "poweroff",
        keys: &[],
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "reboot",
        usage: "reboot",
        summary: "starts the machine again",
        details: "",
        example: "reboot",
        keys: &[],
        least_words: 0,
        most_words: 0,
    },
];

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    COMMANDS.iter().find(|entry| entry.name == name)
}
