// SPDX-License-Identifier: MIT OR Apache-2.0

//! The time from the kernel's first instruction to the first command.

use super::{Benchmark, Cost, Measurement, Run};
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const {
        &[Benchmark {
            name: "boot",
            run: Run::Calls(|_, _, setting, name| {
                let ns = setting.ns_to_ready;
                Ok(Measurement::new(name, Cost { calls: 1, mean_ns: ns, p999_ns: ns, max_ns: ns }))
            }),
        }]
    }
}
