// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris view`: the state in a log or in debugfs, as the laboratory's commands show it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::rc::Rc;

use host::board::{Board, MAX_AREA_PAGES};
use host::kind::Kind;
use host::size::PAGEBLOCK_PAGES;
use kernel::cma::{AreaId, align_order_of};
use kernel::lab::record::Record;
use kernel::lab::{obstacles, state};
use kernel::system::System;

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
    let printed = Rc::new(RefCell::new(String::new()));
    let sink = printed.clone();
    let print = Box::new(move |piece: &str| sink.borrow_mut().push_str(piece));
    let status = Board::of_one(&name, pages).with(now_ns, print, |system, host| {
        let status = host::monitor_line(system, host, Some(&text), &line);
        let (0, Some(pages), Some(area)) = (status, arguments.pages, system.find_area(&name)) else { return status };
        let order = arguments.align.unwrap_or_else(|| align_order_of(pages));
        let record = record(system, area, pages, order);
        line = format!("alloc '{name}' {pages} {order}");
        let status = host::monitor_line(system, host, Some(&text), &line);
        printed.borrow_mut().push_str(&format!("{record}\n"));
        status
    });
    let printed = printed.take();
    let colours = io::stdout().is_terminal();
    for line in printed.lines().filter(|line| line.starts_with('{') == arguments.json && !line.starts_with("run=:")) {
        let line = &*without_board(line);
        if colours { say(format_args!("{}\n", coloured(line))) } else { say(format_args!("{line}\n")) }?;
    }
    // A request that does not fit is the answer, not a failure of the tool.
    match status {
        0 => Ok(()),
        _ if arguments.pages.is_some() && printed.contains("longest free run") => Ok(()),
        status => Err(Failure { line: format!("`{line}` ended with status {status}"), status }),
    }
}

/// Returns the record of a request's fit into an area, with the windows that are cheapest to empty.
fn record(system: &System<'_>, id: AreaId, pages: u32, align_order: u32) -> Record {
    let area = system.area(id);
    let bit = area.request(pages, align_order).map(|request| area.bitmap().first_fit(&request, 0));
    let cause = match bit {
        Ok(Some(_)) => "none",
        Ok(None) if pages > area.free_pages() => "full",
        Ok(None) => "fragmented",
        Err(_) => "invalid",
    };
    let windows = if cause == "none" {
        obstacles::Windows::default()
    } else {
        obstacles::windows(system, id, pages, align_order)
    };
    let windows = windows.iter().flatten().map(|window| {
        Record::object()
            .number("page", window.page)
            .number("used", window.used)
            .number("buffers", window.buffers)
            .number("cost", window.cost)
    });
    Record::new("view")
        .string("area", area.name())
        .number("pages", pages)
        .number("align_order", align_order)
        .number("fits", u32::from(cause == "none"))
        .string("cause", cause)
        .number("page", bit.ok().flatten().map_or(0, |bit| bit << area.order_per_bit()))
        .number("free", area.free_pages())
        .number("maxchunk", area.longest_free_run())
        .objects("windows", windows)
}

/// Returns the characters of a name that the monitor's line takes between quotes.
fn quotable(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control() && !"'\";|&".contains(*letter)).collect()
}

/// Returns a line without what is true only of the board here: the area's address in the picture's
/// heading, and the prompt's command that empties the area.
fn without_board(line: &str) -> Cow<'_, str> {
    if line.starts_with('{') {
        return line.into();
    }
    if let Some((front, _)) = line.split_once("; `release all ") {
        return format!("{front}.").into();
    }
    let heading =
        line.rsplit_once(", one character for ").and_then(|(front, rest)| Some((front.rsplit_once(" from 0x")?, rest)));
    match heading {
        Some(((pages, _), rest)) => format!("{pages}, one character for {rest}").into(),
        None => line.into(),
    }
}

/// Colours a picture's row for a terminal: used red, partly used yellow, longest free run green.
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
