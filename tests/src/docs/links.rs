// SPDX-License-Identifier: MIT OR Apache-2.0

//! The links inside the documents: each leads to a file of the tree and, after `#`, to a heading of
//! that page. A file of the tree that a page names in code exists, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::{Page, options};
use crate::in_tree;

/// Folders of the tree's files, without those of built files.
const FOLDERS: [&str; 10] =
    [".ci/", ".github/", "bench/", "boot/", "docs/", "dts/", "fuzz/", "kernel/", "scripts/", "tests/"];
/// The book's table of contents.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Returns the errors in the links of `pages`, a line each.
pub fn broken_links(pages: &[Page]) -> Vec<String> {
    let headings: BTreeMap<&str, BTreeSet<String>> =
        pages.iter().map(|page| (page.name.as_str(), anchors(page))).collect();
    let mut broken = Vec::new();
    let mut listed = BTreeSet::new();
    for page in pages {
        for (line, link) in links(page) {
            let mut wrong = |what: &str| broken.push(format!("{}:{line}: {link}: {what}", page.name));
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let Some(target) = resolve(&page.name, path) else {
                wrong("leads out of the tree");
                continue;
            };
            if page.name == SUMMARY {
                listed.insert(target.clone());
            }
            if page.name.starts_with("docs/") && !target.starts_with("docs/") {
                wrong("leads out of the book; name the file instead");
            } else if !in_tree(&target).exists() {
                wrong("there is no such file");
            } else if let Some(anchor) = anchor
                && !headings.get(target.as_str()).is_some_and(|headings| headings.contains(anchor))
            {
                wrong("the page has no such heading");
            }
        }
    }
    for page in pages {
        let gone = named_files(page).into_iter().filter(|(_, name)| !in_tree(name).exists());
        broken.extend(gone.map(|(line, name)| format!("{}:{line}: {name}: there is no such file", page.name)));
    }
    let in_book = pages.iter().filter(|page| page.name.starts_with("docs/") && page.name != SUMMARY);
    let lost = in_book.filter(|page| !listed.contains(&page.name));
    broken.extend(lost.map(|page| format!("{}: {SUMMARY} does not list it", page.name)));
    broken
}

/// Returns the file that `path` refers to on `page`; `None` if it is above the tree's root.
fn resolve(page: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(page.to_owned());
    }
    let mut target = PathBuf::from(page);
    target.pop();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if target.pop() => {}
            Component::Normal(name) => target.push(name),
            _ => return None,
        }
    }
    Some(target.to_string_lossy().into_owned())
}

/// Returns the links to files and pictures, with their lines.
fn links(page: &Page) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (event, range) in Parser::new_ext(&page.text, options()).into_offset_iter() {
        if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event
            && !dest_url.contains("://")
            && !dest_url.starts_with("mailto:")
        {
            found.push((page.line_of(range.start), dest_url.into_string()));
        }
    }
    found
}

/// Returns the files of the tree that the page names as `folder/file`, with their lines.
fn named_files(page: &Page) -> Vec<(usize, String)> {
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let is_in_tree = |text: &str| FOLDERS.iter().any(|folder| text.starts_with(folder));
    let events = Parser::new_ext(&page.text, options()).into_offset_iter();
    let code =
        events.filter_map(|(event, range)| if let Event::Code(text) = event { Some((text, range)) } else { None });
    code.filter(|(text, _)| is_name(text) && is_in_tree(text))
        .map(|(text, range)| (page.line_of(range.start), text.into_string()))
        .collect()
}

/// Returns the page's anchors: a name for each heading, as GitHub and mdBook make it.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(&page.text, options()) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let text = heading.take().unwrap_or_default();
                let name: String = text.to_lowercase().chars().filter_map(in_anchor).collect();
                let again = (1..).map(|number| format!("{name}-{number}"));
                let free = std::iter::once(name.clone()).chain(again).find(|name| !names.contains(name));
                names.extend(free);
            }
            _ => {}
        }
    }
    names
}

fn in_anchor(c: char) -> Option<char> {
    if c.is_whitespace() { Some('-') } else { (c.is_alphanumeric() || c == '-' || c == '_').then_some(c) }
}

#[cfg(test)]
mod tests {
    use super::{Page, broken_links};

    fn page(name: &str, text: &str) -> Page {
        Page { name: name.into(), text: text.into() }
    }

    #[test]
    fn a_link_leads_to_a_file_and_a_heading() {
        let book = page("docs/README.md", "# A `title`, too\n[here](#a-title-too)\n");
        let summary = page("docs/SUMMARY.md", "[The book](README.md)\n");
        let root = page("README.md", "[book](docs/README.md#a-title-too) [web](https://example.org/x#y)\n");
        assert_eq!(broken_links(&[root, book, summary]), [""; 0]);
    }

    #[test]
    fn a_file_that_is_named_is_there() {
        let root = page("README.md", "`tests/src/lib.rs`, `tests/src/gone.rs` and `kernel/` of `cma/64`\n");
        assert_eq!(broken_links(&[root]), ["README.md:1: tests/src/gone.rs: there is no such file"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let root = page("README.md", "# T\n[a](#u)\n[b](no-such.md)\n![c](../c.svg)\n");
        let book = page("docs/x.md", "[root](../README.md)\n");
        let broken = broken_links(&[root, book]);
        assert_eq!(broken.len(), 5, "{broken:?}");
        assert!(broken[0].starts_with("README.md:2: #u"), "{broken:?}");
        assert!(broken[4].contains("docs/x.md: docs/SUMMARY.md does not list it"), "{broken:?}");
    }
}
