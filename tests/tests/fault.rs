// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each deliberate fault: it ends with status 101 and names itself, and a panic's backtrace
//! resolves to functions.

use boot_tests::symbols::{Symbols, addresses};
use boot_tests::{Boot, Entry, Outcome, in_tree};

fn fault(kind: &str) -> Outcome {
    let outcome = Boot::commands(&format!("fault {kind}; version")).run();
    outcome.ended_with(101);
    outcome
}

/// Asserts that a line contains all of `words`, in any case.
fn says_all(outcome: &Outcome, words: &[&str]) {
    let holds_all = |line: &str| words.iter().all(|word| line.to_lowercase().contains(word));
    assert!(outcome.lines().any(holds_all), "no line with {words:?}: {outcome}");
}

/// Asserts the register dump: every register of the faulting mode, each with eight digits.
fn dumps_registers(outcome: &Outcome) {
    let text = outcome.console().to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let registers = (0..=12).map(|number| format!("r{number}")).chain(["sp", "lr", "pc", "psr"].map(String::from));
    for register in registers {
        let is_dumped =
            |pair: &[&str]| pair[0] == register && pair[1].len() == 8 && pair[1].bytes().all(|b| b.is_ascii_hexdigit());
        assert!(words.windows(2).any(is_dumped), "{register}: {outcome}");
    }
}

#[test]
fn stack_overflow_hits_the_guard_page() {
    let outcome = fault("stack");
    says_all(&outcome, &["data abort", "translation fault"]);
    says_all(&outcome, &["hit the guard page under the supervisor stack"]);
    dumps_registers(&outcome);
}

#[test]
fn null_read_faults() {
    let outcome = fault("null");
    says_all(&outcome, &["data abort", "translation fault", "read from 0x00000000"]);
    says_all(&outcome, &["null page"]);
    dumps_registers(&outcome);
}

#[test]
fn text_is_read_only() {
    let outcome = fault("text");
    says_all(&outcome, &["data abort", "permission fault", "write"]);
    says_all(&outcome, &["hit the kernel's text"]);
    dumps_registers(&outcome);
}

#[test]
fn data_is_not_executed() {
    let outcome = fault("exec");
    says_all(&outcome, &["prefetch abort", "permission fault"]);
    says_all(&outcome, &["hit the kernel's data"]);
    dumps_registers(&outcome);
}

#[test]
fn supervisor_call_is_not_ours() {
    let outcome = fault("svc");
    says_all(&outcome, &["unexpected supervisor call 0x1"]);
    dumps_registers(&outcome);
}

#[test]
fn unexpected_interrupt_ends_the_machine() {
    let outcome = fault("irq");
    says_all(&outcome, &["unexpected interrupt 0"]);
    dumps_registers(&outcome);
}

#[test]
fn unaligned_access_faults() {
    let outcome = fault("unaligned");
    says_all(&outcome, &["data abort", "alignment fault"]);
    dumps_registers(&outcome);
}

#[test]
fn undefined_instruction_faults() {
    let outcome = fault("undefined");
    says_all(&outcome, &["undefined instruction 0x"]);
    dumps_registers(&outcome);
}

#[test]
fn unknown_faults_are_refused() {
    Boot::commands("fault sideways").run().ended_with(2);
}

#[test]
fn backtrace_of_a_panic_resolves() {
    for entry in [Entry::Raw, Entry::Elf] {
        let outcome = Boot::commands("fault panic").entry(entry).run();
        outcome.ended_with(101);
        says_all(&outcome, &["panic"]);
        says_all(&outcome, &[".rs:"]);
        let text = outcome.console().to_lowercase();
        let backtrace = &text[text.find("backtrace").unwrap_or_else(|| panic!("no backtrace: {outcome}"))..];
        let symbols = Symbols::load(&in_tree("build/debris.elf")).expect("the image's symbols");
        let functions: Vec<String> = addresses(backtrace)
            .into_iter()
            .flat_map(|address| symbols.resolve(address))
            .map(|place| place.to_string())
            .collect();
        assert!(functions.len() >= 2, "{functions:?} from {outcome}");
        let known = |function: &String| function.contains("monitor::") || function.contains("debris::");
        assert!(functions.iter().any(known), "{functions:?} from {outcome}");
        assert!(functions.iter().any(|function| function.contains(".rs:")), "{functions:?}");
    }
}
