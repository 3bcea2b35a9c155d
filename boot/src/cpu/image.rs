// SPDX-License-Identifier: MIT OR Apache-2.0

//! Addresses of the image's parts, from the linker script.

use units::PhysRange;

/// Declares the linker script's symbols, and a function for each that returns its address.
macro_rules! symbols {
    ($($symbol:ident => $function:ident: $doc:literal;)*) => {
        // SAFETY: the linker script defines each of them, and only their addresses are taken.
        unsafe extern "C" {
            $(static $symbol: u8;)*
        }
        $(
            #[doc = $doc]
            pub(crate) fn $function() -> u32 {
                (&raw const $symbol).addr() as u32
            }
        )*
    };
}

symbols! {
    __image_start => image_start: "The image's first byte.";
    __text_start => text_start: "First instruction.";
    __text_end => text_end: "End of the code, on a page.";
    __rodata_start => rodata_start: "First constant.";
    __rodata_end => rodata_end: "End of the constants, on a page.";
    __data_start => data_start: "First variable.";
    __data_end => data_end: "End of data, bss, heap and page tables, on a page.";
    __und_guard => und_guard: "The page under the undefined-instruction stack.";
    __abt_guard => abt_guard: "The page under the abort stack.";
    __fiq_guard => fiq_guard: "The page under the FIQ stack.";
    __irq_guard => irq_guard: "The page under the IRQ stack.";
    __svc_guard => svc_guard: "The page under the supervisor stack.";
    __svc_stack_top => svc_stack_top: "The supervisor stack's end.";
    __image_end => image_end: "The image's end, stacks included.";
}

/// Returns the range of the image, including stacks, heap and guard pages.
pub(crate) fn range() -> PhysRange {
    PhysRange { start: image_start().into(), end: image_end().into() }
}

/// A stack with the guard page under it.
pub(crate) struct Stack {
    /// Name of the stack, for reports.
    pub name: &'static str,
    /// The guard page's first byte; the stack begins one page above.
    pub guard: u32,
    /// One past the stack's last byte.
    pub top: u32,
}

/// Bytes of a guard page.
pub(crate) const GUARD_BYTES: u32 = 4096;

/// Returns the five stacks, from the lowest address up; each ends at the next one's guard page.
pub(crate) fn stacks() -> [Stack; 5] {
    [
        Stack { name: "undefined-instruction stack", guard: und_guard(), top: abt_guard() },
        Stack { name: "abort stack", guard: abt_guard(), top: fiq_guard() },
        Stack { name: "FIQ stack", guard: fiq_guard(), top: irq_guard() },
        Stack { name: "IRQ stack", guard: irq_guard(), top: svc_guard() },
        Stack { name: "supervisor stack", guard: svc_guard(), top: svc_stack_top() },
    ]
}

/// True if `address` is aligned and in the image's text.
pub(crate) fn is_text(address: u32) -> bool {
    (text_start()..text_end()).contains(&address) && address.is_multiple_of(4)
}

/// Returns the instruction at `address`; `None` if that is not in the image's text.
pub(crate) fn instruction(address: u32) -> Option<u32> {
    // SAFETY:
    // - the address is a multiple of 4 inside the image's text, which is always mapped readable;
    // - text is never written.
    is_text(address).then(|| unsafe { core::ptr::with_exposed_provenance::<u32>(address as usize).read_volatile() })
}
