//! What happened lately, in fixed memory.
//!
//! A window that never slides remembers a good week through a bad minute; one that scans its calls costs
//! more the busier the service is. The windows here are rings of ten slices: a sample is one addition, an
//! answer is one pass over the ring, and time only moves them forward.

mod ewma;
pub(crate) mod histogram;
mod quantile;
mod ratio;

pub use ewma::Ewma;
pub use quantile::{QuantileConfig, QuantileWindow, Quantiles};
pub(crate) use ratio::{RatioWindow, Totals};

/// A window is its current slice and the nine before it.
pub(crate) const SLICES: usize = 10;

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
