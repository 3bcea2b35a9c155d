// SPDX-License-Identifier: MIT OR Apache-2.0

//! Placements that `placement=` and `placements=` name, and their use for an area.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Session;
use crate::Failure;
use crate::syntax::Args;
use cma::AreaId;
use lab::compare::MAX_PLACEMENTS;
use lab::keys::{Keys, shown};
use machine::Machine;
use placement::Placement;
use placements::{BadPlacement, PLACEMENTS};

/// Returns the placement that `text` names.
pub(super) fn placement_named(text: &str) -> Result<Box<dyn Placement>, Failure> {
    placements::parse(text).map_err(|bad| {
        let name = shown(text);
        Failure::bad(match bad {
            BadPlacement::Unknown => {
                let names = PLACEMENTS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(" ");
                format!("no placement {name}; there are {names}")
            }
            BadPlacement::Parameters(entry, "") => format!("{name}: {entry} takes no parameters"),
            BadPlacement::Parameters(entry, usual) => {
                format!("{name}: the parameters of {entry} look like {entry}{usual}")
            }
        })
    })
}

/// Returns the placement that `placement=` names, if given.
pub(super) fn placement_of(args: &Args) -> Result<Option<Box<dyn Placement>>, Failure> {
    args.key("placement").map(placement_named).transpose()
}

/// Returns the placements that `placements=` names; all if it is not given.
pub(super) fn placement_names(args: &Args) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = match args.key("placements") {
        Some(list) => list.split(',').map(ToString::to_string).collect(),
        None => PLACEMENTS.iter().map(|entry| entry.name.to_string()).collect(),
    };
    if names.len() > MAX_PLACEMENTS {
        return Err(Failure::bad(format!("more than {MAX_PLACEMENTS} placements (MAX_PLACEMENTS)")));
    }
    for name in &names {
        placement_named(name)?;
    }
    Ok(names)
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    /// Runs `load` while areas have other placements, and restores their own.
    pub(super) fn with_placements(
        &mut self,
        placements: impl IntoIterator<Item = (AreaId, Box<dyn Placement>)>,
        load: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut set = |(area, placement)| (area, self.system.area_mut(area).set_placement(placement));
        let before: Vec<_> = placements.into_iter().map(&mut set).collect();
        let result = load(self);
        for (area, placement) in before {
            self.system.area_mut(area).set_placement(placement);
        }
        result
    }
}
