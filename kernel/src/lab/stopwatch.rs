//! Times single calls, net of what reading the clock costs.
//!
//! A span between two readings contains about one reading. The clock may be coarser than a call (10 ns a step on this
//! board), so one call's time means little and the mean over many is right: phases are random.

use core::hint::black_box;

use crate::machine::Machine;

/// How many readings the calibration averages over.
const READINGS: u64 = 64;
/// How often it is made. The quickest counts: whatever came in between only ever adds.
const TRIES: u32 = 16;

/// What one reading of the clock costs.
#[derive(Clone, Copy, Debug)]
pub struct ClockCost {
    /// ns that all [`READINGS`] take.
    total_ns: u64,
}

impl ClockCost {
    /// Measures the machine's clock with itself.
    pub fn measure<M: Machine + ?Sized>(machine: &M) -> Self {
        let once = |_| {
            let start_ns = machine.short_ns();
            let mut end_ns = start_ns;
            for _ in 0..READINGS {
                end_ns = black_box(machine.short_ns());
            }
            u64::from(end_ns.wrapping_sub(start_ns))
        };
        Self { total_ns: (0..TRIES).map(once).min().unwrap_or(0) }
    }

    /// What one reading costs, in ns.
    pub const fn reading_ns(self) -> u64 {
        self.of(1)
    }

    /// The cost of so many readings, in ns.
    const fn of(self, readings: u64) -> u64 {
        (self.total_ns as u128 * readings as u128 / READINGS as u128) as u64
    }
}

/// Sum, count and maximum of a kind of call.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Timing {
    calls: u64,
    gross_ns: u64,
    gross_max_ns: u64,
}

/// The reading before a measured call. Its own function, and different from [`last_reading`], so that a profiler finds by
/// name where it is to begin to count (see `make profile`); inlined, because QEMU looks up the way into a function and back.
#[inline(always)]
fn first_reading<M: Machine + ?Sized>(machine: &M) -> u32 {
    machine.short_ns()
}

/// The reading behind a measured call, with which a profiler stops counting.
#[inline(always)]
fn last_reading<M: Machine + ?Sized>(machine: &M) -> u32 {
    machine.short_ns()
}

/// Lets time pass that differs from call to call, so that a clock coarser than a call finds it at every phase of a step.
#[inline(never)]
pub fn dither(call: u32) {
    for step in 0..call % 10 {
        black_box(step);
    }
}

impl Timing {
    /// Times one call. Between the two readings of the clock there is nothing but the call.
    #[inline(always)]
    pub fn time<M: Machine + ?Sized, T>(&mut self, machine: &M, call: impl FnOnce() -> T) -> T {
        let start_ns = first_reading(machine);
        let answer = call();
        let end_ns = last_reading(machine);
        self.add(0, u64::from(end_ns.wrapping_sub(start_ns)));
        answer
    }

    /// Takes in one call.
    #[inline]
    pub fn add(&mut self, start_ns: u64, end_ns: u64) {
        let span_ns = end_ns.saturating_sub(start_ns);
        self.calls += 1;
        self.gross_ns += span_ns;
        self.gross_max_ns = self.gross_max_ns.max(span_ns);
    }

    /// Takes in all calls of another.
    pub fn include(&mut self, other: Self) {
        self.calls += other.calls;
        self.gross_ns += other.gross_ns;
        self.gross_max_ns = self.gross_max_ns.max(other.gross_max_ns);
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

    /// The longest call in ns, net.
    pub fn max_ns(&self, cost: ClockCost) -> u64 {
        self.gross_max_ns.saturating_sub(cost.of(1))
    }
}

/// Times the last of every so many calls: reading the clock can take longer than a call does. Not the first, which is far
/// slower than any other where code is translated as it comes.
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
        Self { timing: Timing { calls: 0, gross_ns: 0, gross_max_ns: 0 }, every, passing: every.saturating_sub(1) }
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
    use crate::mock::Mock;

    #[test]
    fn net_of_the_clock() {
        let cost = ClockCost { total_ns: 20 * READINGS };
        let mut timing = Timing::default();
        assert_eq!((timing.mean_ns(cost), timing.max_ns(cost)), (0, 0));
        timing.add(100, 150);
        timing.add(200, 221);
        assert_eq!((timing.calls(), timing.mean_ns(cost), timing.max_ns(cost)), (2, 16, 30));
        timing.add(300, 290);
        assert_eq!(timing.mean_ns(cost), 4, "a clock that goes back counts as 0, and nothing wraps");
    }

    #[test]
    fn fractions_of_the_cost_add_up() {
        let cost = ClockCost { total_ns: READINGS / 2 };
        let mut timing = Timing::default();
        for call in 0..1000 {
            timing.add(call * 10, call * 10 + 3);
        }
        assert_eq!(timing.mean_ns(cost), 3, "2.5 rounds up");
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
