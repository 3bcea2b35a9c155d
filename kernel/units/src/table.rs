// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tables of things that are chosen by name: placements, loads, commands, pseudo files, benchmarks,
//! self-tests.
//!
//! Each kind has one [`Table`]. Its files have the entries (name, help text, function), and the
//! table has a line with each file's name. Help, completion, tests and documents read the table, so
//! that a new entry needs no other change.

use core::fmt;

/// Entries of one kind, file by file in the order of the table's lines.
pub struct Table<T: 'static>(&'static [&'static [T]]);

impl<T> Table<T> {
    /// Makes a table of the entries of several files.
    pub const fn new(files: &'static [&'static [T]]) -> Self {
        Self(files)
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'static T> + Clone + use<T> {
        self.0.iter().copied().flatten()
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.iter().count())
    }
}

/// Declares a table and its files: `NAME: [Entry] = a, b` declares `mod a; mod b;` and a table of
/// the entries in `a::ENTRIES` and `b::ENTRIES`. In a table that is generic over the machine, the
/// entries are the results of `a::entries()` and `b::entries()`.
///
/// A file can have an attribute: `#[cfg(test)] example` is in the table in tests only.
///
/// `cargo fmt` does not find a `mod` that a macro declares, so `make fmt` names every file.
#[macro_export]
macro_rules! table {
    ($(#[$doc:meta])* $vis:vis $NAME:ident: [$Entry:ty] = $($(#[$on:meta])* $file:ident),+ $(,)?) => {
        $($(#[$on])* mod $file;)+

        $(#[$doc])*
        $vis const $NAME: $crate::table::Table<$Entry> = $crate::table::Table::new(&[$($(#[$on])* $file::ENTRIES),+]);
    };
    ($(#[$doc:meta])* $vis:vis $name:ident<$M:ident: $Bound:path>: [$Entry:ty] = $($(#[$on:meta])* $file:ident),+ $(,)?) => {
        $($(#[$on])* mod $file;)+

        $(#[$doc])*
        $vis fn $name<$M: $Bound + ?Sized>() -> $crate::table::Table<$Entry> {
            $crate::table::Table::new(const { &[$($(#[$on])* $file::entries::<$M>()),+] })
        }
    };
}
