// SPDX-License-Identifier: MIT OR Apache-2.0

//! A generator of commands: mostly those that change memory, and some of all others, including
//! refused ones.

use super::files::AREAS;
use super::model::Model;
use super::*;
use fastrand::Rng;

/// Commands of which each has to succeed at least once in a thousand.
pub(super) const NAMES: [&str; 13] = [
    "alloc", "release", "echo", "debris", "camera", "decoder", "random", "dma", "pressure", "compare", "replay",
    "stop", "wait",
];

fn pick<'w>(rng: &mut Rng, words: &[&'w str]) -> &'w str {
    words[rng.usize(..words.len())]
}

/// Returns a number of pages: small ones are frequent, some are larger than an area.
fn pages(rng: &mut Rng) -> u32 {
    let order = rng.u32(..12);
    rng.u32(1 << order..=(2 << order))
}

fn placement(rng: &mut Rng) -> String {
    let names: Vec<&str> = placements::PLACEMENTS.iter().map(|entry| entry.name).collect();
    pick(rng, &names).into()
}

fn load(rng: &mut Rng) -> String {
    let area = pick(rng, &AREAS);
    let load = pick(rng, &["debris", "debris scale=both", "camera", "decoder", "random", "random lifetime=fixed"]);
    let align = pick(rng, &["order", "page", "3"]);
    let (ops, seed, placement) = (rng.u32(1..600), rng.u32(..1000), placement(rng));
    let until = pick(rng, &["ops", "failure"]);
    let job = pick(rng, &["", "", " &"]);
    format!("{load} area={area} placement={placement} align={align} until={until} ops={ops} seed={seed}{job}")
}

/// Returns a command that needs an empty area, and leaves it empty.
fn experiment(rng: &mut Rng, model: &Model) -> String {
    let empty = model.empty_area().filter(|_| rng.u32(..8) > 0);
    let area = empty.map_or_else(|| pick(rng, &AREAS), |place| AREAS[place]);
    let seed = rng.u32(1..100);
    match rng.u32(..6) {
        0 => format!("pressure latency area={area} pages={} rounds=1 with=mixed seed={seed}", rng.u32(1..300)),
        1 => format!("pressure integrity area={area} pages={} rounds=1 fill=900 seed={seed}", rng.u32(1..300)),
        2 => format!("pressure area={area} callers=2 pages={} requests=3 seed={seed}", rng.u32(1..40)),
        3 => format!("compare area={area} seeds=1 ops=60 seed={seed} placements=first-fit,{}", placement(rng)),
        4 => format!("replay area={area} align={} placement={}", pick(rng, &["asis", "page"]), placement(rng)),
        _ => format!("room {area} {}", rng.u32(1..2100)),
    }
}

/// Returns a command that changes nothing.
fn look(rng: &mut Rng) -> String {
    let area = pick(rng, &AREAS);
    match rng.u32(..8) {
        0 => format!("bitmap {area}"),
        1 => format!("picture {area} | grep 0"),
        2 => format!("metrics {area}"),
        3 => "jobs".into(),
        4 => "cma".into(),
        5 => format!("alloc {area} 0"),
        6 => format!("echo {} > /sys/kernel/debug/cma/{area}/used", rng.u32(..9)),
        _ => format!("release {} nowhere", rng.u32(..9)),
    }
}

/// Returns a random command.
pub(super) fn command(rng: &mut Rng, model: &Model) -> String {
    let area = pick(rng, &AREAS);
    match rng.u32(..100) {
        0..25 => {
            let order = if rng.bool() { format!(" {}", rng.u32(..=9)) } else { String::new() };
            format!("alloc {area} {}{order}", pages(rng))
        }
        25..42 => {
            let ids = model.ids();
            let known = !ids.is_empty() && rng.u32(..8) > 0;
            let id = if known { ids[rng.usize(..ids.len())] } else { rng.u32(..400) };
            format!("release {id}")
        }
        42..46 => pick(rng, &["release all", "release all linux,cma", "release all BiscuitOS_cma"]).into(),
        46..54 => format!("echo {} > /sys/kernel/debug/cma/{area}/alloc", pages(rng)),
        54..61 => format!("echo {} > /sys/kernel/debug/cma/{area}/free", pages(rng)),
        61..70 => load(rng),
        70..74 => pick(rng, &["stop all", "stop 1", "wait steps=50", "wait"]).into(),
        74..81 => {
            let device = pick(rng, &["BiscuitOS_CMA", "camera@10020000", "ethernet@4e000000", "nothing"]);
            format!("dma alloc {device} {}", rng.u32(1..400_000))
        }
        81..86 => {
            let addresses = model.addresses();
            if addresses.is_empty() || rng.u32(..6) == 0 {
                return pick(rng, &["dma free all", "dma free 0x69000000", "dma"]).into();
            }
            format!("dma free {:#x}", addresses[rng.usize(..addresses.len())])
        }
        86..94 => experiment(rng, model),
        _ => look(rng),
    }
}
