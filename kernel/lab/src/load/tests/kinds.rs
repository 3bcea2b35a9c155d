// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of the loads' requests against their parameters.

use super::*;
use crate::keys::Keys;
use crate::load::camera::Camera;
use crate::load::decoder::Decoder;
use crate::load::random::{Lifetime, MAX_LIFE, Random, Sizes};
use crate::rng::Rng;
use std::collections::{BTreeMap, HashMap};
use std::vec;
use std::vec::Vec;

/// A command without keys.
struct NoKeys;

impl Keys for NoKeys {
    fn key(&self, _: &str) -> Option<&str> {
        None
    }
}

fn options_of(system: &System<'_>, kind: impl Fn(u32) -> Arc<dyn Load>, ops: u64) -> Options {
    let options = options(system);
    let pages = system.area(options.area).pages();
    Options { load: kind(pages), stop_at_failure: false, ops, ..options }
}

/// Runs a load step by step; allocations succeed unless `fails` returns true. Returns `(slot,
/// pages)` of each step, with 0 pages for a release.
fn asked(kind: Arc<dyn Load>, steps: u64, mut fails: impl FnMut(u64) -> bool) -> Vec<(usize, u32)> {
    with_board(64, |system, _| {
        let area = system.find_area("BiscuitOS_cma").expect("the board has it");
        let mut held = Held::new(system, area, kind.slots(2048), 0).expect("memory is there");
        let mut load = kind.start(2048, Rng::named("wyrand", 7).expect("a listed name")).expect("memory is there");
        let mut steps: Vec<(usize, u32)> = (0..steps)
            .map(|step| {
                let Ask { slot, pages } = load.next(&held);
                assert!((1..=2048).contains(&pages) && slot < kind.slots(2048) as usize);
                match held.take(system, slot) {
                    Some(buffer) => {
                        system.cma_release(buffer).expect("it was allocated");
                        (slot, 0)
                    }
                    None => {
                        // One page stands for the size, so that no request fails for lack of room.
                        if !fails(step) {
                            let buffer = system.cma_alloc(area, 1, 0).expect("there is room for one page a slot");
                            held.put(system, slot, buffer, 0);
                        }
                        (slot, pages)
                    }
                }
            })
            .collect();
        held.keep_all(system);
        steps.shrink_to_fit();
        steps
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn camera_has_a_frame_every_so_many_steps() {
    let camera = Camera { frames: 3, frame: 200, small: 20, most: 9, gap: 5 };
    let steps = asked(Arc::new(camera), 20_000, |_| false);
    for (number, &(slot, pages)) in steps.iter().enumerate() {
        let frame = number % 5 == 4;
        assert_eq!(slot < 3, frame, "step {number}");
        assert!(pages == 0 || if frame { pages == 200 } else { pages <= 9 }, "step {number}");
    }
    for slot in 0..23 {
        assert!(steps.iter().any(|step| step.0 == slot), "slot {slot} is never drawn");
    }
    assert!((1..=9).all(|size| steps.iter().any(|step| step.1 == size)), "a size is never drawn");
    // Without small buffers every step is for a frame.
    let steps = asked(Arc::new(Camera { small: 0, ..camera }), 100, |_| false);
    assert!(steps.iter().all(|&(slot, pages)| slot < 3 && (pages == 0 || pages == 200)));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn decoder_changes_whole_pools_buffer_by_buffer() {
    let decoder = Decoder { pools: 3, buffers: 4, frame: 765 };
    for failing in [false, true] {
        let steps = asked(Arc::new(decoder), 20_000, |step| failing && step % 7 == 0);
        let mut sizes: BTreeMap<usize, u32> = BTreeMap::new();
        let mut made: Vec<(usize, u32)> = Vec::new();
        for pair in steps.windows(2) {
            if pair[0].1 == 0 {
                assert_eq!(pair[0].0, pair[1].0, "a buffer that goes is made again at once");
                assert!(pair[1].1 > 0);
            }
        }
        made.extend(steps.iter().filter(|step| step.1 > 0));
        for change in made.chunks_exact(4) {
            let (pool, pages) = (change[0].0 / 4, change[0].1);
            assert!([765, 338, 127, 85].contains(&pages));
            let mut slots: Vec<usize> = change.iter().map(|step| step.0).collect();
            assert!(change.iter().all(|&(slot, size)| slot / 4 == pool && size == pages), "{change:?}");
            slots.sort_unstable();
            assert_eq!(slots, vec![pool * 4, pool * 4 + 1, pool * 4 + 2, pool * 4 + 3]);
            assert_ne!(sizes.insert(pool, pages), Some(pages), "a change is to another size");
        }
        assert_eq!(sizes.len(), 3, "every pool has its turn");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn random_lives_as_long_as_it_says() {
    let usual = Random { sizes: Sizes::Uniform, least: 3, most: 10, life: 50, lifetime: Lifetime::Fixed };
    for lifetime in [Lifetime::Fixed, Lifetime::Exponential] {
        let steps = asked(Arc::new(Random { lifetime, ..usual }), 60_000, |_| false);
        let (mut born, mut lives, mut allocs) = (HashMap::new(), Vec::new(), 0u64);
        for (slot, pages) in steps {
            if pages > 0 {
                assert!((3..=10).contains(&pages));
                born.insert(slot, allocs);
                allocs += 1;
            } else {
                lives.push(allocs - born.remove(&slot).expect("it was made"));
            }
        }
        let mean = lives.iter().sum::<u64>() as f64 / lives.len() as f64;
        assert!((mean - 50.0).abs() < 2.5, "{lifetime:?}: {mean}");
        if lifetime == Lifetime::Fixed {
            assert!(lives.iter().all(|&life| life == 50));
        } else {
            // In an exponential distribution, one in e outlives the mean.
            let long = lives.iter().filter(|&&life| life > 50).count() as f64 / lives.len() as f64;
            assert!((long - 0.368).abs() < 0.02, "{long}");
        }
    }
    // Requests that fail do not lose slots.
    let steps = asked(Arc::new(Random { lifetime: Lifetime::Exponential, ..usual }), 20_000, |step| step % 3 == 0);
    assert!(steps.iter().filter(|step| step.1 == 0).count() > 5_000);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn sizes_are_distributed_as_they_say() {
    let mut rng = Rng::named("wyrand", 3).expect("a listed name");
    for (sizes, least, most) in [
        (Sizes::Uniform, 1, 40),
        (Sizes::Orders, 1, 40),
        (Sizes::Orders, 5, 5),
        (Sizes::Powers, 3, 64),
        (Sizes::Powers, 1, 1),
    ] {
        let random = Random { sizes, least, most, ..Random::usual(2048) };
        let draws: Vec<u32> = (0..20_000).map(|_| random.draw(&mut rng)).collect();
        assert!(draws.iter().all(|draw| (least..=most).contains(draw)), "{random}");
        let mean = draws.iter().map(|&draw| f64::from(draw)).sum::<f64>() / draws.len() as f64;
        let expected = random.twice_the_mean() as f64 / 2.0;
        assert!((mean - expected).abs() < expected * 0.05 + 0.5, "{random}: {mean}, not {expected}");
        if sizes == Sizes::Powers {
            assert!(draws.iter().all(|draw| draw.is_power_of_two()));
        }
        if sizes == Sizes::Orders && most == 40 {
            // Six orders from 1 to 32, equally likely: 1 is the first, 32 to 40 the last.
            for share in
                [draws.iter().filter(|&&draw| draw == 1).count(), draws.iter().filter(|&&draw| draw >= 32).count()]
            {
                assert!((3_000..3_700).contains(&share), "{share}");
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn usual_parameters_fit_every_area() {
    for pages in [1, 5, 1024, 2048, 8192, 131_072, 196_608] {
        let camera = Camera::usual(pages);
        assert!(camera.frames * camera.frame <= pages.max(4) && camera.most <= pages);
        let decoder = Decoder::usual(pages);
        assert!(decoder.frame <= pages && (pages < 64 || decoder.slots(pages) * decoder.frame <= pages));
        let random = Random::usual(pages);
        assert!((1..=MAX_LIFE).contains(&random.life) && random.most <= pages);
        let filled = random.twice_the_mean() * u64::from(random.life) / 2;
        assert!(pages < 1024 || (pages / 3..=pages / 2 + 1).contains(&(filled as u32)), "{pages}: {filled}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_load_runs_and_repeats_itself() {
    with_board(256, |system, machine| {
        for area in ["BiscuitOS_cma", "big"] {
            for entry in LOADS.iter() {
                let area = system.find_area(area).expect("the board has it");
                let usual = |pages| entry.load(&NoKeys, pages).expect("without keys it has the usual parameters");
                let options = options_of(system, usual, 5_000);
                let options = Options { area, load: usual(system.area(area).pages()), ..options };
                let report = run_round(system, machine, &options, 1).expect("the accounting balances");
                assert_eq!(report.allocs + report.releases + report.failed, 5_000, "{report}");
                let name = options.load.name();
                assert_eq!(name, entry.help.name);
                assert!(options.load.to_string().starts_with(name), "{}", options.load);
                let record = report.record().to_string();
                assert!(record.starts_with(&std::format!("{{\"record\":\"{name}\",\"area\":")), "{record}");
                assert!(record.contains(&std::format!("\"load\":\"{name}\",")), "{record}");
                assert!(report.to_string().contains(&std::format!("{} on ", options.load)), "{report}");
                system.check().expect("the accounting balances");
                system.release_all(area);
                let again = run_round(system, machine, &options, 1).expect("the accounting balances");
                assert_eq!((again.allocs, again.failed, again.metrics), (report.allocs, report.failed, report.metrics));
                system.release_all(area);
            }
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_series_in_pieces_is_the_series_at_once() {
    let words = |steps: u64| {
        with_board(64, |system, machine| {
            let plan =
                Plan { options: Options { ops: 3_000, ..options(system) }, rounds: 2, sample: Some(700), bitmap: true };
            let mut series = Series::new(plan, true);
            let mut words = Vec::new();
            // A Ctrl-C does not end a job.
            machine.interrupt_after.set(Some(0));
            loop {
                match series.advance(system, machine, steps).expect("the accounting balances") {
                    News::Steps => {}
                    News::Bitmap => words.push(std::format!("{:?}", Metrics::of(system.area(options(system).area)))),
                    News::Sample(record) => words.push(record.to_string()),
                    News::Round { report, .. } => words.push(but_load_time(&report.to_string())),
                    News::Ruins { round, .. } => words.push(std::format!("ruins {round}")),
                    News::Done => return words,
                }
            }
        })
    };
    let whole = words(u64::MAX);
    // Bitmaps: before the first round and after each. One report for each round. The first round
    // has four samples.
    assert_eq!(whole.iter().filter(|word| word.starts_with("Metrics")).count(), 3);
    assert!(whole.len() >= 3 + 2 + 4, "{whole:?}");
    for steps in [1, 64, 699, 700, 701] {
        assert_eq!(words(steps), whole, "{steps}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_stopped_series_leaves_its_buffers_registered() {
    with_board(64, |system, machine| {
        let plan = Plan { options: options(system), rounds: 0, sample: None, bitmap: false };
        let area = plan.options.area;
        let mut series = Series::new(plan, true);
        assert!(matches!(series.advance(system, machine, 500), Ok(News::Steps)));
        system.check().expect("the accounting balances while a round is under way");
        let report = series.stop(system).expect("a round is under way");
        assert_eq!((report.end, report.allocs + report.releases), (End::Stopped, 500));
        assert_eq!(system.kept(area).count() as u64, report.live());
        assert!(report.to_string().contains("then it was stopped"), "{report}");
        system.release_all(area);
        assert_eq!(system.area(area).used_pages(), 0);
    });
}
