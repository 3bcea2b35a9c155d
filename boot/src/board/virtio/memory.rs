// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory for the queue: coherent buffers that were allocated before the crate asks for them.
//!
//! The crate's [`Hal`] is a set of functions without a value to work on, so what they hand out lies
//! in a static: the pieces of coherent memory that [`stock`] put there, each for one request of its
//! size.

use core::ptr::NonNull;

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::cpu::irq::IrqMutex;

/// Most pieces: a legacy queue is one, a modern one is two, and one holds headers and statuses.
const MAX_PIECES: usize = 3;

/// Coherent memory by its two addresses.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// Where the processor finds it, non-cacheable.
    pub cpu: u32,
    /// Where the device finds it.
    pub device: u32,
    /// Its length.
    pub pages: u32,
    /// Somebody has it.
    pub taken: bool,
}

static PIECES: IrqMutex<[Option<Piece>; MAX_PIECES]> = IrqMutex::new([None; MAX_PIECES]);

/// Adds a piece to what can be handed out, or to what [`Hal::share`] knows; false where there is no
/// room.
///
/// # Safety
/// The piece is mapped at the processor's address for ever, whole pages, used by nobody else.
pub(super) unsafe fn stock(piece: Piece) -> bool {
    let mut pieces = PIECES.lock();
    let free = pieces.iter_mut().find(|piece| piece.is_none());
    free.map(|free| *free = Some(piece)).is_some()
}

/// The crate's door to memory.
pub(super) struct Coherent;

// SAFETY: pieces are mapped, page-aligned and nobody else's by the word of `stock`'s caller, and
// handed out once until they are given back.
unsafe impl Hal for Coherent {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let mut pieces = PIECES.lock();
        let free = pieces.iter_mut().flatten().find(|piece| !piece.taken && piece.pages as usize == pages);
        // Address 0 is how the crate is told that there is none.
        let Some(piece) = free else { return (0, NonNull::dangling()) };
        let Some(memory) = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(piece.cpu as usize)) else {
            return (0, NonNull::dangling());
        };
        piece.taken = true;
        // SAFETY: mapped and nobody else's by the word of `stock`'s caller.
        unsafe { memory.write_bytes(0, pages * PAGE_SIZE) };
        (piece.device.into(), memory)
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, vaddr: NonNull<u8>, _pages: usize) -> i32 {
        let address = vaddr.as_ptr().expose_provenance() as u32;
        let mut pieces = PIECES.lock();
        let Some(piece) = pieces.iter_mut().flatten().find(|piece| piece.cpu == address) else { return -1 };
        piece.taken = false;
        0
    }

    // SAFETY: what the crate promises of the address is not needed: nothing is read or written
    // here.
    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        // Registers are mapped where they are; nobody asks, because only PCI has to.
        NonNull::new(core::ptr::with_exposed_provenance_mut(paddr as usize)).unwrap_or(NonNull::dangling())
    }

    // SAFETY: what the crate promises of the buffer is not needed: only its address is looked at.
    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        let address = buffer.cast::<u8>().as_ptr().expose_provenance() as u32;
        let pieces = PIECES.lock();
        let offset =
            |piece: &Piece| address.checked_sub(piece.cpu).filter(|offset| *offset < piece.pages * PAGE_SIZE as u32);
        let coherent = pieces.iter().flatten().find_map(|piece| Some(piece.device + offset(piece)?));
        // Everything else is a page that was mapped for the device already, and goes by the address
        // that it got then.
        coherent.unwrap_or(address).into()
    }

    // SAFETY: nothing is done with the buffer.
    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {
        // Whoever mapped the page unmaps it.
    }
}
