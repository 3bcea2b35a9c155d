// SPDX-License-Identifier: MIT OR Apache-2.0

//! The alignment of a load's requests.

use core::fmt;

use cma::{MAX_ALIGN_ORDER, align_order_of};

/// Alignment of a load's requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// By the order of the size, as Linux does for devices.
    Order,
    /// By one page.
    Page,
    /// By this order.
    Fixed(u32),
}

impl Align {
    /// Reads `order`, `page` or a number up to [`MAX_ALIGN_ORDER`].
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "order" => Some(Self::Order),
            "page" => Some(Self::Page),
            number => number.parse().ok().filter(|&order| order <= MAX_ALIGN_ORDER).map(Self::Fixed),
        }
    }

    /// Returns the order of the alignment of a request for `pages` pages.
    #[inline]
    pub const fn of(self, pages: u32) -> u32 {
        match self {
            Self::Order => align_order_of(pages),
            Self::Page => 0,
            Self::Fixed(order) => order,
        }
    }
}

impl fmt::Display for Align {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order => f.write_str("order"),
            Self::Page => f.write_str("page"),
            Self::Fixed(order) => write!(f, "{order}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(Align::parse("order").map(|align| align.of(51)), Some(6));
        assert_eq!(Align::parse("page").map(|align| align.of(51)), Some(0));
        assert_eq!(Align::parse("20").map(|align| align.of(51)), Some(20));
        for bad in ["", "21", "-1", "Order", "4294967296", "0x4"] {
            assert_eq!(Align::parse(bad), None, "{bad}");
        }
    }
}
