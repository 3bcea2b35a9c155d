// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `disk`.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write;

use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use block::volume::Volume;
use lab::diskbench::{self, LeftOut};
use lab::files::{self, FileError};
use lab::help::Help;
use lab::keys::{Keys, meant, shown};
use lab::metrics::Counted;
use lab::record::Record;
use machine::Machine;
use migration::live::{MAX_SLOTS, Mm};
use page_alloc::policy::{CmaUse, Lend};

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "disk",
                usage: "[list|check|bench] [pages=1024]",
                summary: "shows the disk and its files",
                details: "check: reads every file and compares its CRC-32 with the table of files. bench: reads and writes \
                              pages= pages in order, through the cache. Ctrl-C switches off a disk that has not answered \
                              two seconds later. Needs DISK=disk.img; scripts/disk-image makes one.",
                example: "disk check",
            },
            run: |session, args| session.disk(args),
        }]
    }
}

/// Default of `pages=`, which `disk bench` reads and writes.
const DEFAULT_PAGES: u64 = 1024;
/// The words that `disk` takes.
const WORDS: [&str; 3] = ["list", "check", "bench"];

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn disk(&mut self, args: &Args) -> Result<(), Failure> {
        // Without a disk, the commands themselves fail.
        let most = self.system.disk().map_or(u64::from(MAX_SLOTS), |disk| disk.identity().pages());
        let most = most.clamp(1, MAX_SLOTS.into());
        let pages = args.whole("pages", DEFAULT_PAGES.min(most), 1, most)? as u32;
        match args.word(0).unwrap_or("list") {
            "list" => self.disk_list(),
            "check" => self.disk_check(),
            "bench" => self.disk_bench(pages),
            word => {
                let meant = meant(word, WORDS.into_iter(), "there are");
                Err(Failure::bad(format!("no command {}; {meant}", shown(word))))
            }
        }
    }

    /// Runs `act` with users of memory whose page cache is on the disk.
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
}
