// SPDX-License-Identifier: MIT OR Apache-2.0

//! Common parts of the fuzzers: a mock machine whose loads end soon, and whose deliberate faults
//! are not findings.

use std::cell::Cell;
use std::panic;

use board_mock::{Mock, with_small_board};
use kernel::machine::{Fault, Machine};
use kernel::mm::Block;
use kernel::monitor::{Context, Monitor};

/// Every check for Ctrl-C whose number is a multiple of this finds one.
const LOOKS: u64 = 300;
/// Bytes of output after which the console is cleared.
const PRINTED: usize = 1 << 20;

/// The host tests' machine, with frequent Ctrl-C.
struct Impatient {
    mock: Mock,
    looks: Cell<u64>,
}

/// The payload that unwinds from a deliberate fault.
struct OnPurpose;

impl Machine for Impatient {
    fn now_ns(&self) -> u64 {
        self.mock.now_ns()
    }

    fn tick_ns(&self) -> u32 {
        self.mock.tick_ns()
    }

    fn interrupted(&self) -> bool {
        let looks = self.looks.get() + 1;
        self.looks.set(looks % LOOKS);
        looks == LOOKS
    }

    fn write_str(&mut self, text: &str) {
        if self.mock.printed.len() > PRINTED {
            self.mock.printed.clear();
        }
        self.mock.write_str(text);
    }

    fn read_byte(&mut self) -> u8 {
        self.mock.read_byte()
    }

    fn poll_byte(&mut self) -> Option<u8> {
        self.mock.poll_byte()
    }

    fn fault(&mut self, _: Fault) -> ! {
        // Unwinds without the hook that would report a crash.
        panic::resume_unwind(Box::new(OnPurpose))
    }

    fn page_memory<'a>(&'a mut self, block: &'a mut Block) -> &'a mut [u32] {
        self.mock.page_memory(block)
    }
}

/// Boots a monitor with this `run=` and initrd, types at its prompt, and powers off; then checks
/// the accounting.
pub fn at_the_monitor(run: &str, typed: &[u8], initrd: Option<&[u8]>) {
    with_small_board(|system, mock| {
        mock.typed.extend(typed);
        mock.typed.extend(b"\x03poweroff\r");
        let mut machine = Impatient { mock: std::mem::take(mock), looks: Cell::new(0) };
        let context = Context { cmdline: run, initrd, version: "debris, fuzzed", ..Context::default() };
        let ended = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            Monitor::new(system, &mut machine, context).run_to_end(Some(run))
        }));
        match ended {
            Ok(_) => system.check().expect("the accounting balances"),
            Err(payload) if payload.is::<OnPurpose>() => {}
            Err(payload) => panic::resume_unwind(payload),
        }
    });
}
