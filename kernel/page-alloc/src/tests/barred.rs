// SPDX-License-Identifier: MIT OR Apache-2.0

//! Areas that are barred for a while, all of them or one.

use super::*;

#[test]
fn nobody_enters_an_area_that_is_barred() {
    let mut pages = pages(4);
    let mut zone = zone(&mut pages, 1, 3);
    let area = |frame: Pfn| (frame.0 - START.0) / PAGEBLOCK_PAGES;
    let block = |zone: &mut Zone<'_>| zone.alloc_pages(0, Movable).map(|block| area(block.first())).unwrap();
    let page = |zone: &mut Zone<'_>| area(page_at(zone, |zone| zone.alloc_page(Movable, true)));
    // Most free memory is in the areas, and requests go there first.
    assert!(block(&mut zone) > 0);
    zone.bar_cma(true);
    assert_eq!((block(&mut zone), page(&mut zone), zone.alloc_pages_bulk(&mut [Frame(0); 4], 0, true)), (0, 0, 0));
    assert!(zone.alloc_pages(MAX_PAGE_ORDER, Movable).is_err(), "the areas alone have such blocks");
    // Barring one area has no effect while all are barred, and unbarring it has none either.
    zone.bar_area(START.add(PAGEBLOCK_PAGES), PAGEBLOCK_PAGES);
    assert_eq!(page(&mut zone), 0);
    zone.unbar_area();
    assert!(zone.is_cma_barred());
    zone.bar_cma(false);
    assert!(block(&mut zone) > 0);
    for barred in 1..=3 {
        zone.bar_area(START.add(barred * PAGEBLOCK_PAGES), PAGEBLOCK_PAGES);
        assert_eq!((block(&mut zone), zone.alloc_pages_bulk(&mut [Frame(0); 4], 0, true)), (0, 0));
        let other = page(&mut zone);
        assert!(other > 0 && other != barred, "{other}");
        zone.unbar_area();
        assert!(!zone.is_cma_barred() && block(&mut zone) > 0);
    }
    zone.check().unwrap();
}

#[test]
fn pages_that_cannot_be_had_do_not_count_above_a_watermark() {
    let mut pages = pages(4);
    let mut zone = zone(&mut pages, 1, 3);
    let usable = |zone: &Zone<'_>, lent: bool| {
        let pages = [1024, 3072, 4096].into_iter().find(|&mark| !zone.watermark_ok(mark, lent)).unwrap();
        assert!(zone.watermark_ok(pages - 1, lent), "more than the mark, by one page");
        pages
    };
    assert_eq!([true, false].map(|lent| usable(&zone, lent)), [4096, 1024]);
    zone.bar_area(START.add(2 * PAGEBLOCK_PAGES), PAGEBLOCK_PAGES);
    assert_eq!([true, false].map(|lent| usable(&zone, lent)), [3072, 1024], "all but those of one area");
    zone.unbar_area();
    zone.bar_cma(true);
    assert_eq!([true, false].map(|lent| usable(&zone, lent)), [1024, 1024]);
}
