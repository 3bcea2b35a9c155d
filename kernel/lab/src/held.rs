// SPDX-License-Identifier: MIT OR Apache-2.0

//! The buffers that a load holds, by slot. Under a placement that relocates, some of them are
//! relocatable (see `buffer_owner`).

use alloc::vec::Vec;

use super::buffer_owner::{BufferOwner, Moves};
use cma::{AreaId, Buffer};
use system::System;
use units::Pfn;

/// What a slot holds.
enum Slot {
    Empty,
    Own(Buffer),
    /// RelocatableBuffer, and where it lay then.
    Relocatable(Pfn),
}

/// What a load holds.
pub struct Held {
    slots: Vec<Slot>,
    owner: Option<BufferOwner>,
}

impl Held {
    /// Holds nothing in `slots` slots; `permille` in a thousand get relocatable buffers, where the
    /// area's placement relocates. `None` where there is no memory for that.
    pub fn new(system: &mut System<'_>, area: AreaId, count: u32, permille: u32) -> Option<Self> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(count as usize).ok()?;
        slots.resize_with(count as usize, || Slot::Empty);
        Some(Self { slots, owner: BufferOwner::new(system, area, permille) })
    }

    /// From here on what is moved is moved for this load.
    pub fn begin_turn(&mut self, system: &System<'_>) {
        self.owner.iter_mut().for_each(|owner| owner.begin_turn(system));
    }

    /// From here on others have their turn.
    pub fn end_turn(&mut self, system: &System<'_>) {
        self.owner.iter_mut().for_each(|owner| owner.end_turn(system));
    }

    /// True where a slot holds a buffer.
    #[inline]
    pub fn is_full(&self, slot: usize) -> bool {
        !matches!(self.slots.get(slot), None | Some(Slot::Empty))
    }

    /// Takes what a slot holds.
    #[inline]
    pub fn take(&mut self, system: &mut System<'_>, slot: usize) -> Option<Buffer> {
        match core::mem::replace(&mut self.slots[slot], Slot::Empty) {
            Slot::Empty => None,
            Slot::Own(buffer) => Some(buffer),
            Slot::Relocatable(lay_at) => self.owner.as_mut()?.take_back(system, slot as u32, lay_at),
        }
    }

    /// Puts a buffer into a slot that holds none.
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

    /// Leaves all buffers with the system, where none of them moves any more; says what was moved,
    /// where something could be.
    pub fn keep_all(mut self, system: &mut System<'_>) -> Option<Moves> {
        for slot in 0..self.slots.len() {
            if let Some(buffer) = self.take(system, slot) {
                system.keep(buffer);
            }
        }
        self.owner.map(|owner| owner.end(system))
    }
}
