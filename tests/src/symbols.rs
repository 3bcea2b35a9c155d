// SPDX-License-Identifier: MIT OR Apache-2.0

//! Resolves the addresses of a backtrace to functions and lines.

use std::fmt;
use std::path::Path;

use addr2line::Loader;

/// Source location of an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The function, demangled.
    pub function: String,
    /// `file:line`, if the ELF has it.
    pub location: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        match &self.location {
            Some(location) => write!(f, " at {location}"),
            None => Ok(()),
        }
    }
}

/// The symbols and lines of an ELF.
pub struct Symbols {
    loader: Loader,
}

impl Symbols {
    /// Reads the symbols of the ELF at `path`.
    ///
    /// # Errors
    /// A message, if the file cannot be read as an ELF.
    pub fn load(path: &Path) -> Result<Self, String> {
        match Loader::new(path) {
            Ok(loader) => Ok(Self { loader }),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Returns the functions at `address`: the innermost inlined one first, the one that contains
    /// it last. Empty if the address is not code of the image.
    pub fn resolve(&self, address: u64) -> Vec<Place> {
        let mut places = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let function =
                    frame.function.as_ref().and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
                let location = frame.location.as_ref().and_then(|location| {
                    let file = location.file?;
                    Some(match location.line {
                        Some(line) => format!("{file}:{line}"),
                        None => file.to_owned(),
                    })
                });
                if let Some(function) = function {
                    places.push(Place { function, location });
                }
            }
        }
        if places.is_empty()
            && let Some(symbol) = self.loader.find_symbol(address)
        {
            places.push(Place { function: addr2line::demangle_auto(symbol.into(), None).into_owned(), location: None });
        }
        places
    }
}

/// Returns the addresses in a text: every word `0x…` of at most eight digits, as in a backtrace or
/// a register dump.
pub fn addresses(text: &str) -> Vec<u64> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter_map(|word| word.strip_prefix("0x"))
        .filter(|digits| (5..=8).contains(&digits.len()))
        .filter_map(|digits| u64::from_str_radix(digits, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn addresses_are_found_in_a_dump() {
        let dump = "  0: 0x60010abc\npc = 0x60012000, lr=0x60013004; size 0x20, 0xnothing 0x123456789";
        assert_eq!(addresses(dump), [0x6001_0abc, 0x6001_2000, 0x6001_3004]);
    }
}
