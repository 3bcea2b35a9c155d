// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `load`: puts the state that the initrd describes into an area.

use alloc::format;
use core::fmt::Write;

use super::areas::{choose_area, in_the_way};
use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use lab::help::Help;
use lab::keys::{Keys, number};
use lab::state::{self, LoadError, MAX_ORDER_PER_BIT};
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "load",
                usage: "[area=NAME] [line=N] [order_per_bit=N]",
                summary: "puts an area into the state that the initrd describes",
                details: "The state is what Linux prints where an allocation fails, `number of available pages: N@P+N@P=> F free \
                  of T total pages`, anywhere in a log, or debugfs's bitmap: a line of decimal words, or the output of \
                  `grep \"\" *` in the area's directory. Of several it is the last, or the one that begins at line=. \
                  order_per_bit= is log2 of the pages that a bit stands for, if the text does not say. Without area= it \
                  goes to the area of its name, or to one of its size. Each run of used pages becomes a buffer; then alloc \
                  says what fits, `replay` may begin there, and `release all` empties the area.",
                example: "load",
            },
            run: |session, args| session.load_state(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn load_state(&mut self, args: &Args) -> Result<(), Failure> {
        let named = args.key("area");
        let unnamed = choose_area(self.system, named)?;
        let line = args.key("line").map(|line| number("line", line, 1, u64::MAX)).transpose()?;
        let order = args.key("order_per_bit").map(|order| number("order_per_bit", order, 0, MAX_ORDER_PER_BIT.into()));
        let order = order.transpose()?.map(|order| order as u32);
        let Some(text) = self.context.initrd else {
            return Err(Failure::bad("there is no state; boot with one as the initrd (-initrd FILE)"));
        };
        let state = state::find(text, line, order).map_err(|error| Failure::bad(format!("{error}")))?;
        let area = if named.is_some() { unnamed } else { state.area(self.system, unnamed) };
        self.without_job(area)?;
        let report = state::put(self.system, area, &state).map_err(|error| {
            let remedy = match error {
                LoadError::NotEmpty { .. } => format!(": {}", in_the_way(self.system, area)),
                _ => "".into(),
            };
            Failure::bad(format!("{error}{remedy}"))
        })?;
        self.loaded.retain(|loaded| loaded.area != area);
        self.loaded.push(report.loaded);
        write!(self.out, "{report}")?;
        writeln!(self.out, "{}", report.record())?;
        Ok(())
    }
}
