// SPDX-License-Identifier: MIT OR Apache-2.0

//! The documents: their pages, the blocks of commands in them, and their links.
//!
//! A page is a Markdown file. A fenced block whose language is `console` holds commands and their
//! output; further words after `console` are options:
//!
//! | word | meaning |
//! |---|---|
//! | `install` | installs software: not run |
//! | `slow` | takes longer than 20 s: not run |
//! | `board` | typed on a board that runs Linux: not run |
//! | `near` | figures of four digits and more may be off by a tenth |
//!
//! A line that begins with `$ ` is typed in a shell, one that begins with `debris> ` at the
//! monitor. The lines after it are the output; `…` stands for any text inside a line, and alone on
//! a line for any lines. A block `text FILE`, or of another language followed by a file's name, is
//! the content of that file.

mod compare;
mod links;
mod reference;
mod run;

use std::fs;
use std::path::PathBuf;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};

use crate::in_tree;

pub use compare::{Tolerance, difference};
pub use links::broken_links;
pub use reference::{commands_of, generated};
pub use run::{Report, run_page};

/// A Markdown file.
#[derive(Clone, Debug)]
pub struct Page {
    /// Path in the tree, with `/` between the parts.
    pub name: String,
    /// Text of the page.
    pub text: String,
}

/// A fenced block of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Line of its first fence.
    pub line: usize,
    /// Words after the fence.
    pub words: Vec<String>,
    /// Content of the block.
    pub text: String,
}

/// A step of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A file is written.
    File {
        /// Name, relative to the directory of the page's commands.
        name: String,
        /// Content of the file.
        text: String,
    },
    /// A command is typed.
    Command(Typed),
}

/// A command of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Typed {
    /// Line of the page that the command begins on.
    pub line: usize,
    /// Prompt that it is typed at.
    pub at: Prompt,
    /// The command, without its prompt.
    pub command: String,
    /// Output according to the page.
    pub expected: String,
    /// Precision of the comparison.
    pub tolerance: Tolerance,
    /// Word that excludes it from the run, if any.
    pub left_out: Option<&'static str>,
}

/// Prompt that a command is typed at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prompt {
    /// `$ `: a shell in the tree's root.
    Shell,
    /// `debris> `: the monitor that the page's last `make monitor` booted, or else that of a
    /// machine with the defaults.
    Monitor,
}

/// Languages that pages must not use for commands: their blocks would not be run.
const NOT_RUN: [&str; 6] = ["sh", "bash", "shell", "zsh", "shell-session", "sh-session"];
/// Words after `console` for blocks that are not run.
const LEFT_OUT: [&str; 3] = ["install", "slow", "board"];

/// Returns all pages: those at the root, and the book's.
///
/// # Panics
/// If one cannot be read.
pub fn pages() -> Vec<Page> {
    let mut names = Vec::new();
    for entry in fs::read_dir(in_tree(".")).expect("the tree's root can be read") {
        let name = entry.expect("an entry of the root").file_name().into_string().unwrap_or_default();
        if name.ends_with(".md") {
            names.push(name);
        }
    }
    let mut folders = vec![String::from("docs")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(in_tree(&folder)) else { continue };
        for entry in entries {
            let entry = entry.expect("an entry of a folder");
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(name);
            } else if name.ends_with(".md") {
                names.push(name);
            }
        }
    }
    names.sort();
    names.into_iter().map(|name| Page { text: read(&in_tree(&name)), name }).collect()
}

fn read(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Page {
    /// Returns the fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (event, range) in Parser::new_ext(&self.text, options()).into_offset_iter() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    let line = self.line_of(range.start);
                    let words = info.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
                    open = Some(Block { line, words, text: String::new() });
                }
                Event::Text(text) => {
                    if let Some(block) = &mut open {
                        block.text.push_str(&text);
                    }
                }
                Event::End(pulldown_cmark::TagEnd::CodeBlock) => blocks.extend(open.take()),
                _ => {}
            }
        }
        blocks
    }

    /// Returns the steps of the page, in order.
    ///
    /// # Errors
    /// The error in a block, with its line.
    pub fn steps(&self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        for block in self.blocks() {
            let wrong = |what: &str| Err(format!("{}:{}: {what}", self.name, block.line));
            let mut words = block.words.iter().map(String::as_str);
            match words.next() {
                None => return wrong("a block without a language: `text` is for what is no command"),
                Some(language) if NOT_RUN.contains(&language) && block.words.len() == 1 => {
                    return wrong("commands stand in a `console` block, behind `$ `, so that they are run");
                }
                Some("console") => {
                    let words: Vec<&str> = words.collect();
                    if let Some(word) = words.iter().find(|word| **word != "near" && !LEFT_OUT.contains(word)) {
                        return wrong(&format!("`{word}` behind `console` means nothing"));
                    }
                    let left_out = LEFT_OUT.into_iter().find(|word| words.contains(word));
                    let tolerance = if words.contains(&"near") { Tolerance::Near } else { Tolerance::Exact };
                    steps.extend(typed(&block, tolerance, left_out)?.into_iter().map(Step::Command));
                }
                Some(_) => {
                    if let Some(name) = words.next() {
                        steps.push(Step::File { name: name.to_owned(), text: block.text.clone() });
                    }
                }
            }
        }
        Ok(steps)
    }

    fn line_of(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }
}

fn options() -> pulldown_cmark::Options {
    pulldown_cmark::Options::ENABLE_TABLES
}

/// Returns the commands of a block, each with the lines after it.
fn typed(block: &Block, tolerance: Tolerance, left_out: Option<&'static str>) -> Result<Vec<Typed>, String> {
    let mut found: Vec<Typed> = Vec::new();
    for (number, line) in block.text.lines().enumerate() {
        let prompt = [("$ ", Prompt::Shell), ("debris> ", Prompt::Monitor)]
            .into_iter()
            .find_map(|(prompt, at)| line.strip_prefix(prompt).map(|command| (at, command)));
        match (prompt, found.last_mut()) {
            (Some((at, command)), _) => found.push(Typed {
                line: block.line + 1 + number,
                at,
                command: command.to_owned(),
                expected: String::new(),
                tolerance,
                left_out,
            }),
            (None, Some(last)) if last.command.ends_with('\\') => {
                last.command.push('\n');
                last.command.push_str(line);
            }
            (None, Some(last)) => {
                last.expected.push_str(line);
                last.expected.push('\n');
            }
            (None, None) => return Err(format!("line {}: output without a command before it", block.line + 1)),
        }
    }
    Ok(found)
}
