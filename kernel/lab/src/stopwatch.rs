// SPDX-License-Identifier: MIT OR Apache-2.0

//! Times single calls, without the cost of reading the clock.
//!
//! A span between two readings contains the cost of one reading. The clock may be coarser than a
//! call (10 ns a tick on this board), so the time of one call is inexact; the mean over many is
//! right if they begin at every phase of a tick: the calls of a load do, and repeated calls of one
//! kind do after a [`Dither`].

use core::sync::atomic::{Ordering, compiler_fence};

use machine::Machine;

/// Pairs of readings that the calibration averages over. A power of two: to divide 128 bits by it
/// is a shift.
const READINGS: u32 = 1024;
/// Number of calibrations. The quickest counts, because an interrupt only adds time.
const TRIES: u32 = 4;

/// Times of a load's calls, and the clock's part in them.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Allocations.
    pub alloc: Timing,
    /// Releases.
    pub release: Timing,
    /// Cost of reading the clock in each.
    pub cost: ClockCost,
}

/// Cost of reading the clock, as part of a span.
#[derive(Clone, Copy, Debug)]
pub struct ClockCost {
    /// Time of [`READINGS`] empty spans, in ns.
    total_ns: u64,
}

impl ClockCost {
    /// Measures the machine's clock with itself: empty spans, measured as by [`Timing::time`]. A
    /// loop of many readings would not do, because the loop costs more than the readings.
    // Inlined, it would take registers from the measured calls.
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

    /// Returns the cost in one span, in ns.
    pub const fn reading_ns(self) -> u64 {
        self.of(1)
    }

    /// Returns the cost in `spans` spans, in ns, rounded.
    const fn of(self, spans: u64) -> u64 {
        ((self.total_ns as u128 * spans as u128 + READINGS as u128 / 2) / READINGS as u128) as u64
    }
}

/// Returns the ticks between two readings. Not inlined, so that no other code can be moved between
/// them.
#[inline(never)]
fn ticks_of_nothing<M: Machine + ?Sized>(machine: &M) -> u32 {
    let start = machine.ticks();
    machine.ticks().wrapping_sub(start)
}

/// Sum, count and maximum of the times of one kind of call, and their distribution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    calls: u64,
    gross_ns: u64,
    gross_max_ns: u64,
    /// Number of calls by span, in eighths of an octave; the last includes all longer ones.
    spans: [u32; SPANS],
}

/// Number of classes of spans: up to 16 ms.
const SPANS: usize = 8 * 22;

/// Returns the class of a span.
fn span_of(ns: u64) -> usize {
    if ns < 8 {
        return ns as usize;
    }
    let octave = ns.ilog2();
    (8 * (octave as usize - 2) + (ns >> (octave - 3)) as usize % 8).min(SPANS - 1)
}

/// Returns the longest span of a class, in ns.
fn longest_of(span: usize) -> u64 {
    if span < 8 { span as u64 } else { ((9 + span as u64 % 8) << (span / 8 - 1)) - 1 }
}

impl Default for Timing {
    fn default() -> Self {
        Self::NONE
    }
}

/// Reads the clock before a measured call. A function of its own, different from [`last_reading`],
/// so that a profiler finds by name where to begin counting (see `make profile`); inlined, because
/// QEMU looks up the jump into a function and back.
#[inline(always)]
fn first_reading<M: Machine + ?Sized>(machine: &M) -> u32 {
    let start = machine.ticks();
    // Reads of the call must not move before this point,
    compiler_fence(Ordering::SeqCst);
    start
}

/// Reads the clock after a measured call; here a profiler stops counting.
#[inline(always)]
fn last_reading<M: Machine + ?Sized>(machine: &M) -> u32 {
    // and its writes must not move after this point.
    compiler_fence(Ordering::SeqCst);
    machine.ticks()
}

/// Makes a call of less than 40 s; also returns the ns that passed, which include the cost of
/// reading the clock.
pub fn span_ns_of<M: Machine + ?Sized, T>(machine: &M, call: impl FnOnce() -> T) -> (T, u64) {
    let start = first_reading(machine);
    let answer = call();
    let ticks = last_reading(machine).wrapping_sub(start);
    (answer, u64::from(ticks) * u64::from(machine.tick_ns()))
}

/// Waits before a call for a time that varies, so that the calls begin at every phase of a clock
/// that is coarser than a call. Random, but the same in each run: regular waits would have regular
/// phases and miss some.
pub struct Dither(fastrand::Rng);

impl Default for Dither {
    fn default() -> Self {
        Self(fastrand::Rng::with_seed(1))
    }
}

impl Dither {
    /// Waits for less than a tick.
    #[inline(never)]
    pub fn wait<M: Machine + ?Sized>(&mut self, machine: &M) {
        machine.pass(self.0.u32(0..machine.tick_ns()));
    }
}

impl Timing {
    /// Times of no calls.
    pub const NONE: Self = Self { calls: 0, gross_ns: 0, gross_max_ns: 0, spans: [0; SPANS] };

    /// Times one call. Between the two readings there is only the call, and at most the saving of a
    /// register or two by the compiler: the conversion of the ticks comes later.
    #[inline(always)]
    pub fn time<M: Machine + ?Sized, T>(&mut self, machine: &M, call: impl FnOnce() -> T) -> T {
        let start = first_reading(machine);
        let answer = call();
        let end = last_reading(machine);
        self.take_in(machine, end.wrapping_sub(start));
        answer
    }

    /// Adds a call of `ticks` ticks. Not inlined: the compiler would save registers for it inside
    /// the span, and move it into the next one.
    #[inline(never)]
    fn take_in<M: Machine + ?Sized>(&mut self, machine: &M, ticks: u32) {
        let span_ns = u64::from(ticks) * u64::from(machine.tick_ns());
        self.calls += 1;
        self.gross_ns += span_ns;
        self.gross_max_ns = self.gross_max_ns.max(span_ns);
        let count = &mut self.spans[span_of(span_ns)];
        *count = count.saturating_add(1);
    }

    /// Adds all calls of another.
    pub fn include(&mut self, other: Self) {
        self.calls += other.calls;
        self.gross_ns += other.gross_ns;
        self.gross_max_ns = self.gross_max_ns.max(other.gross_max_ns);
        for (count, others) in self.spans.iter_mut().zip(other.spans) {
            *count = count.saturating_add(others);
        }
    }

    /// Returns the number of calls.
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// Returns the mean time of a call in ns, without the clock's cost, rounded; 0 without calls.
    pub fn mean_ns(&self, cost: ClockCost) -> u64 {
        let net_ns = self.gross_ns.saturating_sub(cost.of(self.calls));
        (net_ns + self.calls / 2).checked_div(self.calls).unwrap_or(0)
    }

    /// Returns the maximum of 999 in 1,000 calls, in ns, net of the clock; up to an eighth too
    /// high.
    pub fn p999_ns(&self, cost: ClockCost) -> u64 {
        let longer = self.calls / 1000;
        let mut calls = 0;
        let span = self.spans.iter().rposition(|&count| {
            calls += u64::from(count);
            calls > longer
        });
        span.map_or(0, longest_of).min(self.gross_max_ns).saturating_sub(cost.of(1))
    }

    /// Returns the longest time of a call in ns, without the clock's cost.
    pub fn max_ns(&self, cost: ClockCost) -> u64 {
        self.gross_max_ns.saturating_sub(cost.of(1))
    }
}

/// Times the last of every `every` calls, as reading the clock can take longer than a call. Not the
/// first, which is far slower than the others where code is translated just in time.
#[derive(Clone, Copy, Debug)]
pub struct Sampled {
    timing: Timing,
    every: u32,
    /// Calls to skip before the next timed one.
    passing: u32,
}

impl Sampled {
    /// Times one call in `every`, which is at least 1.
    pub const fn one_in(every: u32) -> Self {
        Self { timing: Timing::NONE, every, passing: every.saturating_sub(1) }
    }

    /// Makes a call, and times it if it is its turn.
    #[inline(always)]
    pub fn time<M: Machine + ?Sized, T>(&mut self, machine: &M, call: impl FnOnce() -> T) -> T {
        if self.passing > 0 {
            self.passing -= 1;
            return call();
        }
        self.passing = self.every.saturating_sub(1);
        self.timing.time(machine, call)
    }

    /// Returns the times of the timed calls.
    pub const fn timing(&self) -> Timing {
        self.timing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use board_mock::Mock;

    /// Makes the times of calls that took `calls` ticks of 10 ns each.
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
        // This clock advances on each reading.
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
