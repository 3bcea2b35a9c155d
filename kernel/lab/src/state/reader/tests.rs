// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Messages of failures, from boards.
const FAILED: &str = "\
cma: cma_alloc: linux,cma: alloc failed, req-size: 256 pages, ret: -12
cma: number of available pages: 4@572+7@585+7@601+8@632+38@730+166@1114+127@1921=> 357 free of 2048 total pages
";
const RUNS: [(u32, u32); 7] = [(572, 4), (585, 7), (601, 7), (632, 8), (730, 38), (1114, 166), (1921, 127)];

fn state(text: &str) -> State<'_> {
    find(text.as_bytes(), None, None).expect("a good state")
}

fn runs(text: &str) -> Vec<(u32, u32)> {
    state(text).free_runs().collect()
}

fn error(text: &str) -> String {
    let error = find(text.as_bytes(), None, None).expect_err("not a good state").to_string();
    assert!(!error.contains('\n'));
    error
}

#[test]
fn a_list_is_found_in_any_log() {
    let list = state(FAILED);
    assert_eq!(
        (list.line, list.name, list.pages, list.free, list.wanted),
        (2, Some("linux,cma"), 2048, 357, Some(256))
    );
    assert_eq!(list.free_runs().collect::<Vec<_>>(), RUNS);
    for prefix in ["", "[   12.345678] ", "<6>[   12.345678][  T123] ", "Nov 28 07:00:01 board kernel: [ 1.5] "] {
        let log = FAILED.lines().map(|line| format!("{prefix}{line}\r\n")).collect::<String>();
        let log = format!("booting\n\n{log}{prefix}usb 1-1: new device\n");
        let list = state(&log);
        assert_eq!((list.line, list.name, list.free_runs().collect::<Vec<_>>()), (4, Some("linux,cma"), RUNS.to_vec()));
    }
    assert_eq!(runs("number of available pages: => 0 free of 2048 total pages"), []);
    assert_eq!(runs("number of available pages: 1024@0=> 1024 free of 1024 total pages"), [(0, 1024)]);
}

#[test]
fn a_list_goes_on_in_later_lines() {
    let split = "\
[    1.000000] cma: number of available pages:
[    1.000001] 4@572
[    1.000001] +7@585
[    1.000002] eth0: link up at 100@full
[    1.000003] +7@601+8@632
<c>+38@730+166@1114
[    1.000004] random: 5 bits free of bias
[    1.000005] +127@1921
[    1.000006] => 357 free of 2048 total pages
";
    assert_eq!(runs(split), RUNS);
    let two = "cma: number of available pages: 4@572+7@585+7@601+8@632\n\
               +38@730+166@1114+127@1921=> 357 free of 2048 total pages\n";
    assert_eq!(runs(two), RUNS);
}

#[test]
fn of_several_the_last_or_the_one_at_a_line() {
    let log = format!("{FAILED}x\nnumber of available pages: 1@0=> 1 free of 1024 total pages\n");
    let (last, first) = (state(&log), find(log.as_bytes(), Some(2), None).expect("there"));
    assert_eq!((last.line, last.pages, last.states), (4, 1024, 2));
    assert_eq!((first.line, first.pages, first.states), (2, 2048, 2));
    let none = find(log.as_bytes(), Some(3), None).expect_err("not there");
    assert_eq!(none.to_string(), "no state begins at line 3; the last one begins at 4");
}

#[test]
fn a_bitmap_is_words_with_or_without_a_name() {
    let expected = [(4, 28), (34, 62)];
    for text in [
        "15 3 0\n",
        "15 3\n0\n",
        "# cat bitmap\n15 3 0 \n",
        "bitmap:15 3 0",
        "/sys/kernel/debug/cma/camera/bitmap:15 3 0 \n",
        "bitmap 15 3 0\n",
    ] {
        let bitmap = state(text);
        assert_eq!(bitmap.free_runs().collect::<Vec<_>>(), expected, "{text}");
        assert_eq!((bitmap.pages, bitmap.free, bitmap.form()), (96, 90, "bitmap"), "{text}");
    }
    let files = "\
/sys/kernel/debug/cma/cma-camera/base_pfn:458752
/sys/kernel/debug/cma/cma-camera/bitmap:15 3 0
/sys/kernel/debug/cma/cma-camera/count:364
/sys/kernel/debug/cma/cma-camera/order_per_bit:2
/sys/kernel/debug/cma/cma-camera/used:24
";
    let bitmap = state(files);
    assert_eq!((bitmap.name, bitmap.pages, bitmap.free), (Some("camera"), 364, 340));
    assert_eq!((bitmap.base_pfn, state("15 3 0\n").base_pfn), (Some(458_752), None));
    assert_eq!(bitmap.free_runs().collect::<Vec<_>>(), [(16, 112), (136, 228)]);
    // The files of another area.
    let other = "/d/a/order_per_bit:3\n/d/b/bitmap:15 3 0\n";
    assert_eq!((state(other).pages, state(other).name), (96, Some("b")));
    let given = find(b"15 3", None, Some(1)).expect("good");
    assert_eq!((given.pages, given.free_runs().collect::<Vec<_>>()), (128, [(8, 56), (68, 60)].to_vec()));
    assert_eq!(runs("4294967295 0 4294967295"), [(32, 32)]);
    assert_eq!(runs("4294967295 4294967295"), []);
}

#[test]
fn what_is_wrong_is_said() {
    for (text, reason) in [
        ("", "there is no state: no line"),
        ("a 1 1 0\nr 1\n", "there is no state: no line"),
        ("2048\n", "there is no state: no line"),
        ("\0\u{1}\u{7f}", "there is no state: no line"),
        ("number of available pages: 4@5", "at line 1: the list has no end"),
        ("\nnumber of available pages: \nnumber of available pages: 1@1", "at line 3: the list has no end"),
        ("number of available pages: x=> 1 free of 2 total pages", "\"x\" is not a run of free pages"),
        ("number of available pages: 4=> 4 free of 9 total pages", "\"4\" is not a run of free pages"),
        ("number of available pages: 4@=> 4 free of 9 total pages", "\"4@\" is not a run"),
        ("number of available pages: 4@1++4@8=> 4 free of 9 total pages", "\"\" is not a run"),
        (
            "number of available pages: 4@5+2@5=> 6 free of 9 total pages",
            "page 5 does not begin after the end of the run before it",
        ),
        ("number of available pages: 4@5+2@9=> 6 free of 19 total pages", "page 9 does not begin"),
        ("number of available pages: 0@5=> 0 free of 19 total pages", "page 5 does not begin"),
        ("number of available pages: 4@5=> 3 free of 9 total pages", "4 pages are listed as free, and the line says 3"),
        ("number of available pages: 4@6=> 4 free of 9 total pages", "the run at page 6 ends outside the area"),
        ("number of available pages: 4@18446744073709551615=> 4 free of 9 total pages", "ends outside the area"),
        ("number of available pages: 4@5=> 4 free of 0 total pages", "ends outside the area"),
        ("number of available pages: => 0 free of 0 total pages", "an area without pages"),
        ("number of available pages: => 0 free of 4194305 total pages", "more than the 4194304"),
        ("number of available pages: 1@1=> 1 free of many pages", "is not a run of free pages"),
        ("number of available pages: 99999999999999999999@1=> 1 free of 2 total pages", "is not a run of free pages"),
        ("4294967296 0", "\"4294967296\" is not a 32-bit word"),
        ("0 99999999999999999999", "is not a 32-bit word"),
        ("count:2048\nbitmap:0 0", "its words have 64 pages, and count says 2048"),
        ("count:32\nbitmap:0 0", "its words have 64 pages, and count says 32"),
    ] {
        let line = error(text);
        assert!(line.contains(reason), "{text}: {line}");
    }
    let odd = find(FAILED.as_bytes(), None, Some(1)).expect_err("odd runs");
    assert!(odd.to_string().contains("bit 585 is not a multiple of 2^order_per_bit pages"), "{odd}");
}

#[test]
fn a_trace_may_have_states_in_it() {
    for text in ["15 3", "[ 1.0] +7@601", "=> 1 free of 2 total pages", FAILED.lines().nth(1).expect("two"), "count:1"]
    {
        assert!(is_state(text.as_bytes()), "{text}");
    }
    for text in ["", "15", "a 1 1 0", "r 1", "mail from x@y", "cma: cma_alloc(): returned b7eb8f80"] {
        assert!(!is_state(text.as_bytes()), "{text}");
    }
}

proptest! {
    #![proptest_config(property::config(256))]

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), order in 0..=MAX_ORDER_PER_BIT) {
        let _ = find(&bytes, None, Some(order)).map(|state| state.free_runs().count());
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn nearly_states_never_panic(
        text in "((number of available pages: )?([0-9]{1,12}[@+ ]){0,6}(=> [0-9]{1,5} free of [0-9]{1,5} total pages|bitmap:|count:)?\n?){0,8}",
        order in 0..=MAX_ORDER_PER_BIT,
    ) {
        if let Ok(state) = find(text.as_bytes(), None, Some(order)) {
            let mut end = 0;
            for (start, length) in state.free_runs() {
                prop_assert!(start >= end && length > 0);
                end = start + length;
            }
            prop_assert!(end <= state.pages);
        }
    }

    /// Both forms give the same state, and so does a list that is cut anywhere between two runs.
    #[test]
    fn both_forms_agree(
        words in proptest::collection::vec(prop_oneof![Just(0), Just(u32::MAX), any::<u32>()], 2..40),
        order in 0..4u32,
        cut in any::<proptest::sample::Index>(),
    ) {
        let used = |bit: usize| words[bit / 32] >> (bit % 32) & 1 == 1;
        let bits = words.len() * 32;
        let mut expected: Vec<(u32, u32)> = Vec::new();
        for bit in (0..bits).filter(|&bit| !used(bit)) {
            match expected.last_mut() {
                Some((start, length)) if *start + *length == bit as u32 => *length += 1,
                _ => expected.push((bit as u32, 1)),
            }
        }
        let bitmap = words.iter().map(|word| format!("{word} ")).collect::<String>();
        let free: u32 = expected.iter().map(|run| run.1 << order).sum();
        let mut parts: Vec<String> = expected.iter().map(|&(start, length)| format!("{}@{start}", length << order)).collect();
        if !parts.is_empty() {
            let cut = cut.index(parts.len());
            parts[cut] = format!("\n[    1.000001] usb: {cut}\n[    1.000002] +{}", parts[cut]);
            if cut > 0 {
                let before = parts.remove(cut - 1);
                parts[cut - 1] = before + &parts[cut - 1];
            }
        }
        let list = format!("x: number of available pages: {}=> {free} free of {} total pages", parts.join("+"), bits << order);
        let expected: Vec<(u32, u32)> = expected.iter().map(|&(start, length)| (start << order, length << order)).collect();
        for text in [&bitmap, &list] {
            let state = find(text.as_bytes(), None, Some(order)).expect("good");
            prop_assert_eq!((state.pages, state.free), ((bits as u32) << order, free));
            prop_assert_eq!(&state.free_runs().collect::<Vec<_>>(), &expected);
        }
    }
}
