// SPDX-License-Identifier: MIT OR Apache-2.0

//! The output and the statuses of the program.

#[path = "program/answers.rs"]
mod answers;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/");

/// Runs `debris` in a directory.
fn debris_in(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_debris")).args(arguments).current_dir(directory).output().unwrap()
}

/// Returns the output of `debris`, which has to end with status 0.
fn printed(arguments: &[&str]) -> String {
    let output = debris_in(Path::new(DATA), arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the records among the lines, which have to match the schema.
fn records(text: &str) -> Vec<Value> {
    let schema: Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for record in &records {
        assert!(schema.is_valid(record), "no record of the schema: {record}");
    }
    records
}

/// Two tasks whose events can be swapped; the first release is of a buffer from before.
const TWO_TASKS: &str = "\
  cam-7  [000] .....     1.000000: cma_release: name=x pfn=0x9000 page=0 count=8
  cam-7  [000] .....     2.000000: cma_alloc_finish: name=x pfn=0x10000 page=0 count=1000 align=0 errorno=0
  vpu-8  [000] .....     3.000000: cma_alloc_finish: name=x pfn=0x11000 page=0 count=500 align=0 errorno=0
  cam-7  [000] .....     4.000000: cma_release: name=x pfn=0x10000 page=0 count=1000
  vpu-8  [000] .....     5.000000: cma_alloc_finish: name=x pfn=0x12000 page=0 count=1000 align=0 errorno=0
";

#[test]
fn records_are_of_the_schema() {
    let sizes =
        records(&printed(&["size", "linux-6.1/churn-full.trace", "--placement", "first-fit,best-fit", "--json"]));
    assert_eq!((sizes.len(), &sizes[0]["smallest_pages"]), (6, &Value::from(5120)));
    let replay = ["replay", "linux-6.1/churn-full.trace", "--json", "--area", "64M"];
    assert_eq!(records(&printed(&[&replay[..], &["--held", "release"]].concat())).len(), 1);
    let refused = String::from_utf8(debris_in(Path::new(DATA), &replay).stderr).unwrap();
    assert!(refused.starts_with("debris: replay: ") && refused.contains("held=release"), "{refused}");
    let directory = tempfile::TempDir::new().unwrap();
    let output = debris_in(directory.path(), &["sweep", "--seeds", "1..2", "-o", "runs.jsonl"]);
    assert!(output.status.success());
    let runs = records(&std::fs::read_to_string(directory.path().join("runs.jsonl")).unwrap());
    assert!(runs.len() == 2 && runs.iter().all(|run| run["key"].is_string()));
}

#[test]
fn size_says_what_makes_it_uncertain() {
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("two.trace"), TWO_TASKS).unwrap();
    let size = |more: &[&str]| {
        let arguments =
            [&["size", "two.trace", "--placement", "first-fit", "--jitter", "40", "--step", "1"], more].concat();
        debris_in(directory.path(), &arguments)
    };
    let text = String::from_utf8(size(&[]).stdout).unwrap();
    let start =
        "two.trace: at least 36768K (9192 pages), by what the board did. Replayed in 6000K (1500 pages), no request";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("\nThe recording began late: 1 release of buffers"), "{text}");
    let spread = "\nIn 40 other orders of the tasks: 6000K (1500 pages) at least, ";
    assert!(text.contains(spread) && text.contains("10000K (2500 pages) at most.\n"), "{text}");
    let records = records(&String::from_utf8(size(&["--json"]).stdout).unwrap());
    let field = |name: &str| records[0][name].as_u64();
    assert_eq!((field("jitter_min"), field("jitter_max"), field("unmatched")), (Some(1500), Some(2500), Some(1)));
    assert!(records[1..].iter().all(|record| record.get("jitter_min").is_none()));
    assert_eq!(size(&["--assert", "<=64M"]).status.code(), Some(2));
    assert_eq!(size(&["--assert", "<=64M", "--allow-partial"]).status.code(), Some(0));
    assert_eq!(size(&["--assert", "<=5M", "--allow-partial"]).status.code(), Some(1));
}

#[test]
fn anonymous_leaves_no_name() {
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("two.trace"), TWO_TASKS.replace("name=x", "name=secret")).unwrap();
    let said = |arguments: &[&str]| {
        let output = debris_in(directory.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(said(&["check", "two.trace"]).contains("secret"));
    said(&["anonymous", "two.trace", "-o", "shown.trace"]);
    let shown = std::fs::read_to_string(directory.path().join("shown.trace")).unwrap();
    assert_eq!(said(&["anonymous", "two.trace"]), shown);
    let replay = |more: &[&str]| said(&[&["replay", "two.trace", "--json", "--area", "4M"], more].concat());
    let fingerprint = |text: &str| text.split("placement_fnv1a").nth(1).map(|rest| rest[..20].to_owned()).unwrap();
    assert_eq!(fingerprint(&replay(&["--anonymous"])), fingerprint(&replay(&[])));
    let compare = |more: &[&str]| {
        let compare = ["compare", "load=replay", "--area", "4M", "--initrd", "two.trace", "from=area1", "--anonymous"];
        said(&[&compare, more].concat())
    };
    let lab = |line: &str| said(&["lab", "--area", "4M", "--initrd", "two.trace", "--anonymous", line]);
    let replayed = lab("replay area=4M from=area1 task=task1; cat /proc/cmdline");
    assert!(replayed.contains("\"record\":\"replay\"") && compare(&["--json"]).contains("area"), "{replayed}");
    let texts = [shown, said(&["check", "two.trace", "--anonymous"]), replay(&["--anonymous"]), replayed];
    for text in texts.into_iter().chain([compare(&[]), compare(&["--json"])]) {
        assert!(!["cam", "vpu", "secret"].iter().any(|name| text.contains(name)), "{text}");
    }
}

/// Each of two recorded areas gets an area of the recorded name and size.
#[test]
fn replay_makes_an_area_for_each_that_was_recorded() {
    let directory = tempfile::TempDir::new().unwrap();
    let other = TWO_TASKS.replace("name=x", "name=other,area").replace(".000000", ".500000");
    let lines: Vec<&str> = TWO_TASKS.lines().zip(other.lines()).flat_map(|pair| [pair.0, pair.1]).collect();
    std::fs::write(directory.path().join("two.trace"), lines.join("\n") + "\n").unwrap();
    let replay = |more: &[&str]| debris_in(directory.path(), &[&["replay", "two.trace"], more].concat());
    let output = replay(&["--json"]);
    let said = records(&String::from_utf8(output.stdout).unwrap());
    let kinds: Vec<(&str, &str)> =
        said.iter().map(|record| (record["record"].as_str().unwrap(), record["area"].as_str().unwrap())).collect();
    assert_eq!(kinds, [("replay", "x"), ("replay", "other,area")]);
    assert!(said.iter().all(|record| record["ops"] == said[0]["ops"] && record["used"] == said[0]["used"]));
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(progress.contains("other,area: an area of "), "{progress}");
    // One of them; and keys of the prompt's command.
    assert_eq!(records(&String::from_utf8(replay(&["--json", "--from", "x"]).stdout).unwrap()).len(), 1);
    let failed =
        "  cam-7  [000] .....     6.000000: cma_alloc_finish: name=x pfn=0x0 page=0 count=9999 align=0 errorno=-12\n";
    std::fs::write(directory.path().join("two.trace"), lines.join("\n") + "\n" + failed).unwrap();
    let stopped = String::from_utf8(replay(&["until=failure", "failures=0"]).stdout).unwrap();
    assert!(stopped.starts_with("Stopped at line 11, the first request that failed.\nx: 6 operations"), "{stopped}");
    assert!(stopped.contains("\nStopped at line 11, where the first request of another area failed.\n"), "{stopped}");
    let refused = String::from_utf8(replay(&["--json", "--area", "64M"]).stderr).unwrap();
    assert!(refused.contains("choose with --from NAME; the recording has x ("), "{refused}");
    let refused = |arguments: &[&str]| {
        let output = debris_in(directory.path(), &[arguments, &["two.trace"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (arguments, words) in [
        (&["size"][..], "choose with --area NAME; the recording has x ("),
        (&["size", "--area", "64M"], "--area is the name of a recorded area, no size: "),
        (&["replay", "--area", "x"], "the recorded one is chosen by --from x"),
        (&["replay", "--from", "y"], "no area of that name; it has x ("),
        (&["compare", "--area", "x"], "the recorded one is chosen by from=x"),
        (&["compare"], "choose with from=NAME; the recording has x ("),
    ] {
        let said = refused(arguments);
        assert!(said.contains(words) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
}

#[test]
fn a_page_and_records_of_size_are_anonymous() {
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("two.trace"), TWO_TASKS.replace("name=x", "name=secret")).unwrap();
    let size = |more: &[&str]| {
        let size = ["size", "two.trace", "--placement", "first-fit", "--anonymous", "--jitter", "4", "--step", "1"];
        let output = debris_in(directory.path(), &[&size[..], more].concat());
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert!(size(&["--area", "secret"]).contains("area1"), "an area is called as in what is shown");
    for text in [size(&[]), size(&["--json", "--area", "area1"])] {
        assert!(text.contains("1500") && !["cam", "vpu", "secret"].iter().any(|name| text.contains(name)), "{text}");
    }
}

#[test]
fn standard_input_is_a_file_and_what_cannot_be_written_is_said() {
    let debris = |arguments: &[&str], output: std::process::Stdio| {
        let trace = std::fs::File::open(format!("{DATA}linux-6.1/camera.trace")).unwrap();
        let mut debris = Command::new(env!("CARGO_BIN_EXE_debris"));
        debris.args(arguments).current_dir(DATA).stdin(trace).stdout(output).stderr(std::process::Stdio::piped());
        debris.spawn().unwrap().wait_with_output().unwrap()
    };
    let output = debris(&["size", "-", "--placement", "first-fit"], std::process::Stdio::piped());
    assert!(String::from_utf8_lossy(&output.stdout).contains("\ncma=28M\n"));
    for arguments in [
        &["size", "-", "--placement", "first-fit"][..],
        &["check", "-"],
        &["replay", "-"],
        &["explain", "cases/free-list.log"],
        &["view", "cases/free-list.log"],
        &["compare", "placements=first-fit", "seeds=1", "ops=500"],
        &["lab", "cma"],
        &["schema"],
        &["completions", "bash"],
        &["man"],
    ] {
        let output = debris(arguments, std::fs::File::create("/dev/full").unwrap().into());
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("debris: the output cannot be written: "), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    }
}

/// Every command that reads a file, with words in front of the file's name.
const READERS: [&[&str]; 8] = [
    &["size"],
    &["check"],
    &["anonymous"],
    &["replay"],
    &["compare", "load=replay", "--area", "64M", "--initrd"],
    &["view"],
    &["explain"],
    &["report"],
];

#[test]
fn a_command_that_a_file_does_not_fit_names_one_that_it_fits() {
    let directory = tempfile::TempDir::new().unwrap();
    let runs = "{\"record\":\"debris\",\"allocs\":1,\"used\":9,\"failed_pages\":3,\"key\":\"debris seed=1\"}\n";
    let boot = "[    0.000000] cma: Reserved 16 MiB at 0x9f000000 on node -1\n";
    for (name, text) in [("runs.jsonl", runs), ("boot.log", boot), ("empty", ""), ("binary", "\u{1}\0\u{2}")] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    std::fs::write(directory.path().join("cr.trace"), "a 1 5 0\rr 1\r").unwrap();
    let given = |directory: &Path| {
        let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
        files.collect::<Vec<_>>()
    };
    let mut pairs = 0;
    for file in [given(directory.path()), given(&Path::new(DATA).join("cases"))].concat() {
        let name = file.file_name().unwrap().to_str().unwrap();
        // The commands that take it, and the one that the others name.
        let (takers, named): (&[&str], _) = match name {
            "cma-debug.log" => (&["size", "check", "anonymous", "replay", "compare", "explain"], "`debris size`"),
            "free-list.log" | "decoders.log" => (&["view", "explain"], "`debris view`"),
            "boot.log" => (&["explain"], "`debris explain`"),
            "runs.jsonl" => (&["report"], "`debris report`"),
            "cr.trace" => (&[], "`tr "),
            "empty" => (&[], "the file is empty"),
            "binary" => (&[], "it is not text"),
            _ => (&[], "`debris run --nodes`"),
        };
        for reader in READERS {
            let output = debris_in(directory.path(), &[reader, &[file.to_str().unwrap()]].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            let takes = takers.contains(&reader[0]);
            assert_eq!(output.status.code(), Some(if takes { 0 } else { 2 }), "{reader:?} {name}: {said}");
            assert!(takes || said.contains(named) && said.lines().count() == 1, "{reader:?} {name}: {said}");
            assert!(takes || output.stdout.is_empty() && !said.contains("initrd"), "{reader:?} {name}: {said}");
            pairs += 1;
        }
    }
    assert!(pairs > 8 * 20, "{pairs}");
}

/// Every command that reads a recording takes a whole dmesg, with a failure's own lines, too.
#[test]
fn a_log_is_a_recording_whatever_stands_in_front_of_it() {
    let directory = tempfile::TempDir::new().unwrap();
    let case = |name: &str| std::fs::read_to_string(format!("{DATA}cases/{name}")).unwrap();
    let front = "[    0.000000]   node   0: [mem 0x40000000-0xbfffffff]\n[    0.1] CPU 1: failed to come online\n";
    let log = front.to_owned() + &case("free-list.log") + &case("cma-debug.log");
    std::fs::write(directory.path().join("dmesg.log"), log).unwrap();
    for arguments in [&["size", "--placement", "first-fit"][..], &["check"], &["replay", "--area", "64M"]] {
        let output = debris_in(directory.path(), &[arguments, &["dmesg.log"]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("15 requests") || said.contains("15 allocations"), "{arguments:?}: {said}");
    }
}

#[test]
fn size_says_that_ranges_were_busy() {
    let text = printed(&["size", "cases/cma-debug.log", "--placement", "first-fit"]);
    assert!(text.contains("\n2 ranges busy when this was recorded"), "{text}");
    assert!(
        text.starts_with(
            "cases/cma-debug.log: at least 56M (14336 pages), by what the board did. Replayed in 52M (13312 pages), no request \
             fails under first-fit, and in 48M"
        ),
        "{text}"
    );
    assert!(text.contains("\nOn the board they reached 54788K (13697 pages), of what is known"), "{text}");
    assert!(text.ends_with(
        "\n\nAt least:\ncma=56M\nsize = <0x3800000>; // where #size-cells is 1\nsize = <0x0 0x3800000>; // where #size-cells is 2\n"
    ));
    let output = debris_in(Path::new(DATA), &["size", "cases/cma-debug.log", "--assert", "<=64M"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("passed over busy ranges"), "{said}");
}

/// Removes values that depend on the clock: the last column of the table, and `alloc_ns`.
fn without_times(text: &str) -> Vec<String> {
    let of_line = |line: &str| match line.split_once("\"alloc_ns\":") {
        Some((front, rest)) => format!("{front}{}", rest.trim_start_matches(|letter: char| letter.is_ascii_digit())),
        None if line.contains('%') => line.rsplit_once(' ').map_or("", |(front, _)| front).trim_end().to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(of_line).collect()
}

#[test]
fn compare_prints_what_the_monitor_prints() {
    let keys = ["placements=first-fit,next-fit,zoned", "seeds=5", "ops=20000", "seed=7"];
    let arguments = [&["compare", "--area", "8M", "-j", "3"], &keys[..]].concat();
    let here = printed(&arguments) + &printed(&[&arguments[..], &["--json"]].concat());
    let monitor = printed(&["lab", "--area", "8M", &format!("compare {}", keys.join(" "))]);
    assert_eq!(without_times(&here), without_times(&monitor));
    // 3 placements, their 3 pairs, and 5 seeds of each.
    assert_eq!(records(&here).len(), 3 + 3 + 15);
}

#[test]
fn compare_refuses_what_the_monitor_refuses() {
    for (keys, why) in [
        (&["seeds=0"][..], "debris: compare: seeds"),
        (&["placements=first"], "debris: compare: "),
        (&["load=replay"], "--initrd FILE"),
    ] {
        let output = debris_in(Path::new(DATA), &[&["compare"], keys].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(why), "{keys:?}: {said}");
    }
}

/// A QEMU that prints its arguments, a line each.
const QEMU: &str = "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 7\n";

#[test]
fn run_boots_what_its_arguments_say() {
    let directory = tempfile::TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let qemu = write("qemu", QEMU);
    std::fs::set_permissions(&qemu, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    write("image", "no ELF");
    write("my.trace", "a 1 1 0\n");
    let arguments = "run --image image --dtb none --linux 6.12 --mem 64M --initrd my.trace --run cma;poweroff \
                     --append loglevel=3 -- -no-reboot";
    let output = Command::new(env!("CARGO_BIN_EXE_debris"))
        .args(arguments.split_whitespace())
        .envs([("QEMU", qemu.as_os_str()), ("APPEND", "cma=64M".as_ref())])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(7), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let given: Vec<&str> = said.lines().collect();
    for pair in [
        ["-m", "64M"],
        ["-kernel", "image"],
        ["-initrd", "my.trace"],
        ["-append", "linux=6.12 loglevel=3 run=\"cma;poweroff\""],
    ] {
        assert!(given.windows(2).any(|words| words == pair), "{pair:?}: {given:?}");
    }
    assert!(given.contains(&"-no-reboot") && !given.contains(&"-dtb"), "{given:?}");
    let output = debris_in(Path::new(DATA), &["run", "--append", "loglevel=3 run=\"cma\"", "--run", "version"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("leave one out") && output.status.code() == Some(2));
}

/// Returns the text after `key: |` or `key: ` of a simple YAML file; a block's lines are deeper
/// than its key.
fn of_yaml(text: &str, key: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let at = lines.iter().position(|line| line.trim_start().starts_with(&format!("{key}:"))).unwrap();
    let deeper = lines[at + 1..].iter().take_while(|line| depth(line) > depth(lines[at]));
    deeper.map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn the_step_of_the_action_holds_a_recording_against_a_size() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let action = std::fs::read_to_string(format!("{root}/action.yml")).unwrap();
    let (step, given) = (of_yaml(&action, "run"), of_yaml(&action, "env"));
    let directory = tempfile::TempDir::new().unwrap();
    let summary = directory.path().join("summary.md");
    let run = |max: &str| {
        let inputs = |value: &str| value.replace("${{ inputs.trace }}", "linux-6.1/churn-full.trace");
        let pairs = given.lines().filter_map(|line| line.split_once(": "));
        Command::new("sh")
            .args(["-e", "-c", &step])
            .envs(pairs.map(|(name, value)| (name, inputs(value).replace("${{ inputs.max }}", max))))
            .envs([("GITHUB_ACTION_PATH", root), ("DEBRIS", env!("CARGO_BIN_EXE_debris"))])
            .env("GITHUB_STEP_SUMMARY", &summary)
            .current_dir(DATA)
            .output()
            .unwrap()
    };
    assert_eq!(run("20M").status.code(), Some(0));
    let output = run("16M");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("20M is more than 16M"), "{said}");
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.matches("20M (5120 pages): no request fails").count() == 2, "{summary}");
}
