// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters of the users of memory, as in `/proc/vmstat`.

/// Counters since `open`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Pages migrated (`pgmigrate_success`).
    pub migrated: u64,
    /// Of these, pages that moved while a disk owned other pages of the cache.
    pub migrated_while_lent: u64,
    /// Attempts that failed (`pgmigrate_fail`).
    pub migrate_failed: u64,
    /// Clean pages dropped for contiguous allocations.
    pub dropped: u64,
    /// Pages that background reclaim freed (`pgsteal_kswapd`).
    pub stolen_background: u64,
    /// Pages that requests freed for themselves (`pgsteal_direct`).
    pub stolen_direct: u64,
    /// Pages written back.
    pub written_back: u64,
    /// Cache pages filled from their source, a disk's when the read starts (`pgpgin`, in pages).
    pub filled: u64,
    /// Processes killed for their memory (`oom_kill`).
    pub oom_kills: u64,
    /// Free pages of CMA areas at the first of these kills.
    pub cma_free_at_first_kill: Option<u32>,
}

impl Stats {
    /// Pages dropped, for contiguous allocations and by reclaim.
    pub const fn reclaimed(&self) -> u64 {
        self.dropped + self.stolen_background + self.stolen_direct
    }

    /// Adds the counters of earlier users.
    pub fn add(&mut self, other: &Self) {
        self.migrated += other.migrated;
        self.migrated_while_lent += other.migrated_while_lent;
        self.migrate_failed += other.migrate_failed;
        self.dropped += other.dropped;
        self.stolen_background += other.stolen_background;
        self.stolen_direct += other.stolen_direct;
        self.written_back += other.written_back;
        self.filled += other.filled;
        self.oom_kills += other.oom_kills;
        self.cma_free_at_first_kill = other.cma_free_at_first_kill.or(self.cma_free_at_first_kill);
    }
}
