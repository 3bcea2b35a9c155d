// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counts how often a search reads each word, for the tests of its cost.

use std::cell::RefCell;
use std::collections::BTreeMap;

std::thread_local! {
    static READS: RefCell<Option<BTreeMap<usize, u32>>> = const { RefCell::new(None) };
}

/// Counts a read of `word`.
pub(crate) fn note(word: &u32) {
    READS.with_borrow_mut(|reads| {
        if let Some(reads) = reads {
            *reads.entry(core::ptr::from_ref(word).addr()).or_default() += 1;
        }
    });
}

/// Returns the answer of `call`, and how often it reads the word at each address.
pub(crate) fn counted<T>(call: impl FnOnce() -> T) -> (T, BTreeMap<usize, u32>) {
    READS.set(Some(BTreeMap::new()));
    let answer = call();
    (answer, READS.take().unwrap_or_default())
}

/// Returns the answer of `call`, and the addresses of the words that it reads more than once.
pub(crate) fn during<T>(call: impl FnOnce() -> T) -> (T, std::vec::Vec<usize>) {
    let (answer, reads) = counted(call);
    (answer, reads.into_iter().filter(|&(_, times)| times > 1).map(|(word, _)| word).collect())
}
