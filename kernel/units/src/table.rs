// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tables of what there is to choose from by name: placements, loads, commands, pseudo files,
//! benchmarks, self-tests.
//!
//! Each kind has one [`Table`]. A file of it has the entries (a name, what help says, the function
//! that does it), and the table has a line with the file's name. Help, completion, tests and
//! documents read the table, so that nothing else has to be told of a new entry.

use core::fmt;

/// Entries of one kind, file by file in the order of the table's lines.
pub struct Table<T: 'static>(&'static [&'static [T]]);

impl<T> Table<T> {
    /// A table of the entries of several files.
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

/// Declares a table and the files that it is made of: `NAME: [Entry] = a, b` is `mod a; mod b;` and
/// a table of the entries in `a::ENTRIES` and `b::ENTRIES`. In a table that is generic over the
/// machine they are what `a::entries()` returns.
///
/// A line can have an attribute: `#[cfg(test)] example` is there in tests only.
///
/// `cargo fmt` does not follow a `mod` that a macro declares: `make fmt` names every file.
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
