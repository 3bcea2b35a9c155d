// SPDX-License-Identifier: MIT OR Apache-2.0

//! The monitor at a prompt: takes keys, returns the terminal's output, and the areas after each
//! command and, through [`Page`], while it runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use host::board::{AreaSpec, BASE_ALIGNMENT_PAGES, Board, MAX_AREA_PAGES};
use host::machine::{Host, Watch};
use host::size::PAGEBLOCK_PAGES;
use kernel::lab::record::Record;
use kernel::lab::watch;
use kernel::monitor::{Context, End, Monitor, Prompt};
use kernel::units::linux::LinuxVersion;

use crate::{Answers, Request, clock};

/// The monitor's advice if there is no initrd, and its replacement in the page.
const BOOT_WITH_A_FILE: &str = "boot with one as the initrd (-initrd FILE)";
const DROP_A_FILE: &str = "drop a file with one onto the page";
/// Time between two checks of the page while a command runs.
const LOOK_NS: u64 = 50_000_000;

#[cfg(target_arch = "wasm32")]
mod page {
    #[link(wasm_import_module = "page")]
    // SAFETY: the worker's script gives both to every instance, with these signatures.
    unsafe extern "C" {
        /// Shows text, and the areas in words, which may be empty.
        pub(super) safe fn show(text: *const u8, text_bytes: u32, areas: *const u32, words: u32);
        /// Lets the script handle the page's messages; returns not 0 for Ctrl-C.
        pub(super) safe fn pause() -> u32;
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod page {
    /// Does nothing: there is no page.
    pub(super) fn show(_text: *const u8, _text_bytes: u32, _areas: *const u32, _words: u32) {}
    /// Returns 0: there is no page.
    pub(super) fn pause() -> u32 {
        0
    }
}

/// The page, which observes a running command.
struct Page {
    said: Rc<RefCell<String>>,
    shown_ns: Cell<u64>,
    heard_ns: Cell<u64>,
}

impl Page {
    fn show(&self, areas: &[u32]) {
        let said = self.said.take();
        page::show(said.as_ptr(), said.len() as u32, areas.as_ptr(), areas.len() as u32);
    }
}

/// True if the last time is at least [`LOOK_NS`] ago; it is then set to now.
fn is_due(last_ns: &Cell<u64>) -> bool {
    let now_ns = clock::now_ns();
    let due = now_ns.saturating_sub(last_ns.get()) >= LOOK_NS;
    if due {
        last_ns.set(now_ns);
    }
    due
}

impl Watch for Page {
    fn areas(&self, areas: &dyn Fn() -> Vec<u32>) {
        if is_due(&self.shown_ns) {
            self.show(&areas());
        }
    }

    fn interrupted(&self) -> bool {
        if !is_due(&self.heard_ns) {
            return false;
        }
        if !self.said.borrow().is_empty() {
            self.show(&[]);
        }
        page::pause() != 0
    }
}

/// A machine that is switched on.
struct Machine {
    monitor: Monitor<'static, 'static, Host>,
    prompt: Prompt,
    said: Rc<RefCell<String>>,
}

/// A board that can be switched on. Its memory is freed only with the worker.
#[derive(Default)]
pub(crate) struct Playground {
    machine: Option<Machine>,
}

impl Playground {
    /// Switches on a board with the areas of the request, `NAME=PAGES NAME=PAGES`, and `file` as
    /// its initrd.
    pub(crate) fn boot(&mut self, file: &[u8], request: &Request<'_>) -> Result<Answers, String> {
        let areas = areas(request.get("areas").unwrap_or("BiscuitOS_cma=2048 linux,cma=4096"))?;
        let said = Rc::new(RefCell::new(String::new()));
        let heard = Rc::clone(&said);
        let rounded = rounded(&areas);
        let board = Board { areas, linux: LinuxVersion::default() };
        let (system, host) = board.leak(clock::now_ns, Box::new(move |text| heard.borrow_mut().push_str(text)));
        let initrd: Option<&'static [u8]> = if file.is_empty() { None } else { Some(file.to_vec().leak()) };
        let now_ns = || Cell::new(clock::now_ns());
        host.watch(Page { said: Rc::clone(&said), shown_ns: now_ns(), heard_ns: now_ns() });
        let version = concat!("debris ", env!("CARGO_PKG_VERSION"), " in a page");
        let context = Context { initrd, version, ..Context::default() };
        let monitor = Monitor::new(system, host, context);
        let mut prompt = Prompt::new();
        request
            .get("history")
            .unwrap_or_default()
            .split('\x1f')
            .filter(|line| !line.is_empty())
            .for_each(|line| prompt.remember(line));
        self.machine = Some(Machine { monitor, prompt, said });
        self.type_keys("").map(|(text, words)| (text.replacen('{', &format!("{{{rounded},"), 1), words))
    }

    /// Types `keys`, two hexadecimal digits each, and lets background jobs do some steps.
    pub(crate) fn type_keys(&mut self, keys: &str) -> Result<Answers, String> {
        let Some(machine) = &mut self.machine else { return Err("the board is off".into()) };
        let Machine { monitor, prompt, said } = machine;
        let bytes = (0..keys.len() / 2).map_while(|at| u8::from_str_radix(keys.get(2 * at..2 * at + 2)?, 16).ok());
        let end = bytes.into_iter().find_map(|byte| prompt.type_byte(monitor, byte));
        let busy = end.is_none() && prompt.idle(monitor);
        if end.is_none() {
            prompt.show(monitor);
        }
        let system = monitor.system();
        let names = system.area_ids().map(|id| Record::object().string("text", system.area(id).name()));
        let mut answer = Record::object()
            .string("error", "")
            .string("said", &said.take().replace(BOOT_WITH_A_FILE, DROP_A_FILE))
            .objects("areas", names)
            .number("busy", u32::from(busy));
        match end {
            Some(End::PowerOff(status)) => answer = answer.number("status", status),
            Some(End::Reboot) => answer = answer.number("reboot", 1u32),
            None => {}
        }
        let words = watch::areas(system);
        if end.is_some() {
            self.machine = None;
        }
        Ok((answer.to_string(), vec![words]))
    }
}

/// Returns a field with the areas that are larger than requested.
fn rounded(areas: &[AreaSpec]) -> String {
    let odd = areas.iter().filter(|area| !area.pages.is_multiple_of(PAGEBLOCK_PAGES));
    let words = odd.map(|area| {
        let whole = area.pages.next_multiple_of(PAGEBLOCK_PAGES);
        format!("{} of {} pages is rounded up to {}M", area.name, area.pages, whole / 256)
    });
    let field = Record::object().string("rounded", &words.collect::<Vec<_>>().join("; ")).to_string();
    field[1..field.len() - 1].into()
}

/// Returns the length of a size without its unit.
fn number_bytes(size: &str) -> usize {
    size.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).len()
}

fn areas(text: &str) -> Result<Vec<AreaSpec>, String> {
    let mut areas = Vec::new();
    let mut together = 0;
    for word in text.split_whitespace() {
        let wrong = || format!("{word} is not an area; areas look like camera=64M");
        let (name, size) = word.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        let (digits, unit) = size.split_at(number_bytes(size));
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let bytes = match unit.to_ascii_uppercase().as_str() {
            "G" => number.saturating_mul(1 << 30),
            "M" => number.saturating_mul(1 << 20),
            "K" => number.saturating_mul(1 << 10),
            "" => number.saturating_mul(4096),
            _ => return Err(wrong()),
        };
        let pages = u32::try_from(bytes.div_ceil(4096)).unwrap_or(u32::MAX);
        if !(1..=MAX_AREA_PAGES).contains(&pages) {
            return Err(format!("{word}: an area has 4M to {}M", MAX_AREA_PAGES / 256));
        }
        if areas.iter().any(|area: &AreaSpec| area.name == name) {
            return Err(format!("two areas are called {name}; each needs a name of its own"));
        }
        together += u64::from(pages.next_multiple_of(BASE_ALIGNMENT_PAGES));
        areas.push(AreaSpec { name: name.into(), pages });
    }
    if areas.is_empty() || areas.len() > kernel::cma::MAX_CMA_AREAS || together > MAX_AREA_PAGES.into() {
        return Err(format!("1 to {} areas, with {} MiB together", kernel::cma::MAX_CMA_AREAS, MAX_AREA_PAGES / 256));
    }
    Ok(areas)
}
