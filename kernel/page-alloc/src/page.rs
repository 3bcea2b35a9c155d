// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page descriptor: 16 bytes a frame (Linux 6.1 needs 32), of which only the first of each
//! block means anything.
//!
//! A descriptor of all zeroes is a valid one and says [`State::Body`]: "ask the block that I lie
//! in". A fresh page table is therefore zeroed memory, and no operation touches more descriptors
//! than it touches blocks.

use super::Migratetype;

/// One page frame's descriptor.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Page {
    /// Free, or on an LRU or per-CPU list: the next on the list. Held: the buffer's identifier.
    /// Relocatable: its owner's tag.
    pub(super) next: u32,
    /// The one before it on the list. Held or relocatable: the buffer's length in pages.
    pub(super) prev: u32,
    pub(super) tag: Tag,
    /// Of a page that lives: the reverse mapping, which is the first slot that shows it, or its
    /// place in the page cache. Relocatable: the owner's number.
    pub(super) owner: u32,
}

const _: () = assert!(size_of::<Page>() == 16);

/// A CMA buffer that is kept under an identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldBuffer {
    /// Its identifier.
    pub id: u32,
    /// Its length.
    pub pages: u32,
}

/// A CMA buffer that may be moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RelocatableBuffer {
    /// What its owner knows it by.
    pub tag: u32,
    /// Its length.
    pub pages: u32,
    /// The alignment that it was allocated under.
    pub align_order: u32,
    /// The owner's number.
    pub owner: u32,
}

impl Page {
    /// What it is the head of, and its marks.
    #[inline]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The reverse mapping of a page in use.
    #[inline]
    pub const fn owner(&self) -> u32 {
        self.owner
    }

    /// On a list between two others; whose it was stays written, and means nothing.
    #[inline(always)]
    pub(super) const fn enter(&mut self, next: u32, prev: u32, tag: Tag) {
        self.next = next;
        self.prev = prev;
        self.tag = tag;
    }
}

/// What a descriptor is the head of. Every legal value:
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not the head of a block: inside one, taken by a CMA area, reserved since boot, or no RAM at
    /// all.
    Body,
    /// Head of a free block that is on the free list of its order and migratetype.
    Free,
    /// Head of a block handed out by `alloc_pages`; the migratetype is the one asked for.
    Allocated,
    /// First page of a CMA buffer that is kept under an identifier (`next`) with its length
    /// (`prev`).
    Held,
    /// A free page on a per-CPU list (see `pcp`).
    Pcp,
    /// First page of a CMA buffer that may be moved, with what its owner has said of it (see
    /// [`RelocatableBuffer`]).
    Relocatable,
}

/// In one word: state and order in the lowest byte, so that a buddy is recognised by it, the
/// migratetype in the third, and marks (see `lru`) in the highest. Of what may be moved, the second
/// holds the alignment.
///
/// Whoever walks over blocks steps by the order, whatever the state: only heads of blocks have one.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tag(u32);

/// States as the tag has them; the order of a block is added.
const FREE: u32 = 0x10;
const ALLOCATED: u32 = 0x20;
const HELD: u32 = 0x30;
const PCP: u32 = 0x40;
const RELOCATABLE: u32 = 0x50;
/// The part of the lowest byte that is the state, and the one that is the order.
const STATE: u32 = 0xf0;
const ORDER: u32 = 0xf;

impl Tag {
    pub(super) const BODY: Self = Self(0);
    pub(super) const HELD: Self = Self(HELD);
    pub(super) const PCP: Self = Self(PCP);

    pub(super) const fn free(order: u32, migratetype: Migratetype) -> Self {
        Self(FREE | order | (migratetype as u32) << 16)
    }

    pub(super) const fn allocated(order: u32, migratetype: Migratetype) -> Self {
        Self(ALLOCATED | order | (migratetype as u32) << 16)
    }

    /// A buffer that may be moved, to places aligned to 2^`align_order`.
    pub(super) const fn relocatable(align_order: u32) -> Self {
        Self(RELOCATABLE | align_order << 8)
    }

    /// What the descriptor is the head of.
    pub const fn state(self) -> State {
        match self.0 & STATE {
            0 => State::Body,
            FREE => State::Free,
            ALLOCATED => State::Allocated,
            HELD => State::Held,
            RELOCATABLE => State::Relocatable,
            _ => State::Pcp,
        }
    }

    /// True for the head of a free block.
    pub const fn is_free(self) -> bool {
        self.0 & STATE == FREE
    }

    /// True for the head of a block handed out.
    pub(super) const fn is_allocated(self) -> bool {
        self.0 & STATE == ALLOCATED
    }

    /// True for the head of a free block of exactly this order, whatever its list.
    #[inline(always)]
    pub(super) const fn is(self, free: FreeOf) -> bool {
        self.0 & (STATE | ORDER) == free.0
    }

    /// log2 of the block's pages; 0 for what is the head of no block.
    pub const fn order(self) -> u32 {
        self.0 & ORDER
    }

    /// Pages of the block; 1 for what is the head of no block.
    pub const fn pages(self) -> u32 {
        1 << self.order()
    }

    /// The alignment of a buffer that may be moved.
    pub(super) const fn align_order(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    /// An allocated page's byte of marks (see `lru`).
    pub const fn marks(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// This tag with other marks.
    pub(super) const fn with_marks(self, marks: u8) -> Self {
        Self(self.0 & !(0xff << 24) | (marks as u32) << 24)
    }

    /// Of a free block the list it is on, of an allocated one what was asked for.
    pub const fn migratetype(self) -> Migratetype {
        Migratetype::from_bits((self.0 >> 16) as u8)
    }
}

/// What the tag of every free block of an order has in common: state and order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FreeOf(u32);

impl FreeOf {
    #[inline(always)]
    pub(super) const fn order(order: u32) -> Self {
        Self(FREE + order)
    }

    /// That of one order up.
    #[inline(always)]
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    #[inline(always)]
    pub(super) const fn into_order(self) -> u32 {
        self.0 - FREE
    }
}
