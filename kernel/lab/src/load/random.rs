// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random sizes and lifetimes: buffers are allocated one after another, and each is released after
//! a random number of allocations.
//!
//! `lifetime=exponential`: all buffers are equally likely to be released, regardless of age; the
//! mean lifetime is `life` allocations, and about `life` buffers are held. `lifetime=fixed`: each
//! is released after exactly `life` allocations, the oldest first.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::kinds::{Ask, Entry, Load, Stream};
use crate::held::Held;
use crate::help::Help;
use crate::keys::Keys;
use crate::record::Record;
use crate::rng::Rng;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    help: Help {
        name: "random",
        usage: "[sizes=orders|uniform|powers] [least=1] [most=PAGES] [life=N] [lifetime=exponential|fixed]",
        summary: "buffers of random sizes and random lifetimes",
        details: "Sizes from least= to most= pages (1/64 of the area): orders, each power of two and what lies up to \
                      the next is as likely as any other; uniform, each size; powers, powers of two only. A buffer lives \
                      for life= allocations on average (2048 at most; as many as fill half of the area): exponential, \
                      whatever its age; fixed, exactly. The other keys are those of debris.",
        example: "random sizes=uniform until=ops ops=2000",
    },
    read: |keys, area_pages| Ok(Arc::new(Random::read(keys, area_pages)?)),
}];

/// Maximum mean lifetime, which is about the number of buffers held.
pub(super) const MAX_LIFE: u32 = 2048;
/// Slots of a load with exponential lifetimes beyond twice the mean number of buffers; they are
/// hardly ever needed.
const SPARE_SLOTS: u32 = 64;

/// Distribution of sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sizes {
    /// Each order is equally likely, and each size in it: small sizes are frequent, large ones
    /// rare.
    Orders,
    /// Each size is equally likely.
    Uniform,
    /// Powers of two, each equally likely.
    Powers,
}

impl Sizes {
    /// The names, the default first.
    pub(super) const NAMES: &'static [&'static str] = &["orders", "uniform", "powers"];

    /// Returns the distribution with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Orders, Self::Uniform, Self::Powers].into_iter().find(|sizes| sizes.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Uniform => "uniform",
            Self::Powers => "powers",
        }
    }
}

/// Distribution of lifetimes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lifetime {
    /// Independent of the buffer's age.
    Exponential,
    /// Equal for all buffers.
    Fixed,
}

impl Lifetime {
    /// The names, the default first.
    pub(super) const NAMES: &'static [&'static str] = &["exponential", "fixed"];

    /// Returns the distribution with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Exponential, Self::Fixed].into_iter().find(|lifetime| lifetime.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Fixed => "fixed",
        }
    }
}

/// Parameters of the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Random {
    /// Distribution of sizes.
    pub sizes: Sizes,
    /// Pages of the smallest buffer, at least 1.
    pub least: u32,
    /// Pages of the largest buffer, not less than `least`.
    pub most: u32,
    /// Mean lifetime of a buffer in allocations; 1 to [`MAX_LIFE`].
    pub life: u32,
    /// Distribution of lifetimes.
    pub lifetime: Lifetime,
}

impl Random {
    /// Returns the defaults for an area of `area_pages` pages: sizes from 1 page to 1/64 of it.
    pub(super) fn usual(area_pages: u32) -> Self {
        let most = (area_pages / 64).max(1);
        let usual = Self { sizes: Sizes::Orders, least: 1, most, life: 1, lifetime: Lifetime::Exponential };
        usual.filling(area_pages)
    }

    /// Sets the lifetime that fills half of an area of `area_pages` pages.
    pub(super) fn filling(self, area_pages: u32) -> Self {
        let life = u64::from(area_pages / 2) * 2 / self.twice_the_mean().max(1);
        Self { life: life.clamp(1, MAX_LIFE.into()) as u32, ..self }
    }

    /// Returns the lowest and the highest order of sizes: log2, rounded down (for powers of two
    /// from the first one that is not less than `least`).
    fn orders(self) -> (u32, u32) {
        let first = match self.sizes {
            Sizes::Powers => self.least.next_power_of_two().min(self.most),
            Sizes::Orders | Sizes::Uniform => self.least,
        };
        (first.ilog2(), self.most.ilog2())
    }

    /// Returns the smallest and the largest size of an order.
    fn bounds(self, order: u32) -> (u32, u32) {
        let least = 1 << order;
        match self.sizes {
            Sizes::Powers => (least, least),
            Sizes::Orders | Sizes::Uniform => (self.least.max(least), self.most.min(least + (least - 1))),
        }
    }

    /// Returns twice the mean size, rounded down.
    pub(super) fn twice_the_mean(self) -> u64 {
        if self.sizes == Sizes::Uniform {
            return u64::from(self.least) + u64::from(self.most);
        }
        let (first, last) = self.orders();
        let sums =
            (first..=last).map(|order| self.bounds(order)).map(|(least, most)| u64::from(least) + u64::from(most));
        sums.sum::<u64>() / u64::from(last - first + 1)
    }

    pub(super) fn draw(self, rng: &mut Rng) -> u32 {
        if self.sizes == Sizes::Uniform {
            return self.least + rng.below(self.most - self.least + 1);
        }
        let (first, last) = self.orders();
        let (least, most) = self.bounds(first + rng.below(last - first + 1));
        least + rng.below(most - least + 1)
    }

    fn read(keys: &dyn Keys, area_pages: u32) -> Result<Self, String> {
        let mut random = Self::usual(area_pages);
        random.sizes = Sizes::named(keys.one_of("sizes", Sizes::NAMES)?).unwrap_or(random.sizes);
        random.lifetime = Lifetime::named(keys.one_of("lifetime", Lifetime::NAMES)?).unwrap_or(random.lifetime);
        random.least = keys.count("least", random.least, 1, area_pages)?;
        random.most = keys.count("most", random.most.max(random.least), random.least, area_pages)?;
        if random.sizes == Sizes::Powers && random.least.next_power_of_two() > random.most {
            let Self { least, most, .. } = random;
            return Err(format!("sizes=powers, and no power of two from {least} to {most}"));
        }
        random = random.filling(area_pages);
        random.life = keys.count("life", random.life, 1, MAX_LIFE)?;
        Ok(random)
    }
}

impl Load for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn slots(&self, _: u32) -> u32 {
        match self.lifetime {
            Lifetime::Exponential => 2 * self.life + SPARE_SLOTS,
            Lifetime::Fixed => self.life,
        }
    }

    fn start(&self, area_pages: u32, rng: Rng) -> Option<Box<dyn Stream>> {
        let slots = self.slots(area_pages) as usize;
        let (mut live, mut empty) = (Vec::new(), Vec::new());
        if self.lifetime == Lifetime::Exponential {
            live.try_reserve_exact(slots).ok()?;
            empty.try_reserve_exact(slots).ok()?;
            empty.extend((0..slots).rev());
        }
        Some(Box::new(Living { random: *self, rng, live, empty, asked: None, oldest: 0 }))
    }

    fn record(&self, record: Record) -> Record {
        record
            .string("sizes", self.sizes.name())
            .number("least", self.least)
            .number("most", self.most)
            .number("life", self.life)
            .string("lifetime", self.lifetime.name())
    }
}

impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sizes, least, most, life, lifetime } = self;
        write!(f, "random sizes={} least={least} most={most} life={life} lifetime={}", sizes.name(), lifetime.name())
    }
}

/// A running load of random sizes.
struct Living {
    random: Random,
    rng: Rng,
    /// Slots that hold a buffer, unordered, and empty slots (exponential).
    live: Vec<usize>,
    empty: Vec<usize>,
    /// The slot whose allocation was requested, until its result is checked.
    asked: Option<usize>,
    /// The slot with the oldest buffer (fixed).
    oldest: usize,
}

impl Stream for Living {
    fn next(&mut self, held: &Held) -> Ask {
        let pages = self.random.draw(&mut self.rng);
        if self.random.lifetime == Lifetime::Fixed {
            let slot = self.oldest;
            if !held.is_full(slot) {
                self.oldest = (slot + 1) % self.random.life as usize;
            }
            return Ask { slot, pages };
        }
        if let Some(slot) = self.asked.take() {
            if held.is_full(slot) { &mut self.live } else { &mut self.empty }.push(slot);
        }
        // With L buffers held, a step releases one of them with probability L / (L + life), so that
        // the mean lifetime of a buffer is `life` allocations.
        let drawn = self.rng.below(self.live.len() as u32 + self.random.life) as usize;
        let full = self.empty.is_empty();
        if drawn < self.live.len() || full {
            let slot = self.live.swap_remove(drawn % self.live.len());
            self.empty.push(slot);
            return Ask { slot, pages };
        }
        let slot = self.empty.pop().unwrap_or_default();
        self.asked = Some(slot);
        Ask { slot, pages }
    }
}
