// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris view`: the state that a log or debugfs describes, as the laboratory's own commands show
//! it.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::rc::Rc;

use host::board::{Board, MAX_AREA_PAGES};
use host::kind::Kind;
use host::size::PAGEBLOCK_PAGES;
use kernel::lab::state;

use crate::cli::View;
use crate::{Failure, now_ns, read, say, unfit};

pub(crate) fn run(arguments: &View) -> Result<(), Failure> {
    let text = read(&arguments.file)?;
    let bad = |line: String| Failure::bad(format!("{}: {line}", arguments.file.display()));
    let found = state::find(&text, arguments.line, arguments.order_per_bit);
    let found = found.map_err(|error| unfit(&arguments.file, &text, &error, Kind::State))?;
    let pages = found.pages.next_multiple_of(PAGEBLOCK_PAGES);
    if pages > MAX_AREA_PAGES {
        return Err(bad(format!("an area of {} MiB at most can be shown", MAX_AREA_PAGES / 256)));
    }
    let name = found.name.map(quotable).filter(|name| !name.is_empty()).unwrap_or_else(|| crate::AREA.into());
    let mut line = format!("load area='{name}'");
    if let Some(number) = arguments.line {
        line += &format!(" line={number}");
    }
    if let Some(order) = arguments.order_per_bit {
        line += &format!(" order_per_bit={order}");
    }
    line += &format!("; picture '{name}'");
    if let Some(pages) = arguments.pages {
        line += &format!("; alloc '{name}' {pages}");
        if let Some(order) = arguments.align {
            line += &format!(" {order}");
        }
    }
    let printed = Rc::new(RefCell::new(String::new()));
    let sink = printed.clone();
    let print = Box::new(move |piece: &str| sink.borrow_mut().push_str(piece));
    let status = Board::of_one(&name, pages)
        .with(now_ns, print, |system, host| host::monitor_line(system, host, Some(&text), &line));
    let printed = printed.take();
    let colours = io::stdout().is_terminal();
    for line in printed.lines().filter(|line| line.starts_with('{') == arguments.json && !line.starts_with("run=:")) {
        if colours { say(format_args!("{}\n", coloured(line))) } else { say(format_args!("{line}\n")) }?;
    }
    // A request that does not fit is the answer, not a failure of the tool.
    match status {
        0 => Ok(()),
        _ if arguments.pages.is_some() && printed.contains("longest free run") => Ok(()),
        status => Err(Failure { line: format!("`{line}` ended with status {status}"), status }),
    }
}

/// A name as the monitor's line takes it between quotes.
fn quotable(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control() && !"'\";|&".contains(*letter)).collect()
}

/// A row of the picture in the terminal's colours: used pages red, the longest free run green.
fn coloured(line: &str) -> String {
    let Some((front, rest)) = line.split_once('|') else { return line.to_owned() };
    let Some((map, behind)) = rest.rsplit_once('|') else { return line.to_owned() };
    let mut text = format!("{front}|");
    for letter in map.chars() {
        match letter {
            'X' => text.push_str("\x1b[41mX\x1b[0m"),
            '+' => text.push_str("\x1b[43m+\x1b[0m"),
            '=' => text.push_str("\x1b[42m=\x1b[0m"),
            letter => text.push(letter),
        }
    }
    text + "|" + behind
}
