//! What happened lately, in fixed memory.
//!
//! A window that never slides remembers a good week through a bad minute; one that scans its calls costs
//! more the busier the service is. The windows here are rings of ten slices: a sample is one addition, an
//! answer is one pass over the ring, and time only moves them forward.

use core::time::Duration;

use crate::time::{Instant, nanos};

mod ewma;
pub(crate) mod histogram;
mod quantile;
mod ratio;

pub use ewma::Ewma;
pub use quantile::{QuantileConfig, QuantileWindow, Quantiles};
pub(crate) use ratio::{RatioWindow, Totals};

/// A window is its current slice and the nine before it.
pub(crate) const SLICES: usize = 10;

/// Time cut into slices of one length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slices {
    nanos: u64,
    /// How often [`Slices::nanos`] fits into the largest number: a multiplication by it costs a call a third
    /// of what a division does.
    reciprocal: u64,
}

impl Slices {
    /// The slices of a window; a nanosecond long at least.
    pub(crate) fn of_window(window: Duration) -> Self {
        let nanos = (nanos(window) / SLICES as u64).max(1);
        Self {
            nanos,
            reciprocal: u64::MAX / nanos,
        }
    }

    /// The number of the slice in which `now` lies.
    #[inline]
    pub(crate) const fn number(self, now: Instant) -> u64 {
        let product = now.as_nanos() as u128 * self.reciprocal as u128;
        // Rounded down twice: it may be one too few, and never more.
        let number = high_half(product);
        number + (now.as_nanos() - number * self.nanos >= self.nanos) as u64
    }

    pub(crate) const fn nanos(self) -> u64 {
        self.nanos
    }
}

const fn high_half(product: u128) -> u64 {
    (product >> 64) as u64
}

/// Where slice number `slice` lies in the ring.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below ten"
)]
pub(crate) const fn place(slice: u64) -> usize {
    (slice % SLICES as u64) as usize
}

/// Whether slice number `tag` lies ahead of `slice` by a difference that clocks of two threads can have.
///
/// Tags wrap around; a cell that is ahead by more is one left over from before the wrap.
#[inline]
pub(crate) const fn is_ahead(tag: u64, slice: u64, mask: u64) -> bool {
    const CLOCK_SLACK: u64 = 1000;
    let ahead = tag.wrapping_sub(slice) & mask;
    ahead != 0 && ahead < CLOCK_SLACK
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_number_of_a_slice_is_the_quotient(
            window in prop_oneof![0..10_000_u64, any::<u64>()],
            now in prop_oneof![any::<u64>(), 0..1_000_000_u64],
            near in 0..3_u64,
        ) {
            let slices = Slices::of_window(Duration::from_nanos(window));
            let boundary = now / slices.nanos * slices.nanos;
            for now in [now, boundary, boundary.saturating_add(near), boundary.saturating_sub(near)] {
                prop_assert_eq!(slices.number(Instant::from_nanos(now)), now / slices.nanos);
            }
        }
    }
}
