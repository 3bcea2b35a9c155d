// SPDX-License-Identifier: MIT OR Apache-2.0

//! The translation tables: an identity map of the accessible memory, and nothing else.
//!
//! Short descriptors (DDI 0406C, B3.5): 4096 first-level entries of 1 MiB, each empty, a section,
//! or a second-level table of 256 small pages. A range is mapped with sections for each whole MiB
//! and with pages at its edges. Mapping never replaces: a page that is mapped keeps its rights, so
//! no tree can change the image's or a device's. All memory is in domain 0, checked; normal memory
//! is write-back write-allocate and shareable (the Cortex-A9 caches shareable memory coherently
//! once ACTLR.SMP is set); coherent buffers are not cacheable; everything but text is
//! execute-never. Page 0 is never mapped.

mod alias;

use core::cell::UnsafeCell;
use core::ops::Range;

use arbitrary_int::u4;
use cortex_a::asm::{dsb, isb};
use cortex_a::mmu::{AccessPermissions, L1Section, MemoryRegionAttributes, SectionAttributes};
use cortex_a::register::dacr::{Dacr, DomainAccess};
use cortex_a::register::ttbr0::{Region, Ttbr0};
use cortex_a::register::{BpIAll, Sctlr, SysReg, SysRegWrite, TlbIAll};
use units::{ADDRESS_LIMIT, PAGE_SHIFT, PAGE_SIZE, PhysRange};

/// log2 of a section's bytes.
const SECTION_SHIFT: u32 = 20;
/// Bytes in a section.
pub(crate) const SECTION_SIZE: u64 = 1 << SECTION_SHIFT;
/// Second-level tables in the image: one for each MiB that is mapped in part (the image, edges of
/// memory, no-map regions, devices). They always suffice for RAM: its ranges and reservations have
/// fewer edges (`MAX_RAM_RANGES`, `MAX_RESERVATIONS`, twice each).
pub(crate) const MAX_PAGE_TABLES: usize = 1152;

const PAGES_PER_SECTION: usize = (SECTION_SIZE / PAGE_SIZE) as usize;

/// Access rights and memory type of a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Read and executed.
    Text,
    /// Read.
    ReadOnly,
    /// Read and written.
    Data,
    /// Data that a device shares: read and written, and in no cache.
    Coherent,
    /// Device registers, read and written.
    Device,
}

impl Access {
    /// Returns the rights in words, for reports.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Text => "read-only, executable",
            Self::ReadOnly => "read-only, execute-never",
            Self::Data => "read-write, execute-never",
            Self::Coherent => "read-write, not cacheable, execute-never",
            Self::Device => "device, execute-never",
        }
    }

    /// Returns the section descriptor for address 0.
    const fn section(self) -> u32 {
        let memory = match self {
            Self::Device => MemoryRegionAttributes::ShareableDevice,
            Self::Coherent => MemoryRegionAttributes::OuterAndInnerNonCacheable,
            _ => MemoryRegionAttributes::OuterAndInnerWriteBackWriteAlloc,
        };
        let attributes = SectionAttributes {
            non_global: false,
            p_bit: false,
            shareable: true,
            access: match self {
                Self::Text | Self::ReadOnly => AccessPermissions::PrivilegedReadOnly,
                Self::Data | Self::Coherent | Self::Device => AccessPermissions::PrivilegedOnly,
            },
            memory_attrs: memory.as_raw(),
            domain: u4::new(0),
            execute_never: !matches!(self, Self::Text),
        };
        L1Section::new_with_addr_and_attrs(0, attributes).raw_value()
    }

    /// Returns the section and the small page descriptor for address 0, computed at compile time.
    const fn descriptors(self) -> [u32; 2] {
        const fn both(access: Access) -> [u32; 2] {
            [access.section(), page_attributes(access.section())]
        }
        const TEXT: [u32; 2] = both(Access::Text);
        const READ_ONLY: [u32; 2] = both(Access::ReadOnly);
        const DATA: [u32; 2] = both(Access::Data);
        const COHERENT: [u32; 2] = both(Access::Coherent);
        const DEVICE: [u32; 2] = both(Access::Device);
        match self {
            Self::Text => TEXT,
            Self::ReadOnly => READ_ONLY,
            Self::Data => DATA,
            Self::Coherent => COHERENT,
            Self::Device => DEVICE,
        }
    }
}

/// Converts a section's attributes to those of a small page (DDI 0406C, figures B3-4 and B3-5).
const fn page_attributes(section: u32) -> u32 {
    let execute_never = (section >> 4) & 1;
    let cacheable_bufferable = section & (0b11 << 2);
    let access = ((section >> 10) & 0b11) << 4 | ((section >> 15) & 1) << 9;
    let type_extension = ((section >> 12) & 0b111) << 6;
    let shareable_not_global = ((section >> 16) & 0b11) << 10;
    0b10 | execute_never | cacheable_bufferable | access | type_extension | shareable_not_global
}

#[repr(C, align(16384))]
struct FirstLevel(UnsafeCell<[u32; 4096]>);

#[repr(C, align(1024))]
#[derive(Clone, Copy)]
struct PageTable([u32; PAGES_PER_SECTION]);

struct PageTables(UnsafeCell<[PageTable; MAX_PAGE_TABLES]>);

// SAFETY: only `AddressSpace` accesses the cell, and `AddressSpace::boot` makes at most one.
unsafe impl Sync for FirstLevel {}
// SAFETY: as above.
unsafe impl Sync for PageTables {}

static FIRST_LEVEL: FirstLevel = FirstLevel(UnsafeCell::new([0; 4096]));
static PAGE_TABLES: PageTables = PageTables(UnsafeCell::new([PageTable([0; PAGES_PER_SECTION]); MAX_PAGE_TABLES]));

/// Error: all page tables of the image are in use, and the rest of the range stays unmapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutOfPageTables;

impl core::fmt::Display for OutOfPageTables {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "out of page tables: raise MAX_PAGE_TABLES (now {MAX_PAGE_TABLES})")
    }
}

/// The tables that the processor walks.
pub(crate) struct AddressSpace {
    first: &'static mut [u32; 4096],
    tables: &'static mut [PageTable; MAX_PAGE_TABLES],
    tables_used: usize,
    /// Number of tables that were used and are free again; and the first one's slot + 1. Each holds
    /// the next one's slot + 1 in its first word.
    tables_free: usize,
    first_free: u32,
}

impl AddressSpace {
    /// Returns the boot processor's tables, empty.
    ///
    /// # Safety
    /// Called once, with the MMU off.
    pub(crate) unsafe fn boot() -> Self {
        // SAFETY: called once, so that no other reference exists.
        let first = unsafe { &mut *FIRST_LEVEL.0.get() };
        // SAFETY: as above.
        let tables = unsafe { &mut *PAGE_TABLES.0.get() };
        Self { first, tables, tables_used: 0, tables_free: 0, first_free: 0 }
    }

    /// Identity-maps the pages of `range` that are not mapped yet; `range` is widened to whole
    /// pages and cut at page 0 and at 4 GiB.
    pub(crate) fn map(&mut self, range: PhysRange, access: Access) -> Result<(), OutOfPageTables> {
        let start = (range.start & !(PAGE_SIZE - 1)).max(PAGE_SIZE);
        let end = range.end.saturating_add(PAGE_SIZE - 1).min(ADDRESS_LIMIT) & !(PAGE_SIZE - 1);
        let result = if start < end { self.map_pieces(start, end, access) } else { Ok(()) };
        // A TLB never holds an empty descriptor, so the new ones only have to be visible to the
        // next walk.
        dsb();
        isb();
        result
    }

    /// Maps pages up to the first whole section, sections, and pages again. `start` < `end`, both
    /// page-aligned.
    fn map_pieces(&mut self, start: u64, end: u64, access: Access) -> Result<(), OutOfPageTables> {
        let first_whole = start.div_ceil(SECTION_SIZE) as usize;
        let end_whole = (end / SECTION_SIZE) as usize;
        if first_whole > end_whole {
            return self.map_pages(end_whole, page_in_section(start)..page_in_section(end), access);
        }
        if page_in_section(start) != 0 {
            self.map_pages(first_whole - 1, page_in_section(start)..PAGES_PER_SECTION, access)?;
        }
        let descriptor = access.descriptors()[0];
        for index in first_whole..end_whole {
            if self.first[index] == 0 {
                self.first[index] = descriptor | (index as u32) << SECTION_SHIFT;
            } else {
                self.map_pages(index, 0..PAGES_PER_SECTION, access)?;
            }
        }
        if page_in_section(end) != 0 {
            self.map_pages(end_whole, 0..page_in_section(end), access)?;
        }
        Ok(())
    }

    /// Maps those of the section's `pages` that are not mapped yet.
    fn map_pages(&mut self, index: usize, pages: Range<usize>, access: Access) -> Result<(), OutOfPageTables> {
        if is_section(self.first[index]) {
            return Ok(());
        }
        let mut descriptor =
            access.descriptors()[1] | (index as u32) << SECTION_SHIFT | (pages.start as u32) << PAGE_SHIFT;
        for entry in &mut self.table(index)?.0[pages] {
            if *entry == 0 {
                *entry = descriptor;
            }
            descriptor = descriptor.wrapping_add(PAGE_SIZE as u32);
        }
        Ok(())
    }

    /// Unmaps a range that [`AddressSpace::map`] mapped with the same bounds, and frees page tables
    /// that become empty.
    pub(crate) fn unmap(&mut self, range: PhysRange) {
        let start = range.start & !(PAGE_SIZE - 1);
        let end = range.end.saturating_add(PAGE_SIZE - 1).min(ADDRESS_LIMIT) & !(PAGE_SIZE - 1);
        let mut address = start;
        while address < end {
            let index = (address / SECTION_SIZE) as usize;
            let next = ((index as u64 + 1) * SECTION_SIZE).min(end);
            if is_table(self.first[index]) {
                self.unmap_pages(index, page_in_section(address)..page_in_section(next - 1) + 1);
            } else if next - address == SECTION_SIZE {
                self.first[index] = 0;
            }
            address = next;
        }
        flush_all();
    }

    fn unmap_pages(&mut self, index: usize, pages: Range<usize>) {
        let Ok(table) = self.table(index) else { return };
        table.0[pages].fill(0);
        if table.0.iter().all(|entry| *entry == 0) {
            self.drop_table(index);
        }
    }

    /// Allocates the page tables of a window, which stays unmapped, so that
    /// [`AddressSpace::set_page`] cannot fail in it.
    pub(crate) fn reserve_window(&mut self, window: PhysRange) -> Result<(), OutOfPageTables> {
        let sections = window.start / SECTION_SIZE..window.end.min(ADDRESS_LIMIT).div_ceil(SECTION_SIZE);
        for index in sections {
            self.table(index as usize)?;
        }
        dsb();
        Ok(())
    }

    /// Maps `address` of a window to `frame`, or unmaps it. Does nothing if the section has no page
    /// table.
    pub(crate) fn set_page(&mut self, address: u32, frame: Option<u32>) {
        let index = (address as u64 / SECTION_SIZE) as usize;
        if !is_table(self.first[index]) {
            return;
        }
        let page_mask = PAGE_SIZE as u32 - 1;
        let Ok(table) = self.table(index) else { return };
        let entry = &mut table.0[page_in_section(address.into())];
        // Break before make: an address never has two live translations.
        *entry = 0;
        flush_page(address);
        if let Some(frame) = frame {
            *entry = Access::Data.descriptors()[1] | (frame & !page_mask);
            dsb();
            isb();
        }
    }

    /// Enters contiguous page tables, from `first_table` on, for a window in which nothing is
    /// mapped. Returns false, with nothing changed, if something is mapped there.
    ///
    /// # Safety
    /// The tables are zeroed RAM, and their owner keeps them, valid, until
    /// [`AddressSpace::detach_tables`].
    pub(crate) unsafe fn attach_tables(&mut self, window: PhysRange, first_table: u32) -> bool {
        let entries = &mut self.first[sections_of(window)];
        let free = entries.iter().all(|entry| *entry == 0);
        if free {
            for (table, entry) in entries.iter_mut().enumerate() {
                *entry = (first_table + (table * size_of::<PageTable>()) as u32) | 0b01;
            }
            dsb();
            isb();
        }
        free
    }

    /// Removes the page tables of a window, which unmaps it.
    pub(crate) fn detach_tables(&mut self, window: PhysRange) {
        self.first[sections_of(window)].fill(0);
        flush_all();
    }

    /// Returns the rights of the mapping of `address`, if it is mapped.
    pub(crate) fn rights(&self, address: u32) -> Option<Access> {
        let entry = self.first[(address as u64 / SECTION_SIZE) as usize];
        let page = match entry & 0b11 {
            0b10 => page_attributes(entry),
            0b01 => {
                let table = self.tables.iter().find(|table| descriptor_of(table) == entry)?;
                table.0[page_in_section(address.into())] & (PAGE_SIZE as u32 - 1)
            }
            _ => return None,
        };
        [Access::Text, Access::ReadOnly, Access::Data, Access::Coherent, Access::Device]
            .into_iter()
            .find(|access| access.descriptors()[1] == page)
    }

    /// Returns the page table of an entry that is not a section; a new one if the entry is empty.
    fn table(&mut self, index: usize) -> Result<&mut PageTable, OutOfPageTables> {
        let slot = if self.first[index] == 0 {
            let slot = self.take_table()?;
            self.first[index] = descriptor_of(&self.tables[slot]);
            slot
        } else {
            self.slot_of(index)
        };
        self.tables.get_mut(slot).ok_or(OutOfPageTables)
    }

    /// Takes an empty page table that no entry refers to; returns its slot.
    fn take_table(&mut self) -> Result<usize, OutOfPageTables> {
        if let Some(slot) = self.first_free.checked_sub(1) {
            let slot = slot as usize;
            self.first_free = core::mem::take(&mut self.tables[slot].0[0]);
            self.tables_free -= 1;
            return Ok(slot);
        }
        if self.tables_used == MAX_PAGE_TABLES {
            return Err(OutOfPageTables);
        }
        self.tables_used += 1;
        Ok(self.tables_used - 1)
    }

    /// Frees the page table of an entry, in which nothing is mapped.
    ///
    /// A walker may use a copy of the entry until the TLB entry of an address in its section is
    /// invalidated (DDI 0406C, B3.10, "TLB maintenance requirements"), and would read the link as a
    /// descriptor: the link is written only after that.
    fn drop_table(&mut self, index: usize) {
        let slot = self.slot_of(index);
        self.first[index] = 0;
        flush_page((index as u32) << SECTION_SHIFT);
        self.tables[slot].0[0] = self.first_free;
        self.first_free = slot as u32 + 1;
        self.tables_free += 1;
    }

    /// Returns the slot of the page table that a first-level entry refers to.
    fn slot_of(&self, index: usize) -> usize {
        (self.first[index] - descriptor_of(&self.tables[0])) as usize / size_of::<PageTable>()
    }

    /// Enables translation, caches and branch prediction.
    ///
    /// # Safety
    /// The image and its stacks are mapped, and caches and TLB hold nothing stale.
    pub(crate) unsafe fn enable(&self) {
        let mut access = [DomainAccess::NoAccess; 16];
        access[0] = DomainAccess::Client;
        let mut domains = Dacr::new_with_raw_value(0);
        for (domain, access) in access.into_iter().enumerate() {
            domains.set_d(domain, access);
        }
        Dacr::write(domains);
        // SAFETY: TTBCR = 0 makes TTBR0 translate all addresses with a 16 KiB table of short
        // descriptors.
        unsafe { Ttbcr::write_raw(0) };
        let base = Ttbr0::new_with_raw_value(0)
            .with_address(self.first.as_ptr().addr())
            .with_irgn(true)
            .with_rgn(Region::WriteBackWriteAllocCacheable)
            .with_s(true);
        // SAFETY: the tables are a static, aligned to 16 KiB, and identity-mapped as the caller
        // guarantees.
        unsafe { Ttbr0::write(base) };
        flush_all();
        Sctlr::modify(|control| {
            control.set_m(true);
            control.set_c(true);
            control.set_i(true);
            control.set_z(true);
            control.set_a(true);
        });
    }
}

/// TTBCR, which aarch32-cpu lacks.
struct Ttbcr;

impl SysReg for Ttbcr {
    const CP: u32 = 15;
    const CRN: u32 = 2;
    const OP1: u32 = 0;
    const CRM: u32 = 0;
    const OP2: u32 = 2;
}

impl SysRegWrite for Ttbcr {}

/// TLBIMVAIS: invalidates the TLB entry of one page on every processor.
struct TlbiMvaIs;

impl SysReg for TlbiMvaIs {
    const CP: u32 = 15;
    const CRN: u32 = 8;
    const OP1: u32 = 0;
    const CRM: u32 = 3;
    const OP2: u32 = 1;
}

impl SysRegWrite for TlbiMvaIs {}

/// Returns the index of an address's page in its section; 0 for a section's start.
fn page_in_section(address: u64) -> usize {
    (address % SECTION_SIZE / PAGE_SIZE) as usize
}

/// Returns the first-level entries of a window of whole sections.
fn sections_of(window: PhysRange) -> Range<usize> {
    (window.start / SECTION_SIZE) as usize..(window.end / SECTION_SIZE) as usize
}

fn is_section(entry: u32) -> bool {
    entry & 0b11 == 0b10
}

fn is_table(entry: u32) -> bool {
    entry & 0b11 == 0b01
}

/// Returns the first-level entry that refers to a page table (domain 0).
fn descriptor_of(table: &PageTable) -> u32 {
    (&raw const *table).addr() as u32 | 0b01
}

/// Returns the descriptor of a data page that maps the frame at address `frame`.
pub(crate) fn data_page(frame: u32) -> u32 {
    Access::Data.descriptors()[1] | frame
}

/// Makes an entry that was empty before visible to the walker.
pub(crate) fn entry_written() {
    dsb();
    isb();
}

/// Makes an emptied entry visible to the walker and invalidates the page's TLB entry.
pub(crate) fn flush_page(address: u32) {
    dsb();
    // SAFETY: invalidating a translation only costs a walk.
    unsafe { TlbiMvaIs::write_raw(address & !(PAGE_SIZE as u32 - 1)) };
    dsb();
    isb();
}

/// Makes emptied entries visible, and invalidates the whole TLB and the branch predictor.
fn flush_all() {
    dsb();
    TlbIAll::write();
    BpIAll::write();
    dsb();
    isb();
}
