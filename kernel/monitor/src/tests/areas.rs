// SPDX-License-Identifier: MIT OR Apache-2.0

//! The area that a command works on.

use super::*;
use page_alloc::poison::{Damage, FreeRun, Poison};

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_key_and_a_bare_word_name_an_area_alike() {
    for (word, key) in [
        ("bitmap linux,cma", "bitmap area=linux,cma"),
        ("picture linux,cma width=32", "picture width=32 area=linux,cma"),
        ("metrics linux,cma", "metrics area=linux,cma"),
        ("alloc linux,cma 5 0", "alloc 5 area=linux,cma 0"),
        ("alloc linux,cma 5; release 1 linux,cma", "alloc linux,cma 5; release 1 area=linux,cma"),
        ("debris; release all BiscuitOS_cma | grep 5", "debris; release area=BiscuitOS_cma all | grep 5"),
        ("debris linux,cma ops=500", "debris area=linux,cma ops=500"),
        ("camera ops=500 linux,cma", "camera ops=500 area=linux,cma"),
        ("replay linux,cma", "replay area=linux,cma"),
        ("compare linux,cma seeds=1 ops=50", "compare area=linux,cma seeds=1 ops=50"),
        ("pressure underuse linux,cma", "pressure underuse area=linux,cma"),
    ] {
        let (word, key) = (printed(word), printed(key));
        let (word, key) = (but_load_time(&word), but_load_time(&key));
        assert_eq!(word, key);
        assert!(word.contains("linux,cma") || word.contains("BiscuitOS_cma"), "{word}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn release_all_means_every_area() {
    let (outcome, text) =
        on_board(&["alloc BiscuitOS_cma 3; alloc linux,cma 5; alloc linux,cma 1", "release all; cma"]);
    assert_eq!(outcome, Outcome::Ok);
    for line in [
        "2 buffers, 6 pages given back to linux,cma",
        "1 buffer, 3 pages given back to BiscuitOS_cma",
        "linux,cma      0x69000000     2048        0     2048  first-fit",
        "BiscuitOS_cma  0x69800000     2048        0     2048  first-fit",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line}\n{text}");
    }
    let (_, text) = on_board(&["alloc BiscuitOS_cma 3; alloc linux,cma 5", "release all linux,cma; cma"]);
    assert!(text.contains("BiscuitOS_cma  0x69800000     2048        3     2045  first-fit"), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_default_area_that_nobody_asked_for_is_the_last_choice() {
    for (device, unasked, name) in
        [(true, false, "camera"), (true, true, "camera"), (false, false, "reserved"), (false, true, "first")]
    {
        let mut pages = std::vec![page_alloc::Page::default(); page_alloc::zone::descriptors(4096)];
        let user = cma::AreaUser { device: "camera@10020000".into(), area: "camera".into(), by_region: true };
        let users = if device { std::vec![user] } else { std::vec![] };
        let mut system = System::new(page_alloc::zone::Zone::new(units::Pfn(0x60000), &mut pages), users);
        for (place, area) in ["first", "camera", "reserved"].into_iter().enumerate() {
            let base = units::Pfn(0x60400 + 1024 * place as u32);
            system.activate_area(area.into(), base, 1024, area == "reserved");
        }
        if unasked {
            system.set_default_unasked();
        }
        let chosen = system.unnamed_area().map(|id| system.area(id).name());
        assert_eq!(chosen, Some(name));
        assert_eq!(system.default_area().map(|id| system.area(id).name()), Some("reserved"));
    }
}

fn allocated(area: &str, pfn: u32) -> String {
    std::format!(
        " x-1 [000] ..... 1.0: cma_alloc_finish: name={area} pfn={pfn:#x} page=00c0 count=5 align=0 errorno=0\n"
    )
}

fn failed(area: &str) -> String {
    std::format!(" x-1 [000] ..... 1.0: cma_alloc_finish: name={area} pfn=0x0 page=0000 count=5 align=0 errorno=-12\n")
}

fn started(area: &str, total: &str) -> String {
    std::format!(
        " x-1 [000] ..... 1.0: cma_alloc_start: name={area} request_count=5 available_count=9 total_count={total} align=0\n"
    )
}

fn replayed(recording: &str, command: &str) -> (Outcome, String) {
    with_board(64, |system, machine| {
        let outcome = Monitor::new(system, machine, context(Some(recording.as_bytes()))).execute(command);
        (outcome, machine.take())
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_recording_goes_to_the_area_that_it_is_of() {
    let default = allocated("linux,cma", 0x69000);
    let device = allocated("BiscuitOS_cma", 0x69800);
    let other = allocated("dsp", 0x100);
    for (recording, command, area) in [
        (default.clone(), "replay", "linux,cma"),
        (device.clone(), "replay", "BiscuitOS_cma"),
        (started("linux,cma", "2048") + &default, "replay", "linux,cma"),
        // Of several recorded areas the one that exists here; of several of those the default one.
        (other.clone() + &default, "replay", "linux,cma"),
        (default.clone() + &device, "replay", "BiscuitOS_cma"),
        (default.clone() + &device, "replay from=linux,cma", "linux,cma"),
    ] {
        let (outcome, text) = replayed(&recording, command);
        assert_eq!(outcome, Outcome::Ok, "{text}");
        assert!(text.contains(&std::format!("{{\"record\":\"replay\",\"area\":\"{area}\",")), "{command}: {text}");
        assert!(text.contains("1 of 1 placements as recorded;") && !text.contains("The recording is of"), "{text}");
    }
    let (outcome, text) = replayed(&(other + &allocated("isp", 0x100)), "replay");
    assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND));
    assert!(text.starts_with("replay: choose with from=NAME; the recording has dsp "), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_recording_of_another_area_says_of_which_and_how_large_it_is() {
    let dsp = || allocated("dsp", 0x100);
    for (recording, command, words) in [
        (started("dsp", "16384") + &dsp(), "replay", "dsp, an area of 16384 pages; here it ran on BiscuitOS_cma"),
        (
            dsp() + &started("dsp", "16384") + &failed("dsp"),
            "replay from=dsp",
            "dsp, an area of 16384 pages; here it ran",
        ),
        (
            dsp() + &allocated("dsp", 0x200),
            "replay",
            "dsp, an area of at least 261 pages; here it ran on BiscuitOS_cma",
        ),
        (failed("dsp"), "replay", "dsp, an area of unknown size; here it ran on BiscuitOS_cma"),
        // A text that is not a size is ignored.
        (started("dsp", "many") + &failed("dsp"), "replay", "dsp, an area of unknown size; here"),
        (started("isp", "77") + &failed("dsp"), "replay", "dsp, an area of unknown size; here"),
        (
            allocated("linux,cma", 0x69000),
            "replay area=BiscuitOS_cma",
            "linux,cma, an area of at least 5 pages; here it ran on BiscuitOS_cma",
        ),
        // The name is the same, and the size is not.
        (
            started("BiscuitOS_cma", "4096") + &allocated("BiscuitOS_cma", 0x69800),
            "replay",
            "BiscuitOS_cma, an area of 4096 pages; here it ran on BiscuitOS_cma",
        ),
    ] {
        let (outcome, text) = replayed(&recording, command);
        assert_eq!(outcome, Outcome::Ok, "{text}");
        let line = text.lines().find(|line| line.starts_with("The recording is of")).unwrap_or_default();
        // The sizes that the area here has not.
        let mib = [("16384", 64), ("4096", 16)].into_iter().find(|(pages, _)| words.contains(pages));
        let end = mib.map_or("BiscuitOS_cma, which has 2048.".into(), |(_, mib)| {
            format!("has 2048; boot with cma={mib}M and use area=reserved, or debris replay --area {mib}M.")
        });
        assert!(line.contains(words) && line.ends_with(&end), "{words}: {text}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_recording_of_several_areas_goes_to_each() {
    let alloc = |name: &str, pfn: u32, pages: u32| {
        format!(
            " v-1 [000] ..... 1.0: cma_alloc_finish: name={name} pfn={pfn:#x} page=1 count={pages} align=0 errorno=0\n"
        )
    };
    let text = alloc("linux,cma", 0x69000, 5)
        + &alloc("BiscuitOS_cma", 0x69800, 7)
        + &alloc("linux,cma", 0x69005, 100)
        + &alloc("camera", 0x100, 9);
    with_board(64, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context(Some(text.as_bytes())));
        assert_eq!(monitor.execute("replay"), Outcome::Ok);
        let said = monitor.machine.take();
        assert!(
            said.ends_with("Not replayed, because there are no such areas here: camera (1 allocation, 0 releases).\n"),
            "{said}"
        );
        let records: Vec<&str> = said.lines().filter(|line| line.starts_with("{\"record\":\"replay\"")).collect();
        assert_eq!(records.len(), 2, "{said}");
        assert!(records[0].contains("\"area\":\"linux,cma\"") && records[0].contains("\"used\":105,"), "{said}");
        assert!(records[1].contains("\"area\":\"BiscuitOS_cma\"") && records[1].contains("\"used\":7,"), "{said}");
        // One recording, split over two areas.
        monitor.execute("release all");
        let both = "replay area=linux,cma from=linux,cma pages=64-; replay area=BiscuitOS_cma from=linux,cma pages=-63";
        assert_eq!(monitor.execute(both), Outcome::Ok);
        let used: Vec<u32> = monitor.system.areas().iter().map(|area| area.used_pages()).collect();
        assert_eq!(used, [100, 5]);
        for range in ["64", "-", "9-8", "x-", "1-y"] {
            let outcome = monitor.execute(&format!("replay pages={range}"));
            assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND), "{range}");
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_first_failure_of_several_areas_ends_all() {
    let pages = |name: &str, pfn: u32, pages: u32| allocated(name, pfn).replace("count=5", &format!("count={pages}"));
    let text = pages("linux,cma", 0x100, 5)
        + &pages("BiscuitOS_cma", 0x100, 7)
        + &pages("linux,cma", 0x200, 2048)
        + &pages("BiscuitOS_cma", 0x200, 9);
    with_board(64, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context(Some(text.as_bytes())));
        assert_eq!(monitor.execute("replay until=failure placement=best-fit held=release"), Outcome::Ok);
        let said = monitor.machine.take();
        assert!(said.starts_with("linux,cma: line 3, 1.000000 s, x: no 2048 pages"), "{said}");
        assert!(
            said.contains("\nStopped at line 3, the first request that failed.\nlinux,cma: 2 operations"),
            "{said}"
        );
        let other = "\nStopped at line 3, where the first request of another area failed.\nBiscuitOS_cma: 1 operation ";
        assert!(said.contains(other), "{said}");
        assert_eq!(said.matches("\"placement\":\"best-fit\"").count(), 2, "{said}");
        let names: Vec<String> = monitor.system.areas().iter().map(|area| area.placement().label()).collect();
        assert!(names.iter().all(|name| name == "first-fit"), "{names:?}");
        assert_eq!(monitor.execute("replay"), Outcome::Failed(STATUS_BAD_COMMAND), "both are in use");
        assert!(monitor.machine.take().starts_with("replay: 5 pages of linux,cma are in use"));
        monitor.execute("release all");
        monitor.machine.take();
        assert_eq!(monitor.execute("replay failures=0"), Outcome::Ok);
        let said = monitor.machine.take();
        assert!(!said.contains("no 2048 pages") && said.matches("have no line here; ").count() == 1, "{said}");
    });
}

/// Free memory that was written to: the damaged frames.
struct Written(alloc::rc::Rc<core::cell::RefCell<Vec<u32>>>);

impl Poison for Written {
    fn fill(&mut self, run: FreeRun) {
        self.0.borrow_mut().retain(|frame| frame.wrapping_sub(run.first().0) >= run.pages());
    }

    fn find_damage(&mut self, run: FreeRun) -> Option<Damage> {
        let frames = self.0.borrow();
        let frame = frames.iter().find(|&frame| frame.wrapping_sub(run.first().0) < run.pages())?;
        Some(Damage { addr: units::Pfn(*frame).addr(), found: 0 })
    }
}

#[test]
fn a_write_to_free_memory_fails_the_command_that_it_was_seen_in_and_no_other() {
    with_board(64, |system, machine| {
        let base = system.area(system.find_area("BiscuitOS_cma").expect("the board has it")).base().0;
        let written = alloc::rc::Rc::new(core::cell::RefCell::new(Vec::new()));
        system.zone_mut().enable_poison(alloc::boxed::Box::new(Written(written.clone())));
        system.check_after_commands(true);
        written.borrow_mut().extend([base + 1, base + 9, base + 12]);
        let mut monitor = Monitor::new(system, machine, context(None));
        let lines =
            ["version", "alloc BiscuitOS_cma 4 0", "version", "alloc BiscuitOS_cma 8 0; alloc BiscuitOS_cma 1 0"];
        let outcomes = lines.map(|line| monitor.execute(line));
        let failed = Outcome::Failed(STATUS_CHECK_FAILED);
        assert_eq!(outcomes, [Outcome::Ok, failed, Outcome::Ok, failed]);
        assert_eq!(monitor.execute("release all; alloc BiscuitOS_cma 13 0"), Outcome::Ok, "it was poisoned again");
        let text = machine.take();
        let told: Vec<&str> = text.lines().filter(|line| line.starts_with("check=on: ")).collect();
        assert_eq!(told.len(), 3, "{text}");
        assert!(told[1].contains(&std::format!("at pfn {:#x}", base + 9)), "{text}");
    });
}
