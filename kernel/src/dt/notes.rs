//! Lines for the boot log, as many as fit.

use alloc::string::String;
use alloc::vec::Vec;

use log::Level;

use super::{MAX_NOTES, Note};

/// At most [`MAX_NOTES`] notes; the last one says that there were more.
#[derive(Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    /// Something was left out: Linux's `pr_err`.
    pub fn error(&mut self, text: String) {
        self.push(Level::Error, text);
    }

    /// Something was changed or ignored: Linux's `pr_warn`.
    pub fn warn(&mut self, text: String) {
        self.push(Level::Warn, text);
    }

    fn push(&mut self, level: Level, text: String) {
        if self.0.len() + 1 < MAX_NOTES {
            self.0.push(Note { level, text });
        } else if self.0.len() < MAX_NOTES {
            let text = alloc::format!("OF: more is wrong with this tree than fits here (raise MAX_NOTES, {MAX_NOTES})");
            self.0.push(Note { level: Level::Warn, text });
        }
    }

    /// The notes, in the order found.
    pub fn into_vec(self) -> Vec<Note> {
        self.0
    }
}
