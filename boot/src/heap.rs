// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel heap, for boot-time and monitor data; nothing on a measured path allocates from it.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

use linked_list_allocator::Heap;

use crate::cpu::irq::IrqMutex;

/// Size of the heap.
pub(crate) const HEAP_BYTES: usize = 1 << 20;

#[repr(C, align(4096))]
struct Memory(UnsafeCell<MaybeUninit<[u8; HEAP_BYTES]>>);

// SAFETY: only the heap accesses the cell, under its lock.
unsafe impl Sync for Memory {}

/// Not cleared at boot: the heap initialises its own bookkeeping, and its users their data.
#[unsafe(link_section = ".noinit.heap")]
static MEMORY: Memory = Memory(UnsafeCell::new(MaybeUninit::uninit()));

struct KernelHeap(IrqMutex<Heap>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(IrqMutex::new(Heap::empty()));

// SAFETY:
// - `Heap` hands out each block once until it is given back, aligned and sized as the layout asks;
// - the lock makes every call exclusive.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller guarantees that the pointer came from `alloc`, which never returns
        // null for a block.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: the caller guarantees that pointer and layout are those of an allocation.
        unsafe { self.0.lock().deallocate(pointer, layout) };
    }
}

/// Gives the heap its memory.
///
/// # Safety
/// Called once, with the memory mapped.
pub(crate) unsafe fn init() {
    // SAFETY:
    // - the memory is a static that nothing else ever uses;
    // - it is not empty, and `init` is called once.
    unsafe { HEAP.0.lock().init(MEMORY.0.get().cast(), HEAP_BYTES) };
}

/// Returns the bytes in use; `None` if the heap is locked.
pub(crate) fn used_bytes() -> Option<usize> {
    HEAP.0.try_lock().map(|heap| heap.used())
}
