// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands: a table of files, each with the help and the function of its commands.
//!
//! Every load is a command too ([`LOADS`]).

mod callers;
mod loads;
mod placements;
mod replay_callers;

use alloc::string::String;
use alloc::vec::Vec;

use super::help::Usage;
use super::jobs::Jobs;
use super::output::Output;
use super::syntax::Args;
use super::{Context, End, Failure};
use ::machine::Machine;
use lab::help::Help;
use lab::load::LOADS;
use lab::state::Loaded;
use system::System;
use units::table;

table! {
    /// The commands except the loads, in the order in which `help` lists them.
    commands<M: Machine>: [Command<M>] =
        compare,
        jobs,
        replay,
        state,
        areas,
        room,
        dma,
        files,
        pressure,
        copytest,
        disk,
        bench,
        selftest,
        fault,
        help,
        grep,
        machine,
        #[cfg(test)] example,
}

/// A command.
pub(super) struct Command<M: ?Sized> {
    /// Name, usage and texts.
    pub(super) help: Help,
    /// Executes the command.
    pub(super) run: fn(&mut Session<'_, '_, M>, &Args) -> Result<(), Failure>,
}

impl<M: Machine + ?Sized> Command<M> {
    /// Returns the full usage.
    pub(super) fn usage(&self) -> Usage {
        Usage::of(&self.help)
    }
}

/// Returns all commands, the loads first.
pub(super) fn all<M: Machine + ?Sized>() -> impl Iterator<Item = Command<M>> + Clone {
    let loads = LOADS.iter().map(|load| Command { help: load.help, run: |session, args| session.load(args) });
    loads.chain(commands::<M>().iter().map(|command| Command { help: command.help, run: command.run }))
}

/// Returns the help of every command, in the order in which `help` lists them.
pub fn help_of_all<M: Machine + ?Sized>() -> impl Iterator<Item = Help> + Clone {
    all::<M>().map(|command| command.help)
}

/// Returns the command called `name`.
pub(super) fn find<M: Machine + ?Sized>(name: &str) -> Option<Command<M>> {
    all().find(|command| command.help.name == name)
}

/// The state that a command works on.
pub(super) struct Session<'s, 'm, M: ?Sized> {
    pub(super) system: &'s mut System<'m>,
    pub(super) context: &'s Context<'s>,
    /// The command's name.
    pub(super) name: &'static str,
    /// Largest status of the commands of `run=` so far.
    pub(super) worst: u8,
    pub(super) jobs: &'s mut Jobs,
    /// The states that `load` put into areas.
    pub(super) loaded: &'s mut Vec<Loaded>,
    /// The command as typed, if it ended in `&`.
    pub(super) background: Option<String>,
    pub(super) out: Output<'s, M>,
    /// The end of the machine, if the command requests it.
    pub(super) end: Option<End>,
}
