// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of the DMA API on a machine with two caches.

mod alignment;
mod coherent;
mod misuse;
mod ownership;

use crate::dma::MockHardware;
use crate::with_board;
use cma::AreaId;
use dma::checker::{self, Misuse};
use dma::*;
use page_alloc::Migratetype;
use page_alloc::policy::{CmaUse, Lend};
use system::System;
use units::{Pfn, PhysAddr};

/// A board with DMA, its checker, and a device with the area `BiscuitOS_cma`.
fn with_device(test: impl FnOnce(&mut System<'_>, &MockHardware, DeviceId)) {
    with_board(64, |system, _| {
        let hardware = MockHardware::default();
        system.dma_mut().attach(Box::new(hardware.clone()));
        system.dma_mut().checker_mut().enable(true);
        system.dma_mut().checker_mut().set_quiet(true);
        let device = system.dma_add_device("BiscuitOS_CMA").unwrap();
        test(system, &hardware, device);
        assert_eq!(system.check(), Ok(()));
    });
}

/// Adds to `with_device` memory of the driver's own, whose address is passed.
fn with_pages(order: u32, test: impl FnOnce(&mut System<'_>, &MockHardware, DeviceId, PhysAddr)) {
    with_device(|system, hardware, device| {
        let block = system.zone_mut().alloc_pages(order, Migratetype::Unmovable).unwrap();
        let start = block.first().addr();
        test(system, hardware, device, start);
        system.zone_mut().free_pages(block);
    });
}

fn area(system: &System<'_>, name: &str) -> AreaId {
    system.find_area(name).unwrap()
}

/// Takes the new reports and returns their misuses; checks each report's device and call sites.
fn misuses(system: &mut System<'_>) -> Vec<Misuse> {
    let reports = system.dma_mut().checker_mut().take_reports();
    for report in &reports {
        assert_eq!(report.device, "BiscuitOS_CMA");
        assert!(report.at.file().contains("tests/dma"), "the driver's call, not one of ours: {report}");
        assert!(report.made_at.is_none_or(|at| at.file().contains("tests/dma")), "{report}");
    }
    reports.into_iter().map(|report| report.misuse).collect()
}
