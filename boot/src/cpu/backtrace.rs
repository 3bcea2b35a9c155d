// SPDX-License-Identifier: MIT OR Apache-2.0

//! Backtraces: return addresses found by the chain of frame pointers.
//!
//! Every function of the kernel keeps r11 pointing at the pair (caller's r11, return address). The
//! walk checks each frame: it has to be in the stack that the walk started in, above the frame
//! before, and its return address has to follow a call. Printed is the address of the call, not
//! that of the instruction after it, which may belong to the next line or function.

use core::fmt::{self, Write};

use super::image;

/// Longest backtrace printed.
const MAX_FRAMES: usize = 24;

/// Returns the caller's frame pointer.
#[inline(always)]
pub(crate) fn frame_pointer() -> u32 {
    let pointer: u32;
    // SAFETY: copies a register.
    unsafe { core::arch::asm!("mov {}, r11", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Prints `backtrace:` and the addresses on one line: for a fault its pc, and its lr if that is a
/// return address; then those found from `frame_pointer` on.
pub(crate) fn print(out: &mut impl Write, fault: Option<(u32, u32)>, frame_pointer: u32) -> fmt::Result {
    out.write_str("backtrace:")?;
    if let Some((pc, lr)) = fault {
        write!(out, " {pc:#010x}")?;
        // A leaf function's return address is only in lr; any other function has stored it in the
        // frame that the walk begins with.
        if follows_call(lr) && frame(frame_pointer).is_none_or(|(_, return_address)| return_address != lr) {
            write!(out, " {:#010x}", lr - 4)?;
        }
    }
    let mut pointer = frame_pointer;
    for _ in 0..MAX_FRAMES {
        let Some((caller, return_address)) = frame(pointer) else { break };
        if !follows_call(return_address) {
            break;
        }
        write!(out, " {:#010x}", return_address - 4)?;
        // Callers' frames are at higher addresses; anything else is not a chain.
        if caller <= pointer {
            break;
        }
        pointer = caller;
    }
    out.write_str("\n")
}

/// Returns the pair at `pointer`: the caller's frame pointer, and the return address.
fn frame(pointer: u32) -> Option<(u32, u32)> {
    let in_stack =
        image::stacks().into_iter().any(|stack| (stack.guard + image::GUARD_BYTES..stack.top - 7).contains(&pointer));
    if !in_stack || !pointer.is_multiple_of(4) {
        return None;
    }
    // SAFETY: the word is aligned, and inside a stack, which is always mapped.
    let caller = unsafe { word(pointer) };
    // SAFETY: as above; the bound leaves room for two words.
    let return_address = unsafe { word(pointer + 4) };
    Some((caller, return_address))
}

/// True if `address` follows a call: only then can it be a return address.
fn follows_call(address: u32) -> bool {
    let before = |bytes| address.checked_sub(bytes).and_then(image::instruction);
    before(4).is_some_and(|instruction| {
        let branch_with_link = instruction & 0x0f00_0000 == 0x0b00_0000;
        let to_register = instruction & 0x0fff_fff0 == 0x012f_ff30;
        let to_immediate = instruction & 0xfe00_0000 == 0xfa00_0000;
        // LLVM calls a function that never returns by `mov lr, pc` and a plain branch.
        let without_return = instruction & 0x0f00_0000 == 0x0a00_0000 && before(8) == Some(0xe1a0_e00f);
        branch_with_link || to_register || to_immediate || without_return
    })
}

/// Reads a word of a stack.
///
/// # Safety
/// `address` is aligned and mapped.
unsafe fn word(address: u32) -> u32 {
    // SAFETY: guaranteed by the caller.
    unsafe { core::ptr::with_exposed_provenance::<u32>(address as usize).read_volatile() }
}
