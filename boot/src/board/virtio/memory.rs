// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory for the queue: coherent buffers that are allocated before the crate asks for them.
//!
//! The functions of the crate's [`Hal`] have no receiver, so the memory that they hand out is in a
//! static: the pieces of coherent memory that [`stock`] added, each for one request of its size.

use core::ptr::NonNull;

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::cpu::irq::IrqMutex;

/// Most pieces: one for a legacy queue or two for a modern one, and one for headers and statuses.
const MAX_PIECES: usize = 3;

/// Coherent memory with its two addresses.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// The processor's address, non-cacheable.
    pub cpu: u32,
    /// The device's address.
    pub device: u32,
    /// Length in pages.
    pub pages: u32,
    /// The piece is in use.
    pub taken: bool,
}

static PIECES: IrqMutex<[Option<Piece>; MAX_PIECES]> = IrqMutex::new([None; MAX_PIECES]);

/// Adds a piece; only [`Hal::share`] uses one that is taken. Returns false if there is no room.
///
/// # Safety
/// The piece is mapped permanently at the processor's address, consists of whole pages, and has no
/// other user.
pub(super) unsafe fn stock(piece: Piece) -> bool {
    let mut pieces = PIECES.lock();
    let free = pieces.iter_mut().find(|piece| piece.is_none());
    free.map(|free| *free = Some(piece)).is_some()
}

/// Implementation of the crate's memory functions.
pub(super) struct Coherent;

// SAFETY: `stock`'s caller guarantees that pieces are mapped, page-aligned and have no other user;
// each is handed out once until it is given back.
unsafe impl Hal for Coherent {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let mut pieces = PIECES.lock();
        let free = pieces.iter_mut().flatten().find(|piece| !piece.taken && piece.pages as usize == pages);
        // Address 0 tells the crate that no memory is left.
        let Some(piece) = free else { return (0, NonNull::dangling()) };
        let Some(memory) = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(piece.cpu as usize)) else {
            return (0, NonNull::dangling());
        };
        piece.taken = true;
        // SAFETY: mapped, and without another user, as `stock`'s caller guarantees.
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

    // SAFETY: the crate's guarantees for the address are not needed: nothing is read or written
    // here.
    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        // Registers are identity-mapped. Only PCI needs this function: it is not called.
        NonNull::new(core::ptr::with_exposed_provenance_mut(paddr as usize)).unwrap_or(NonNull::dangling())
    }

    // SAFETY: the crate's guarantees for the buffer are not needed: only its address is used.
    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        let address = buffer.cast::<u8>().as_ptr().expose_provenance() as u32;
        let pieces = PIECES.lock();
        let offset =
            |piece: &Piece| address.checked_sub(piece.cpu).filter(|offset| *offset < piece.pages * PAGE_SIZE as u32);
        let coherent = pieces.iter().flatten().find_map(|piece| Some(piece.device + offset(piece)?));
        // Everything else is a page that is already mapped for the device, at the same address.
        coherent.unwrap_or(address).into()
    }

    // SAFETY: nothing is done with the buffer.
    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {
        // The caller that mapped the page unmaps it.
    }
}
