//! The commands `disk` and `copytest`.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write;

use super::Session;
use super::compare::PROGRESS_NS;
use super::experiments::whole;
use crate::block::volume::Volume;
use crate::cmdline::memparse;
use crate::lab::copytest::{self, CopyError, CopyTest, MAX_COPIES, Step};
use crate::lab::diskbench::{self, LeftOut};
use crate::lab::files::{self, FileError};
use crate::lab::metrics::Counted;
use crate::lab::record::Record;
use crate::machine::Machine;
use crate::mm::live::{MAX_SLOTS, Mm};
use crate::mm::{CmaUse, Lend};
use crate::monitor::Failure;
use crate::monitor::syntax::{Args, nearest, shown};

/// Copies, unless `files=` says otherwise.
const DEFAULT_COPIES: u64 = 5;
/// Pages that `disk bench` reads and writes, unless `pages=` says otherwise.
const DEFAULT_PAGES: u64 = 1024;
/// What can be said behind `disk`.
const WORDS: [&str; 3] = ["list", "check", "bench"];

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    pub(super) fn disk(&mut self, args: &Args) -> Result<(), Failure> {
        // Where there is no disk, the commands say so.
        let most = self.system.disk().map_or(u64::from(MAX_SLOTS), |disk| disk.identity().pages());
        let most = most.clamp(1, MAX_SLOTS.into());
        let pages = whole(args, "pages", DEFAULT_PAGES.min(most), 1, most)? as u32;
        match args.word(0).unwrap_or("list") {
            "list" => self.disk_list(),
            "check" => self.disk_check(),
            "bench" => self.disk_bench(pages),
            word => Err(Failure::bad(match nearest(word, WORDS) {
                Some(near) => format!("{} is nothing that it does; did you mean {near}?", shown(word)),
                None => format!("{} is nothing that it does; there are {}", shown(word), WORDS.join(" ")),
            })),
        }
    }

    /// Does something with the living, whose page cache is on the disk.
    fn on_disk<T>(&mut self, act: impl FnOnce(&mut Mm<'_, '_>, &M) -> Result<T, FileError>) -> Result<T, Failure> {
        let opened = self.system.open_live_on_disk(CmaUse::default(), Lend::Movable);
        let result = match opened {
            Ok(mut mm) => act(&mut mm, &*self.out.machine),
            Err(error) => return Err(Failure::bad(format!("{error}"))),
        };
        self.system.close_live();
        result.map_err(|error| Failure::bad(format!("{error}")))
    }

    fn disk_list(&mut self) -> Result<(), Failure> {
        if let Some(disk) = self.system.disk() {
            let identity = disk.identity();
            let access = match disk.works() {
                Err(why) => format!("gone ({why})"),
                Ok(()) if identity.read_only => "read-only".into(),
                Ok(()) => "read-write".into(),
            };
            let (name, sectors, interrupts) = (identity.name.clone(), identity.sectors, disk.interrupts());
            writeln!(
                self.out,
                "{name}: {} of 512 bytes, {access}, {} so far",
                Counted(sectors, "sector"),
                Counted(interrupts, "interrupt")
            )?;
        }
        let volume = self.on_disk(|mm, _| files::open(mm))?;
        self.disk_files(&volume)
    }

    fn disk_files(&mut self, volume: &Volume) -> Result<(), Failure> {
        for file in volume.files() {
            writeln!(
                self.out,
                "{:<16} {:>12} bytes  crc32 {:08x}  from page {}",
                file.name, file.bytes, file.crc, file.first
            )?;
        }
        let used: u64 = volume.files().iter().map(|file| u64::from(file.pages())).sum();
        writeln!(
            self.out,
            "{}, {used} of {}",
            Counted(volume.files().len() as u64, "file"),
            Counted(volume.pages().into(), "page")
        )?;
        Ok(())
    }

    fn disk_check(&mut self) -> Result<(), Failure> {
        let (volume, sums) = self.on_disk(|mm, machine| {
            let volume = files::open(mm)?;
            let mut sums = Vec::new();
            for file in volume.files() {
                let Some(crc) = files::crc(mm, file, || machine.interrupted())? else { break };
                sums.push(crc);
            }
            Ok((volume, sums))
        })?;
        let mut wrong = 0;
        for (file, &crc) in volume.files().iter().zip(&sums) {
            let state = if crc == file.crc { "ok" } else { "DIFFERS" };
            wrong += u64::from(crc != file.crc);
            writeln!(self.out, "{:<16} {:>12} bytes  crc32 {crc:08x}  {state}", file.name, file.bytes)?;
        }
        if sums.len() < volume.files().len() {
            writeln!(self.out, "Stopped by Ctrl-C.")?;
        }
        if wrong > 0 {
            let are = if wrong == 1 { "is" } else { "are" };
            return Err(Failure::check(format!("{} {are} not what the table says", Counted(wrong, "file"))));
        }
        Ok(())
    }

    fn disk_bench(&mut self, pages: u32) -> Result<(), Failure> {
        let (runs, left_out) = self.on_disk(|mm, machine| diskbench::run(mm, machine, pages))?;
        for run in &runs {
            let pages = Counted(run.pages.into(), "page").to_string();
            writeln!(self.out, "{:<12} {pages:>14} {:>10} ns a page", run.name, run.ns_per_page)?;
        }
        if let Some((name, why)) = &left_out {
            writeln!(self.out, "{name:<12} left out: {why}")?;
        }
        for run in runs {
            let record = Record::new("bench").string("name", run.name).number("reps", run.pages);
            writeln!(self.out, "{}", record.number("ns_per_op", run.ns_per_page).number("max_ns", run.max_ns))?;
        }
        if let Some((name, LeftOut::Failed(_))) = left_out {
            return Err(Failure::bad(format!("{name} failed (see above)")));
        }
        Ok(())
    }

    pub(super) fn copytest(&mut self, args: &Args) -> Result<(), Failure> {
        let options = copytest::Options {
            source: match args.key("source") {
                Some("") => {
                    return Err(Failure::bad("source is empty; it has to be the name of a file, as `disk` lists them"));
                }
                source => source.map(Into::into),
            },
            copies: whole(args, "files", DEFAULT_COPIES, 1, MAX_COPIES.into())? as u32,
            bytes: args.key("size").map(size).transpose()?,
            seed: whole(args, "seed", 1, 0, u32::MAX.into())? as u32,
            pinning: match args.key("pinning") {
                None | Some("on") => true,
                Some("off") => false,
                Some(word) => return Err(Failure::bad(format!("pinning is {}; it can be on or off", shown(word)))),
            },
        };
        if self.system.areas().is_empty() {
            return Err(Failure::bad(format!(
                "there is no CMA area that could lend its pages; `cma={}` makes one",
                fitting_area(self.system.zone.managed_pages())
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

/// A CMA area of a quarter of so many pages, and at most 16 MiB, as `cma=` takes it.
fn fitting_area(managed: u32) -> &'static str {
    match managed {
        0x4000.. => "16M",
        0x2000.. => "8M",
        _ => "4M with MEM=32M or more",
    }
}

/// A size in bytes, with K, M or G behind it.
fn size(word: &str) -> Result<u64, Failure> {
    let parsed = memparse(word.as_bytes());
    if parsed.rest.is_empty() && parsed.value == 0 && word.starts_with('0') {
        return Err(Failure::bad("size is 0; it has to be at least one byte"));
    }
    let whole = parsed.rest.is_empty() && parsed.value > 0;
    let wrong = || format!("size is {}; it has to be a number of bytes, with K, M or G behind it", shown(word));
    if whole { Ok(parsed.value) } else { Err(Failure::bad(wrong())) }
}
