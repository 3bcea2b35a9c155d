//! Every command: what it takes, what it does, and an example that works. `help` prints this table, the executor checks
//! words and keys against it, and completion reads its names.

use super::syntax::MAX_WORDS;

/// One command.
#[derive(Debug)]
pub struct Entry {
    /// What is typed.
    pub name: &'static str,
    /// How it is written: words and keys, those in brackets if one likes. The keys that it takes are those named here.
    pub usage: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// More, if there is more to say.
    pub details: &'static str,
    /// A line that can be typed.
    pub example: &'static str,
    /// Fewest words it takes.
    pub least_words: usize,
    /// Most words it takes.
    pub most_words: usize,
}

impl Entry {
    /// What stands in its usage behind the name, without brackets.
    pub fn specs(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.usage.split_ascii_whitespace().skip(1).map(|word| word.trim_start_matches('[').trim_end_matches(']'))
    }

    /// The keys it takes.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.specs().filter_map(|spec| spec.split_once('=')).map(|(key, _)| key)
    }

    /// The place of the word that names an area, if there is one.
    pub fn area_place(&self) -> Option<usize> {
        self.specs().filter(|spec| !spec.contains('=')).position(|spec| spec == "AREA")
    }

    /// True where a word with a `=` in it is a word like others.
    pub fn takes_any_word(&self) -> bool {
        self.usage.contains("WORD")
    }
}

/// The usage of a load: its own keys, and those of all loads.
macro_rules! load_usage {
    ($own:literal) => {
        concat!(
            $own,
            " [area=NAME] [seed=1577527915] [rng=glibc|wyrand] [align=order|page|ORDER] [placement=NAME]",
            " [until=failure|ops] [ops=5000000] [rounds=1] [sample=N] [bitmap=off|on] [relocatable=1000] [timed=1] [&]"
        )
    };
}

/// All commands, in the order `help` lists them.
pub const COMMANDS: [Entry; 30] = [
    Entry {
        name: "debris",
        usage: load_usage!("debris [scale=none|slots|sizes|both] [slots=255]"),
        summary: "fills and empties 255 slots at random until the area is in ruins",
        details: "The published experiment. Its live buffers are leaked on purpose and stay until `release all`. A \
                  round ends at the first request that fails, or after ops= steps; until=ops, which needs ops=, goes \
                  on after failures. rounds=0: again with the next seed, until a round makes no allocation; rounds=N: \
                  so many, or until ten in a row make none. Without area= it is the one that a device names, else the \
                  default area, else the first (a default area that nobody asked for is the last choice); without \
                  placement=, the area's own. sample=N: a `sample` record after \
                  every N steps, with the free runs by length and the fragmentation indices by order. bitmap=on: the \
                  bitmap before and after each round. Ctrl-C stops between two steps. With & at its end it runs in \
                  the background: see `help jobs`. scale=slots: as many more slots as the area is larger than 8 MiB; \
                  scale=sizes: as many times larger ones; scale=both: some of each, 8 times as many and 8 times larger \
                  ones on 512 MiB; slots=N: N of the published sizes. relocatable=N: under \
                  placement=relocate the buffers of so many slots in a thousand may be moved to make room. timed=N: \
                  one call in N is timed, for the means; reading the clock takes as long in QEMU as many a call.",
        example: "debris seed=1 until=ops ops=20000",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "camera",
        usage: load_usage!("camera [frames=4] [frame=PAGES] [small=128] [most=PAGES] [gap=16]"),
        summary: "large frames, few, come and go, with small buffers between",
        details: "Every gap= steps one of frames= frames, drawn, of frame= pages (an eighth of the area), is made, or \
                  given back if it is there; all other steps are those of one of small= buffers of 1 to most= pages \
                  (1/128 of the area). The other keys are those of debris.",
        example: "camera until=ops ops=2000",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "decoder",
        usage: load_usage!("decoder [pools=2] [buffers=8] [frame=PAGES]"),
        summary: "re-makes pools of equal buffers when a video's resolution changes",
        details: "A change draws one of pools= pools and another size for its buffers= buffers, and gives them back \
                  and makes them again one by one. Sizes are as those of 1080, 720, 480 and 360 lines; frame= is the \
                  largest (3/64 of the area, so that all together take three quarters of it). The other keys are \
                  those of debris.",
        example: "decoder until=ops ops=2000",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "random",
        usage: load_usage!(
            "random [sizes=orders|uniform|powers] [least=1] [most=PAGES] [life=N] [lifetime=exponential|fixed]"
        ),
        summary: "buffers of random sizes live for so many allocations each",
        details: "Sizes from least= to most= pages (1/64 of the area): orders, each power of two and what lies up to \
                  the next is as likely as any other; uniform, each size; powers, powers of two only. A buffer lives \
                  for life= allocations on average (2048 at most; as many as fill half of the area): exponential, \
                  whatever its age; fixed, exactly. The other keys are those of debris.",
        example: "random sizes=uniform until=ops ops=2000",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "compare",
        usage: "compare [placements=NAME,NAME] [load=debris|camera|decoder|random] [seeds=10] [area=NAME] \
                [seed=1577527915] [rng=glibc|wyrand] [align=order|page|ORDER] [until=failure|ops] [ops=10000000] \
                [relocatable=1000] [scale=none|slots|sizes|both] [slots=255] [frames=4] [frame=PAGES] [small=128] \
                [most=PAGES] [gap=16] [pools=2] [buffers=8] [sizes=orders|uniform|powers] [least=1] [life=N] \
                [lifetime=exponential|fixed] [timed=1]",
        summary: "runs a load with the same seeds under several placements",
        details: "Each load begins on an empty area. Prints allocations to the first failure (least, quartiles, \
                  most), how full the area was then, its longest free run, and the cost of an allocation. A load that \
                  does not fail within ops= steps survived. Ctrl-C prints what is done. Without placements= all are \
                  compared: first-fit, next-fit, best-fit, worst-fit, zoned[:1:5:9], size-classes[:1:5:9], \
                  two-ended[:24], spare-heads, relocate[:first-fit]. scale=, slots=, relocatable= and timed= as for \
                  debris, and the parameters of the other loads as for those.",
        example: "compare placements=first-fit,zoned seeds=2 ops=20000",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "jobs",
        usage: "jobs",
        summary: "lists the loads that run in the background",
        details: "debris, camera, decoder and random become jobs with & at their end, one an area. They go on while \
                  the prompt waits, and for 1000 steps after each command. What they have to say comes before the \
                  next prompt, or at once where nothing is typed. Other experiments refuse an area with a job, and \
                  what fills all memory or uses every area refuses any job. poweroff and reboot stop all, and print \
                  what they did.",
        example: "debris rounds=0 & ; cat /proc/meminfo | grep Cma; jobs",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "stop",
        usage: "stop [N|all]",
        summary: "ends a job, or all, and prints what it did",
        details: "Without a number the only one. Its buffers stay, as those of any load.",
        example: "stop all",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "wait",
        usage: "wait [N|all] [steps=N]",
        summary: "lets the jobs go on until one, or all, is over",
        details: "With steps=, for so many steps at most. Ctrl-C ends the waiting, and the jobs go on.",
        example: "wait steps=5000",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "replay",
        usage: "replay [area=NAME] [placement=NAME] [align=asis|order|page] [held=refuse|release] [from=RECORDED] \
                [relocatable=1000]",
        summary: "replays the trace in the initrd on an empty area; its buffers stay",
        details: "The trace is lines `a ID PAGES ALIGN_ORDER` and `r ID`, or the text of Linux's ftrace with the \
                  events cma_alloc_finish and cma_release; which of them is seen by itself. Without area= a recording \
                  goes to the area of its name, and where there is none to the one that other commands take; a line \
                  then says on which area it was recorded. from= is the recorded area, where there are several and \
                  none has the name of the area that is replayed on. held=release gives a buffer back where its ID is \
                  allocated again, held=refuse makes that an error of the trace; refuse is the default only for a \
                  plain trace under first-fit and align=asis, where an ID is free again if its request failed when it \
                  was recorded. relocatable=N: under placement=relocate the buffers of so many IDs in a thousand may \
                  be moved to make room. A bad trace changes nothing.",
        example: "replay align=page",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "bitmap",
        usage: "bitmap [AREA]",
        summary: "shows which pages of an area are used",
        details: "X is a used page and . a free one, 64 to the row, lowest first; the index counts 32-bit words.",
        example: "bitmap BiscuitOS_cma",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "picture",
        usage: "picture [AREA] [width=64] [pages=PAGES]",
        summary: "shows an area at a glance, one character for many pages",
        details: "Rows stand under the offset of their first page. Without pages=, so many pages of a character are \
                  chosen that the picture fits a screen.",
        example: "picture BiscuitOS_cma",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "metrics",
        usage: "metrics [AREA]",
        summary: "shows how fragmented an area is: free runs, Gorman's indices",
        details: "Unusable free: the part of the free pages that cannot serve an aligned block of that order. \
                  Fragmentation index, where none is left: near 0 for lack of memory, near 1 because it is \
                  scattered.",
        example: "metrics BiscuitOS_cma",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "cma",
        usage: "cma",
        summary: "lists the areas: base, pages, used, longest free run, placement",
        details: "",
        example: "cma",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "alloc",
        usage: "alloc AREA PAGES [ALIGN_ORDER]",
        summary: "allocates contiguous pages by hand",
        details: "Aligned by the order of its size, capped at 8, unless told. Prints the ID for `release`.",
        example: "alloc BiscuitOS_cma 64 0",
        least_words: 2,
        most_words: 3,
    },
    Entry {
        name: "release",
        usage: "release ID|all [AREA]",
        summary: "gives a buffer back, or all buffers of an area, or of every area",
        details: "Leaked buffers of loads are among them. `release all` without an AREA means every area.",
        example: "release all BiscuitOS_cma",
        least_words: 1,
        most_words: 2,
    },
    Entry {
        name: "dma",
        usage: "dma [alloc|free] [DEVICE|ADDRESS|all] [SIZE]",
        summary: "what drivers have of memory; buffers as a driver gets them",
        details: "`dma alloc DEVICE SIZE`, `dma free ADDRESS` or `all`; alone it lists. DEVICE is a node of the \
                  device tree. A device's own area serves it (memory-region, CMA-name), any other device the default \
                  area, single pages and what an area refuses the page allocator. SIZE is in bytes or with K, M, G; \
                  ADDRESS is the device's. What the checker has seen (check=on) is listed last. Linux's view: \
                  /sys/kernel/debug/dma-api.",
        example: "dma alloc BiscuitOS_CMA 1M",
        least_words: 0,
        most_words: 3,
    },
    Entry {
        name: "cat",
        usage: "cat PATH...",
        summary: "prints pseudo files",
        details: "`ls` shows which there are, and Tab completes their paths.",
        example: "cat /proc/meminfo | grep Cma",
        least_words: 1,
        most_words: MAX_WORDS,
    },
    Entry {
        name: "ls",
        usage: "ls [PATH]",
        summary: "lists pseudo files",
        details: "",
        example: "ls /proc",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "echo",
        usage: "echo WORD... [> PATH]",
        summary: "prints words, or writes a number to a pseudo file",
        details: "To `alloc` or `free` of /sys/kernel/debug/cma/NAME: allocates so many pages, or frees so many of \
                  those allocated last. To /sys/kernel/tracing/events/cma/enable: 1 begins to trace, 0 stops; to \
                  /sys/kernel/tracing/trace: 0 forgets the events.",
        example: "echo 16 > /sys/kernel/debug/cma/BiscuitOS_cma/alloc",
        least_words: 0,
        most_words: MAX_WORDS,
    },
    Entry {
        name: "pressure",
        usage: "pressure latency|underuse|reliability|integrity [area=NAME] [pages=PAGES] [fill=PAGES] [rounds=N] \
                [seed=1] [cma_use=half|fallback|first] [lend=movable|clean|none] [with=idle|movable|clean|mixed] \
                [source=reserved|buddy|cma] [pins=PAGES] [sabotage=copy|tlb|mapping]",
        summary: "fills memory with movable and reclaimable pages while CMA allocates",
        details: "latency: what a buffer of `pages` costs, phase by phase, by what fills the areas (with=). underuse: \
                  kills, and CMA pages free at the first one, by cma_use=. reliability: a driver's large buffer in a \
                  full system, by source=, cma_use=, lend= and pins=; pages= is 6656 (26 MiB), or the whole area \
                  where that is smaller; pins=, pages that cannot move, are 0, 1 and 100. integrity: whether every \
                  page survives; with sabotage= migration leaves a step out; pages= is the largest buffer, the whole \
                  area unless told. Without a key its values are tried in turn; rounds= are 4, 64, 16 and 16, and \
                  fill= is the pages that are lived in, as many as there are. Where no page is left and none can be \
                  reclaimed, the object with the most memory is killed, its pages and the kernel's for it together, \
                  and of several the one made last. cat /sys/kernel/tracing/trace shows what was traced.",
        example: "pressure latency pages=64 with=movable",
        least_words: 1,
        most_words: 1,
    },
    Entry {
        name: "copytest",
        usage: "copytest [files=5] [size=BYTES] [source=NAME] [seed=1] [pinning=on|off]",
        summary: "copies a file of the disk several times, and compares checksums",
        details: "Reads each copy and the original twice before it is synced, twice after, and twice after the cache \
                  has dropped it; meanwhile a driver allocates from every area, and pages migrate while the disk owns \
                  others. The copies stay on the disk as copy.1, copy.2 and so on, for scripts/disk-image verify, and \
                  replace files of those names, as many as files= says; others stay. \
                  source= is the disk's first file, and size= all of it; size= takes K, M and G. pinning=off lets \
                  pages move that the disk owns: the checksums are then wrong, every time. Needs DISK=disk.img.",
        example: "copytest files=2 size=8M",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "disk",
        usage: "disk [list|check|bench] [pages=1024]",
        summary: "shows the disk and its files",
        details: "check: reads every file and compares its CRC-32 with the table of files. bench: reads and writes so \
                  many pages in their order, through the cache. Ctrl-C stops a disk, for good, that has not answered \
                  two seconds later. Needs DISK=disk.img; scripts/disk-image makes one.",
        example: "disk check",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "bench",
        usage: "bench [NAME...]",
        summary: "measures single operations",
        details: "A NAME is one benchmark (cma/64) or a group (cma); without one, all run that have an area of the \
                  size they need. Everything is left as it was found. `make bench` counts instructions on areas of \
                  every size.",
        example: "bench cma/64 buddy",
        least_words: 0,
        most_words: MAX_WORDS,
    },
    Entry {
        name: "selftest",
        usage: "selftest [NAME]",
        summary: "runs the kernel's tests and prints KTAP",
        details: "NAME is a test's, or the first word of several: books, buddy, cma, live, dma. A test that finds no \
                  area that it can use, or too little memory, says `# SKIP` and why.",
        example: "selftest",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "fault",
        usage: "fault stack|null|text|exec|unaligned|undefined|svc|irq|panic",
        summary: "takes a fault on purpose; ends with status 101",
        details: "",
        example: "fault null",
        least_words: 1,
        most_words: 1,
    },
    Entry {
        name: "help",
        usage: "help [COMMAND]",
        summary: "lists the commands, or explains one",
        details: "`COMMAND | grep WORD` prints the lines that hold WORD; `;` separates commands. An area is named by \
                  area=NAME or by NAME alone, in every command that takes one. Tab completes what \
                  is typed, or lists what it could be; the arrows edit the line and bring former ones back; Ctrl-E, \
                  K, U, W and L do what they do in a shell, and so does Ctrl-A (twice, where QEMU keeps the first for \
                  itself); Ctrl-C drops the line, and stops what runs.",
        example: "help debris",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "grep",
        usage: "grep [-i] [-v] [-c] WORD PATH...",
        summary: "prints the lines of files, or of another command, that hold a word",
        details: "Behind another command: COMMAND | grep [-i] [-v] [-c] WORD. In WORD, ^ and $ are the ends of a line, \
                  . is any character, .* is anything, \\. is a dot, and all else is what it is. -i: capitals or not; \
                  -v: the other lines; -c: their number.",
        example: "cat /proc/vmstat | grep cma",
        least_words: 2,
        most_words: MAX_WORDS,
    },
    Entry {
        name: "version",
        usage: "version",
        summary: "says what this is",
        details: "",
        example: "version",
        least_words: 0,
        most_words: 0,
    },
    Entry {
        name: "poweroff",
        usage: "poweroff [STATUS]",
        summary: "ends QEMU with a status from 0 to 255",
        details: "Without one: with the largest status that the commands of run= met. So does Ctrl-D in an empty line, \
                  and the end of what is piped in.",
        example: "poweroff",
        least_words: 0,
        most_words: 1,
    },
    Entry {
        name: "reboot",
        usage: "reboot",
        summary: "starts the machine again",
        details: "",
        example: "reboot",
        least_words: 0,
        most_words: 0,
    },
];

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    COMMANDS.iter().find(|entry| entry.name == name)
}
