// SPDX-License-Identifier: MIT OR Apache-2.0

//! TIMEOUT, in the format of `timeout`.

use std::env;
use std::time::Duration;

/// Reads TIMEOUT: seconds, or with a letter minutes, hours or days; `None` if it is not set, or 0.
pub(crate) fn from_environment() -> Result<Option<Duration>, String> {
    let Some(text) = env::var_os("TIMEOUT").filter(|text| !text.is_empty()) else { return Ok(None) };
    let limit = text.to_str().and_then(parse);
    let limit = limit.ok_or_else(|| format!("TIMEOUT is '{}'; it can be 30, 0.5, 10m or 2h", text.display()))?;
    Ok(Some(limit).filter(|limit| !limit.is_zero()))
}

fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1.0),
        b'm' => (&text[..text.len() - 1], 60.0),
        b'h' => (&text[..text.len() - 1], 3600.0),
        b'd' => (&text[..text.len() - 1], 86400.0),
        _ => (text, 1.0),
    };
    // Digits only: Rust parses `inf` and `nan`, too.
    if number.bytes().any(|byte| !byte.is_ascii_digit() && byte != b'.') {
        return None;
    }
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_timeout_takes_it() {
        for (text, seconds) in [("30", 30.0), ("0.5", 0.5), ("2s", 2.0), ("2m", 120.0), ("1h", 3600.0), ("1d", 86400.0)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "m", "x", "-1", "inf", "nan", "1e3", "1 m", "99999999999999999999d"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
