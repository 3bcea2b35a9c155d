// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel command line: `/chosen/bootargs` becomes typed parameters.
//!
//! Words are split as Linux's `next_arg` splits them (lib/cmdline.c): white space outside double
//! quotes ends a word, the first `=` that is not the word's first character separates name and
//! value, and `--` ends the kernel's part. Later parameters override earlier ones. Nothing here
//! fails: a parameter that cannot be parsed is reported by name and changes nothing, except for
//! `cma=`, which gets the value that Linux would read.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::CMA_MIN_ALIGNMENT;
use units::linux::LinuxVersion;
use units::notes::{Note, Notes, Refused, Words};

mod memparse;
#[cfg(test)]
mod tests;

pub use memparse::memparse;

/// The log level if `loglevel=` is absent: everything but debug messages.
pub const DEFAULT_LOGLEVEL: u8 = 7;

/// Longest accepted `run=`, in bytes.
pub const MAX_RUN_BYTES: usize = 64 * 1024;

/// Most bytes of unknown parameters that the log repeats.
const MAX_UNKNOWN_BYTES: usize = 200;

/// The parsed command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cmdline {
    /// `run=`: monitor commands to run after the boot; `None` if the parameter is absent.
    pub run: Option<String>,
    /// `cma=`; if it is given, nodes with `linux,cma-default` are bypassed.
    pub cma: Option<CmaParameter>,
    /// Base and limit of `cma=` before they are cut to 32 bits, for `ram_base=` to move.
    pub cma_place: CmaPlace,
    /// `loglevel=`: 0 to 7.
    pub loglevel: u8,
    /// `mem=`: the number of bytes of RAM that are used, from its start.
    pub mem: Option<u64>,
    /// `ram_base=`: start of RAM on the board that the tree describes, a multiple of 4 MiB.
    pub ram_base: Option<u64>,
    /// `check=on`: poisoning and invariant checks.
    pub check: bool,
    /// `strict=on`: a refused node or parameter ends the run.
    pub strict: bool,
    /// `records=off`: no records are printed.
    pub quiet: bool,
    /// `linux=`: the Linux version that is emulated.
    pub linux: LinuxVersion,
    /// The problems, in the order in which they were found.
    pub notes: Vec<Note>,
}

/// `cma=` as kernel/dma/contiguous.c keeps it: three addresses of 32 bits, 0 if not given.
///
/// As in Linux, `base` and `limit` survive a later `cma=` that names only a size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CmaParameter {
    /// Size in bytes; 0: no area.
    pub size: u32,
    /// Lowest address; 0: any.
    pub base: u32,
    /// The area ends at or below this address; 0: any. `base + size` if a start without an end was
    /// given: the area is exactly there.
    pub limit: u32,
}

/// Base and limit of `cma=` as they were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CmaPlace {
    /// Lowest address; 0: any.
    pub base: u64,
    /// The area ends at or below this address; 0: any.
    pub limit: u64,
}

/// Reads the command line. Never fails; see [`Cmdline::notes`].
///
/// ```
/// let cmdline = reserved::cmdline::parse(r#"cma=64M@0x70000000 loglevel=4 run="debris; bitmap""#);
/// assert_eq!(cmdline.run.as_deref(), Some("debris; bitmap"));
/// assert_eq!((cmdline.loglevel, cmdline.check, cmdline.notes.len()), (4, false, 0));
/// ```
pub fn parse(bootargs: &str) -> Cmdline {
    let mut parser = Parser {
        cmdline: Cmdline {
            run: None,
            cma: None,
            cma_place: CmaPlace::default(),
            loglevel: DEFAULT_LOGLEVEL,
            mem: None,
            ram_base: None,
            check: false,
            strict: false,
            quiet: false,
            linux: LinuxVersion::default(),
            notes: Vec::new(),
        },
        cma: CmaParameter::default(),
        moves: bootargs.split(is_space).any(|word| word.starts_with("ram_base=")),
        notes: Notes::default(),
        unknown: String::new(),
        unknown_count: 0,
        unknown_shown: 0,
    };
    let mut rest = bootargs.trim_start_matches(is_space);
    while !rest.is_empty() {
        let (word, after) = next_word(rest);
        rest = after;
        if word.name == "--" && word.value.is_none() {
            break;
        }
        parser.take(word);
    }
    parser.finish()
}

/// A parameter: its name, and its value if it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

/// True for ASCII white space, as C's `isspace` defines it.
fn is_space(character: char) -> bool {
    character.is_ascii_whitespace() || character == '\u{b}'
}

/// Splits the first parameter off `line`, which starts with it, as Linux's `next_arg` does.
fn next_word(line: &str) -> (Word<'_>, &str) {
    let quoted = line.starts_with('"');
    let text = if quoted { &line[1..] } else { line };
    let mut in_quote = quoted;
    let mut equals = 0;
    let mut end = text.len();
    for (index, byte) in text.bytes().enumerate() {
        if is_space(char::from(byte)) && !in_quote {
            end = index;
            break;
        }
        match byte {
            b'=' if equals == 0 => equals = index,
            b'"' => in_quote = !in_quote,
            _ => {}
        }
    }
    let rest = text[end..].trim_start_matches(is_space);
    let mut whole = &text[..end];
    if quoted && let Some(unquoted) = whole.strip_suffix('"') {
        whole = unquoted;
    }
    let word = if equals == 0 {
        Word { name: whole, value: None }
    } else {
        // The closing quote that was removed from `whole` comes after the `=`. At most one is
        // removed.
        let value = &whole[equals + 1..];
        let value = match value.strip_prefix('"') {
            Some(inner) if whole.len() == end => inner.strip_suffix('"').unwrap_or(inner),
            Some(inner) => inner,
            None => value,
        };
        Word { name: &whole[..equals], value: Some(value) }
    };
    (word, rest)
}

/// The state of the parser: the parameters read so far.
struct Parser {
    cmdline: Cmdline,
    /// Kept even if it has no effect, because parts of it survive the next `cma=`.
    cma: CmaParameter,
    /// The line contains `ram_base=`.
    moves: bool,
    notes: Notes,
    unknown: String,
    unknown_count: usize,
    unknown_shown: usize,
}

impl Parser {
    fn take(&mut self, word: Word<'_>) {
        match (word.name, word.value) {
            ("run", Some(commands)) if commands.len() > MAX_RUN_BYTES => {
                self.notes.warn(format_args!("debris: run=: {} bytes, ignored: raise MAX_RUN_BYTES", commands.len()));
                self.refuse("run");
            }
            ("run", Some(commands)) => self.cmdline.run = Some(commands.to_string()),
            ("run", None) => {
                self.notes.warn(format_args!("debris: run: needs a value, run=\"COMMAND; COMMAND\"; ignored"));
                self.refuse("run");
            }
            ("loglevel", value) => self.take_loglevel(value),
            ("check", value) => self.cmdline.check = self.take_switch("check", value, self.cmdline.check),
            ("strict", value) => self.cmdline.strict = self.take_switch("strict", value, self.cmdline.strict),
            ("records", value) => self.cmdline.quiet = !self.take_switch("records", value, !self.cmdline.quiet),
            ("linux", value) => self.take_linux(value),
            ("cma", value) => self.take_cma(value),
            ("mem", value) => self.take_mem(value),
            ("ram_base", value) => self.take_ram_base(value),
            _ => self.take_unknown(word),
        }
    }

    /// Marks a parameter refused; the latest line is the reason.
    fn refuse(&mut self, name: &str) {
        self.notes.refuse(Refused::Parameter, name);
    }

    /// Returns true for `on`, false for `off`, and `was`, with a line, for any other value.
    fn take_switch(&mut self, name: &str, value: Option<&str>, was: bool) -> bool {
        match value {
            Some("on") => true,
            Some("off") => false,
            _ => {
                let kept = if was { "on" } else { "off" };
                let value = Words(value.unwrap_or(""));
                self.notes.warn(format_args!("debris: {name}={value}: must be on or off; it stays {kept}"));
                self.refuse(name);
                was
            }
        }
    }

    fn take_loglevel(&mut self, value: Option<&str>) {
        match value.and_then(|value| value.parse().ok()).filter(|level| *level <= 7) {
            Some(level) => self.cmdline.loglevel = level,
            None => {
                let (value, kept) = (Words(value.unwrap_or("")), self.cmdline.loglevel);
                self.notes
                    .warn(format_args!("debris: loglevel={value}: must be a number from 0 to 7; it stays {kept}"));
                self.refuse("loglevel");
            }
        }
    }

    fn take_linux(&mut self, value: Option<&str>) {
        match value.and_then(LinuxVersion::parse) {
            Some(version) => self.cmdline.linux = version,
            None => {
                let (value, kept) = (Words(value.unwrap_or("")), self.cmdline.linux);
                self.notes
                    .warn(format_args!("debris: linux={value}: must be {}; it stays {kept}", LinuxVersion::NAMES));
                self.refuse("linux");
            }
        }
    }

    /// Linux's `early_mem`, without a start: RAM keeps its start.
    fn take_mem(&mut self, value: Option<&str>) {
        let size = memparse(value.unwrap_or("").as_bytes());
        if size.digits == 0 || !size.rest.is_empty() || size.value == 0 {
            let shown = Words(value.unwrap_or(""));
            self.notes.warn(format_args!("debris: mem={shown}: must be a size such as 512M; ignored"));
            self.refuse("mem");
        } else {
            self.cmdline.mem = Some(size.value);
        }
    }

    fn take_ram_base(&mut self, value: Option<&str>) {
        let shown = Words(value.unwrap_or(""));
        let base = memparse(value.unwrap_or("").as_bytes());
        if base.digits == 0 || !base.rest.is_empty() {
            self.notes.warn(format_args!("debris: ram_base={shown}: must be an address such as 0x10000000; ignored"));
            self.refuse("ram_base");
        } else if !base.value.is_multiple_of(CMA_MIN_ALIGNMENT) {
            self.notes.warn(format_args!(
                "debris: ram_base={shown}: no multiple of 4 MiB, so areas would lose their alignment; ignored"
            ));
            self.refuse("ram_base");
        } else {
            self.cmdline.ram_base = Some(base.value);
        }
    }

    /// Linux's `early_cma`, with a `debris: ` line if the value differs from what was written.
    fn take_cma(&mut self, value: Option<&str>) {
        let Some(value) = value else {
            self.notes.error(format_args!("cma: Config string not provided"));
            self.notes.warn(format_args!("Malformed early option 'cma'"));
            self.refuse("cma");
            return;
        };
        let shown = Words(value);
        let size = memparse(value.as_bytes());
        let mut rest = size.rest;
        let mut odd = size.digits == 0;
        let mut too_high = false;
        self.cma.size = size.value as u32;
        if let [b'@', after @ ..] = rest {
            let base = memparse(after);
            rest = base.rest;
            odd |= base.digits == 0;
            too_high |= base.value >> 32 != 0;
            self.cma.base = base.value as u32;
            self.cmdline.cma_place.base = base.value;
            if let [b'-', after @ ..] = rest {
                let limit = memparse(after);
                rest = limit.rest;
                odd |= limit.digits == 0;
                // An end at 4 GiB is 0 in 32 bits, which also means no limit.
                too_high |= limit.value > 1 << 32;
                self.cma.limit = limit.value as u32;
                self.cmdline.cma_place.limit = limit.value;
            } else {
                self.cma.limit = self.cma.base.wrapping_add(self.cma.size);
                self.cmdline.cma_place.limit = base.value.wrapping_add(self.cma.size.into());
            }
        }
        if size.digits == 0 {
            self.notes.warn(format_args!(
                "debris: cma={shown}: no size, taken as 0: no area, and a linux,cma-default node is bypassed"
            ));
            self.refuse("cma");
        } else if odd || !rest.is_empty() {
            self.notes.warn(format_args!(
                "debris: cma={shown}: what is not of the form nn[KMG]@[start[KMG][-end[KMG]]] is 0"
            ));
            self.refuse("cma");
        }
        // If `ram_base=` moves the addresses first, `adapt` logs their values here.
        if size.value >> 32 != 0 || (too_high && !self.moves) {
            self.notes
                .warn(format_args!("debris: cma={shown}: addresses have 32 bits, and the bits above are dropped"));
            self.refuse("cma");
        }
        // Linux marks an absent parameter by the size -1, so a given size of -1 counts as absent.
        self.cmdline.cma = (self.cma.size != u32::MAX).then_some(self.cma);
        if self.cmdline.cma.is_none() {
            self.notes.warn(format_args!("debris: cma={shown}: this size means that the parameter is absent; ignored"));
            self.refuse("cma");
        }
    }

    fn take_unknown(&mut self, word: Word<'_>) {
        self.unknown_count += 1;
        let length = word.name.len() + word.value.map_or(0, |value| value.len() + 1);
        // The list is a prefix of the given parameters: after one that does not fit, no later one
        // is shown.
        let fits = self.unknown_shown + 1 == self.unknown_count && self.unknown.len() + length < MAX_UNKNOWN_BYTES;
        if !fits && self.unknown_count > 1 {
            return;
        }
        if !self.unknown.is_empty() {
            self.unknown.push(' ');
        }
        self.unknown.push_str(word.name);
        if let Some(value) = word.value {
            self.unknown.push('=');
            self.unknown.push_str(value);
        }
        if !fits {
            // The first parameter alone exceeds the list: show its beginning.
            let mut end = MAX_UNKNOWN_BYTES / 2;
            while !self.unknown.is_char_boundary(end) {
                end -= 1;
            }
            self.unknown.truncate(end);
            self.unknown.push_str("...");
        }
        self.unknown_shown += 1;
    }

    fn finish(mut self) -> Cmdline {
        if self.unknown_count > 0 {
            let shown: String = self.unknown.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            let first = shown.split(['=', ' ']).next().unwrap_or_default().to_string();
            let hidden = self.unknown_count - self.unknown_shown;
            if hidden == 0 {
                self.notes.info(format_args!("debris: Unknown kernel command line parameters \"{shown}\", ignored"));
            } else {
                self.notes.info(format_args!(
                    "debris: Unknown kernel command line parameters \"{shown}\" and {hidden} more, ignored"
                ));
            }
            self.refuse(&first);
        }
        self.cmdline.notes = self.notes.into_vec();
        self.cmdline
    }
}
