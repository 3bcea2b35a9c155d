// SPDX-License-Identifier: MIT OR Apache-2.0

//! Self-tests of the areas: random allocations, refused releases, and the registry of kept buffers.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{SLOTS, STEPS, Stop, Test, Verdict, blocks_by_order, ensure, existing_areas, on_areas};
use cma::{AreaId, Buffer, align_order_of};
use lab::fingerprint::Fingerprint;
use lab::rng::GlibcRand;
use system::{Kept, System};

pub(super) const ENTRIES: &[Test] = &[
    on_areas("cma_random", cma_random),
    on_areas("cma_release_twice", cma_release_twice),
    on_areas("cma_registry", cma_registry),
];

/// Returns the number of used bits and a fingerprint of the bitmap of an area.
fn bitmap_of(system: &System<'_>, id: AreaId) -> (u32, Fingerprint) {
    let bitmap = system.area(id).bitmap();
    (bitmap.used(), Fingerprint::of_bits(bitmap.words(), bitmap.bits()))
}

fn cma_random(system: &mut System<'_>) -> Verdict {
    let before = blocks_by_order(system);
    for id in existing_areas(system)? {
        let bitmap = bitmap_of(system, id);
        let mut rand = GlibcRand::new(11);
        let mut slots: Vec<Option<Buffer>> = core::iter::repeat_with(|| None).take(SLOTS).collect();
        for _ in 0..STEPS {
            let slot = rand.rand() as usize % SLOTS;
            if let Some(buffer) = slots[slot].take() {
                system.cma_release(buffer).map_err(Stop::fail)?;
                continue;
            }
            let pages = 1 + rand.rand() % 100;
            // A full or busy area may refuse; the check then covers the refusal.
            slots[slot] = system.cma_alloc(id, pages, align_order_of(pages)).ok();
        }
        let books = system.check();
        for buffer in slots.into_iter().flatten() {
            system.cma_release(buffer).map_err(Stop::fail)?;
        }
        books.map_err(Stop::fail)?;
        let name = system.area(id).name();
        ensure(bitmap == bitmap_of(system, id), || format!("the bitmap of {name} is not what it was"))?;
    }
    let after = blocks_by_order(system);
    ensure(before == after, || format!("free blocks by order were {before:?} and are {after:?}"))
}

fn cma_release_twice(system: &mut System<'_>) -> Verdict {
    let mut tried = 0;
    for id in existing_areas(system)? {
        let Ok(buffer) = system.cma_alloc(id, 3, 0) else { continue };
        tried += 1;
        // A caller outside the kernel cannot make a second buffer of the same pages.
        let twin = Buffer::new(id, buffer.first(), buffer.pages());
        let longer = Buffer::new(id, buffer.first(), u32::MAX);
        let overlong = system.cma_release(longer);
        system.cma_release(buffer).map_err(Stop::fail)?;
        let used = system.area(id).used_pages();
        let twice = system.cma_release(twin);
        let name = system.area(id).name();
        ensure(overlong.is_err(), || format!("{name} took a buffer back that reaches beyond its end"))?;
        ensure(twice.is_err(), || format!("{name} took a buffer back twice"))?;
        ensure(used == system.area(id).used_pages(), || format!("a refused release changed {name}"))?;
    }
    if tried == 0 { Err(Stop::skip("no area has three pages next to each other")) } else { Ok(()) }
}

fn cma_registry(system: &mut System<'_>) -> Verdict {
    let mut tried = 0;
    for id in existing_areas(system)? {
        let before = system.kept(id).count();
        let Ok(buffer) = system.cma_alloc(id, 2, 1) else { continue };
        tried += 1;
        let first = buffer.first();
        let kept = system.keep(buffer);
        let listed = system.kept(id).any(|entry| entry == Kept { id: kept, first, pages: 2 });
        let taken = system.take_back(kept);
        let again = system.take_back(kept).is_some();
        ensure(listed, || format!("buffer {kept} is not listed"))?;
        let buffer = taken.ok_or_else(|| format!("buffer {kept} is lost"))?;
        system.cma_release(buffer).map_err(Stop::fail)?;
        ensure(!again, || format!("buffer {kept} was taken back twice"))?;
        ensure(system.kept(id).count() == before, || "the registry is not what it was".to_string())?;
    }
    if tried == 0 { Err(Stop::skip("no area has two pages next to each other")) } else { Ok(()) }
}
