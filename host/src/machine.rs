// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host as the laboratory's machine: a clock, output, memory for tables.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use kernel::machine::{Fault, Machine};
use kernel::mm::Block;

/// A clock: nanoseconds since a fixed time.
pub type Clock = fn() -> u64;

/// Set by Ctrl-C: what runs on a host ends at its next check, and nothing begins.
pub static STOPPED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// An observer of a running command.
pub trait Watch {
    /// Receives the areas, in the words of [`kernel::lab::watch::areas`]; `areas` takes time.
    fn areas(&self, _areas: &dyn Fn() -> Vec<u32>) {}

    /// True once after each Ctrl-C.
    fn interrupted(&self) -> bool;
}

/// The host as a machine.
pub struct Host {
    clock: Clock,
    print: Box<dyn FnMut(&str)>,
    watch: Option<Box<dyn Watch>>,
    /// Contents of blocks, by their first frame; only the tables of large recordings use them.
    memory: HashMap<u32, Vec<u32>>,
}

impl Host {
    /// Creates a host with a clock, which prints to `print`.
    pub fn new(clock: Clock, print: Box<dyn FnMut(&str)>) -> Self {
        Self { clock, print, watch: None, memory: HashMap::new() }
    }

    /// Sets the observer, which can also stop what runs.
    pub fn watch(&mut self, watch: impl Watch + 'static) {
        self.watch = Some(Box::new(watch));
    }
}

impl Machine for Host {
    fn now_ns(&self) -> u64 {
        (self.clock)()
    }

    fn tick_ns(&self) -> u32 {
        1
    }

    fn interrupted(&self) -> bool {
        STOPPED.load(Ordering::Relaxed) || self.watch.as_ref().is_some_and(|watch| watch.interrupted())
    }

    fn show_areas(&self, areas: &dyn Fn() -> Vec<u32>) {
        if let Some(watch) = &self.watch {
            watch.areas(areas);
        }
    }

    fn write_str(&mut self, text: &str) {
        (self.print)(text);
    }

    fn read_byte(&mut self) -> u8 {
        // Ctrl-D: there is no input.
        0x04
    }

    fn poll_byte(&mut self) -> Option<u8> {
        None
    }

    fn page_memory<'a>(&'a mut self, block: &'a mut Block) -> &'a mut [u32] {
        let words = 1024 << block.order();
        let memory = self.memory.entry(block.first().0).or_default();
        if memory.len() < words {
            memory.resize(words, 0);
        }
        &mut memory[..words]
    }

    fn fault(&mut self, fault: Fault) -> ! {
        panic!("fault {}", fault.name())
    }
}
