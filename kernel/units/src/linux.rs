// SPDX-License-Identifier: MIT OR Apache-2.0

//! The versions of Linux that are modelled, and a table of the differences between them.
//!
//! Placements, candidates, bitmaps and free lists are the same in all versions and have one model.
//! Order, wording, and a few rules of the device tree's reserved memory differ: these are fields of
//! [`Differences`], which the code concerned reads. Each field says where the difference was seen
//! (a boot of that kernel on this board) or read (its source).
//!
//! ```
//! use units::linux::LinuxVersion;
//!
//! assert_eq!(LinuxVersion::parse("7.2"), Some(LinuxVersion::V7_2));
//! assert_eq!(LinuxVersion::default().name(), "6.1");
//! assert!(LinuxVersion::V6_12.differences().fixed_pools_late);
//! ```

use core::fmt;

/// A version of Linux. All but 5.15 were booted on this board and compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinuxVersion {
    /// 5.15 as released: it holds no mutex around `alloc_contig_range`. Its stable series has the
    /// mutex from 5.15.49 on. Read, not booted.
    V5_15,
    /// 6.1.192.
    #[default]
    V6_1,
    /// 6.12.107.
    V6_12,
    /// 7.2.13.
    V7_2,
}

impl LinuxVersion {
    /// All versions, the oldest first.
    pub const ALL: [Self; 4] = [Self::V5_15, Self::V6_1, Self::V6_12, Self::V7_2];

    /// The values of `linux=`.
    pub const NAMES: &str = "5.15, 6.1, 6.12 or 7.2";

    /// Returns the version with a name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }

    /// Returns its value of `linux=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5_15 => "5.15",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7_2 => "7.2",
        }
    }

    /// Returns the differences of this version.
    pub const fn differences(self) -> &'static Differences {
        match self {
            Self::V5_15 => &V5_15,
            Self::V6_1 => &V6_1,
            Self::V6_12 => &V6_12,
            Self::V7_2 => &V7_2,
        }
    }
}

impl fmt::Display for LinuxVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Linux's treatment of a node of `/reserved-memory` whose `reg` has more than one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegEntries {
    /// All are reserved; the first becomes the region.
    All,
    /// All are reserved; the first becomes the region, and a line then says how many are ignored.
    AllWithLine,
    /// Only the first is reserved, with a line.
    First,
}

/// The lock that is held around `alloc_contig_range`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContigLock {
    /// None: Linux 5.13 to 5.17.
    None,
    /// One mutex for all areas: Linux until 5.12, and 5.18 to 6.14.
    Global,
    /// One mutex for each area: Linux since 6.15.
    Area,
}

impl ContigLock {
    /// Every lock.
    pub const ALL: [Self; 3] = [Self::None, Self::Global, Self::Area];

    /// Returns its value of `lock=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Global => "global",
            Self::Area => "area",
        }
    }
}

/// The treatment of a node with `linux,cma-default` that `cma=` replaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bypass {
    /// The node is placed, refused and freed, with a line that names it.
    Refused,
    /// The node is skipped before it is placed.
    Skipped,
}

/// Differences between the versions.
#[derive(PartialEq, Eq, Debug)]
pub struct Differences {
    /// Regions are sorted by base and size before dynamic ones are placed, with a heap sort, which
    /// does not keep the order of equal ones. If not set, dynamic regions are placed in the tree's
    /// order. Seen: 6.1 against 6.12 and 7.2, all trees.
    pub sorts_regions: bool,
    /// Fixed regions become pools after the dynamic ones and after the default area, in the tree's
    /// order. Seen: 6.12, 7.2.
    pub fixed_pools_late: bool,
    /// Most regions; those beyond stay reserved but do not become pools. Seen: 70 fixed nodes, 6.1
    /// and 7.2. Read: 6.12.
    pub max_regions: Option<usize>,
    /// An alloc-range that begins, but does not end, at an existing region is searched from its
    /// lowest address. Read: 6.12, 7.2 (of_reserved_mem.c).
    pub grows_from_neighbours: bool,
    /// A line is written for each region: range, `map` or `nomap`, `reusable` or `non-reusable`.
    /// Seen: 6.12, 7.2.
    pub says_regions: bool,
    /// The prefix of the scan's lines (that of their source file). Seen: all.
    pub scan_prefix: &'static str,
    /// An unsupported `/reserved-memory` is reported twice, in the scan and when fixed pools are
    /// made. Seen: 6.12, 7.2.
    pub says_unsupported_twice: bool,
    /// Treatment of `reg` with more than one entry. Seen: all (the line in 6.12 and 7.2).
    pub reg_entries: RegEntries,
    /// A malformed `alloc-ranges` counts as absent, and a malformed or empty `reg` as well. Seen:
    /// 7.2.
    pub ignores_malformed: bool,
    /// An empty `reg` is read beyond its end: the words of the next property in the blob become
    /// base and size. Seen: 6.12.
    pub reads_beyond_empty_reg: bool,
    /// Treatment of `linux,cma-default` with `cma=`. Seen: all.
    pub bypass: Bypass,
    /// A pool that is both `reusable` and `no-map` is a plain region; if not set, it is refused.
    /// Seen: 7.2.
    pub reusable_no_map_is_plain: bool,
    /// `cma: Reserved` and `cma: Failed to reserve` print the size asked for; if not set, the
    /// area's. Seen: 7.2.
    pub says_size_asked: bool,
    /// The line of a region that cannot be placed ends with its size. Read: not yet in 5.15. Seen:
    /// the others.
    pub says_size_that_failed: bool,
    /// The end of `cma: Reserved` and `cma: Failed to reserve`. Seen: 6.12 (`CONFIG_NUMA` or not).
    pub node_suffix: &'static str,
    /// `cma_alloc_start` has `request_count`, `available_count` and `total_count`; if not set,
    /// `count`. Seen: 7.2.
    pub start_has_counts: bool,
    /// `cma_alloc_finish` has `errorno`. Seen: 6.12, 7.2.
    pub finish_has_errorno: bool,
    /// `cma_alloc_finish` of a failure has the frame of the last candidate, or all ones if there
    /// was none; if not set, 0. Seen: 6.1 and 6.12 against 7.2.
    pub finish_has_last_pfn: bool,
    /// `mm_alloc_contig_migrate_range_info` exists. Read: only 6.12.
    pub has_migrate_range_info: bool,
    /// A request larger than the area writes `cma_alloc_finish`. Seen: 7.2. (6.1 and 6.12 return
    /// before it.)
    pub finishes_too_large: bool,
    /// The error of a search that finds no room, as a positive number: ENOMEM or EBUSY. Seen: 6.12
    /// -12, 7.2 -16.
    pub errno_no_room: i32,
    /// A request larger than the area counts as a failure. Seen: 6.1, 7.2. Read and seen: 6.12 does
    /// not count it.
    pub counts_too_large: bool,
    /// The lock that is held around `alloc_contig_range`. Read: all.
    pub lock: ContigLock,
    /// Files of `/sys/kernel/mm/cma/NAME` that this version lacks. Read: 6.12 and 7.2
    /// (cma_sysfs.c).
    pub missing_files: &'static [&'static str],
}

/// Out of memory.
const ENOMEM: i32 = 12;
/// Busy.
const EBUSY: i32 = 16;

/// The values of Linux 5.15: 6.1 without the mutex, and without one size in a line.
static V5_15: Differences = Differences { says_size_that_failed: false, lock: ContigLock::None, ..V6_1_VALUES };

/// The values of Linux 6.1.192.
static V6_1: Differences = V6_1_VALUES;

/// The values that 5.15 and 6.1 have in common.
const V6_1_VALUES: Differences = Differences {
    sorts_regions: true,
    fixed_pools_late: false,
    max_regions: Some(64),
    grows_from_neighbours: false,
    says_regions: false,
    scan_prefix: "OF: fdt: ",
    says_unsupported_twice: false,
    reg_entries: RegEntries::All,
    ignores_malformed: false,
    reads_beyond_empty_reg: false,
    bypass: Bypass::Refused,
    reusable_no_map_is_plain: false,
    says_size_asked: false,
    says_size_that_failed: true,
    node_suffix: "",
    start_has_counts: false,
    finish_has_errorno: false,
    finish_has_last_pfn: true,
    has_migrate_range_info: false,
    finishes_too_large: false,
    errno_no_room: ENOMEM,
    counts_too_large: true,
    lock: ContigLock::Global,
    missing_files: &["release_pages_success", "total_pages", "available_pages"],
};

/// The values of Linux 6.12.107.
static V6_12: Differences = Differences {
    sorts_regions: false,
    fixed_pools_late: true,
    max_regions: None,
    grows_from_neighbours: true,
    says_regions: true,
    scan_prefix: "OF: reserved mem: ",
    says_unsupported_twice: true,
    reg_entries: RegEntries::AllWithLine,
    ignores_malformed: false,
    reads_beyond_empty_reg: true,
    bypass: Bypass::Refused,
    reusable_no_map_is_plain: false,
    says_size_asked: false,
    says_size_that_failed: true,
    node_suffix: " on node -1",
    start_has_counts: false,
    finish_has_errorno: true,
    finish_has_last_pfn: true,
    has_migrate_range_info: true,
    finishes_too_large: false,
    errno_no_room: ENOMEM,
    counts_too_large: false,
    lock: ContigLock::Global,
    missing_files: &["total_pages", "available_pages"],
};

/// The values of Linux 7.2.13.
static V7_2: Differences = Differences {
    sorts_regions: false,
    fixed_pools_late: true,
    max_regions: None,
    grows_from_neighbours: true,
    says_regions: true,
    scan_prefix: "OF: reserved mem: ",
    says_unsupported_twice: true,
    reg_entries: RegEntries::First,
    ignores_malformed: true,
    reads_beyond_empty_reg: false,
    bypass: Bypass::Skipped,
    reusable_no_map_is_plain: true,
    says_size_asked: true,
    says_size_that_failed: true,
    node_suffix: "",
    start_has_counts: true,
    finish_has_errorno: true,
    finish_has_last_pfn: false,
    has_migrate_range_info: false,
    finishes_too_large: true,
    errno_no_room: EBUSY,
    counts_too_large: true,
    lock: ContigLock::Area,
    missing_files: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_nothing_else_is_a_version() {
        for version in LinuxVersion::ALL {
            assert_eq!(LinuxVersion::parse(version.name()), Some(version));
        }
        for wrong in ["", "6", "6.1.192", "6.10", "7.2 ", "v6.1"] {
            assert_eq!(LinuxVersion::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_version_differs_from_every_other() {
        for version in LinuxVersion::ALL {
            let like_it = LinuxVersion::ALL.into_iter().filter(|other| other.differences() == version.differences());
            assert_eq!(like_it.count(), 1, "{version}");
        }
    }

    #[test]
    fn each_version_has_its_lock() {
        let locks = LinuxVersion::ALL.map(|version| version.differences().lock.name());
        assert_eq!(locks, ["none", "global", "global", "area"]);
    }
}
