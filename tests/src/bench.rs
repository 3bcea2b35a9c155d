// SPDX-License-Identifier: MIT OR Apache-2.0

//! Figures of the benchmarks: their measurement, table, baseline and picture.
//!
//! The flow of the data: [`machines`] boots the board once for each set of areas that the
//! benchmarks need and collects their records → [`Figures`] are the numbers in them → [`table`]
//! lists them beside Linux's, [`baseline`] compares them with accepted ones, [`growth`] draws them.
//! [`hard`] replays loads that the allocator was not tuned for. [`profile`] attributes the
//! instructions of one benchmark to functions.

pub mod baseline;
pub mod growth;
pub mod hard;
pub mod machines;
pub mod profile;
pub mod table;

use serde_json::Value;

/// Prefix of the names of the loads that are hard for a search.
pub const PREFIX_OF_HARD: &str = "hard/";

/// One number of one benchmark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figure {
    /// Name of the benchmark.
    pub benchmark: String,
    /// Name of the figure: `op` and `release` are means in instructions, `op_p999` and
    /// `release_p999` the most that 999 of 1,000 calls took, `op_max` and `release_max` the longest
    /// single call; `millibytes_per_page` is the size of the metadata.
    pub what: String,
    /// The number; less is better.
    pub value: u64,
}

/// The figures of a run, in the order of measurement.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Figures(pub Vec<Figure>);

/// Fields of a record, each with the name of its figure.
const FIELDS: [(&str, &str); 7] = [
    ("ns_per_op", "op"),
    ("p999_ns", "op_p999"),
    ("release_p999_ns", "release_p999"),
    ("max_ns", "op_max"),
    ("release_ns", "release"),
    ("release_max_ns", "release_max"),
    ("millibytes_per_page", "millibytes_per_page"),
];

impl Figures {
    /// Reads the figures from records, one a line.
    ///
    /// # Errors
    /// The line that is not a record of a benchmark.
    pub fn from_records<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<Self, String> {
        let mut figures = Vec::new();
        for line in lines {
            let record: Value = serde_json::from_str(line).map_err(|error| format!("{error} in the record {line}"))?;
            let benchmark = match (record["record"].as_str(), record["name"].as_str()) {
                (Some("bench"), Some(name)) => name,
                (Some("memory"), _) => "memory",
                _ => return Err(format!("not the record of a benchmark: {line}")),
            };
            for (field, what) in FIELDS {
                if let Some(value) = record[field].as_u64() {
                    figures.push(Figure { benchmark: benchmark.into(), what: what.into(), value });
                }
            }
        }
        Ok(Self(figures))
    }

    /// Keeps the figures of the loads that are hard for a search if `hard`, or else all others.
    pub fn only(self, hard: bool) -> Self {
        Self(self.0.into_iter().filter(|figure| figure.benchmark.starts_with(PREFIX_OF_HARD) == hard).collect())
    }

    /// Returns one figure.
    pub fn get(&self, benchmark: &str, what: &str) -> Option<u64> {
        self.0.iter().find(|figure| figure.benchmark == benchmark && figure.what == what).map(|figure| figure.value)
    }
}

/// Formats a number with its thousands separated.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_figures() {
        let lines = [
            r#"{"record":"bench","name":"cma/1","reps":9,"ns_per_op":5,"p999_ns":6,"max_ns":6,"release_ns":7,"release_max_ns":8}"#,
            r#"{"record":"memory","pages":1,"millibytes_per_page":16007}"#,
        ];
        let figures = Figures::from_records(lines).unwrap();
        assert_eq!(figures.0.len(), 6);
        assert_eq!(figures.get("cma/1", "release_max"), Some(8));
        assert_eq!(figures.get("memory", "millibytes_per_page"), Some(16_007));
        assert_eq!(figures.get("cma/1", "reps"), None);
        for bad in ["", "{", r#"{"record":"boot"}"#] {
            assert!(Figures::from_records([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn thousands() {
        assert_eq!([0, 999, 1000, 58_058_000].map(grouped), ["0", "999", "1,000", "58,058,000"]);
    }
}
