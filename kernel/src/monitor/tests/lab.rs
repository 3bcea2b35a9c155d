//! The experiments as commands.

use super::*;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn compare_needs_an_empty_area_and_reports_what_ctrl_c_leaves() {
    let (outcome, text) = on_board(&["alloc BiscuitOS_cma 5", "compare seeds=1 ops=100"]);
    assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND));
    let line = "compare: BiscuitOS_cma: 5 pages are in use, and a comparison begins on an empty area: \
                `release all BiscuitOS_cma` first\n";
    assert!(text.ends_with(line), "{text}");
    with_board(64, |system, machine| {
        machine.interrupt_after.set(Some(2500));
        let outcome = Monitor::new(system, machine, context(None)).execute("compare seeds=2 ops=1000");
        let text = machine.take();
        assert_eq!(outcome, Outcome::Ok);
        assert!(text.contains("Stopped by Ctrl-C; this is done:\n"), "{text}");
        // Two loads of first-fit are done; of next-fit's, one failed before the interruption or none is.
        assert!(
            text.contains("\n{\"record\":\"compare\",\"placement\":\"first-fit\",\"seeds\":2,\"survived\":2,"),
            "{text}"
        );
        assert!(!text.contains("worst-fit"), "{text}");
        assert_eq!(system.areas()[1].used_pages(), 0);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn samples_are_records_on_the_way() {
    let text = printed("debris sample=400 ops=1000 until=ops");
    let samples: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"record\":\"sample\",")).collect();
    assert_eq!(samples.len(), 2, "{text}");
    assert!(samples[0].contains("\"ops\":400,") && samples[1].contains("\"ops\":800,"), "{text}");
    for field in ["used", "maxchunk", "runs", "unusable_permille", "fragindex_permille"] {
        assert!(samples[0].contains(&format!("\"{field}\":")), "{field}: {text}");
    }
    // Looking on the way changes nothing.
    let plain = printed("debris ops=1000 until=ops");
    assert_eq!(text.lines().last(), plain.lines().last());
    let text = printed("metrics");
    assert!(
        text.contains("\"runs\":[0,0,0,0,0,0,0,0,0,0,0,1],\"unusable_permille\":[0,0,0,0,0,0,0,0,0,0,0],"),
        "{text}"
    );
}
