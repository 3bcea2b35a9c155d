// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `copytest`.

use alloc::format;
use core::fmt::Write;

use super::compare::PROGRESS_NS;
use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use lab::copytest::{self, CopyError, CopyTest, MAX_COPIES, Step};
use lab::help::Help;
use lab::keys::{Keys, shown};
use machine::Machine;
use reserved::cmdline::memparse;

/// Default of `files=`.
const DEFAULT_COPIES: u64 = 5;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "copytest",
                usage: "[files=5] [size=BYTES] [source=NAME] [seed=1] [pinning=on|off]",
                summary: "copies a file of the disk several times, and compares checksums",
                details: "Reads each copy and the original twice before it is synced, twice after, and twice after the cache \
                              has dropped it; meanwhile a driver allocates from every area, and pages migrate while the disk owns \
                              others. The copies stay on the disk as copy.1, copy.2 and so on, for scripts/disk-image verify, and \
                              replace files of those names, as many as files= says; others stay. \
                              source= is the disk's first file, and size= all of it; size= takes K, M and G. pinning=off lets \
                              pages move that the disk owns: the checksums are then wrong, every time. Needs DISK=disk.img.",
                example: "copytest files=2 size=8M",
            },
            run: |session, args| session.copytest(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn copytest(&mut self, args: &Args) -> Result<(), Failure> {
        let options = copytest::Options {
            source: match args.key("source") {
                Some("") => {
                    return Err(Failure::bad("source is empty; it has to be the name of a file, as `disk` lists them"));
                }
                source => source.map(Into::into),
            },
            copies: args.whole("files", DEFAULT_COPIES, 1, MAX_COPIES.into())? as u32,
            bytes: args.key("size").map(size).transpose()?,
            seed: args.whole("seed", 1, 0, u32::MAX.into())? as u32,
            pinning: match args.key("pinning") {
                None | Some("on") => true,
                Some("off") => false,
                Some(word) => return Err(Failure::bad(format!("pinning is {}; it can be on or off", shown(word)))),
            },
        };
        if self.system.areas().is_empty() {
            return Err(Failure::bad(format!(
                "there is no CMA area that could lend its pages; `cma={}` makes one",
                fitting_area(self.system.zone().managed_pages())
            )));
        }
        let mut test = CopyTest::start(self.system, &*self.out.machine, &options).map_err(failed)?;
        let source = test.source();
        if let Some(bytes) = options.bytes.filter(|&bytes| bytes > source.bytes) {
            let (name, all) = (&source.name, source.bytes);
            writeln!(self.out, "size={bytes} is more than {name} has: all of its {all} bytes are copied")?;
        }
        let mut printed_ns = self.out.machine.now_ns();
        let stepped = loop {
            match test.step(self.system, &*self.out.machine) {
                Ok(Step::Running) => {
                    let now_ns = self.out.machine.now_ns();
                    if now_ns.saturating_sub(printed_ns) >= PROGRESS_NS {
                        printed_ns = now_ns;
                        writeln!(self.out, "... {}", test.progress())?;
                    }
                }
                Ok(Step::Synced(name)) => writeln!(self.out, "{name}: synced")?,
                Ok(Step::Copied(copied)) => write!(self.out, "{copied}")?,
                Ok(Step::Finished) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let report = test.finish(self.system, &*self.out.machine).map_err(failed)?;
        stepped.map_err(failed)?;
        write!(self.out, "{report}")?;
        writeln!(self.out, "{}", report.record())?;
        match report.verdict() {
            "wrong" => Err(Failure::check(format!(
                "{} checksums are wrong, {} pages of buffers were overwritten",
                report.differences(),
                report.driver.damaged
            ))),
            _ => Ok(()),
        }
    }
}

fn failed(error: CopyError) -> Failure {
    match error {
        CopyError::Release(_) => Failure::check(format!("{error}")),
        _ => Failure::bad(format!("{error}")),
    }
}

/// Returns a CMA area of a quarter of `managed` pages, at most 16 MiB, as `cma=` takes it.
fn fitting_area(managed: u32) -> &'static str {
    match managed {
        0x4000.. => "16M",
        0x2000.. => "8M",
        _ => "4M with MEM=32M or more",
    }
}

/// Parses a size in bytes with an optional K, M or G.
fn size(word: &str) -> Result<u64, Failure> {
    let parsed = memparse(word.as_bytes());
    if parsed.rest.is_empty() && parsed.value == 0 && word.starts_with('0') {
        return Err(Failure::bad("size is 0; it has to be at least one byte"));
    }
    let whole = parsed.rest.is_empty() && parsed.value > 0;
    let wrong = || format!("size is {}; it has to be a number of bytes, with K, M or G behind it", shown(word));
    if whole { Ok(parsed.value) } else { Err(Failure::bad(wrong())) }
}
