// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine with two write-back caches over memory, for host tests.
//!
//! The machine does at random what a processor may do at any time: fill lines ahead of any access,
//! and evict them. A device accesses only memory, the processor the caches first, and the
//! non-cacheable window bypasses the caches. A maintenance operation that is missing, or in the
//! wrong order, therefore loses data. All calls of the cache operations are recorded.

use core::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use dma::DeviceAddress;
use dma::hardware::{CacheOp, Caches, Hardware};
use dma::{CpuAddress, LINE_BYTES};
use fastrand::Rng;
use units::{PAGE_SIZE, Pfn, PhysAddr};

const WINDOW: u32 = 0xe000_0000;
const PAGE: u32 = PAGE_SIZE as u32;
const LINE: usize = LINE_BYTES as usize;

/// A call of [`Caches`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// An operation on the level 1 cache: address and length.
    Inner(CacheOp, u32, u32),
    /// An operation on the level 2 cache: address and length.
    Outer(CacheOp, u32, u32),
    /// Waiting for the level 2 cache.
    Sync,
}

#[derive(Clone, Copy)]
struct Line {
    data: [u8; LINE],
    dirty: bool,
}

type Cache = BTreeMap<u32, Line>;

/// The machine's state.
pub struct Model {
    memory: HashMap<u32, Box<[u8; PAGE as usize]>>,
    inner: Cache,
    outer: Cache,
    /// The frame mapped at each page of the window.
    window: BTreeMap<u32, Pfn>,
    hidden: BTreeSet<u32>,
    /// Lines that speculation may fill.
    reachable: BTreeSet<u32>,
    /// The calls of cache operations.
    pub steps: Vec<Step>,
    /// Size of the window in pages; mappings beyond it are refused.
    pub window_pages: u32,
    rng: Rng,
    /// Probability in 256ths that the caches fill or evict a line at an access; 0: never.
    pub restless: u32,
}

/// A handle of the machine; the system has another.
#[derive(Clone)]
pub struct MockHardware(Rc<RefCell<Model>>);

impl Default for MockHardware {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Model {
            memory: HashMap::new(),
            inner: Cache::new(),
            outer: Cache::new(),
            window: BTreeMap::new(),
            hidden: BTreeSet::new(),
            reachable: BTreeSet::new(),
            steps: Vec::new(),
            window_pages: 4096,
            rng: Rng::with_seed(1),
            restless: 0,
        })))
    }
}

impl MockHardware {
    /// The caches and memory, for reading.
    pub fn model(&self) -> Ref<'_, Model> {
        self.0.borrow()
    }

    /// The caches and memory, for changes.
    pub fn model_mut(&self) -> RefMut<'_, Model> {
        self.0.borrow_mut()
    }

    /// Reads a byte as the processor, through the caches.
    pub fn cpu_read(&self, at: u32) -> u8 {
        let mut byte = [0];
        self.clone().load(CpuAddress::new(at), &mut byte);
        byte[0]
    }

    /// Writes a byte as the processor, through the caches.
    pub fn cpu_write(&self, at: u32, byte: u8) {
        self.clone().store(CpuAddress::new(at), &[byte]);
    }

    /// Reads a byte of memory as the device.
    pub fn device_read(&self, at: DeviceAddress) -> u8 {
        let mut model = self.model_mut();
        model.stir();
        model.bytes(at.bits())[0]
    }

    /// Writes a byte of memory as the device.
    pub fn device_write(&self, at: DeviceAddress, byte: u8) {
        let mut model = self.model_mut();
        model.stir();
        model.bytes(at.bits())[0] = byte;
    }
}

impl Model {
    /// The bytes of memory from an address to the end of its page.
    fn bytes(&mut self, at: u32) -> &mut [u8] {
        let page = self.memory.entry(at / PAGE).or_insert_with(|| Box::new([0x5a; PAGE as usize]));
        &mut page[(at % PAGE) as usize..]
    }

    fn line_of_memory(&mut self, line: u32) -> [u8; LINE] {
        let mut data = [0; LINE];
        data.copy_from_slice(&self.bytes(line)[..LINE]);
        data
    }

    fn write_memory(&mut self, line: u32, data: [u8; LINE]) {
        self.bytes(line)[..LINE].copy_from_slice(&data);
    }

    /// Fills and evicts random lines, as a processor may do at any time.
    fn stir(&mut self) {
        while self.rng.u32(..256) < self.restless {
            let lines = self.reachable.len() as u32;
            if lines == 0 {
                return;
            }
            let place = self.rng.u32(..lines) as usize;
            let Some(&line) = self.reachable.iter().nth(place) else { return };
            match self.rng.u32(..4) {
                0 => self.throw_out_inner(line),
                1 => self.throw_out_outer(line),
                2 => {
                    self.fill_outer(line);
                }
                _ => self.fill_inner(line),
            }
        }
    }

    fn fill_outer(&mut self, line: u32) -> [u8; LINE] {
        if let Some(line) = self.outer.get(&line) {
            return line.data;
        }
        let data = self.line_of_memory(line);
        self.outer.insert(line, Line { data, dirty: false });
        data
    }

    /// Fills a line of level 1; level 2 may keep a copy.
    fn fill_inner(&mut self, line: u32) {
        assert!(!self.hidden.contains(&(line / PAGE)), "{line:#x} has no cacheable mapping");
        if self.inner.contains_key(&line) {
            return;
        }
        let data = if self.rng.u32(..2) == 0 {
            self.fill_outer(line)
        } else {
            self.outer.get(&line).map(|line| line.data).unwrap_or_else(|| self.line_of_memory(line))
        };
        self.inner.insert(line, Line { data, dirty: false });
    }

    fn throw_out_inner(&mut self, line: u32) {
        if let Some(Line { data, dirty: true }) = self.inner.remove(&line) {
            self.outer.insert(line, Line { data, dirty: true });
        }
    }

    fn throw_out_outer(&mut self, line: u32) {
        if let Some(Line { data, dirty: true }) = self.outer.remove(&line) {
            self.write_memory(line, data);
        }
    }

    /// The physical address behind an address of the window; `None` outside the window.
    fn behind_window(&self, at: u32) -> Option<u32> {
        if at < WINDOW {
            return None;
        }
        let frame = self.window.get(&(at / PAGE)).expect("the window shows something there");
        Some(frame.addr().0 as u32 + at % PAGE)
    }

    fn phys(&self, at: CpuAddress) -> u32 {
        self.behind_window(at.get()).unwrap_or(at.get())
    }

    /// The bytes in level 1 from an address to the end of its line, which is filled first.
    fn cached(&mut self, at: u32, dirty: bool) -> &mut [u8] {
        self.stir();
        let line = at / LINE_BYTES * LINE_BYTES;
        self.reachable.insert(line);
        self.fill_inner(line);
        let line = self.inner.get_mut(&line).expect("it was just filled");
        line.dirty |= dirty;
        &mut line.data[(at % LINE_BYTES) as usize..]
    }

    /// The lines of a range to maintain: all of them, or, if the caches do nothing by themselves,
    /// those that the cache has.
    fn lines_to_maintain(&self, inner: bool, first: u32, bytes: u32) -> Vec<u32> {
        if self.restless > 0 {
            return (first..first + bytes).step_by(LINE).collect();
        }
        let cache = if inner { &self.inner } else { &self.outer };
        cache.range(first..first + bytes).map(|(&line, _)| line).collect()
    }

    /// The length of one cache access: up to the end of a line, or a byte if the caches may change
    /// between bytes.
    fn at_once(&self, at: u32, left: usize) -> usize {
        if self.restless > 0 { 1 } else { left.min((LINE_BYTES - at % LINE_BYTES) as usize) }
    }

    /// The bytes that the processor accesses at an address.
    fn seen(&mut self, at: u32, dirty: bool) -> &mut [u8] {
        match self.behind_window(at) {
            Some(phys) => self.bytes(phys),
            None => self.cached(at, dirty),
        }
    }

    fn is_cached(&self, frame: Pfn) -> bool {
        let first = frame.addr().0 as u32;
        [&self.inner, &self.outer].into_iter().any(|cache| cache.range(first..first + PAGE).next().is_some())
    }
}

impl Caches for MockHardware {
    fn inner(&mut self, op: CacheOp, start: CpuAddress, bytes: u32) {
        let mut model = self.model_mut();
        let first = model.phys(start);
        assert!(first.is_multiple_of(LINE_BYTES) && bytes.is_multiple_of(LINE_BYTES) && bytes > 0);
        model.steps.push(Step::Inner(op, first, bytes));
        for line in model.lines_to_maintain(true, first, bytes) {
            model.stir();
            if op != CacheOp::Invalidate
                && let Some(&Line { data, dirty: true }) = model.inner.get(&line)
            {
                model.outer.insert(line, Line { data, dirty: true });
                model.inner.insert(line, Line { data, dirty: false });
            }
            if op != CacheOp::Clean {
                model.inner.remove(&line);
            }
        }
        model.stir();
    }

    fn outer(&mut self, op: CacheOp, start: PhysAddr, bytes: u32) {
        let mut model = self.model_mut();
        let first = start.0 as u32;
        assert!(first.is_multiple_of(LINE_BYTES) && bytes.is_multiple_of(LINE_BYTES) && bytes > 0);
        model.steps.push(Step::Outer(op, first, bytes));
        for line in model.lines_to_maintain(false, first, bytes) {
            model.stir();
            if op != CacheOp::Invalidate
                && let Some(&Line { data, dirty: true }) = model.outer.get(&line)
            {
                model.write_memory(line, data);
                model.outer.insert(line, Line { data, dirty: false });
            }
            if op != CacheOp::Clean {
                model.outer.remove(&line);
            }
        }
        model.stir();
    }

    fn outer_sync(&mut self) {
        self.model_mut().steps.push(Step::Sync);
    }
}

impl Hardware for MockHardware {
    fn cached(&self, at: PhysAddr) -> CpuAddress {
        CpuAddress::new(at.0 as u32)
    }

    fn is_cacheable(&self, at: PhysAddr) -> bool {
        !self.model().hidden.contains(&at.pfn().0)
    }

    fn map_coherent(&mut self, first: Pfn, pages: u32) -> Result<CpuAddress, &'static str> {
        let mut model = self.model_mut();
        let mut start = WINDOW / PAGE;
        while let Some((&taken, _)) = model.window.range(start..start + pages).next_back() {
            start = taken + 1;
        }
        if start + pages > WINDOW / PAGE + model.window_pages {
            return Err("the window is full");
        }
        for page in 0..pages {
            let frame = first.add(page);
            model.window.insert(start + page, frame);
            assert!(model.hidden.insert(frame.0), "a frame has one mapping at a time");
        }
        let range = first.addr().0 as u32..(first.0 + pages) * PAGE;
        model.reachable.retain(|line| !range.contains(line));
        Ok(CpuAddress::new(start * PAGE))
    }

    fn unmap_coherent(&mut self, at: CpuAddress, first: Pfn, pages: u32) {
        let mut model = self.model_mut();
        for page in 0..pages {
            let frame = first.add(page);
            assert_eq!(model.window.remove(&(at.get() / PAGE + page)), Some(frame));
            assert!(!model.is_cached(frame), "a frame of a coherent buffer is in no cache");
            assert!(model.hidden.remove(&frame.0));
        }
    }

    fn zero(&mut self, at: CpuAddress, bytes: u32) {
        let mut model = self.model_mut();
        for at in (at.get()..at.get() + bytes).step_by(PAGE as usize) {
            let page = model.behind_window(at).expect("whole pages of the window are cleared") / PAGE;
            model.memory.insert(page, Box::new([0; PAGE as usize]));
        }
    }

    fn load(&mut self, at: CpuAddress, bytes: &mut [u8]) {
        let mut model = self.model_mut();
        let mut done = 0;
        while done < bytes.len() {
            let at = at.get() + done as u32;
            let length = model.at_once(at, bytes.len() - done);
            bytes[done..done + length].copy_from_slice(&model.seen(at, false)[..length]);
            done += length;
        }
    }

    fn store(&mut self, at: CpuAddress, bytes: &[u8]) {
        let mut model = self.model_mut();
        let mut done = 0;
        while done < bytes.len() {
            let at = at.get() + done as u32;
            let length = model.at_once(at, bytes.len() - done);
            model.seen(at, true)[..length].copy_from_slice(&bytes[done..done + length]);
            done += length;
        }
    }

    fn load_word(&mut self, at: CpuAddress) -> u32 {
        let mut bytes = [0; 4];
        self.load(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn store_word(&mut self, at: CpuAddress, word: u32) {
        self.store(at, &word.to_le_bytes());
    }

    fn barrier(&mut self) {}
}
