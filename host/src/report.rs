// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris report`: results of runs, a row for each load, area, placement and alignment.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use host::page::escaped;

use crate::cli::Report;
use crate::report_page::ReportPage;
use crate::runs::{Row, Runs, quantile, rows_of};
use crate::{Failure, STATUS_ASSERT, files, say};

pub(crate) fn run(arguments: &Report) -> Result<(), Failure> {
    let rows = rows_of(&arguments.runs)?;
    let baseline = arguments.baseline.as_ref().map(|file| rows_of(std::slice::from_ref(file))).transpose()?;
    let before = |row: &Row| baseline.as_ref().and_then(|rows| rows.get(row));
    let worse: BTreeMap<&Row, String> = rows
        .iter()
        .filter_map(|(row, runs)| {
            let (now, before) = (runs.median(), before(row)?.median());
            let least = before * 100u64.saturating_sub(arguments.fail_on?.into());
            (now * 100 < least).then(|| (row, format!("{}: {now} allocations, {before} before", row.name)))
        })
        .collect();
    // A file with this ending is a page, for `--output`, too.
    let page = arguments.output.as_deref().filter(|file| file.extension().is_some_and(|end| end == "html"));
    for file in arguments.html.as_deref().into_iter().chain(page) {
        let page =
            ReportPage { files: &arguments.runs, rows: &rows, baseline: baseline.as_ref(), fail_on: arguments.fail_on };
        page.write(file)?;
    }
    let table = table(&rows, before, arguments.markdown);
    match &arguments.output {
        Some(_) if page.is_some() => {}
        Some(file) => files::write(file, &table)?,
        None => say(format_args!("{table}"))?,
    }
    if let Some(file) = &arguments.junit {
        write_junit(file, rows.keys(), &worse)?;
    }
    match worse.values().next() {
        None => Ok(()),
        Some(first) if worse.len() == 1 => Err(Failure { line: first.clone(), status: STATUS_ASSERT }),
        Some(first) => Err(Failure { line: format!("{first}, and {} more", worse.len() - 1), status: STATUS_ASSERT }),
    }
}

/// Returns a table with a line for each row.
fn table<'r>(rows: &BTreeMap<Row, Runs>, before: impl Fn(&Row) -> Option<&'r Runs>, markdown: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = if markdown {
        writeln!(
            text,
            "| run | runs | failed | allocations: q1 | median | q3 | before | pages used |\n|---|--:|--:|--:|--:|--:|--:|--:|"
        )
    } else {
        writeln!(
            text,
            "{:<64} {:>5} {:>6} {:>9} {:>9} {:>9} {:>9}",
            "run", "runs", "failed", "q1", "median", "q3", "before"
        )
    };
    for (row, runs) in rows {
        let name = &row.name;
        let before = before(row).map_or("-".into(), |before| before.median().to_string());
        let [q1, middle, q3] = [1, 2, 3].map(|quarter| quantile(&runs.allocs, quarter, 4));
        let (count, failed, used) = (runs.allocs.len(), runs.failed, quantile(&runs.used, 2, 4));
        let _ = if markdown {
            writeln!(text, "| `{name}` | {count} | {failed} | {q1} | {middle} | {q3} | {before} | {used} |")
        } else {
            writeln!(text, "{name:<64} {count:>5} {failed:>6} {q1:>9} {middle:>9} {q3:>9} {before:>9}")
        };
    }
    text
}

fn write_junit<'r>(
    file: &Path,
    rows: impl Iterator<Item = &'r Row>,
    worse: &BTreeMap<&Row, String>,
) -> Result<(), Failure> {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"debris report\">\n");
    for row in rows {
        let name = escaped(&row.name);
        let _ = match worse.get(row) {
            None => writeln!(text, "  <testcase name=\"{name}\"/>"),
            Some(why) => {
                writeln!(text, "  <testcase name=\"{name}\"><failure message=\"{}\"/></testcase>", escaped(why))
            }
        };
    }
    text.push_str("</testsuite>\n");
    files::write(file, &text)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::runs::tests::written;

    fn report(runs: Vec<PathBuf>, baseline: PathBuf, junit: PathBuf) -> Result<(), Failure> {
        let output = Some(junit.with_extension("md"));
        run(&Report {
            runs,
            baseline: Some(baseline),
            fail_on: Some(5),
            markdown: true,
            output,
            html: None,
            junit: Some(junit),
        })
    }

    #[test]
    fn a_median_that_fell_fails() {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |name: &str, allocs: &[u64]| written(directory.path(), name, "x", allocs);
        let junit = directory.path().join("junit.xml");
        let before = at("before", &[100, 200, 300]);
        assert!(
            report(vec![at("as-before", &[300, 190, 1])], before.clone(), junit.clone()).is_ok(),
            "5 % is not more"
        );
        let failure = report(vec![at("worse", &[300, 189, 1])], before, junit.clone()).unwrap_err();
        assert_eq!((failure.status, &*failure.line), (1, "debris area=8M placement=x: 189 allocations, 200 before"));
        let table = std::fs::read_to_string(junit.with_extension("md")).unwrap();
        assert!(table.ends_with("| `debris area=8M placement=x` | 3 | 3 | 1 | 189 | 189 | 200 | 9 |\n"), "{table}");
        let junit = std::fs::read_to_string(junit).unwrap();
        assert!(junit.contains("<failure message=\"debris area=8M placement=x: 189"), "{junit}");
    }
}
