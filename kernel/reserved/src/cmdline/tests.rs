// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn texts(cmdline: &Cmdline) -> Vec<&str> {
    cmdline.notes.iter().map(|note| note.text.as_str()).collect()
}

fn cma(bootargs: &str) -> Option<(u32, u32, u32)> {
    parse(bootargs).cma.map(|cma| (cma.size, cma.base, cma.limit))
}

#[test]
fn an_empty_line_gives_the_defaults() {
    for line in ["", "   ", "\t\n"] {
        let cmdline = parse(line);
        let linux = LinuxVersion::V6_1;
        let (run, cma, mem, ram_base, notes) = (None, None, None, None, Vec::new());
        let (check, strict, quiet) = (false, false, false);
        let cma_place = CmaPlace::default();
        let loglevel = 7;
        assert_eq!(
            cmdline,
            Cmdline { run, cma, cma_place, loglevel, mem, ram_base, check, strict, quiet, linux, notes }
        );
    }
}

#[test]
fn quotes_as_next_arg_has_them() {
    let run = |line: &str| parse(line).run;
    assert_eq!(run("run=\"debris; bitmap; poweroff\"").as_deref(), Some("debris; bitmap; poweroff"));
    assert_eq!(run("run=\"alloc area=a pages=3\" loglevel=3").as_deref(), Some("alloc area=a pages=3"));
    assert_eq!(run("\"run=debris; bitmap\" check=on").as_deref(), Some("debris; bitmap"));
    assert_eq!(run("run=debris run=bitmap").as_deref(), Some("bitmap"));
    assert_eq!(run("run=").as_deref(), Some(""));
    assert_eq!(run("run=\"\"").as_deref(), Some(""));
    assert_eq!(run("run=\"").as_deref(), Some(""));
    assert_eq!(run("run=\"debris; loglevel=3").as_deref(), Some("debris; loglevel=3"));
    assert_eq!(run("run=a\"b c\"d").as_deref(), Some("a\"b c\"d"));
    assert_eq!(run("-- run=debris"), None);
    assert_eq!(texts(&parse("run")), ["debris: run: needs a value, run=\"COMMAND; COMMAND\"; ignored"]);
}

#[test]
fn words_that_look_odd() {
    assert_eq!(next_word("=x y").0, Word { name: "=x", value: None });
    assert_eq!(next_word("a==b").0, Word { name: "a", value: Some("=b") });
    assert_eq!(next_word("\"").0, Word { name: "", value: None });
    assert_eq!(next_word("\"\" b"), (Word { name: "", value: None }, "b"));
    assert_eq!(next_word("\"a=\"").0, Word { name: "a", value: Some("") });
    assert_eq!(next_word("\"a=\"x\"\"").0, Word { name: "a", value: Some("x\"") });
}

#[test]
fn what_is_refused_is_named() {
    for (line, name) in [
        ("check=1", "check"),
        ("strict", "strict"),
        ("records=yes", "records"),
        ("loglevel=8", "loglevel"),
        ("linux=5", "linux"),
        ("mem=x", "mem"),
        ("mem=64Mx", "mem"),
        ("mem=", "mem"),
        ("mem=0", "mem"),
        ("ram_base=1M", "ram_base"),
        ("ram_base=x", "ram_base"),
        ("cma", "cma"),
        ("cma=x", "cma"),
        ("cma=8M@x", "cma"),
        ("cma=8M@", "cma"),
        ("cma=8M@0x70000000-", "cma"),
        ("cma=8G", "cma"),
        ("cma=-1", "cma"),
        ("run", "run"),
        ("cmaa=8M more", "cmaa"),
    ] {
        let cmdline = parse(line);
        let refused: Vec<_> = cmdline.notes.iter().filter_map(|note| note.refusal.as_ref()).collect();
        assert!(!refused.is_empty() && refused.iter().all(|refusal| refusal.name == name), "{line}: {cmdline:?}");
        assert!(refused.iter().all(|refusal| refusal.what == Refused::Parameter), "{line}");
    }
    let fine = "cma=64M@0x70000000 linux=7.2 mem=512M strict=on records=off check=off ram_base=0x10000000 -- x";
    let cmdline = parse(fine);
    assert!(cmdline.strict && cmdline.quiet && cmdline.notes.is_empty());
    assert!(!parse("strict=on strict=off").strict && !parse("records=off records=on").quiet);
}

#[test]
fn levels_and_checks() {
    assert_eq!(parse("loglevel=3").loglevel, 3);
    assert_eq!(parse("loglevel=0 loglevel=5").loglevel, 5);
    assert!(parse("check=on").check);
    assert!(!parse("check=on check=off").check);
    for line in ["loglevel=8", "loglevel=-1", "loglevel=", "loglevel", "loglevel=x", "loglevel=300"] {
        let cmdline = parse(line);
        assert_eq!(cmdline.loglevel, 7);
        assert_eq!(cmdline.notes.len(), 1, "{line}");
        assert!(cmdline.notes[0].text.starts_with("debris: loglevel="));
    }
    for line in ["check", "check=1", "check=ON"] {
        let cmdline = parse(line);
        assert!(!cmdline.check);
        assert!(cmdline.notes[0].text.starts_with("debris: check="), "{line}");
    }
}

#[test]
fn a_version_that_was_compared_or_the_default() {
    assert_eq!(parse("linux=7.2").linux, LinuxVersion::V7_2);
    assert_eq!(parse("linux=7.2 linux=6.12").linux, LinuxVersion::V6_12);
    assert_eq!(parse("linux=5.15").linux, LinuxVersion::V5_15);
    for line in ["linux", "linux=", "linux=6", "linux=5.10"] {
        let cmdline = parse(line);
        assert_eq!(cmdline.linux, LinuxVersion::V6_1);
        let value = line.strip_prefix("linux=").unwrap_or_default();
        let said = format!("debris: linux={value}: must be 5.15, 6.1, 6.12 or 7.2; it stays 6.1");
        assert_eq!(texts(&cmdline), [said]);
    }
}

#[test]
fn cma_as_linux_reads_it() {
    const M: u32 = 1 << 20;
    assert_eq!(cma("cma=32M"), Some((32 * M, 0, 0)));
    assert_eq!(cma("cma=16M@0x80000000"), Some((16 * M, 0x8000_0000, 0x8100_0000)));
    assert_eq!(cma("cma=24M@0x70000000-0x78000000"), Some((24 * M, 0x7000_0000, 0x7800_0000)));
    assert_eq!(cma("cma=24m@1792M-1G"), Some((24 * M, 0x7000_0000, 0x4000_0000)));
    assert_eq!(cma("cma=16M@0x70000000-"), Some((16 * M, 0x7000_0000, 0)));
    assert_eq!(cma("cma=0"), Some((0, 0, 0)));
    assert_eq!(cma("cma=010K"), Some((8 << 10, 0, 0)));
    assert_eq!(cma("cma=2G"), Some((1 << 31, 0, 0)));
    assert_eq!(cma("cma=4G"), Some((0, 0, 0)));
    assert_eq!(cma("cma=0xffffffff"), None);
    assert_eq!(cma("loglevel=3"), None);
    // The start of an earlier parameter survives a later one without a start.
    assert_eq!(cma("cma=16M@0x80000000 cma=32M"), Some((32 * M, 0x8000_0000, 0x8100_0000)));
    assert!(texts(&parse("cma=24M@0x70000000-0x78000000")).is_empty());
    assert!(texts(&parse("cma=24M@0x70000000-4G")).is_empty());
}

#[test]
fn cma_that_is_garbage_is_zero_and_said_so() {
    for value in ["", "x", "-1", "M", "@0x80000000", "\u{fffd}"] {
        let line = format!("cma={value}");
        let cmdline = parse(&line);
        assert_eq!(cmdline.cma.map(|cma| cma.size), Some(0), "{line}");
        assert!(cmdline.notes[0].text.starts_with(&format!("debris: cma={value}: no size, taken as 0")), "{line}");
    }
    for line in ["cma=16Mx", "cma=16M@", "cma=16M@z", "cma=08M", "cma=16M@0x70000000-z"] {
        assert_eq!(parse(line).notes.len(), 1, "{line}");
    }
    assert_eq!(cma("cma=16Mx"), Some((16 << 20, 0, 0)));
    assert_eq!(texts(&parse("cma")), ["cma: Config string not provided", "Malformed early option 'cma'"]);
    assert_eq!(cma("cma"), None);
}

#[test]
fn unknown_parameters_share_one_line() {
    let cmdline = parse("console=ttyAMA0 root=/dev/vda quiet loglevel=4");
    assert_eq!(
        texts(&cmdline),
        ["debris: Unknown kernel command line parameters \"console=ttyAMA0 root=/dev/vda quiet\", ignored"]
    );
    assert_eq!(cmdline.loglevel, 4);
    let many: String = (0..1000).map(|index| format!("p{index}=\u{1b}[2J ")).collect();
    let cmdline = parse(&many);
    assert_eq!(cmdline.notes.len(), 1);
    assert!(cmdline.notes[0].text.len() < 300);
    assert!(cmdline.notes[0].text.contains(" more, ignored"));
    assert!(!cmdline.notes[0].text.contains('\u{1b}'));
    let long = parse(&format!("quite={} other", "é".repeat(500)));
    let expected = format!("parameters \"quite={}... other\", ignored", "é".repeat(47));
    assert!(long.notes[0].text.ends_with(&expected), "{}", long.notes[0].text);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_run_that_is_too_long_is_refused() {
    let line = format!("run=\"{}\"", "x;".repeat(MAX_RUN_BYTES));
    let cmdline = parse(&line);
    assert_eq!(cmdline.run, None);
    assert!(cmdline.notes[0].text.ends_with("raise MAX_RUN_BYTES"));
}

proptest! {
    #![proptest_config(property::config(2000))]

    #[test]
    fn any_line_is_fine_and_its_notes_are_bounded(line in "[a-z0-9=\"@\\- \u{e9}\n]{0,120}|.{0,200}") {
        for note in parse(&line).notes {
            prop_assert!(note.text.len() < 600);
            prop_assert!(!note.text.contains('\n'));
        }
    }

    #[test]
    fn parameters_in_any_company_are_found(before in "[a-z]{1,8}", after in "[a-z]{1,8}", level in 0u8..8) {
        let line = format!("x{before} loglevel={level}  y{after}=\"a b\" run=\"r {after}\"");
        let cmdline = parse(&line);
        prop_assert_eq!(cmdline.loglevel, level);
        prop_assert_eq!(cmdline.run, Some(format!("r {after}")));
    }
}

#[test]
fn an_end_above_4_gib_is_said() {
    let notes = |bootargs: &str| parse(bootargs).notes.len();
    assert_eq!(notes("cma=64M@0x60000000-0x100000000"), 0, "no limit, in 32 bits as well");
    assert_eq!(notes("cma=64M@0x60000000-0x100000001"), 1);
    assert_eq!(notes("cma=64M@0x160000000-0x90000000"), 1);
}

#[test]
fn a_value_that_is_none_changes_no_switch() {
    for (word, is) in [("check", |line: &str| parse(line).check), ("records", |line: &str| !parse(line).quiet)]
        as [(&str, fn(&str) -> bool); 2]
    {
        for (value, on) in [("on", true), ("off", false)] {
            assert_eq!(is(&format!("{word}={value}")), on);
            assert_eq!(is(&format!("{word}={value} {word}=maybe")), on, "{word}");
        }
    }
}

#[test]
fn bits_above_32_are_dropped_and_said() {
    let said = |line: &str| texts(&parse(line)).iter().filter(|line| line.contains("addresses have 32 bits")).count();
    for line in ["cma=8M@0x160000000", "cma=8M@0x60000000-0x160000000", "cma=8M@0x160000000-0x60000000", "cma=1P"] {
        assert_eq!(said(line), 1, "{line}");
    }
    assert_eq!(said("cma=8M@0x60000000-4G"), 0, "4 GiB is no limit");
    assert_eq!(cma("cma=1P"), Some((0, 0, 0)));
    let units = ["1", "1K", "1m", "1G", "1t", "1P", "1e"].map(|text| memparse(text.as_bytes()).value);
    assert_eq!(units, [0, 10, 20, 30, 40, 50, 60].map(|bits| 1 << bits));
    let odd = memparse(b"0xg");
    assert_eq!((odd.value, odd.digits, odd.rest), (0, 1, &b"xg"[..]), "no digit follows: an octal 0");
}

#[test]
fn a_long_unknown_parameter_is_cut_between_characters() {
    for before in 0..4 {
        let line = format!("{}{}", "x".repeat(before), "\u{20ac}".repeat(100));
        let cmdline = parse(&line);
        let shown = texts(&cmdline)[0].split('"').nth(1).unwrap();
        let kept = (MAX_UNKNOWN_BYTES / 2 - before) / 3;
        assert_eq!(shown, format!("{}{}...", "x".repeat(before), "\u{20ac}".repeat(kept)));
        assert_eq!(shown.len(), before + 3 * kept + 3);
    }
    let most = "x".repeat(199);
    assert!(texts(&parse(&most))[0].contains(&format!("\"{most}\"")), "less than 200 bytes are shown whole");
    assert!(texts(&parse(&"x".repeat(200)))[0].contains(&format!("\"{}...\"", "x".repeat(100))));
}
