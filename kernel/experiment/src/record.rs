// SPDX-License-Identifier: MIT OR Apache-2.0

//! Records: one line of compact JSON per result, at the start of a line, so that `grep '^{'` on a
//! console log is a data set.

use alloc::string::String;
use core::fmt::{self, Display, Write};

/// Beginning of every record.
pub const BEGINNING: &str = "{\"record\":";

/// A record being written. Fields keep the order in which they are added; `record` is the first.
#[derive(Debug)]
pub struct Record {
    text: String,
}

impl Record {
    /// Begins a record of the kind `kind` (`debris`, `replay`, …).
    pub fn new(kind: &str) -> Self {
        let mut record = Self { text: String::from(BEGINNING) };
        record.quote(kind);
        record
    }

    /// Adds an integer.
    #[must_use]
    pub fn number(mut self, name: &str, value: impl Into<u64>) -> Self {
        self.name(name);
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{}", value.into());
        self
    }

    /// Adds a list of integers.
    #[must_use]
    pub fn list(mut self, name: &str, values: impl IntoIterator<Item = impl Into<i64>>) -> Self {
        self.name(name);
        let mut separator = '[';
        for value in values {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{separator}{}", value.into());
            separator = ',';
        }
        self.text.push_str(if separator == '[' { "[]" } else { "]" });
        self
    }

    /// Begins an object inside a record, for [`Record::objects`].
    pub fn object() -> Self {
        Self { text: String::from("{") }
    }

    /// Adds a list of objects.
    #[must_use]
    pub fn objects(mut self, name: &str, objects: impl IntoIterator<Item = Self>) -> Self {
        self.name(name);
        let mut separator = '[';
        for object in objects {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{separator}{object}");
            separator = ',';
        }
        self.text.push_str(if separator == '[' { "[]" } else { "]" });
        self
    }

    /// Adds a string, escaped.
    #[must_use]
    pub fn string(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.quote(value);
        self
    }

    /// Adds the output of `Display` as a string, escaped.
    #[must_use]
    pub fn display(self, name: &str, value: impl Display) -> Self {
        let mut text = String::new();
        let _ = write!(text, "{value}");
        self.string(name, &text)
    }

    fn name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.quote(name);
        self.text.push(':');
    }

    /// Adds a quoted string. RFC 8259, section 7: quote, backslash and everything below space are
    /// escaped. Names come from device trees and may contain any character.
    fn quote(&mut self, value: &str) {
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                control if control < ' ' || control == '\u{7f}' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(control));
                }
                plain => self.text.push(plain),
            }
        }
        self.text.push('"');
    }
}

impl Display for Record {
    /// Writes the whole line, without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_char('}')
    }
}

/// Returns `part` of `whole` in permille, floored; 0 if `whole` is 0.
pub fn permille(part: u32, whole: u32) -> u32 {
    if whole == 0 { 0 } else { (u64::from(part) * 1000 / u64::from(whole)) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn compact_and_in_order() {
        let record = Record::new("x").number("a", 1u32).string("b", "two").display("c", 0x2a);
        assert_eq!(record.to_string(), r#"{"record":"x","a":1,"b":"two","c":"42"}"#);
    }

    #[test]
    fn lists() {
        let record = Record::new("x").list("a", [1u32, 20]).list("b", [-1000i32]).list("c", [0u8; 0]);
        assert_eq!(record.to_string(), r#"{"record":"x","a":[1,20],"b":[-1000],"c":[]}"#);
    }

    #[test]
    fn objects() {
        let inner = || [Record::object().number("a", 1u32).string("b", "c\""), Record::object()];
        let record = Record::new("x").objects("o", inner()).objects("none", []).number("n", 2u32);
        assert_eq!(record.to_string(), r#"{"record":"x","o":[{"a":1,"b":"c\""},{}],"none":[],"n":2}"#);
    }

    #[test]
    fn strings_are_escaped() {
        let record = Record::new("x").string("name", "a\"b\\c\n\u{1}\u{7f}é");
        assert_eq!(record.to_string(), r#"{"record":"x","name":"a\"b\\c\u000a\u0001\u007fé"}"#);
    }

    #[test]
    fn permille_floors() {
        assert_eq!((permille(1, 3), permille(0, 0), permille(u32::MAX, u32::MAX)), (333, 0, 1000));
    }
}
