// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds trees in test code, byte by byte: without a device tree compiler, and also those that
//! `dtc` would refuse.

use alloc::string::String;
use alloc::vec::Vec;

/// A node being written: the structure block and strings block so far.
#[derive(Default)]
pub(crate) struct Builder {
    structure: Vec<u8>,
    strings: Vec<u8>,
    reservations: Vec<u8>,
}

/// Makes the tree whose root `fill` writes.
pub(crate) fn tree(fill: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.node("", fill);
    builder.finish()
}

/// Makes the tree of a small board: one cell each, what `fill` adds to the root, and RAM of 1 GiB
/// at 0x60000000.
pub(crate) fn board(fill: impl FnOnce(&mut Builder)) -> Vec<u8> {
    tree(|root| {
        root.cells("#address-cells", &[1]).cells("#size-cells", &[1]).text("model", "test");
        fill(root);
        root.node("memory@60000000", |memory| {
            memory.text("device_type", "memory").cells("reg", &[0x6000_0000, 0x4000_0000]);
        });
    })
}

/// Makes a [`board`] with the children of `/reserved-memory` that `fill` adds.
pub(crate) fn board_with_reserved(fill: impl FnOnce(&mut Builder)) -> Vec<u8> {
    board(|root| {
        root.node("reserved-memory", |reserved| {
            reserved.cells("#address-cells", &[1]).cells("#size-cells", &[1]).flag("ranges");
            fill(reserved);
        });
    })
}

impl Builder {
    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    /// Adds a subnode.
    pub(crate) fn node(&mut self, name: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.word(1);
        self.structure.extend(name.as_bytes());
        self.structure.push(0);
        self.pad();
        fill(self);
        self.word(2);
        self
    }

    /// Adds a property of any bytes.
    pub(crate) fn bytes(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let name_at = self.name_at(name);
        self.word(3);
        self.word(value.len() as u32);
        self.word(name_at);
        self.structure.extend(value);
        self.pad();
        self
    }

    /// Adds a property of cells.
    pub(crate) fn cells(&mut self, name: &str, cells: &[u32]) -> &mut Self {
        let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(name, &value)
    }

    /// Adds a property of strings, separated by `|`.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        let value: String = text.split('|').flat_map(|text| [text, "\0"]).collect();
        self.bytes(name, value.as_bytes())
    }

    /// Adds a property without a value.
    pub(crate) fn flag(&mut self, name: &str) -> &mut Self {
        self.bytes(name, &[])
    }

    /// Adds a NOP token.
    pub(crate) fn nop(&mut self) -> &mut Self {
        self.word(4);
        self
    }

    /// Adds an entry of the memory reservation block.
    pub(crate) fn reserve(&mut self, base: u64, size: u64) -> &mut Self {
        self.reservations.extend(base.to_be_bytes());
        self.reservations.extend(size.to_be_bytes());
        self
    }

    fn pad(&mut self) {
        self.structure.resize(self.structure.len().next_multiple_of(4), 0);
    }

    fn name_at(&mut self, name: &str) -> u32 {
        let mut at = 0;
        for known in self.strings.split(|&byte| byte == 0) {
            if known == name.as_bytes() && at < self.strings.len() {
                return at as u32;
            }
            at += known.len() + 1;
        }
        let at = self.strings.len();
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at as u32
    }

    fn finish(mut self) -> Vec<u8> {
        self.word(9);
        let reservations_at = 40;
        let structure_at = reservations_at + self.reservations.len() + 16;
        let strings_at = structure_at + self.structure.len();
        let total = strings_at + self.strings.len();
        let header = [
            crate::MAGIC as usize,
            total,
            structure_at,
            strings_at,
            reservations_at,
            17,
            16,
            0,
            self.strings.len(),
            self.structure.len(),
        ];
        let mut bytes: Vec<u8> = header.iter().flat_map(|&word| (word as u32).to_be_bytes()).collect();
        bytes.extend(self.reservations);
        bytes.extend([0; 16]);
        bytes.extend(self.structure);
        bytes.extend(self.strings);
        bytes
    }
}
