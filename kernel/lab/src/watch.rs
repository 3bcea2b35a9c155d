// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hook between two steps of a load or a replay: the machine can draw the areas, and Ctrl-C ends
//! the run.

use alloc::vec::Vec;

use super::obstacles::obstacles;
use machine::Machine;
use system::System;

/// Returns the areas as words: for each its pages, used pages, longest free run and number of
/// buffers, then for each buffer its first page, from the area's first, and its pages.
pub fn areas(system: &System<'_>) -> Vec<u32> {
    let mut words = Vec::new();
    for id in system.area_ids() {
        let area = system.area(id);
        let buffers: Vec<u32> = obstacles(system, id, 0).flat_map(|buffer| [buffer.page, buffer.pages]).collect();
        words.extend([area.pages(), area.used_pages(), area.longest_free_run(), buffers.len() as u32 / 2]);
        words.extend(buffers);
    }
    words
}

/// Shows the areas to the machine, then returns [`Machine::interrupted`].
#[inline]
pub(crate) fn interrupted<M: Machine + ?Sized>(machine: &M, system: &System<'_>) -> bool {
    machine.show_areas(&|| areas(system));
    machine.interrupted()
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::areas;
    use board_mock::with_small_board;

    #[test]
    fn every_buffer_of_every_area_is_in_the_words() {
        with_small_board(|system, _| {
            let area = system.find_area("BiscuitOS_cma").expect("the board has it");
            let empty = [2048, 0, 2048, 0];
            assert_eq!(areas(system), [empty, empty].concat());
            let first = system.cma_alloc(area, 3, 0).expect("there is room");
            let other = system.cma_alloc(area, 8, 3).expect("there is room");
            let _id = system.keep(first);
            let full = vec![2048, 11, 2032, 2, 0, 3, 8, 8];
            assert_eq!(areas(system), [&empty[..], &full].concat());
            system.cma_release(other).expect("it is held");
        });
    }
}
