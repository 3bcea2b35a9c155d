// SPDX-License-Identifier: MIT OR Apache-2.0

//! Self-tests of the check itself, the published generator, and the page allocator.

use alloc::format;
use alloc::vec::Vec;

use super::{SLOTS, STEPS, Stop, Test, Verdict, aside, blocks_by_order, ensure};
use lab::rng::GlibcRand;
use page_alloc::{Block, MAX_PAGE_ORDER, Migratetype};
use system::System;

pub(super) const ENTRIES: &[Test] =
    &[aside("books_balance", books_balance), aside("glibc_rand", glibc_rand), aside("buddy_random", buddy_random)];

fn books_balance(system: &mut System<'_>) -> Verdict {
    system.check().map_err(Stop::fail)?;
    let (free, total) = (system.zone().nr_free_cma(), system.zone().cma_pages());
    ensure(free <= total, || format!("{free} CMA pages are free of {total}"))
}

fn glibc_rand(_: &mut System<'_>) -> Verdict {
    let mut rand = GlibcRand::new(1);
    let first = [rand.rand(), rand.rand(), rand.rand()];
    ensure(first == [1_804_289_383, 846_930_886, 1_681_692_777], || format!("seed 1 begins with {first:?}"))
}

fn buddy_random(system: &mut System<'_>) -> Verdict {
    const TYPES: [Migratetype; 3] = [Migratetype::Unmovable, Migratetype::Movable, Migratetype::Reclaimable];
    let before = blocks_by_order(system);
    let mut rand = GlibcRand::new(7);
    let mut slots: Vec<Option<Block>> = core::iter::repeat_with(|| None).take(SLOTS).collect();
    let mut misaligned = None;
    for _ in 0..STEPS {
        let slot = rand.rand() as usize % SLOTS;
        if let Some(block) = slots[slot].take() {
            system.zone_mut().free_pages(block);
            continue;
        }
        let order = rand.rand() % (MAX_PAGE_ORDER + 1);
        let migratetype = TYPES[rand.rand() as usize % TYPES.len()];
        if let Ok(block) = system.zone_mut().alloc_pages(order, migratetype) {
            if !block.first().0.is_multiple_of(1 << order) {
                misaligned.get_or_insert(block.first());
            }
            slots[slot] = Some(block);
        }
    }
    let books = system.check();
    for block in slots.into_iter().flatten() {
        system.zone_mut().free_pages(block);
    }
    books.map_err(Stop::fail)?;
    let after = blocks_by_order(system);
    ensure(misaligned.is_none(), || format!("a block begins at {misaligned:?}"))?;
    ensure(before == after, || format!("free blocks by order were {before:?} and are {after:?}"))
}
