// SPDX-License-Identifier: MIT OR Apache-2.0

//! Times single calls, net of what reading the clock costs.
//!
//! A span between two readings contains one reading: the way to the second, and the second. The
//! clock may be coarser than a call (10 ns a step on this board), so one call's time means little
//! and the mean over many is right, if they come at every phase of a step: the calls of a load do
//! by themselves, and the same call again and again where a [`Dither`] is waited for.

use core::sync::atomic::{Ordering, compiler_fence};

use machine::Machine;

/// How many pairs of readings the calibration averages over. A power of two: to divide 128 bits by
/// it is a shift.
const READINGS: u32 = 1024;
/// How often it is made. The quickest counts, because an interrupt in between only ever adds.
const TRIES: u32 = 4;

/// How long the calls of a load took, and what of that is the clock's.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Allocations.
    pub alloc: Timing,
    /// Releases.
    pub release: Timing,
    /// What reading the clock adds to each.
    pub cost: ClockCost,
}

/// What reading the clock adds to a span.
#[derive(Clone, Copy, Debug)]
pub struct ClockCost {
    /// ns that [`READINGS`] spans take in which there is nothing.
    total_ns: u64,
}

impl ClockCost {
    /// Measures the machine's clock with itself: spans of nothing, as [`Timing::time`] would
    /// measure them. Many readings in a row would not do, because a loop around them costs more
    /// than they do.
    // Inlined, it would take registers from the calls that are measured.
    #[cold]
    #[inline(never)]
    pub fn measure<M: Machine + ?Sized>(machine: &M) -> Self {
        let mut dither = Dither::default();
        let once = |_| {
            let mut ticks = 0;
            for _ in 0..READINGS {
                dither.wait(machine);
                ticks += u64::from(ticks_of_nothing(machine));
            }
            ticks * u64::from(machine.tick_ns())
        };
        Self { total_ns: (0..TRIES).map(once).min().unwrap_or(0) }
    }

    /// What it adds to one span, in ns.
    pub const fn reading_ns(self) -> u64 {
        self.of(1)
    }

    /// What it adds to `spans` spans, in ns, rounded.
    const fn of(self, spans: u64) -> u64 {
        ((self.total_ns as u128 * spans as u128 + READINGS as u128 / 2) / READINGS as u128) as u64
    }
}

/// How many ticks pass from one reading to the next. Not inlined, so that there is nothing around
/// that could be done meanwhile.
#[inline(never)]
fn ticks_of_nothing<M: Machine + ?Sized>(machine: &M) -> u32 {
    let start = machine.ticks();
    machine.ticks().wrapping_sub(start)
}

/// Sum, count and maximum of a kind of call, and how many calls took about how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    calls: u64,
    gross_ns: u64,
    gross_max_ns: u64,
    /// Calls by the span that they took, in eighths of an octave; the last has all longer ones.
    spans: [u32; SPANS],
}

/// Spans told apart: to 16 ms.
const SPANS: usize = 8 * 22;

/// Where a span counts.
fn span_of(ns: u64) -> usize {
    if ns < 8 {
        return ns as usize;
    }
    let octave = ns.ilog2();
    (8 * (octave as usize - 2) + (ns >> (octave - 3)) as usize % 8).min(SPANS - 1)
}

/// The longest span that counts there, in ns.
fn longest_of(span: usize) -> u64 {
    if span < 8 { span as u64 } else { ((9 + span as u64 % 8) << (span / 8 - 1)) - 1 }
}

impl Default for Timing {
    fn default() -> Self {
        Self::NONE
    }
}

/// The reading before a measured call. Its own function, and different from [`last_reading`], so
/// that a profiler finds by name where it is to begin to count (see `make profile`); inlined,
/// because QEMU looks up the way into a function and back.
#[inline(always)]
fn first_reading<M: Machine + ?Sized>(machine: &M) -> u32 {
    let start = machine.ticks();
    // Nothing that the call reads may be read before it begins,
    compiler_fence(Ordering::SeqCst);
    start
}

/// The reading behind a measured call, with which a profiler stops counting.
#[inline(always)]
fn last_reading<M: Machine + ?Sized>(machine: &M) -> u32 {
    // and nothing that it writes be written when it has ended.
    compiler_fence(Ordering::SeqCst);
    machine.ticks()
}

/// Makes a call of less than 40 s; also returns how many ns passed, what reading the clock takes
/// included.
pub fn span_ns_of<M: Machine + ?Sized, T>(machine: &M, call: impl FnOnce() -> T) -> (T, u64) {
    let start = first_reading(machine);
    let answer = call();
    let ticks = last_reading(machine).wrapping_sub(start);
    (answer, u64::from(ticks) * u64::from(machine.tick_ns()))
}

/// Waits before a call for a time that differs from call to call, so that a clock coarser than a
/// call finds it at every phase of a step. Random, and the same in each run: the phases of a
/// regular row of waits are regular, too, and leave some out.
pub struct Dither(fastrand::Rng);

impl Default for Dither {
    fn default() -> Self {
        Self(fastrand::Rng::with_seed(1))
    }
}

impl Dither {
    /// Waits.
    #[inline(never)]
    pub fn wait<M: Machine + ?Sized>(&mut self, machine: &M) {
        machine.pass(self.0.u32(0..machine.tick_ns()));
    }
}

impl Timing {
    /// No call yet.
    pub const NONE: Self = Self { calls: 0, gross_ns: 0, gross_max_ns: 0, spans: [0; SPANS] };

    /// Times one call. Between the two readings there is nothing but the call, and at most a
    /// register or two that the compiler saves for it: what the ticks are is left for later.
    #[inline(always)]
    pub fn time<M: Machine + ?Sized, T>(&mut self, machine: &M, call: impl FnOnce() -> T) -> T {
        let start = first_reading(machine);
        let answer = call();
        let end = last_reading(machine);
        self.take_in(machine, end.wrapping_sub(start));
        answer
    }

    /// Takes in a call of `ticks` ticks. Not inlined: the compiler would save registers for it in
    /// the span, and take it into the next one.
    #[inline(never)]
    fn take_in<M: Machine + ?Sized>(&mut self, machine: &M, ticks: u32) {
        let span_ns = u64::from(ticks) * u64::from(machine.tick_ns());
        self.calls += 1;
        self.gross_ns += span_ns;
        self.gross_max_ns = self.gross_max_ns.max(span_ns);
        let count = &mut self.spans[span_of(span_ns)];
        *count = count.saturating_add(1);
    }

    /// Takes in all calls of another.
    pub fn include(&mut self, other: Self) {
        self.calls += other.calls;
        self.gross_ns += other.gross_ns;
        self.gross_max_ns = self.gross_max_ns.max(other.gross_max_ns);
        for (count, others) in self.spans.iter_mut().zip(other.spans) {
            *count = count.saturating_add(others);
        }
    }

    /// How many calls there were.
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// Mean time of a call in ns, net, rounded; 0 if there was none.
    pub fn mean_ns(&self, cost: ClockCost) -> u64 {
        let net_ns = self.gross_ns.saturating_sub(cost.of(self.calls));
        (net_ns + self.calls / 2).checked_div(self.calls).unwrap_or(0)
    }

    /// What 999 of 1,000 calls took at most, in ns, net, rounded up by an eighth at most.
    pub fn p999_ns(&self, cost: ClockCost) -> u64 {
        let longer = self.calls / 1000;
        let mut calls = 0;
        let span = self.spans.iter().rposition(|&count| {
            calls += u64::from(count);
            calls > longer
        });
        span.map_or(0, longest_of).min(self.gross_max_ns).saturating_sub(cost.of(1))
    }

    /// The longest call in ns, net.
    pub fn max_ns(&self, cost: ClockCost) -> u64 {
        self.gross_max_ns.saturating_sub(cost.of(1))
    }
}

/// Times the last of every `every` calls: reading the clock can take longer than a call does. Not
/// the first, which is far slower than any other where code is translated as it comes.
#[derive(Clone, Copy, Debug)]
pub struct Sampled {
    timing: Timing,
    every: u32,
    /// Calls that pass untimed before the next that is timed.
    passing: u32,
}

impl Sampled {
    /// One call in `every`, which is at least 1.
    pub const fn one_in(every: u32) -> Self {
        Self { timing: Timing::NONE, every, passing: every.saturating_sub(1) }
    }

    /// Makes a call, and times it if it is one that is to be.
    #[inline(always)]
    pub fn time<M: Machine + ?Sized, T>(&mut self, machine: &M, call: impl FnOnce() -> T) -> T {
        if self.passing > 0 {
            self.passing -= 1;
            return call();
        }
        self.passing = self.every.saturating_sub(1);
        self.timing.time(machine, call)
    }

    /// The calls that were timed.
    pub const fn timing(&self) -> Timing {
        self.timing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use board_mock::Mock;

    /// Calls of the given ticks, of 10 ns each.
    fn timing_of(calls: impl IntoIterator<Item = u32>) -> Timing {
        let (machine, mut timing) = (Mock::default(), Timing::default());
        calls.into_iter().for_each(|ticks| timing.take_in(&machine, ticks));
        timing
    }

    #[test]
    fn a_call_in_a_thousand_is_longer() {
        let cost = ClockCost { total_ns: 0 };
        let timing =
            |long: usize| timing_of(core::iter::repeat_n(10, 2000 - long).chain(core::iter::repeat_n(900, long)));
        assert_eq!((timing(0).p999_ns(cost), timing(2).p999_ns(cost)), (100, 103));
        assert_eq!((timing(3).p999_ns(cost), timing(3).max_ns(cost)), (9000, 9000));
        assert_eq!(Timing::default().p999_ns(cost), 0);
        let mut both = timing(1);
        both.include(timing(5));
        assert_eq!(both.p999_ns(cost), 9000);
    }

    #[test]
    fn spans_are_good_to_an_eighth() {
        for ns in (0..5000).chain([1 << 20, (1 << 24) - 1]) {
            let longest = longest_of(span_of(ns));
            assert!(longest >= ns && longest <= ns + ns / 8, "{ns} {longest}");
        }
        assert_eq!(span_of(u64::MAX), SPANS - 1);
    }

    #[test]
    fn net_of_the_clock() {
        let cost = ClockCost { total_ns: 20 * u64::from(READINGS) };
        let none = Timing::default();
        assert_eq!((none.mean_ns(cost), none.max_ns(cost)), (0, 0));
        let two = timing_of([5, 2]);
        assert_eq!((two.calls(), two.mean_ns(cost), two.max_ns(cost)), (2, 15, 30));
        let quick = timing_of([1, 1]);
        assert_eq!((quick.mean_ns(cost), quick.max_ns(cost)), (0, 0), "less than the clock costs is nothing");
    }

    #[test]
    fn fractions_of_the_cost_add_up() {
        let cost = ClockCost { total_ns: u64::from(READINGS / 2) };
        assert_eq!(timing_of((0..1000).map(|_| 1)).mean_ns(cost), 10, "9.5 rounds up");
    }

    #[test]
    fn a_span_is_what_the_clock_says_and_nothing_costs_one_reading() {
        // This clock steps whenever it is read.
        let machine = Mock::default();
        let (answer, span_ns) = span_ns_of(&machine, || {
            machine.now_ns();
            7
        });
        assert_eq!((answer, span_ns), (7, 20));
        assert_eq!(ClockCost::measure(&machine).reading_ns(), 10);
    }

    #[test]
    fn one_call_in_so_many_is_timed_and_every_call_is_made() {
        let machine = Mock::default();
        for (every, calls, timed) in [(1, 10, 10), (3, 10, 3), (16, 15, 0), (16, 16, 1), (16, 17, 1), (u32::MAX, 10, 0)]
        {
            let mut sampled = Sampled::one_in(every);
            let made: u32 = (0..calls).map(|_| sampled.time(&machine, || 1)).sum();
            assert_eq!((made, sampled.timing().calls()), (calls, timed), "one in {every}");
        }
    }
}
