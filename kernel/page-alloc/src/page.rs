// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page descriptor: 16 bytes for each frame (Linux 6.1 needs 32). Only the descriptor of a
//! block's first frame is used.
//!
//! A descriptor of all zeroes is valid: its state is [`State::Body`], a frame inside a block. A
//! fresh page table is therefore zeroed memory, and no operation touches more descriptors than it
//! touches blocks.

use super::Migratetype;

/// One page frame's descriptor.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Page {
    /// Free, or on an LRU or per-CPU list: the next on the list. Held: the buffer's identifier.
    /// Relocatable: the owner's tag. Kernel page: a word that its user keeps.
    pub(super) next: u32,
    /// Free or listed: the previous on the list. Held or relocatable: the buffer's length in pages.
    pub(super) prev: u32,
    pub(super) tag: Tag,
    /// Page in use: the reverse mapping, which is the first slot that maps it, or its index in the
    /// page cache. Relocatable: the owner's number. Head of a `Ring`: its count.
    pub(super) owner: u32,
}

const _: () = assert!(size_of::<Page>() == 16);

/// A CMA buffer that is kept under an identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldBuffer {
    /// The identifier.
    pub id: u32,
    /// Length in pages.
    pub pages: u32,
}

/// A CMA buffer that may be moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RelocatableBuffer {
    /// The owner's identifier for the buffer.
    pub tag: u32,
    /// Length in pages.
    pub pages: u32,
    /// Order of the alignment that was requested.
    pub align_order: u32,
    /// The owner's number.
    pub owner: u32,
}

impl Page {
    /// The state, order, migratetype and marks.
    #[inline]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The reverse mapping of a page in use.
    #[inline]
    pub const fn owner(&self) -> u32 {
        self.owner
    }

    /// Puts it on a list between `next` and `prev`; `owner` keeps its old value, which is unused.
    #[inline(always)]
    pub(super) const fn enter(&mut self, next: u32, prev: u32, tag: Tag) {
        self.next = next;
        self.prev = prev;
        self.tag = tag;
    }
}

/// The state of a frame's descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not the head of a block: inside one, taken by a CMA area, reserved since boot, or not RAM.
    Body,
    /// Head of a free block that is on the free list of its order and migratetype.
    Free,
    /// Head of a block that `alloc_pages` handed out; the migratetype is the requested one.
    Allocated,
    /// First page of a CMA buffer that is kept under an identifier (`next`) with its length
    /// (`prev`).
    Held,
    /// A free page on a per-CPU list (see `pcp`).
    Pcp,
    /// First page of a CMA buffer that may be moved, with its owner's data (see
    /// [`RelocatableBuffer`]).
    Relocatable,
}

/// A descriptor's tag.
///
/// | bits | content |
/// |---|---|
/// | 0–3 | order of the block; 0 unless a block begins here, so that walks can step by it |
/// | 4–7 | [`State`]; with the order, one comparison recognises a buddy |
/// | 8–15 | alignment order of a relocatable buffer |
/// | 16–23 | [`Migratetype`] of a free or allocated block |
/// | 24–31 | marks of an allocated page (see `lru`) |
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tag(u32);

/// States in the tag's lowest byte; the order of a block is added.
const FREE: u32 = 0x10;
const ALLOCATED: u32 = 0x20;
const HELD: u32 = 0x30;
const PCP: u32 = 0x40;
const RELOCATABLE: u32 = 0x50;
/// Masks of the state and the order in the lowest byte.
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

    /// The tag of a buffer that may be moved to places aligned to 2^`align_order` pages.
    pub(super) const fn relocatable(align_order: u32) -> Self {
        Self(RELOCATABLE | align_order << 8)
    }

    /// The state of the descriptor.
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

    /// True for the head of an allocated block.
    pub(super) const fn is_allocated(self) -> bool {
        self.0 & STATE == ALLOCATED
    }

    /// True for the head of a free block of exactly the order of `free`, on any list.
    #[inline(always)]
    pub(super) const fn is(self, free: FreeOf) -> bool {
        self.0 & (STATE | ORDER) == free.0
    }

    /// log2 of the block's pages; 0 if no block begins here.
    pub const fn order(self) -> u32 {
        self.0 & ORDER
    }

    /// Pages of the block; 1 if no block begins here.
    pub const fn pages(self) -> u32 {
        1 << self.order()
    }

    /// The alignment order of a buffer that may be moved.
    pub(super) const fn align_order(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    /// The byte of marks of an allocated page (see `lru`).
    pub const fn marks(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// Returns this tag with `marks` instead of its own.
    pub(super) const fn with_marks(self, marks: u8) -> Self {
        Self(self.0 & !(0xff << 24) | (marks as u32) << 24)
    }

    /// The type of the list that a free block is on; the requested type of an allocated block.
    pub const fn migratetype(self) -> Migratetype {
        Migratetype::from_bits((self.0 >> 16) as u8)
    }
}

/// State and order: the part that the tags of all free blocks of an order share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FreeOf(u32);

impl FreeOf {
    #[inline(always)]
    pub(super) const fn order(order: u32) -> Self {
        Self(FREE + order)
    }

    /// Returns the value of the next higher order.
    #[inline(always)]
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    #[inline(always)]
    pub(super) const fn into_order(self) -> u32 {
        self.0 - FREE
    }
}
