// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sizes and numbers of pages as arguments.

use host::board::MAX_AREA_PAGES;

/// Parses a size such as `64M` into pages.
pub(crate) fn pages(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text} is not a size; sizes look like 64M, 53.5M or 512K");
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    // 53.5M is 535 tenths of a MiB.
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if shift == 0 && digits.contains('.') || digits.ends_with('.') || fraction.len() > 9 {
        return Err(wrong());
    }
    let parts: u128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let (bytes, unit) = (parts.checked_mul(1 << shift).ok_or_else(wrong)?, 10u128.pow(fraction.len() as u32));
    let bytes = u64::try_from(bytes / unit).ok().filter(|_| bytes.is_multiple_of(unit)).ok_or_else(wrong)?;
    if bytes == 0 || !bytes.is_multiple_of(4096) || bytes >> 12 > MAX_AREA_PAGES.into() {
        return Err(format!("{text}: an area has 4K to {}G, in multiples of 4K", MAX_AREA_PAGES >> 18));
    }
    Ok((bytes >> 12) as u32)
}

/// Parses a number of pages, or a size with its letter.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|pages| (1..=MAX_AREA_PAGES).contains(pages));
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => number.ok_or_else(|| format!("{text}: 1 to {MAX_AREA_PAGES} pages")),
        false => pages(text).map_err(|_| format!("{text}: a number of pages, or a size such as 4M or 512K")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(
            (pages("64M"), pages("8192K"), pages("1G"), pages("4096")),
            (Ok(16384), Ok(2048), Ok(262_144), Ok(1))
        );
        assert_eq!((pages("53.5M"), pages("0.5M"), pages("1.5G")), (Ok(13_696), Ok(128), Ok(393_216)));
        assert_eq!((count("1024"), count("4M"), count("512K")), (Ok(1024), Ok(1024), Ok(128)));
        assert!(["0", "x", "4194305", "1X", "-1"].iter().all(|bad| count(bad).is_err()));
        for bad in [
            "",
            "M",
            "0",
            "64X",
            "-1M",
            "53.",
            "53.M",
            ".M",
            "1.5",
            "1.5.5M",
            "0.3M",
            "1",
            "17G",
            "99999999999999999999G",
            "18446744073709551615G",
        ] {
            assert!(pages(bad).is_err(), "{bad}");
        }
    }
}
