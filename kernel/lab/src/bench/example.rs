// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests of eight pages in the small area.

use super::area::cma;
use super::{Benchmark, Run};
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const {
        &[Benchmark {
            name: "cma/8",
            run: Run::Calls(|system, machine, setting, name| cma(system, machine, setting, name, 8)),
        }]
    }
}
