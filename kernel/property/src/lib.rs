// SPDX-License-Identifier: MIT OR Apache-2.0

//! The configuration of the property tests, one for all portable crates. Needs std; for tests only.
//!
//! A test draws its cases from a fixed seed, so that it has the same result everywhere; `make
//! test-fresh` sets [`FRESH_SEEDS`] for random seeds. A counterexample is written to
//! `proptest-regressions/`, which is committed, and is tried before all other cases.
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` have proptest's meaning.

#![forbid(unsafe_code)]

use std::env;

use proptest::test_runner::{Config, RngSeed};

/// The environment variable that requests random seeds.
pub const FRESH_SEEDS: &str = "FRESH_SEEDS";
/// The default seed of every property.
const SEED: u64 = 0x434d_4131;
/// Cases of a property under Miri, which is some hundred times slower.
const MIRI_CASES: u32 = 2;

/// Configures a property with `cases` cases. `proptest!` lets the environment change it.
pub fn config(cases: u32) -> Config {
    let rng_seed = if env::var_os(FRESH_SEEDS).is_some() { RngSeed::Random } else { RngSeed::Fixed(SEED) };
    let config = Config { cases, rng_seed, ..Config::default() };
    if cfg!(miri) {
        // Strategies are smaller under Miri, so that a recorded seed is a different case.
        return Config { cases: MIRI_CASES, failure_persistence: None, ..config };
    }
    config
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::{Path, PathBuf};
    use std::{fs, process};

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    fn some_values() -> Vec<u64> {
        let mut runner = TestRunner::new(config(1));
        (0..4).map(|_| any::<u64>().new_tree(&mut runner).expect("any number will do").current()).collect()
    }

    #[test]
    fn seeds_are_fixed_unless_fresh_ones_are_asked_for() {
        assert_eq!(some_values() != some_values(), env::var_os(FRESH_SEEDS).is_some());
    }

    /// Checks that a failure is written beside the sources, and that a run with other seeds tries
    /// it first.
    #[test]
    #[cfg_attr(miri, ignore = "counterexamples are not written under Miri")]
    fn counterexamples_are_written_down_and_tried_first() {
        let place = env::temp_dir().join(format!("counterexamples-{}", process::id()));
        fs::create_dir_all(place.join("src")).expect("a directory can be made");
        fs::write(place.join("src/lib.rs"), "").expect("a file can be made");
        let source: &'static str = Box::leak(place.join("src/some.rs").display().to_string().into_boxed_str());
        let run = |cases, seed| {
            let rng_seed = RngSeed::Fixed(seed);
            let tried = RefCell::new(Vec::new());
            let config = Config { source_file: Some(source), rng_seed, cases, ..config(cases) };
            let failed = TestRunner::new(config)
                .run(&any::<u64>(), |value| {
                    tried.borrow_mut().push(value);
                    prop_assert!(value % 16 != 3);
                    Ok(())
                })
                .is_err();
            (failed, tried.into_inner())
        };
        let (failed, tried) = run(1000, 1);
        let written = fs::read_to_string(place.join("proptest-regressions/some.txt"));
        let counterexample = tried.iter().find(|value| **value % 16 == 3);
        let (failed_again, tried_again) = run(1, 2);
        fs::remove_dir_all(&place).expect("the directory is ours");
        assert!(failed && written.is_ok_and(|text| text.contains("\ncc ")));
        assert!(failed_again && tried_again.first() == counterexample);
    }

    /// Checks that git does not ignore counterexamples, and that all properties use [`config`].
    #[test]
    #[cfg_attr(miri, ignore = "reads every source file")]
    fn every_property_is_configured_here() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let hidden = fs::read_to_string(crates.join("../.gitignore")).expect("it lies beside the crates");
        assert!(!hidden.contains("proptest-regressions"), "counterexamples must not vanish");
        let mut properties = 0;
        for path in sources(&crates).iter().filter(|path| !path.ends_with("property/src/lib.rs")) {
            let text = fs::read_to_string(path).expect("sources are text");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (number, _) in lines.iter().enumerate().filter(|(_, line)| **line == "proptest! {") {
                properties += 1;
                let configured = lines.get(number + 1).is_some_and(|line| line.contains("property::config("));
                assert!(configured, "{}:{}", path.display(), number + 2);
            }
        }
        assert!(properties > 10, "{properties}");
    }

    /// Returns every source file in a directory and its subdirectories.
    fn sources(directory: &Path) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(directory).expect("sources can be listed").map(|entry| entry.expect("readable").path());
        let (directories, mut files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
        files.extend(directories.iter().flat_map(|inner| sources(inner)));
        files
    }
}
