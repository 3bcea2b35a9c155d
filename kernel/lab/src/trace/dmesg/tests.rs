// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::trace::Format;
use std::borrow::ToOwned;
use std::vec;
use std::vec::Vec;

fn read_all(text: &str) -> Vec<(u64, Said<'_>)> {
    events(text.as_bytes())
        .map(|event| event.map(|(line, said)| (line.number, said)))
        .collect::<Result<_, _>>()
        .expect("a good log")
}

fn at(value: u64) -> Page {
    Page::At(Pointer { value, wide: value >> 32 != 0 })
}

#[test]
fn every_form_behind_every_prefix() {
    let forms: [(&str, &[u8], u64); 5] = [
        (
            "cma: dma_alloc_from_contiguous(cma c0912345, count 3, align 2)\ncma: dma_alloc_from_contiguous(): returned c1000000\n",
            b"c0912345",
            0xc100_0000,
        ),
        (
            "cma: cma_alloc(cma 814923f8, count 3, align 2)\ncma: cma_alloc(): returned b7eb8f80\n",
            b"814923f8",
            0xb7eb_8f80,
        ),
        (
            "cma: cma_alloc(cma (____ptrval____), name: linux,cma, count 3, align 2)\ncma: cma_alloc(): returned ffffea0000a40000\n",
            b"linux,cma",
            0xffff_ea00_00a4_0000,
        ),
        (
            "cma: __cma_alloc(cma 00000000d2c00a51, name: a, count 1, b, count 3, align 2)\ncma: __cma_alloc(): returned 0xb7eb8f80\n",
            b"a, count 1, b",
            0xb7eb_8f80,
        ),
        (
            "cma: __cma_alloc_frozen(cma (ptrval), count 3, align 2)\ncma: __cma_alloc_frozen(): returned b7eb8f80\n",
            NAMELESS,
            0xb7eb_8f80,
        ),
    ];
    let prefixes =
        ["", "<7>", "[   29.222887] ", "<7>[   29.222887] ", "Jan  1 00:00:29 board kernel: [   29.222887] (x) "];
    for (form, name, page) in forms {
        for prefix in prefixes {
            let lines: Vec<_> =
                form.lines().map(|line| std::format!("{prefix}{line}\r\nusb 1-1: (page turned)\n\n")).collect();
            let said = Said::Alloc { area: name, page: at(page), pages: 3, align_order: 2 };
            assert_eq!(read_all(&lines.concat()), [(4, said)], "{prefix}{form}");
            assert_eq!(
                Format::of(("a b c\nnothing\n".to_owned() + &lines.concat()).as_bytes()),
                Format::Dmesg,
                "{prefix}{form}"
            );
        }
    }
    for (line, page, pages) in [
        ("cma: dma_release_from_contiguous(page c1000000)", at(0xc100_0000), None),
        ("cma: cma_release(page b7eb8f80, count 20)", at(0xb7eb_8f80), Some(20)),
        ("cma: cma_release(page (____ptrval____), count 20)", Page::Hidden, Some(20)),
    ] {
        assert_eq!(read_all(&std::format!("x\n{line}\n")), [(2, Said::Release { page, pages })]);
    }
    for null in ["(null)", "          (null)", "00000000", "0000000000000000"] {
        let text = std::format!(
            "\ncma_alloc(cma 814923f8, count 9, align 0)\ncma_alloc: x: alloc failed, req-size: 9 pages, ret: -12\ncma_alloc(): returned {null}\n"
        );
        assert_eq!(
            read_all(&text),
            [(4, Said::Alloc { area: b"814923f8", page: Page::None, pages: 9, align_order: 0 })]
        );
    }
}

fn pairs(text: &str) -> Vec<(u32, Page)> {
    let allocs = read_all(text).into_iter().filter_map(|(_, said)| match said {
        Said::Alloc { page, pages, .. } => Some((pages, page)),
        _ => None,
    });
    allocs.collect()
}

#[test]
fn answers_find_their_requests() {
    let start = |pages: u32| std::format!("cma_alloc(cma 814923f8, count {pages}, align 0)\n");
    let back = |page: u32| std::format!("cma_alloc(): returned {page:08x}\n");
    let pair = |pages: u32, page: u32| (pages, at(page.into()));
    let all = |parts: &[std::string::String]| "\n".to_owned() + &parts.concat();
    // One never returns; the matches of the others do not change.
    assert_eq!(pairs(&all(&[start(1), start(2), back(32), start(3), back(64)])), [pair(2, 32), pair(3, 64)]);
    // Two wait for the mutex.
    assert_eq!(pairs(&all(&[start(1), start(2), back(32), back(64)])), [pair(1, 32), pair(2, 64)]);
    let lost = |text: &str| read_all(text).into_iter().filter(|said| said.1 == Said::Lost).count();
    assert_eq!(lost(&all(&[start(1), start(2), back(32), back(64), back(96), start(1)])), 2);
    assert_eq!(lost(&all(&[start(1).repeat(200)])), 200);
    // If printk prints its callers, returns match their own requests.
    let by = |caller: &str, line: std::string::String| std::format!("[    1.000000][ {caller}] cma: {line}");
    let text = all(&[by("  T12", start(1)), by("    T7", start(2)), by("T7", back(32)), by("T12", back(64))]);
    assert_eq!(pairs(&text), [pair(2, 32), pair(1, 64)]);
}

#[test]
fn bad_lines_are_named_and_cut_ones_are_lost() {
    for (line, reason) in [
        ("cma_alloc(cma 814923f8, count x, align 0)", Reason::Bad(Field::Count)),
        ("cma_alloc(cma 814923f8, count 1, align 99)", Reason::Bad(Field::Align)),
        ("cma_alloc(cma 814923f8, count 1", Reason::Missing(Field::Align)),
        ("cma_alloc(): returned b7eb8", Reason::Missing(Field::Page)),
        ("cma_release(page b7eb8f80, count -1)", Reason::Bad(Field::Count)),
    ] {
        let text = std::format!("x\n{line}\nx\n");
        let error = events(text.as_bytes()).find_map(Result::err);
        assert_eq!(error, Some(TraceError { line: 2, reason }), "{line}");
        assert_eq!(read_all(&std::format!("x\n{line}")), [(2, Said::Lost)], "{line}");
        assert_eq!(read_all(&std::format!("{line}\nx\n")), [(1, Said::Lost)], "{line}");
    }
    assert_eq!(read_all("\ncma_alloc(cma 814923f8, count 0, align 0)\n"), []);
}

#[test]
fn the_list_of_a_failed_request_has_the_area_s_pages() {
    let failing = "cma: cma_alloc(cma 814923f8, count 9, align 0)\n";
    let list = "cma: number of available pages: 4@1=> 4 free of 64 total pages\n";
    let lists = |log: &str| -> Vec<_> {
        let said = read_all(log).into_iter();
        said.filter_map(|(line, said)| match said {
            Said::Free { area, free, pages } => Some((line, area == b"814923f8", free, pages)),
            _ => None,
        })
        .collect()
    };
    let lists = [
        lists(&(failing.to_owned() + list)),
        // Without a request, nothing names the area; with two, one of them may be the other's.
        lists(list),
        lists(&(failing.to_owned() + &failing.replace("814923f8", "81492400") + list)),
        lists(&(failing.to_owned() + &list.replace("4 free", "65 free"))),
        lists(&(failing.to_owned() + "cma: number of available pages: 4@1\n=> 4 free of 64 total pages\n")),
    ];
    assert_eq!(lists, [vec![(2, true, 4, 64)], vec![], vec![], vec![], vec![(3, true, 4, 64)]]);
}
