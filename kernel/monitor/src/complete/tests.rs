// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::files::FILES;
use crate::help::MAX_WORDS;
use crate::help_of_all;
use board_mock::{Mock, with_board};
use proptest::prelude::*;

fn on_board(before: &str) -> (String, Vec<String>) {
    with_board(64, |system, _| {
        let context = Context { tests: &[("own_test", || Ok(()))], ..Context::default() };
        let completion = complete::<Mock>(system, &context, before);
        (completion.insert, completion.candidates)
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_only_candidate_is_put_in_with_its_end() {
    for (before, insert) in [
        ("bitm", "ap "),
        ("debris", " "),
        ("version; cm", "a "),
        ("version | gr", "ep "),
        ("help bitm", "ap "),
        ("bitmap B", "iscuitOS_cma "),
        ("bitmap \"B", "iscuitOS_cma\" "),
        ("alloc 'li", "nux,cma' "),
        ("release al", "l "),
        ("release all li", "nux,cma "),
        ("dma al", "loc "),
        ("dma alloc cam", "era@10020000 "),
        ("debris see", "d="),
        ("debris seed=1 ro", "unds="),
        ("debris area=B", "iscuitOS_cma "),
        ("debris rng=w", "yrand "),
        ("debris align=p", "age "),
        ("replay align=a", "sis "),
        ("debris placement=best", "-fit "),
        ("debris until=o", "ps "),
        ("compare placements=zoned,two", "-ended"),
        ("pressure lat", "ency "),
        ("pressure latency cma_use=fal", "lback "),
        ("pressure cma_use=fal", "lback "),
        ("pressure integrity sabotage=t", "lb "),
        ("fault un", ""),
        ("fault una", "ligned "),
        ("selftest own", "_test "),
        ("bench cma/64", " "),
        ("bench cma/64 sea", "rch/"),
        ("cat /pr", "oc/"),
        ("cat pr", "oc/"),
        ("cat /proc/mem", "info "),
        ("cat /sys/b", "us/"),
        ("cat /sys/bus/platform/devices/B", "iscuitOS_CMA/"),
        ("ls /sys/kernel/debug/c", "ma/"),
        ("echo 5 > /sys/kernel/debug/cma/BiscuitOS_cma/al", "loc "),
        ("echo 5 >/sys/kernel/debug/cma/BiscuitOS_cma/al", "loc "),
        ("echo 5 > /sys/kernel/debug/cma/", ""),
    ] {
        assert_eq!(on_board(before).0, insert, "{before}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_is_ambiguous_is_listed_by_its_last_part() {
    let listed = |before: &str| on_board(before).1.join(" ");
    assert_eq!(listed("re"), "reboot release relocate replay");
    let mut proc: Vec<&str> = FILES.iter().filter_map(|file| file.path.strip_prefix("/proc/")).collect();
    proc.sort_unstable();
    assert!(proc.contains(&"meminfo"), "{proc:?}");
    assert_eq!(listed("cat /proc/"), proc.join(" "));
    assert_eq!(listed("cat /"), "proc/ sys/");
    assert_eq!(listed("cat "), "proc/ sys/");
    assert_eq!(listed("bitmap "), "BiscuitOS_cma linux,cma");
    assert_eq!(listed("release "), "all");
    assert_eq!(listed("debris align="), "order page");
    assert_eq!(listed("pressure latency lend="), "clean movable none");
    assert_eq!(listed("replay a"), "align= area=");
    assert_eq!(listed("replay align=page a"), "area=");
    let mut placements: Vec<&str> = PLACEMENTS.iter().map(|placement| placement.name).collect();
    placements.sort_unstable();
    assert_eq!(listed("debris placement="), placements.join(" "));
    assert_eq!(listed("bench cma/2048/"), "");
    assert_eq!(listed("").split(' ').count(), help_of_all::<Mock>().count());
    // The common text of several candidates is inserted first.
    assert_eq!(on_board("replay area=B; rep").0, "lay ");
    assert_eq!(on_board("cat /proc/b").0, "uddyinfo ");
    let begin_with_s = placements.iter().filter(|name| name.starts_with('s')).count();
    assert_eq!(on_board("debris placement=s").1.len(), begin_with_s);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_nobody_knows_is_left_alone() {
    for before in [
        "nonsense ",
        "nonsense",
        "debris seed=",
        "debris ops=1",
        "bitmap nowhere",
        "alloc linux,cma ",
        "version ",
        "cat /nowhere/",
        "version | grep ",
        "version | sort",
        "echo ",
        "debris colour=",
        "cat /proc/meminfo/",
        "bitmap \"B\"x",
    ] {
        assert_eq!(on_board(before), (String::new(), Vec::new()), "{before}");
    }
}

#[test]
fn every_usage_names_each_key_once() {
    for command in commands::all::<Mock>() {
        let usage = command.usage();
        assert!(!usage.text().contains(['{', '}']), "{}", usage.text());
        let mut keys: Vec<&str> = usage.keys().collect();
        assert!(keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')), "{keys:?}");
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "{}", usage.text());
    }
    let counts = |name| commands::find::<Mock>(name).map(|command| command.usage().word_counts());
    for (name, least, most) in [
        ("debris", 0, 0),
        ("alloc", 2, 3),
        ("cat", 1, MAX_WORDS),
        ("grep", 2, MAX_WORDS),
        ("echo", 0, MAX_WORDS),
        ("dma", 0, 3),
        ("pressure", 0, 1),
        ("wait", 0, 1),
    ] {
        assert_eq!(counts(name), Some((least, most)), "{name}");
    }
}

proptest! {
    #![proptest_config(property::config(256))]

    /// Whatever the line is, inserted text continues a candidate.
    #[test]
    fn anything_can_be_completed(before in prop_oneof![
        any::<String>(),
        proptest::collection::vec(proptest::sample::select(&["debris", "cat", "bench", "echo", " ", ";", "|", ">", "=", "/", "\"", "'",
            "area", "proc", "a", "c", ",", "align", "-", "é"][..]), 0..12).prop_map(|words| words.concat()),
    ]) {
        let (insert, candidates) = on_board(&before);
        prop_assert!(candidates.len() < 200);
        prop_assert!(insert.is_empty() || !candidates.is_empty());
        prop_assert!(insert.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}
