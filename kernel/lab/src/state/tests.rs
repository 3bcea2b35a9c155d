// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use std::string::ToString;

#[test]
fn sizes_are_said_in_words() {
    let error = |pages, area_pages| LoadError::Size { pages, area: "camera".into(), area_pages }.to_string();
    assert_eq!(
        error(6656, 2048),
        "the state is of an area of 6656 pages (26 MiB), and camera has 2048 pages (8 MiB); boot with cma=28M for an area \
         of its size, called reserved"
    );
    assert!(error(2049, 2048).contains("2049 pages (8196 KiB)") && error(1, 2048).contains("cma=4M"));
}
