// SPDX-License-Identifier: MIT OR Apache-2.0

//! A lock that also masks interrupts while it is held, for data that an interrupt handler shares.
//!
//! `spin` does not mask interrupts: a handler that takes a lock held by the code it interrupted
//! would spin forever.

use core::ops::{Deref, DerefMut};

use cortex_a::interrupt;
use cortex_a::register::Cpsr;
use spin::mutex::{SpinMutex, SpinMutexGuard};

/// Unmasks the exceptions that end the machine: FIQs, which no device sends, and asynchronous
/// aborts.
pub(crate) fn unmask_fatal() {
    // SAFETY: the vectors and their stacks are in place, and neither handler returns.
    unsafe { core::arch::asm!("cpsie af", options(nomem, nostack)) };
}

/// Masks IRQs until it is dropped; nests.
pub(crate) struct IrqMask {
    were_masked: bool,
}

impl IrqMask {
    /// Masks IRQs.
    pub(crate) fn new() -> Self {
        let were_masked = Cpsr::read().i();
        interrupt::disable();
        Self { were_masked }
    }
}

impl Drop for IrqMask {
    fn drop(&mut self) {
        if !self.were_masked {
            // SAFETY: interrupts were enabled when this mask was made, so no outer critical section
            // is open.
            unsafe { interrupt::enable() };
        }
    }
}

/// A spin lock whose holder cannot be interrupted.
pub(crate) struct IrqMutex<T> {
    inner: SpinMutex<T>,
}

impl<T> IrqMutex<T> {
    /// Creates an open lock around `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self { inner: SpinMutex::new(value) }
    }

    /// Masks IRQs and waits for the lock.
    pub(crate) fn lock(&self) -> IrqGuard<'_, T> {
        let mask = IrqMask::new();
        IrqGuard { guard: self.inner.lock(), _mask: mask }
    }

    /// Takes the lock; `None` if it is held.
    pub(crate) fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let mask = IrqMask::new();
        self.inner.try_lock().map(|guard| IrqGuard { guard, _mask: mask })
    }
}

/// Guard of an [`IrqMutex`]. Fields are dropped in order: IRQs are unmasked after the release.
pub(crate) struct IrqGuard<'a, T> {
    guard: SpinMutexGuard<'a, T>,
    _mask: IrqMask,
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
