// SPDX-License-Identifier: MIT OR Apache-2.0

//! For driver authors: the smallest complete driver, over the DMA API of [`crate::dma`].
//!
//! It takes a picture:
//! ```
//! use kernel::dma::{DeviceId, Direction, DmaError};
//! use kernel::system::System;
//! use kernel::units::PhysAddr;
//!
//! /// Takes a picture of 300 KiB: the camera reads a page of settings, and writes the picture.
//! fn take_picture(system: &mut System<'_>, camera: DeviceId, settings: PhysAddr) -> Result<u32, DmaError> {
//!     // Contiguous, zeroed, from the camera's area; what either side writes, the other sees.
//!     let picture = system.dma_alloc_coherent(camera, 300 << 10)?;
//!     // From here on the page is the camera's: cleaned out of the caches, and pinned.
//!     let lent = system.streaming().map(camera, settings, 4096, Direction::ToDevice)?;
//!
//!     registers::start(lent.device_address().bits(), picture.device_address().bits());
//!
//!     system.streaming().unmap(lent)?;
//!     let first_pixels = system.dma_mut().load_word(&picture, 0)?;
//!     system.dma_free_coherent(picture)?;
//!     Ok(first_pixels)
//! }
//!
//! # mod registers {
//! #     pub fn start(_settings: u32, _picture: u32) {}
//! # }
//! # use kernel::mm::zone::{Zone, descriptors};
//! # use kernel::mm::{Migratetype, PAGEBLOCK_PAGES, Page};
//! # use kernel::units::Pfn;
//! # let mut pages = vec![Page::default(); descriptors(4 * PAGEBLOCK_PAGES)];
//! # let mut zone = Zone::new(Pfn(0x60000), &mut pages);
//! # zone.free_range(Pfn(0x60000), 2 * PAGEBLOCK_PAGES);
//! # let user = kernel::cma::AreaUser { device: "camera@10020000".into(), area: "camera".into(), by_region: true };
//! # let mut system = System::new(zone, vec![user]);
//! # let area = system.activate_area("camera".into(), Pfn(0x60800), 2 * PAGEBLOCK_PAGES, true);
//! # system.dma_mut().attach(Box::new(kernel::dma::CoherentRam::default()));
//! # system.dma_mut().checker_mut().enable(true);
//! let camera = system.dma_add_device("camera@10020000")?;
//! # let block = system.zone_mut().alloc_pages(0, Migratetype::Unmovable).unwrap();
//! # let settings = block.first().addr();
//! let pixels = take_picture(&mut system, camera, settings)?;
//! system.dma_remove_device(camera)?;
//! # assert_eq!((pixels, system.area(area).stats().alloc_pages_success), (0, 75));
//! # assert_eq!((system.dma().checker().errors(), system.area(area).used_pages()), (0, 0));
//! # Ok::<(), DmaError>(())
//! ```

pub use ::dma::{Coherent, DeviceId, Direction, DmaError};
