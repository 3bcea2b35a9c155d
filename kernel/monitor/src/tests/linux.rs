// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands as in Linux's documentation, and output as on a terminal.

use super::*;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_a_linux_reader_types_does_what_it_does_there() {
    let dir = "/sys/kernel/debug/cma/BiscuitOS_cma";
    for (line, answer) in [
        ("cat proc/meminfo | grep Cma", "CmaTotal:          16384 kB\nCmaFree:           16384 kB\n"),
        ("cat //proc/./vmstat | grep ^cma_alloc", "cma_alloc_success 0\ncma_alloc_fail 0\n"),
        ("cat /proc/../proc/vmstat | grep -c cma", "3\n"),
        ("grep -i CMATOTAL /proc/meminfo", "CmaTotal:          16384 kB\n"),
        ("grep cma_alloc_s /proc/vmstat /proc/meminfo", "/proc/vmstat:cma_alloc_success 0\n"),
        ("grep -c -i cma /proc/vmstat /proc/meminfo | grep -v x", "/proc/vmstat:3\n/proc/meminfo:2\n"),
        ("grep -c . /proc/cmdline", "1\n"),
        ("echo one  two 'three  four' a=b", "one two three  four a=b\n"),
        ("echo", "\n"),
        ("ls /proc/ | grep ^m", "meminfo\n"),
        ("ls proc/meminfo", "proc/meminfo\n"),
        ("help | grep -v ^ | grep x", ""),
    ] {
        assert_eq!(printed(line), answer, "{line}");
    }
    let line = format!("echo 5>{dir}/alloc; echo 2 >> {dir}/free; cat {dir}/used {dir}/count");
    assert_eq!(printed(&line), "3\n2048\n");
    let (outcome, text) = on_board(&["cat /nowhere /proc/cmdline /proc | grep cma"]);
    assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND));
    let lines = "cat: /nowhere: No such file or directory\nloglevel=3 run=\"cma\"\ncat: /proc: Is a directory\n";
    let mut wanted: Vec<&str> = lines.lines().collect();
    let mut got: Vec<&str> = text.lines().collect();
    wanted.sort_unstable();
    got.sort_unstable();
    assert_eq!(got, wanted);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn run_says_at_its_end_what_it_met() {
    with_board(64, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context(None));
        assert_eq!(monitor.run("version; cat /nowhere; version"), Outcome::Failed(2));
        assert_eq!(monitor.run("version"), Outcome::Ok);
        assert_eq!(monitor.run("nonsense; poweroff"), Outcome::PowerOff(2));
        let text = machine.take();
        let line = "run=: done, with status 2 (see above); `poweroff` ends the machine with it\n";
        assert_eq!(text.matches(line).count(), 1, "{text}");
        assert!(text.contains(&format!("debris 1.2.3\n{line}")), "{text}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_list_of_commands_fits_a_terminal() {
    assert!(printed("help").lines().all(|line| line.chars().count() < TERMINAL_COLUMNS));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_picture_of_the_published_run() {
    let text = printed("debris | grep record; picture");
    let drawn: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(drawn[0], "BiscuitOS_cma: 2048 pages from 0x69800000, one character for 2 pages (8 KiB)");
    assert_eq!(drawn[1], "   0 |XX+XXXXXX+XXXXXXXXX+XX+.XX+XXXX+X.XXX+XXX+XXXXXXX+X+XXXX.XXXX.XX|");
    assert_eq!(drawn.len(), 19);
    assert_eq!(drawn[17], ". free   : under half used   + half used or more   X used   = longest free run");
    assert_eq!(drawn[18], "1384 used, 664 free in 86 runs; longest: 44 pages from page 1684");
    assert!(drawn.iter().all(|line| line.len() <= 80), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn files_are_in_linux_formats() {
    let text = printed("cat /proc/meminfo");
    assert!(text.starts_with("MemTotal:         253952 kB\nMemFree: "), "{text}");
    assert!(text.ends_with("CmaTotal:          16384 kB\nCmaFree:           16384 kB\n"), "{text}");
    assert_eq!(
        printed("cat /proc/buddyinfo"),
        "Node 0, zone   Normal      0      0      0      0      0      0      0      0      0      0     62 \n"
    );
    let text = printed("cat /proc/pagetypeinfo");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["Page block order: 10", "Pages per block:  1024", ""]);
    assert_eq!(
        lines[3],
        "Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10 "
    );
    assert_eq!(
        lines[8],
        "Node    0, zone   Normal, type          CMA      0      0      0      0      0      0      0      0      0      0      4 "
    );
    assert_eq!(
        lines[11],
        "Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic          CMA      Isolate "
    );
    assert_eq!(
        lines[12],
        "Node 0, zone   Normal            0           60            0            0            4            0 "
    );
    assert_eq!(printed("cat /proc/cmdline"), "loglevel=3 run=\"cma\"\n");
    assert_eq!(printed("cat /proc/iomem"), "60000000-9fffffff : System RAM\n");
    assert_eq!(printed("cat /sys/kernel/debug/cma/BiscuitOS_cma/base_pfn"), "432128\n");
    let words = printed("cat /sys/kernel/debug/cma/BiscuitOS_cma/bitmap");
    assert_eq!(words, "0 ".repeat(63) + "0\n");
    assert_eq!(
        printed("cat /sys/bus/platform/devices/BiscuitOS_CMA/bitmap"),
        printed("bitmap BiscuitOS_cma").lines().take(35).map(|line| format!("{line}\n")).collect::<String>()
    );
}
