// SPDX-License-Identifier: MIT OR Apache-2.0

//! The buffers that a load holds, by slot. Under a placement that relocates, some of them are
//! relocatable (see `buffer_owner`).

use alloc::vec::Vec;

use super::buffer_owner::{BufferOwner, Moves};
use cma::{AreaId, Buffer};
use system::System;
use units::Pfn;

/// The content of a slot.
enum Slot {
    Empty,
    Own(Buffer),
    /// A relocatable buffer, by its first page when it became relocatable.
    Relocatable(Pfn),
}

/// The buffers of a load.
pub struct Held {
    slots: Vec<Slot>,
    owner: Option<BufferOwner>,
}

impl Held {
    /// Makes `count` empty slots, of which `permille` in a thousand get relocatable buffers if the
    /// area's placement relocates. Returns `None` if there is no memory.
    pub fn new(system: &mut System<'_>, area: AreaId, count: u32, permille: u32) -> Option<Self> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(count as usize).ok()?;
        slots.resize_with(count as usize, || Slot::Empty);
        Some(Self { slots, owner: BufferOwner::new(system, area, permille) })
    }

    /// Begins a turn: counts relocations for this load.
    pub fn begin_turn(&mut self, system: &System<'_>) {
        self.owner.iter_mut().for_each(|owner| owner.begin_turn(system));
    }

    /// Ends the turn: later relocations are for others.
    pub fn end_turn(&mut self, system: &System<'_>) {
        self.owner.iter_mut().for_each(|owner| owner.end_turn(system));
    }

    /// True if `slot` holds a buffer.
    #[inline]
    pub fn is_full(&self, slot: usize) -> bool {
        !matches!(self.slots.get(slot), None | Some(Slot::Empty))
    }

    /// Takes the buffer of `slot`.
    #[inline]
    pub fn take(&mut self, system: &mut System<'_>, slot: usize) -> Option<Buffer> {
        match core::mem::replace(&mut self.slots[slot], Slot::Empty) {
            Slot::Empty => None,
            Slot::Own(buffer) => Some(buffer),
            Slot::Relocatable(lay_at) => self.owner.as_mut()?.take_back(system, slot as u32, lay_at),
        }
    }

    /// Puts a buffer into an empty slot.
    #[inline]
    pub fn put(&mut self, system: &mut System<'_>, slot: usize, buffer: Buffer, align_order: u32) {
        self.slots[slot] = match &mut self.owner {
            Some(owner) if owner.wants(slot as u32) => {
                let lies_at = buffer.first();
                owner.let_move(system, buffer, align_order, slot as u32);
                Slot::Relocatable(lies_at)
            }
            _ => Slot::Own(buffer),
        };
    }

    /// Leaves all buffers registered with the system, where they are not relocatable; returns the
    /// relocations if buffers could be relocated.
    pub fn keep_all(mut self, system: &mut System<'_>) -> Option<Moves> {
        for slot in 0..self.slots.len() {
            if let Some(buffer) = self.take(system, slot) {
                system.keep(buffer);
            }
        }
        self.owner.map(|owner| owner.end(system))
    }
}
