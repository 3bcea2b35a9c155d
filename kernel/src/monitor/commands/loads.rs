//! The loads (`debris`, `camera`, `decoder`, `random`): keys into a plan, which runs in the foreground here or becomes a
//! job.

use alloc::format;
use core::fmt::Write;

use super::Session;
use super::areas::choose_area;
use super::experiments::{one_of, placement_of, whole};
use crate::cma::AreaId;
use crate::lab::bitmap_view::write_bitmap;
use crate::lab::load::{
    Camera, DEFAULT_OPS, Decoder, Kind, Lifetime, MAX_CAMERA_BUFFERS, MAX_LIFE, MAX_POOL_BUFFERS, MAX_POOLS, News,
    Options, PUBLISHED_SEED, Plan, Random, Series, Sizes,
};
use crate::lab::request::Align;
use crate::lab::rng::Rng;
use crate::lab::scale::{MAX_SLOTS, Scale};
use crate::machine::Machine;
use crate::monitor::Failure;
use crate::monitor::syntax::{Args, number, shown};
use crate::system::System;

/// Most steps from frame to frame of a camera.
const MAX_GAP: u64 = 1_000_000;

/// The keys that say what a load is like, by the load that takes them.
const PARAMETERS: [(&str, &[&str]); 4] = [
    ("debris", &["scale", "slots"]),
    ("camera", &["frames", "frame", "small", "most", "gap"]),
    ("decoder", &["pools", "buffers", "frame"]),
    ("random", &["sizes", "least", "most", "life", "lifetime"]),
];

/// The slots that `scale=` or `slots=` ask for.
fn scale_of(args: &Args) -> Result<Scale, Failure> {
    let scale = Scale::named(one_of(args, "scale", Scale::NAMES)?).unwrap_or(Scale::None);
    match args.key("slots") {
        None => Ok(scale),
        Some(_) if args.key("scale").is_some() => {
            Err(Failure::bad("slots= and scale= both say how many slots there are"))
        }
        Some(count) => Ok(Scale::Count(number("slots", count, 1, MAX_SLOTS.into())? as u32)),
    }
}

/// The load of a name with the parameters that the keys give, for an area of so many pages.
fn kind_of(name: &str, args: &Args, area_pages: u32) -> Result<Kind, Failure> {
    let own = PARAMETERS.iter().find(|(load, _)| *load == name).map_or(&[][..], |(_, keys)| keys);
    let others = PARAMETERS.iter().flat_map(|(_, keys)| *keys).filter(|key| !own.contains(key));
    if let Some(key) = others.into_iter().find(|key| args.key(key).is_some()) {
        return Err(Failure::bad(format!("{key}= means nothing to {name}; it takes {}", own.join("= ") + "=")));
    }
    let count = |key, usual: u32, least: u32, most: u32| {
        whole(args, key, usual.into(), least.into(), most.into()).map(|value| value as u32)
    };
    Ok(match name {
        "camera" => {
            let usual = Camera::usual(area_pages);
            Kind::Camera(Camera {
                frames: count("frames", usual.frames, 1, MAX_CAMERA_BUFFERS)?,
                frame: count("frame", usual.frame, 1, area_pages)?,
                small: count("small", usual.small, 0, MAX_CAMERA_BUFFERS)?,
                most: count("most", usual.most, 1, area_pages)?,
                gap: whole(args, "gap", usual.gap.into(), 1, MAX_GAP)? as u32,
            })
        }
        "decoder" => {
            let usual = Decoder::usual(area_pages);
            Kind::Decoder(Decoder {
                pools: count("pools", usual.pools, 1, MAX_POOLS)?,
                buffers: count("buffers", usual.buffers, 1, MAX_POOL_BUFFERS)?,
                frame: count("frame", usual.frame, 1, area_pages)?,
            })
        }
        "random" => {
            let mut random = Random::usual(area_pages);
            random.sizes = Sizes::named(one_of(args, "sizes", Sizes::NAMES)?).unwrap_or(random.sizes);
            random.lifetime = Lifetime::named(one_of(args, "lifetime", Lifetime::NAMES)?).unwrap_or(random.lifetime);
            random.least = count("least", random.least, 1, area_pages)?;
            random.most = count("most", random.most.max(random.least), random.least, area_pages)?;
            if random.sizes == Sizes::Powers && random.least.next_power_of_two() > random.most {
                let (least, most) = (random.least, random.most);
                return Err(Failure::bad(format!("sizes=powers, and no power of two from {least} to {most}")));
            }
            random = random.filling(area_pages);
            random.life = count("life", random.life, 1, MAX_LIFE)?;
            Kind::Random(random)
        }
        _ => Kind::Debris(scale_of(args)?),
    })
}

/// Says what there is to say of a series; false where that was the last.
pub(in crate::monitor) fn write_news(
    out: &mut dyn Write,
    system: &System<'_>,
    area: AreaId,
    news: &News,
) -> Result<bool, core::fmt::Error> {
    match news {
        News::Steps => {}
        News::Bitmap => write_bitmap(out, system.area(area))?,
        News::Sample(record) => writeln!(out, "{record}")?,
        News::Round { report, last } => {
            writeln!(out, "{report}{}", report.record())?;
            return Ok(!last);
        }
        News::Ruins { round, empty, left } => {
            match empty {
                1 => write!(out, "Round {round} made no allocation: the area is in ruins")?,
                _ => write!(out, "{empty} rounds in a row made no allocation: the area is in ruins")?,
            }
            writeln!(out, "{}", if *left > 0 { format!("; {left} more were not run.") } else { ".".into() })?;
            return Ok(false);
        }
        News::Done => return Ok(false),
    }
    Ok(true)
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    /// Runs a load, or leaves it as a job.
    pub(super) fn load(&mut self, name: &str, args: &Args) -> Result<(), Failure> {
        let options = self.load_options(name, args, DEFAULT_OPS)?;
        let plan = Plan {
            rounds: whole(args, "rounds", 1, 0, u64::MAX)?,
            sample: args.key("sample").map(|value| number("sample", value, 1, u64::MAX)).transpose()?,
            bitmap: one_of(args, "bitmap", &["off", "on"])? == "on",
            options,
        };
        let area = plan.options.area;
        self.without_job(area)?;
        let placement = placement_of(args)?;
        if let Some(command) = self.background.take() {
            let before = placement.map(|placement| self.system.area_mut(area).set_placement(placement));
            let kind = plan.options.kind;
            let number = self.jobs.add(command, plan, before);
            let name = self.system.area(area).name();
            writeln!(self.out, "[{number}] {kind} runs on {name}: `jobs` shows it, `stop {number}` ends it")?;
            return Ok(());
        }
        self.with_placement(area, placement, |session| {
            let mut series = Series::new(plan, false);
            loop {
                let news = series.advance(session.system, session.out.machine, u64::MAX);
                let news = news.map_err(|error| Failure::check(format!("a release was refused: {error}")))?;
                if !write_news(&mut session.out, session.system, area, &news)? {
                    return Ok(());
                }
            }
        })
    }

    /// The load that the keys describe.
    pub(super) fn load_options(&self, name: &str, args: &Args, default_ops: u64) -> Result<Options, Failure> {
        let until = one_of(args, "until", &["failure", "ops"])?;
        if until == "ops" && args.key("ops").is_none() {
            return Err(Failure::bad("until=ops needs ops=, the number of steps"));
        }
        let align = args.key("align").unwrap_or("order");
        let area = choose_area(self.system, args.key("area"))?;
        Ok(Options {
            area,
            seed: whole(args, "seed", PUBLISHED_SEED.into(), 0, u32::MAX.into())? as u32,
            rng: one_of(args, "rng", Rng::NAMES)?,
            align: Align::parse(align)
                .ok_or_else(|| format!("align is {}; it can be order, page, or an order from 0 to 20", shown(align)))?,
            stop_at_failure: until == "failure",
            ops: whole(args, "ops", default_ops, 1, u64::MAX)?,
            kind: kind_of(name, args, self.system.area(area).pages())?,
            relocatable: whole(args, "relocatable", 1000, 0, 1000)? as u32,
            timed: whole(args, "timed", 1, 1, u32::MAX.into())? as u32,
        })
    }
}
