// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests in bits, the bounds of what is released, the accounting of an area, and the area of a
//! device.

use std::string::ToString;
use std::vec;

use super::area::Area;
use super::*;
use ::placement::bitmap::Bitmap;
use ::placement::{Placement, Request};
use page_alloc::zone::{Zone, descriptors};
use page_alloc::{PAGEBLOCK_PAGES, Page};

const BASE: Pfn = Pfn(0x60400);

/// Makes an area of 1024 pages, without a zone.
fn area(order_per_bit: u32) -> Area {
    Area::new("camera".into(), BASE, 1024, order_per_bit)
}

/// Runs a test with two areas of a pageblock each in a zone; the second is the default area.
fn with_areas(test: impl FnOnce(&mut Areas, &mut Zone<'_>, [AreaId; 2])) {
    let mut pages = vec![Page::default(); descriptors(2 * PAGEBLOCK_PAGES)];
    let mut zone = Zone::new(BASE, &mut pages);
    let mut areas = Areas::default();
    let first = areas.activate(&mut zone, "camera".into(), BASE, PAGEBLOCK_PAGES, false);
    let second = areas.activate(&mut zone, "video".into(), BASE.add(PAGEBLOCK_PAGES), PAGEBLOCK_PAGES, true);
    test(&mut areas, &mut zone, [first, second]);
}

#[test]
fn a_request_is_rounded_up_to_bits_and_aligned_by_addresses() {
    let invalid = |argument| Err(CmaError::Invalid { argument });
    let request = |bits, align_mask, align_offset| Ok(Request { bits, align_mask, align_offset });
    assert_eq!(area(0).request(0, 0), invalid("number of pages"));
    assert_eq!(area(0).request(1, 21), invalid("alignment order"));
    assert_eq!(area(0).request(51, 6), request(51, 63, 0));
    assert_eq!(area(0).request(1, 11), request(1, 2047, 0x400), "its base is not a multiple of 2^11 pages");
    assert_eq!(area(0).request(1, 20), request(1, 0xf_ffff, 0x6_0400));
    // A bit is four pages: smaller alignments become that.
    assert_eq!(area(2).request(1, 1), request(1, 0, 0));
    assert_eq!(area(2).request(4, 2), request(1, 0, 0));
    assert_eq!(area(2).request(5, 11), request(2, 511, 0x100));
    assert_eq!(area(2).request(1024, 0), request(256, 0, 0));
    assert_eq!(area(2).request(1025, 0), request(u32::MAX, 0, 0), "more than the area has");
    assert_eq!(area(2).request(u32::MAX, 0), request(u32::MAX, 0, 0));
}

#[test]
fn pages_are_counted_in_whole_bits() {
    let mut area = area(2);
    area.reserve(3, 2);
    assert_eq!((area.used_pages(), area.free_pages(), area.longest_free_run()), (8, 1016, 1004));
    assert_eq!((area.frame(3), area.pages(), area.order_per_bit()), (BASE.add(12), 1024, 2));
    let whole = |bits| Request { bits, align_mask: 0, align_offset: 0 };
    assert_eq!((area.place(&whole(251)), area.place(&whole(252)), area.place(&whole(255))), (Some(5), None, None));
    assert_eq!(area.shortage(1016), CmaError::Fragmented { free: 1016 });
    assert_eq!(area.shortage(1017), CmaError::Full { free: 1016 });
    let words = area.explain(area.shortage(1016)).to_string();
    assert_eq!(words, "fragmented: 1016 pages free, longest free run 1004");
    assert_eq!(area.explain(area.shortage(1017)).to_string(), "full: 1016 pages free");
}

#[test]
fn what_lies_outside_or_is_not_allocated_is_not_taken_back() {
    let mut area = area(2);
    area.reserve(0, 2);
    area.reserve(254, 2);
    let outside = |frame| Err(ReleaseError::OutsideArea { frame });
    for (first, pages) in [(BASE.0 - 1, 1), (BASE.0 + 1024, 1), (BASE.0 + 1020, 5), (BASE.0, 1025), (0, 1)] {
        assert_eq!(area.release(Pfn(first), pages), outside(Pfn(first)), "{first:#x}, {pages} pages");
    }
    let clear = ReleaseError::NotAllocated { frame: BASE.add(8) };
    assert_eq!(area.release(BASE.add(4), 5), Err(clear));
    assert_eq!(clear.to_string(), "the page at pfn 0x60408 is not allocated");
    assert_eq!(area.used_pages(), 16, "nothing of it was taken");
    assert_eq!(area.release(BASE.add(1016), 8), Ok(()), "up to the last page");
    assert_eq!(area.release(BASE, 5), Ok(()));
    assert_eq!(area.used_pages(), 0);
}

/// A placement that does not go by address: the highest candidate.
struct Highest;

impl Placement for Highest {
    fn name(&self) -> &'static str {
        "highest"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        let fits = |&bit: &u32| bit & request.align_mask == 0 && map.is_free(bit, request.bits);
        (start..=map.bits() - request.bits).rev().find(fits)
    }
}

/// The search continues after a candidate in use: at the next aligned place; for a rule that does
/// not go by address, once more from the beginning.
#[test]
fn no_candidate_is_left_out() {
    let mut area = area(0);
    let request = area.request(1, 4).unwrap();
    let mut swept = false;
    assert_eq!(area.place_behind(&request, 32, &mut swept), Some(48));
    assert_eq!((area.place_behind(&request, 1008, &mut swept), swept), (None, false), "a rule that goes by address");
    area.set_placement(alloc::boxed::Box::new(Highest));
    assert_eq!((area.place(&request), area.place_behind(&request, 1008, &mut swept)), (Some(1008), Some(0)));
    assert!(swept);
    assert_eq!(area.place_behind(&request, 0, &mut swept), Some(16), "the lowest from there on");
    assert_eq!(area.place_behind(&request, 1008, &mut swept), None);
}

#[test]
fn an_area_counts_what_it_did() {
    with_areas(|areas, zone, [id, _]| {
        let buffer = areas.alloc(zone, id, 51, 6).unwrap();
        let other = areas.alloc(zone, id, 7, 0).unwrap();
        areas.alloc(zone, id, 1000, 0).unwrap_err();
        areas.alloc(zone, id, 30, 10).unwrap_err();
        areas.release(zone, &buffer).unwrap();
        let stats = *areas.get(id).stats();
        assert_eq!((stats.alloc_success, stats.alloc_pages_success, stats.release_pages_success), (2, 58, 51));
        assert_eq!((stats.alloc_fail, stats.alloc_pages_fail), (2, 1030));
        areas.release(zone, &other).unwrap();
        assert_eq!((zone.nr_free_cma(), areas.get(id).used_pages()), (2 * PAGEBLOCK_PAGES, 0));
    });
}

#[test]
fn books_that_disagree_are_found() {
    let what = |areas: &Areas, zone: &Zone<'_>, id| {
        let imbalance = areas.get(id).check(zone).unwrap_err();
        (imbalance.what, imbalance.frame.map(|frame| frame.0 - BASE.0))
    };
    with_areas(|areas, zone, [id, other]| {
        let buffer = areas.alloc(zone, id, 8, 3).unwrap();
        areas.get(id).check(zone).unwrap();
        for (bit, bits, expected) in [
            (16, 1, ("an allocated page is in no block", Some(16))),
            (17, 1, ("allocated pages in a block", Some(17))),
            (8, 2, ("no block begins at an allocated page", Some(8))),
        ] {
            areas.get_mut(id).reserve(bit, bits);
            assert_eq!(what(areas, zone, id), expected);
            areas.get_mut(id).release(BASE.add(bit), bits).unwrap();
        }
        areas.get_mut(id).release(BASE, 2).unwrap();
        assert_eq!(what(areas, zone, id), ("a page that is not allocated is in a block", Some(0)));
        areas.get_mut(id).reserve(0, 2);
        areas.get(id).check(zone).unwrap();
        areas.get(other).check(zone).unwrap();
        areas.release(zone, &buffer).unwrap();
        areas.get(id).check(zone).unwrap();
    });
}

/// If a bit is four pages, five pages take two bits, and the page allocator keeps the three pages
/// after them.
#[test]
fn the_rest_of_a_bit_stays_with_the_page_allocator() {
    with_areas(|_, zone, _| {
        let mut area = area(2);
        let buffer = area.take_free(zone, AreaId(0), &area.request(5, 2).unwrap(), 5, 3).unwrap();
        assert_eq!((buffer.first(), buffer.pages(), area.used_pages()), (BASE.add(12), 5, 8));
        assert_eq!(zone.nr_free_cma(), 2 * PAGEBLOCK_PAGES - 5);
        area.check(zone).unwrap();
    });
}

#[test]
fn an_area_is_found_by_its_name_and_its_devices() {
    let user = |device: &str, area: &str, by_region| AreaUser { device: device.into(), area: area.into(), by_region };
    let users = vec![user("dsp", "gone", true), user("isp", "gone", true), user("isp", "video", false)];
    let mut pages = vec![Page::default(); descriptors(3 * PAGEBLOCK_PAGES)];
    let mut zone = Zone::new(BASE, &mut pages);
    let mut areas = Areas::new(users.clone());
    assert_eq!((areas.unnamed(), areas.default_area(), areas.list().len()), (None, None, 0));
    let camera = areas.activate(&mut zone, "camera".into(), BASE, PAGEBLOCK_PAGES, false);
    assert_eq!(areas.unnamed(), Some(camera), "the first where no other is asked for");
    let default = areas.activate(&mut zone, "reserved".into(), BASE.add(1024), PAGEBLOCK_PAGES, true);
    assert_eq!(areas.unnamed(), Some(default));
    areas.set_default_unasked();
    assert_eq!((areas.unnamed(), areas.default_area()), (Some(camera), Some(default)));
    assert_eq!((areas.named_by_device(), areas.of_device("isp"), areas.region_is_refused("isp")), (None, None, true));
    let video = areas.activate(&mut zone, "video".into(), BASE.add(2048), PAGEBLOCK_PAGES, false);
    assert_eq!((areas.unnamed(), areas.named_by_device()), (Some(video), Some(video)));
    assert_eq!((areas.find("video"), areas.find("vide")), (Some(video), None));
    assert_eq!((areas.of_device("isp"), areas.of_device("dsp"), areas.of_device("no")), (Some(video), None, None));
    let refused = ["isp", "dsp", "no"].map(|device| areas.region_is_refused(device));
    assert_eq!(refused, [false, true, false]);
    assert_eq!((areas.users(), areas.ids().collect::<vec::Vec<_>>()), (&users[..], vec![camera, default, video]));
    let names = areas.list().iter().map(Area::name);
    assert_eq!(names.collect::<vec::Vec<_>>(), ["camera", "reserved", "video"], "in the order they were activated");
    assert!(areas.get(video).base() == BASE.add(2048) && areas.get(default).name() == "reserved");
}

#[test]
fn behind_a_candidate_in_use_is_the_next_place_that_is_aligned() {
    let mut area = area(0);
    let single = Request { bits: 1, align_mask: 0, align_offset: 0 };
    let aligned = Request { align_mask: 15, ..single };
    let behind = |request, busy| area.place_behind(request, busy, &mut false);
    assert_eq!((behind(&single, 0), behind(&single, 5), behind(&aligned, 16)), (Some(1), Some(6), Some(32)));
    assert_eq!(behind(&single, 1023), None);
    area.reserve(6, 10);
    assert_eq!(area.place_behind(&single, 5, &mut false), Some(16));
}

#[test]
fn relocations_add_up() {
    let one = Relocations { served: 1, in_vain: 2, moved_buffers: 3, moved_pages: 4, busy: 5, ns: 6 };
    let other = Relocations { served: 10, in_vain: 20, moved_buffers: 30, moved_pages: 40, busy: 50, ns: 60 };
    let both = Relocations { served: 11, in_vain: 22, moved_buffers: 33, moved_pages: 44, busy: 55, ns: 66 };
    let mut sum = one;
    sum.include(&other);
    assert_eq!((sum, both.since(&one), both.since(&other)), (both, other, one));
}

#[test]
fn a_buffer_is_parted_where_asked() {
    let (front, back) = Buffer::new(AreaId(3), BASE, 10).split(4);
    assert_eq!(front, Buffer::new(AreaId(3), BASE, 4));
    assert_eq!(back, Buffer::new(AreaId(3), BASE.add(4), 6));
}

#[test]
fn who_is_in_the_way_is_said() {
    use blocked::{Blocked, Owner, Phase, Why};
    let phases = ["search", "isolate", "drain", "migrate", "reclaim", "test", "grab", "undo"];
    assert_eq!(Phase::ALL.map(Phase::name), phases);
    for (owner, why, words) in [
        (Owner::Kernel, Why::Unmovable, "of the kernel, is in the way: it cannot be moved"),
        (Owner::Process(7), Why::Pinned, "of process 7, is in the way: it is pinned"),
        (Owner::Cache(8), Why::NoTarget, "of page 8 of the cache, is in the way: there is no page to move it to"),
        (Owner::Pin("a driver"), Why::StillInUse, "of a driver, is in the way: it was still in use"),
        (Owner::Nobody, Why::Isolated, "of nobody, is in the way: another allocation has isolated its pageblock"),
    ] {
        let text = Blocked { frame: BASE, owner, why, phase: Phase::Grab }.to_string();
        assert_eq!(text, std::format!("the page at pfn 0x60400, {words} (grab)"));
    }
}

#[test]
fn errors_have_linux_s_numbers_and_words() {
    let linux = LinuxVersion::default();
    let no_room = -linux.differences().errno_no_room;
    let blocked = Blocked {
        frame: BASE,
        owner: blocked::Owner::Process(3),
        why: blocked::Why::Pinned,
        phase: blocked::Phase::Isolate,
    };
    for (error, errno, cause, words) in [
        (CmaError::Full { free: 3 }, no_room, "full", "full: 3 pages free"),
        (CmaError::Fragmented { free: 3 }, no_room, "fragmented", "fragmented: 3 pages free"),
        (CmaError::Invalid { argument: "x" }, -22, "invalid", "invalid x"),
        (
            CmaError::Busy(blocked),
            -16,
            "busy",
            "busy: the page at pfn 0x60400, of process 3, is in the way: it is pinned",
        ),
        (CmaError::NoMemory(blocked), -12, "no-memory", "no memory: the page at pfn 0x60400"),
    ] {
        assert_eq!((error.errno(linux), error.cause()), (errno, cause));
        assert!(error.to_string().starts_with(words), "{error}");
    }
}
