// SPDX-License-Identifier: MIT OR Apache-2.0

//! The copy test on a small board, with a disk in software.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::ambush::Ambushes;
use super::*;
use block::volume::TABLE_BYTES;
use board_mock::Mock;
use board_mock::disk::{Medium, give_disk};
use migration::live::mock::MockSpace;
use page_alloc::zone::{Zone, descriptors};
use page_alloc::{PAGEBLOCK_PAGES, Page};
use units::Pfn;

const START: Pfn = Pfn(0x60000);

fn options(copies: u32, pinning: bool) -> Options {
    Options { source: None, copies, bytes: None, seed: 1, pinning }
}

/// Calls `test` with an area of two pageblocks, and a disk with a file of `file_pages` pages and
/// room for `room_for` copies.
fn with_file(
    pageblocks: u32,
    file_pages: u32,
    room_for: u32,
    test: impl FnOnce(&mut System<'_>, &Mock, &Rc<RefCell<Medium>>),
) {
    let mut pages = vec![Page::default(); descriptors((pageblocks + 2) * PAGEBLOCK_PAGES)];
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, pageblocks * PAGEBLOCK_PAGES);
    let mut system = System::new(zone, Vec::new());
    system.set_address_space(Box::new(MockSpace::default()));
    system.activate_area("area".into(), START.add(pageblocks * PAGEBLOCK_PAGES), 2 * PAGEBLOCK_PAGES, true);
    let medium = give_disk(&mut system, u64::from(file_pages) * 4096 - 100, 2 + file_pages * (1 + room_for));
    medium.borrow_mut().slow = true;
    test(&mut system, &Mock::default(), &medium);
    assert!(system.live().is_none(), "everybody has moved out");
    system.check().unwrap();
    assert_eq!(system.dma().mappings().count(), 0);
}

fn run(system: &mut System<'_>, machine: &Mock, options: &Options) -> Result<(CopyReport, u32), CopyError> {
    let mut test = CopyTest::start(system, machine, options)?;
    let mut synced = 0;
    let stepped = loop {
        match test.step(system, machine) {
            Ok(Step::Finished) => break Ok(()),
            Ok(Step::Synced(_)) => synced += 1,
            Ok(Step::Copied(_) | Step::Running) => {}
            Err(error) => break Err(error),
        }
    };
    let report = test.finish(system, machine)?;
    stepped.map(|()| (report, synced))
}

/// Returns the CRC in the table, and that of the content, for every file that would survive a power
/// cut.
fn durable(medium: &Rc<RefCell<Medium>>) -> Vec<(u32, u32)> {
    let bytes = medium.borrow().durable.clone();
    let table = |page: usize| -> &[u8; TABLE_BYTES] { bytes[page * 4096..][..4096].try_into().unwrap() };
    let volume = Volume::decode([table(0), table(1)], (bytes.len() / 4096) as u32).unwrap();
    let contents = |file: &File| crc32fast::hash(&bytes[file.first as usize * 4096..][..file.bytes as usize]);
    volume.files().iter().map(|file| (file.crc, contents(file))).collect()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn copies_come_out_right_while_pages_migrate() {
    // The file and its copies are larger than memory, so memory is full.
    with_file(1, 2500, 2, |system, machine, medium| {
        let (report, synced) = run(system, machine, &options(2, true)).unwrap();
        assert_eq!((report.copies, synced, report.differences(), report.driver.damaged), (2, 2, 0, 0));
        assert!(report.migrated_while_lent > 0 && report.driver.refused_pinned > 0, "{report}");
        let Ambushes { wanted_filled, wanted_taken, refused, robbed } = report.ambushes;
        assert!(wanted_filled > 0 && wanted_taken > 0 && refused == wanted_filled + wanted_taken, "{report}");
        assert_eq!((robbed, report.disk.astray, report.verdict()), (0, [0, 0], "right"));
        let files = durable(medium);
        assert!(files.len() == 3 && files.iter().all(|&(said, found)| said == found && said == files[0].0));
        // A second run writes to the same place: the other copy stays.
        let (report, _) = run(system, machine, &options(1, true)).unwrap();
        assert_eq!((report.differences(), durable(medium).len()), (0, 3));
        let copy = Options { source: Some("copy.2".into()), ..options(2, true) };
        assert_eq!(run(system, machine, &copy).unwrap_err(), CopyError::CopyOfItself("copy.2".into()));
        assert_eq!(run(system, machine, &Options { copies: 1, ..copy }).unwrap().0.differences(), 0);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn without_pinning_the_checksums_are_wrong_each_time() {
    // The order of events is the same as with pins, at any speed of the disk and even for one page.
    for (file_pages, slow) in [(2500, true), (2500, false), (40, true), (1, true), (1, false)] {
        with_file(1, file_pages, 1, |system, machine, medium| {
            medium.borrow_mut().slow = slow;
            let (report, _) = run(system, machine, &options(1, false)).unwrap();
            let Ambushes { refused, robbed, .. } = report.ambushes;
            assert!(refused == 0 && robbed > 0, "{report}");
            assert!(report.differences() > 0 && report.driver.damaged > 0, "{report}");
            assert!(report.disk.astray.iter().all(|&pages| pages > 0) && report.verdict() == "wrong", "{report}");
            assert_eq!(durable(medium).len(), 2);
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_was_not_put_to_the_test_says_so() {
    with_file(4, 40, 1, |system, machine, _| {
        let nothing = Options { bytes: Some(0), ..options(1, true) };
        let (report, synced) = run(system, machine, &nothing).unwrap();
        assert_eq!((synced, report.differences(), report.verdict()), (1, 0, "untested"));
        assert!(std::format!("{report}").contains("Nothing was put to the test"), "{report}");
        let (report, _) = run(system, machine, &options(1, true)).unwrap();
        assert_eq!(report.verdict(), "right");
        assert!(!std::format!("{report}").contains("Nothing was"), "{report}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_disk_that_fails_is_reported_and_what_was_synced_is_whole() {
    with_file(4, 40, 3, |system, machine, medium| {
        medium.borrow_mut().bad[1] = Some(8 * (2 + 2 * 40 + 7)..8 * (2 + 2 * 40 + 8));
        let result = run(system, machine, &options(3, true));
        assert!(matches!(result, Err(CopyError::File(FileError::Live(LiveError::Io(_))))), "{result:?}");
        let files = durable(medium);
        assert!(files.len() == 2 && files.iter().all(|(said, found)| said == found), "the first copy");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_cannot_be_copied_is_refused() {
    with_file(4, 40, 1, |system, machine, medium| {
        let refused = |system: &mut System<'_>, options: &Options| run(system, machine, options).unwrap_err();
        let named = Options { source: Some("nothing".into()), ..options(1, true) };
        assert_eq!(refused(system, &named), VolumeError::NoFile("nothing".into()).into());
        assert!(matches!(
            refused(system, &options(2, true)),
            CopyError::File(FileError::Volume(VolumeError::Full { .. }))
        ));
        assert_eq!(durable(medium).len(), 2, "the first copy had room");
        medium.borrow_mut().data[2 * 4096 + 5] ^= 1;
        assert_eq!(refused(system, &options(1, true)), CopyError::BadSource("data".into()));
        // A shorter copy succeeds: its content is not compared with the table's CRC.
        let short = Options { bytes: Some(5000), ..options(1, true) };
        assert_eq!(run(system, machine, &short).unwrap().0.differences(), 0);
        medium.borrow_mut().data[..8192].fill(0);
        assert_eq!(refused(system, &options(1, true)), VolumeError::NotAVolume.into());
        medium.borrow_mut().gone = true;
        assert!(matches!(refused(system, &options(1, true)), CopyError::File(FileError::Live(LiveError::Io(_)))));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn ctrl_c_stops_it_and_the_verdict_is_on_what_was_compared() {
    for (looks, verdict) in [(0, "untested"), (3, "untested"), (12, "untested"), (40, "right")] {
        with_file(4, 100, 2, |system, machine, medium| {
            machine.interrupt_after.set(Some(looks));
            let (report, synced) = run(system, machine, &options(2, true)).unwrap();
            assert!(report.interrupted && synced < 2 && report.verdict() == verdict, "{looks}: {report}");
            let record = std::format!("{}", report.record());
            assert!(record.contains("\"stopped\":\"yes\""), "{record}");
            assert!(std::format!("{report}").contains("; stopped by Ctrl-C."), "{report}");
            assert!(synced == 0 || durable(medium).iter().all(|(said, found)| said == found));
        });
    }
    // Errors found before the stop count.
    with_file(1, 100, 1, |system, machine, _| {
        machine.interrupt_after.set(Some(40));
        let (report, _) = run(system, machine, &options(1, false)).unwrap();
        assert!(report.interrupted && report.copies == 0 && report.differences() > 0, "{report}");
        assert_eq!(report.verdict(), "wrong");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn it_says_how_far_it_is() {
    with_file(4, 400, 1, |system, machine, _| {
        let mut test = CopyTest::start(system, machine, &options(1, true)).unwrap();
        let mut said = Vec::new();
        while test.step(system, machine).unwrap() != Step::Finished {
            said.push(test.progress());
        }
        test.finish(system, machine).unwrap();
        assert_eq!(said[0], "copy 1 of 1, copying: 64 % of 1638300 bytes");
        assert_eq!(said[1], "copy 1 of 1, checksum 1 of 12: 28 % of 1638300 bytes");
        assert_eq!(said.last().unwrap(), "1 of 1 copies done");
    });
}
