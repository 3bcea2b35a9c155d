//! The self-tests: operations on the real zone and the real areas, held against the books; printed as KTAP. What was there
//! before, leaked buffers included, is there afterwards. A test that finds too little memory, or no area that it could use, is
//! skipped and says why.

mod dma;
mod live;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

pub use self::dma::{segments, transfers};
use super::commands::Session;
use super::syntax::{Args, shown};
use super::{Context, Failure, STATUS_CHECK_FAILED};
use crate::cma::{AreaId, Buffer, align_order_of};
use crate::lab::fingerprint::Fingerprint;
use crate::lab::rng::GlibcRand;
use crate::machine::Machine;
use crate::mm::{Block, MAX_PAGE_ORDER, Migratetype};
use crate::system::System;

/// Steps of a random test.
const STEPS: u32 = 2000;
/// What a random test holds at a time.
const SLOTS: usize = 64;

/// Why a self-test did not pass.
enum Stop {
    /// What it needs is not there; the reason.
    Skip(String),
    /// What is wrong.
    Fail(String),
}

impl Stop {
    fn skip(reason: impl Into<String>) -> Self {
        Self::Skip(reason.into())
    }

    fn fail(wrong: impl ToString) -> Self {
        Self::Fail(wrong.to_string())
    }
}

impl From<String> for Stop {
    fn from(wrong: String) -> Self {
        Self::Fail(wrong)
    }
}

impl From<&str> for Stop {
    fn from(wrong: &str) -> Self {
        Self::Fail(wrong.into())
    }
}

/// What a self-test comes to.
type Verdict<T = ()> = Result<T, Stop>;

/// A self-test.
struct Test {
    name: &'static str,
    /// It allocates from the areas, and expects of them what was there before.
    uses_areas: bool,
    run: fn(&mut System<'_>) -> Verdict,
}

/// A test that leaves the areas alone.
const fn aside(name: &'static str, run: fn(&mut System<'_>) -> Verdict) -> Test {
    Test { name, uses_areas: false, run }
}

/// A test that allocates from the areas.
const fn on_areas(name: &'static str, run: fn(&mut System<'_>) -> Verdict) -> Test {
    Test { name, uses_areas: true, run }
}

const TESTS: [Test; 15] = [
    aside("books_balance", books_balance),
    aside("glibc_rand", glibc_rand),
    aside("buddy_random", buddy_random),
    on_areas("cma_random", cma_random),
    on_areas("cma_release_twice", cma_release_twice),
    on_areas("cma_registry", cma_registry),
    on_areas("live_migration", live::migration),
    on_areas("live_faults", live::faults),
    on_areas("live_sabotage", live::sabotage),
    on_areas("live_random", live::random),
    aside("dma_window", dma::window),
    on_areas("dma_coherent", dma::coherent),
    on_areas("dma_streaming", dma::streaming),
    on_areas("dma_misuse", dma::misuse),
    on_areas("dma_pins", dma::pins),
];

/// The names of all tests, the machine's own last.
pub(super) fn names<'c>(context: &Context<'c>) -> impl Iterator<Item = &'c str> {
    TESTS.iter().map(|test| test.name).chain(context.tests.iter().map(|test| test.0))
}

/// Whether a word names a test: by its name, or by the group that its name begins with (`dma` for `dma_pins`).
fn is_meant(name: &str, wanted: Option<&str>) -> bool {
    let rest = wanted.map(|wanted| name.strip_prefix(wanted));
    rest.is_none_or(|rest| rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}

/// Runs all tests, or those that are named.
pub(super) fn run<M: Machine + ?Sized>(session: &mut Session<'_, '_, M>, args: &Args) -> Result<(), Failure> {
    let extra = session.context.tests;
    let names = || names(session.context);
    let wanted = args.word(0);
    let count = names().filter(|&name| is_meant(name, wanted)).count();
    if let (Some(wanted), 0) = (wanted, count) {
        let names: Vec<&str> = names().collect();
        return Err(Failure::bad(format!("no test {}; there are {}", shown(wanted), names.join(" "))));
    }
    if let Some(test) = TESTS.iter().find(|test| test.uses_areas && is_meant(test.name, wanted)) {
        session.without_jobs(&format!("{} allocates from every area", test.name))?;
    }
    writeln!(session.out, "KTAP version 1\n1..{count}")?;
    let (mut failed, mut number, mut stopped) = (0, 0, false);
    for name in names().filter(|&name| is_meant(name, wanted)) {
        number += 1;
        stopped |= session.out.machine.interrupted();
        if stopped {
            writeln!(session.out, "ok {number} {name} # SKIP stopped by Ctrl-C")?;
            continue;
        }
        let own = TESTS.iter().find(|test| test.name == name);
        let verdict = match own {
            // Whatever it did, the books have to balance.
            Some(test) => match ((test.run)(session.system), session.system.check()) {
                (Err(Stop::Fail(wrong)), _) => Err(Stop::Fail(wrong)),
                (verdict, books) => books.map_err(Stop::fail).and(verdict),
            },
            None => extra.iter().find(|test| test.0 == name).map_or(Ok(()), |(_, test)| test().map_err(Stop::Fail)),
        };
        match verdict {
            Ok(()) => writeln!(session.out, "ok {number} {name}")?,
            Err(Stop::Skip(reason)) => writeln!(session.out, "ok {number} {name} # SKIP {reason}")?,
            Err(Stop::Fail(wrong)) => {
                failed += 1;
                for line in wrong.lines() {
                    writeln!(session.out, "# {line}")?;
                }
                writeln!(session.out, "not ok {number} {name}")?;
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure { line: format!("{failed} of {count} tests failed"), status: STATUS_CHECK_FAILED })
}

/// Errs with a line unless something holds.
fn ensure(holds: bool, line: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Stop::Fail(line())) }
}

/// The areas; a test that has nothing to test without one is skipped where there is none.
fn areas(system: &System<'_>) -> Verdict<Vec<AreaId>> {
    let areas: Vec<AreaId> = system.area_ids().collect();
    if areas.is_empty() { Err(Stop::skip("there is no CMA area")) } else { Ok(areas) }
}

fn books_balance(system: &mut System<'_>) -> Verdict {
    system.check().map_err(Stop::fail)?;
    let (free, total) = (system.zone.nr_free_cma(), system.zone.cma_pages());
    ensure(free <= total, || format!("{free} CMA pages are free of {total}"))
}

fn glibc_rand(_: &mut System<'_>) -> Verdict {
    let mut rand = GlibcRand::new(1);
    let first = [rand.rand(), rand.rand(), rand.rand()];
    ensure(first == [1_804_289_383, 846_930_886, 1_681_692_777], || format!("seed 1 begins with {first:?}"))
}

/// Free blocks of each order, whatever their type: pageblocks may change theirs under unmovable requests.
fn blocks_by_order(system: &System<'_>) -> Vec<u32> {
    (0..=MAX_PAGE_ORDER)
        .map(|order| Migratetype::ALL.iter().map(|&migratetype| system.zone.free_blocks(order, migratetype)).sum())
        .collect()
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
            system.zone.free_pages(block);
            continue;
        }
        let order = rand.rand() % (MAX_PAGE_ORDER + 1);
        let migratetype = TYPES[rand.rand() as usize % TYPES.len()];
        if let Ok(block) = system.zone.alloc_pages(order, migratetype) {
            if !block.first().0.is_multiple_of(1 << order) {
                misaligned.get_or_insert(block.first());
            }
            slots[slot] = Some(block);
        }
    }
    let books = system.check();
    for block in slots.into_iter().flatten() {
        system.zone.free_pages(block);
    }
    books.map_err(Stop::fail)?;
    let after = blocks_by_order(system);
    ensure(misaligned.is_none(), || format!("a block begins at {misaligned:?}"))?;
    ensure(before == after, || format!("free blocks by order were {before:?} and are {after:?}"))
}

/// What can be seen of an area from outside.
fn bitmap_of(system: &System<'_>, id: AreaId) -> (u32, Fingerprint) {
    let bitmap = system.area(id).bitmap();
    (bitmap.used(), Fingerprint::of_bits(bitmap.words(), bitmap.bits()))
}

fn cma_random(system: &mut System<'_>) -> Verdict {
    let before = blocks_by_order(system);
    for id in areas(system)? {
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
            // A full or busy area may refuse; the books say whether it did so in order.
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
    for id in areas(system)? {
        let Ok(buffer) = system.cma_alloc(id, 3, 0) else { continue };
        tried += 1;
        // Nobody outside the kernel can make a second buffer of the same pages; here it can be done.
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
    for id in areas(system)? {
        let before = system.kept(id).count();
        let Ok(buffer) = system.cma_alloc(id, 2, 1) else { continue };
        tried += 1;
        let first = buffer.first();
        let kept = system.keep(buffer);
        let listed = system.kept(id).any(|entry| entry == (kept, first, 2));
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
