// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/proc`: memory in the format that `free`, `watch` and scripts read (`fs/proc/meminfo.c`,
//! `mm/vmstat.c`).

use core::fmt;

use super::{PseudoFile, Read, Write};
use page_alloc::{MAX_PAGE_ORDER, Migratetype, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES};
use system::System;
use units::PAGE_SIZE;

pub(super) const ENTRIES: &[PseudoFile] = &[
    PseudoFile { path: "/proc/buddyinfo", read: Read::System(buddyinfo), write: Write::No },
    PseudoFile {
        path: "/proc/cmdline",
        read: Read::Boot(|out, context| writeln!(out, "{}", context.cmdline)),
        write: Write::No,
    },
    PseudoFile {
        path: "/proc/iomem",
        read: Read::Boot(|out, context| whole_lines(out, context.iomem)),
        write: Write::No,
    },
    PseudoFile { path: "/proc/meminfo", read: Read::System(meminfo), write: Write::No },
    PseudoFile { path: "/proc/pagetypeinfo", read: Read::System(pagetypeinfo), write: Write::No },
    PseudoFile { path: "/proc/vmstat", read: Read::System(vmstat), write: Write::No },
];

fn whole_lines(out: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    out.write_str(text)?;
    if text.is_empty() || text.ends_with('\n') { Ok(()) } else { out.write_char('\n') }
}

/// Prints the rows that apply here, in Linux's order. Buffers and swap do not exist; their rows
/// that every tool reads are 0.
fn meminfo(out: &mut dyn fmt::Write, system: &System<'_>) -> fmt::Result {
    let zone = system.zone();
    let cached = system.live().map_or(0, |live| live.cached_pages());
    let lru = zone.lru();
    let rows = [
        ("MemTotal:", zone.managed_pages()),
        ("MemFree:", zone.nr_free_pages()),
        ("MemAvailable:", zone.nr_free_pages() + cached),
        ("Buffers:", 0),
        ("Cached:", cached),
        ("SwapCached:", 0),
        ("Active:", lru.active_anon + lru.active_file),
        ("Inactive:", lru.inactive_anon + lru.inactive_file),
        ("Active(anon):", lru.active_anon),
        ("Inactive(anon):", lru.inactive_anon),
        ("Active(file):", lru.active_file),
        ("Inactive(file):", lru.inactive_file),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("Dirty:", system.live().map_or(0, |live| live.dirty_pages())),
        ("Shmem:", 0),
        ("SReclaimable:", 0),
        ("CmaTotal:", zone.cma_pages()),
        ("CmaFree:", zone.nr_free_cma()),
    ];
    for (label, pages) in rows {
        writeln!(out, "{label:<16}{:>8} kB", u64::from(pages) * PAGE_SIZE / 1024)?;
    }
    Ok(())
}

fn buddyinfo(out: &mut dyn fmt::Write, system: &System<'_>) -> fmt::Result {
    write!(out, "Node 0, zone {:>8} ", "Normal")?;
    for order in 0..=MAX_PAGE_ORDER {
        let blocks: u32 =
            Migratetype::ALL.iter().map(|&migratetype| system.zone().free_blocks(order, migratetype)).sum();
        write!(out, "{blocks:>6} ")?;
    }
    writeln!(out)
}

fn pagetypeinfo(out: &mut dyn fmt::Write, system: &System<'_>) -> fmt::Result {
    writeln!(out, "Page block order: {PAGEBLOCK_ORDER}\nPages per block:  {PAGEBLOCK_PAGES}\n")?;
    write!(out, "{:<43} ", "Free pages count per migrate type at order ")?;
    for order in 0..=MAX_PAGE_ORDER {
        write!(out, "{order:>6} ")?;
    }
    writeln!(out)?;
    for migratetype in Migratetype::ALL {
        write!(out, "Node {:>4}, zone {:>8}, type {:>12} ", 0, "Normal", migratetype.name())?;
        for order in 0..=MAX_PAGE_ORDER {
            write!(out, "{:>6} ", system.zone().free_blocks(order, migratetype))?;
        }
        writeln!(out)?;
    }
    write!(out, "\n{:<23}", "Number of blocks type ")?;
    for migratetype in Migratetype::ALL {
        write!(out, "{:>12} ", migratetype.name())?;
    }
    write!(out, "\nNode 0, zone {:>8} ", "Normal")?;
    for migratetype in Migratetype::ALL {
        write!(out, "{:>12} ", system.zone().pageblocks_of(migratetype))?;
    }
    writeln!(out)
}

fn vmstat(out: &mut dyn fmt::Write, system: &System<'_>) -> fmt::Result {
    let (mut success, mut fail) = (0, 0);
    for area in system.areas() {
        success += area.stats().alloc_success;
        fail += area.stats().alloc_fail;
    }
    writeln!(out, "nr_free_pages {}", system.zone().nr_free_pages())?;
    let lru = system.zone().lru();
    writeln!(out, "nr_inactive_anon {}", lru.inactive_anon)?;
    writeln!(out, "nr_active_anon {}", lru.active_anon)?;
    writeln!(out, "nr_inactive_file {}", lru.inactive_file)?;
    writeln!(out, "nr_active_file {}", lru.active_file)?;
    writeln!(out, "nr_free_cma {}", system.zone().nr_free_cma())?;
    let stats = system.live_stats();
    writeln!(out, "pgsteal_kswapd {}", stats.stolen_background)?;
    writeln!(out, "pgsteal_direct {}", stats.stolen_direct)?;
    writeln!(out, "oom_kill {}", stats.oom_kills)?;
    writeln!(out, "pgmigrate_success {}", stats.migrated)?;
    writeln!(out, "pgmigrate_fail {}", stats.migrate_failed)?;
    writeln!(out, "cma_alloc_success {success}")?;
    writeln!(out, "cma_alloc_fail {fail}")
}
