//! How many calls, and how many of them went badly.
//!
//! Each slice is one word: its number, the calls, the bad ones. A writer whose slice has not begun yet
//! claims the cell by compare-exchange and so resets it; a writer who comes late, by a clock that lags,
//! counts in the newer slice that has taken the cell and never resets it. Nothing is ever locked.
//!
//! Limits: a slice holds a quarter of a million calls per stripe and then stops counting, by which time
//! its ratio is known well enough. Slice numbers have 28 bits: with slices of a second they last eight
//! years.

use core::time::Duration;

use super::{SLICES, Slices, is_ahead, place};
use crate::stripe::{Stripe, Striped};
use crate::sync::{AtomicU64, Ordering, Protocol, exchange};
use crate::time::Instant;

const COUNT_BITS: u32 = 18;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TAG_SHIFT: u32 = 2 * COUNT_BITS;
const TAG_MASK: u64 = (1 << (64 - TAG_SHIFT)) - 1;

/// A full slice: the headroom above is for writers that add after another one filled it.
const FULL: u64 = COUNT_MASK - 1024;

/// Calls and bad calls over a sliding window.
#[derive(Debug)]
pub(crate) struct RatioWindow {
    slice: Slices,
    rings: Striped<Ring>,
}

type Ring = [AtomicU64; SLICES];

/// What a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) bad: u64,
    /// How long ago the oldest slice that holds a call began.
    pub(crate) observed: Duration,
}

impl RatioWindow {
    pub(crate) fn new(window: Duration, stripes: usize) -> Self {
        Self {
            slice: Slices::of_window(window),
            rings: Striped::with_own(stripes, || core::array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    /// Counts one call.
    #[inline]
    pub(crate) fn record(&self, stripe: Stripe, now: Instant, bad: bool) {
        let slice = self.slice.number(now);
        let (ring, writers) = self.rings.at(stripe);
        let cell = &ring[place(slice)];
        let one = 1 | u64::from(bad) << COUNT_BITS;
        let mut held = cell.load(Ordering::Relaxed);
        loop {
            let tag = held >> TAG_SHIFT;
            if tag == slice & TAG_MASK || is_ahead(tag, slice, TAG_MASK) {
                if held & COUNT_MASK < FULL {
                    writers.add(cell, one);
                }
                return;
            }
            let fresh = (slice & TAG_MASK) << TAG_SHIFT | one;
            match exchange(Protocol::Window, cell, held, fresh) {
                Ok(_) => return,
                Err(other) => held = other,
            }
        }
    }

    /// Everything within the window that began no earlier than `begin`.
    ///
    /// The slice in which `begin` lies is left out unless it begins there: it also holds earlier calls.
    pub(crate) fn totals(&self, now: Instant, begin: Instant) -> Totals {
        let current = self.slice.number(now);
        let first = begin.as_nanos().div_ceil(self.slice.nanos());
        let mut totals = Totals::default();
        let mut oldest_age = 0;
        for cell in self.rings.iter().flatten() {
            let held = cell.load(Ordering::Relaxed);
            let (tag, calls) = (held >> TAG_SHIFT, held & COUNT_MASK);
            // A slice ahead of this reader's clock is as good as the current one.
            let age = if is_ahead(tag, current, TAG_MASK) {
                0
            } else {
                current.wrapping_sub(tag) & TAG_MASK
            };
            if calls == 0 || age >= SLICES as u64 || current.saturating_sub(age) < first {
                continue;
            }
            totals.calls += calls;
            totals.bad += held >> COUNT_BITS & COUNT_MASK;
            oldest_age = oldest_age.max(age);
        }
        let oldest_began =
            Instant::from_nanos(current.saturating_sub(oldest_age) * self.slice.nanos());
        totals.observed = if totals.calls == 0 {
            Duration::ZERO
        } else {
            now.since(oldest_began)
        };
        totals
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Stripe = Stripe(0);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn window() -> RatioWindow {
        RatioWindow::new(Duration::from_secs(10), 1)
    }

    fn counts(totals: Totals) -> (u64, u64) {
        (totals.calls, totals.bad)
    }

    #[test]
    fn a_call_counts_for_ten_slices_and_no_longer() {
        let window = window();
        window.record(ONE, at(500), true);
        assert_eq!(counts(window.totals(at(9_999), Instant::ZERO)), (1, 1));
        assert_eq!(counts(window.totals(at(10_000), Instant::ZERO)), (0, 0));
    }

    #[test]
    fn a_late_clock_never_resets_a_newer_slice() {
        let window = window();
        window.record(ONE, at(10_500), false);
        window.record(ONE, at(400), true); // the same cell, one turn of the ring earlier
        assert_eq!(counts(window.totals(at(10_500), Instant::ZERO)), (2, 1));
    }

    #[test]
    fn what_lies_before_the_beginning_does_not_count() {
        let window = window();
        window.record(ONE, at(2_500), true);
        window.record(ONE, at(3_500), true);
        assert_eq!(counts(window.totals(at(4_000), at(2_600))), (1, 1));
        assert_eq!(counts(window.totals(at(4_000), at(2_000))), (2, 2));
    }

    #[test]
    fn observation_begins_with_the_oldest_slice_that_counts() {
        let window = window();
        assert_eq!(
            window.totals(at(5_000), Instant::ZERO).observed,
            Duration::ZERO
        );
        window.record(ONE, at(3_200), false);
        assert_eq!(
            window.totals(at(5_000), Instant::ZERO).observed,
            Duration::from_secs(2)
        );
    }

    #[test]
    fn a_full_slice_stops_counting_and_never_spills_into_its_neighbour() {
        let window = window();
        for _ in 0..COUNT_MASK + 10 {
            window.record(ONE, at(0), true);
        }
        assert_eq!(counts(window.totals(at(0), Instant::ZERO)), (FULL, FULL));
    }

    #[test]
    fn peer_fault_20_a_window_of_five_milliseconds_slides_like_any_other() {
        let window = RatioWindow::new(Duration::from_millis(5), 1);
        for micros in 0..5_000 {
            window.record(
                ONE,
                Instant::ZERO + Duration::from_micros(micros),
                micros % 2 == 0,
            );
        }
        assert_eq!(counts(window.totals(at(4), Instant::ZERO)), (5000, 2500));
        assert_eq!(counts(window.totals(at(10), Instant::ZERO)), (0, 0));
        RatioWindow::new(Duration::ZERO, 1).record(ONE, at(1), true);
    }

    proptest! {
        /// The ring against a list of every call.
        #[test]
        fn the_ring_counts_what_a_list_counts(
            steps in proptest::collection::vec((0..3_000_u64, any::<bool>()), 1..200),
            back in 0..12_000_u64,
        ) {
            let window = RatioWindow::new(Duration::from_secs(10), 4);
            let (mut now, mut list) = (0, Vec::new());
            for (index, (step, bad)) in steps.into_iter().enumerate() {
                now += step;
                window.record(Stripe(u32::try_from(index).unwrap()), at(now), bad);
                list.push((now, bad));
            }
            let begin = now.saturating_sub(back);
            let counted = list.iter().filter(|(when, _)| {
                now / 1000 - when / 1000 < 10 && when / 1000 * 1000 >= begin
            });
            let expected = counted.fold((0, 0), |(calls, bad), call| (calls + 1, bad + u64::from(call.1)));
            prop_assert_eq!(counts(window.totals(at(now), at(begin))), expected);
        }
    }
}
