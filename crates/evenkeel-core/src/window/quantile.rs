//! How long calls took, by rank.
//!
//! A mean says nothing of the one call in twenty that a hedge or a deadline is about. Keeping every call
//! of the window and sorting them when somebody asks costs more the busier the service is, and somebody
//! asks on every call. Here a sample is one addition to a bucket, memory is fixed, and the four ranks that
//! anybody asks for are found once a slice and published in one word.
//!
//! An answer differs from the sample that has the rank by at most one part in 32, for durations from a
//! microsecond to two minutes; shorter and longer ones are told from nothing else. It is at most one slice
//! old, a tenth of the window.
//!
//! Memory: 17 KB for each stripe that counts samples, and at most eight of those.
//!
//! Source: buckets as in HdrHistogram (Tene); the ring of tagged words is our own.

use core::time::Duration;

use super::histogram::{BUCKETS, Counts, Histogram, TAG_MASK, middle_of};
use super::{SLICES, Slices, is_ahead};
use crate::stripe::Stripe;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::time::Instant;

const BUCKET_BITS: u32 = 9;
const BUCKET_MASK: u64 = (1 << BUCKET_BITS) - 1;
const RANKS: [u64; 4] = [500, 900, 950, 990];
const TAG_SHIFT: u32 = 4 * BUCKET_BITS;

const _: () = assert!(BUCKETS as u64 <= BUCKET_MASK, "a bucket's number fits");
const _: () = assert!(
    TAG_MASK << TAG_SHIFT >> TAG_SHIFT == TAG_MASK,
    "so does a tag"
);

/// What a window of durations looks back on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuantileConfig {
    /// The time that is looked back on, in ten slices. Longer: steadier answers, from more samples.
    /// Shorter: a change of latency is seen sooner. Default 30 s, as Finagle measures its hedges' delay.
    pub window: Duration,
}

impl Default for QuantileConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
        }
    }
}

/// Durations over a sliding window, by rank.
///
/// ```
/// use evenkeel_core::window::{QuantileConfig, QuantileWindow};
/// use evenkeel_core::{stripe::Stripe, time::Instant};
/// use std::time::Duration;
///
/// let window = QuantileWindow::new(&QuantileConfig::default(), 1);
/// for millis in 1..=100 {
///     window.record(Stripe(0), Instant::ZERO, Duration::from_millis(millis));
/// }
/// let seen = window.quantiles(Instant::ZERO).unwrap();
/// assert_eq!(seen.count, 100);
/// assert!(seen.p95.abs_diff(Duration::from_millis(95)) <= Duration::from_millis(95) / 32);
/// ```
#[derive(Debug)]
pub struct QuantileWindow {
    slice: Slices,
    histogram: Histogram,
    /// The slice up to which the answers reach, and the bucket of each rank.
    published: AtomicU64,
    /// The samples behind the answers; zero: none are published.
    count: AtomicU64,
    publishing: Mutex<()>,
}

/// The ranks of a window of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quantiles {
    /// How many samples the window held.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// Nine in ten took no longer.
    pub p90: Duration,
    /// Nineteen in twenty took no longer.
    pub p95: Duration,
    /// Ninety-nine in a hundred took no longer.
    pub p99: Duration,
}

impl QuantileWindow {
    /// An empty window that counts on `stripes` stripes: as many as threads record at once, held to eight.
    #[must_use]
    pub fn new(config: &QuantileConfig, stripes: usize) -> Self {
        Self {
            slice: Slices::of_window(config.window),
            histogram: Histogram::new(SLICES, stripes),
            published: AtomicU64::new(0),
            count: AtomicU64::new(0),
            publishing: Mutex::new(()),
        }
    }

    /// Counts one sample.
    #[inline]
    pub fn record(&self, stripe: Stripe, now: Instant, took: Duration) {
        self.histogram.record(stripe, self.slice.number(now), took);
    }

    /// The ranks as they were when the present slice began to be asked for; none while there is no sample.
    ///
    /// The first who asks within a slice looks through the buckets; everyone else reads one word.
    #[must_use]
    pub fn quantiles(&self, now: Instant) -> Option<Quantiles> {
        let slice = self.slice.number(now);
        let held = self.published.load(Ordering::Relaxed);
        let tag = held >> TAG_SHIFT;
        let count = self.count.load(Ordering::Relaxed);
        let is_current = tag == slice & TAG_MASK || is_ahead(tag, slice, TAG_MASK);
        if is_current && count != 0 {
            return Some(unpack(held, count));
        }
        // Whoever does not get the lock goes on with what was published before.
        let Ok(_publishing) = self.publishing.try_lock() else {
            return (count != 0).then(|| unpack(held, count));
        };
        let counts = self.histogram.counts(slice, SLICES);
        let fresh = pack(slice, &counts);
        self.count.store(counts.total(), Ordering::Relaxed);
        self.published.store(fresh, Ordering::Relaxed);
        (counts.total() != 0).then(|| unpack(fresh, counts.total()))
    }
}

fn pack(slice: u64, counts: &Counts) -> u64 {
    let buckets = RANKS.iter().enumerate().map(|(at, &permille)| {
        let bucket = counts.bucket_at(permille).unwrap_or(0) as u64;
        bucket << (BUCKET_BITS as usize * at)
    });
    buckets.fold((slice & TAG_MASK) << TAG_SHIFT, |word, part| word | part)
}

fn unpack(word: u64, count: u64) -> Quantiles {
    let at = |rank: u32| middle_of((word >> (BUCKET_BITS * rank) & BUCKET_MASK) as usize);
    Quantiles {
        count,
        p50: at(0),
        p90: at(1),
        p95: at(2),
        p99: at(3),
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use crate::time::nanos;
    use proptest::prelude::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// Ten slices of a second.
    fn window() -> QuantileWindow {
        let config = QuantileConfig {
            window: Duration::from_secs(10),
        };
        QuantileWindow::new(&config, 1)
    }

    fn record(window: &QuantileWindow, millis: u64, took: u64, times: u32) {
        for stripe in 0..times {
            window.record(Stripe(stripe), at(millis), Duration::from_millis(took));
        }
    }

    fn close(one: Duration, other: u64) -> bool {
        let other = Duration::from_millis(other);
        one.abs_diff(other) <= other / 32
    }

    #[test]
    fn a_window_without_samples_has_no_ranks_and_no_memory() {
        let window = window();
        assert_eq!(window.quantiles(at(0)), None);
        let seen = format!("{window:?}");
        assert!(
            seen.contains("<uninit>"),
            "the buckets come with the first sample"
        );
    }

    #[test]
    fn a_sample_counts_for_ten_slices_and_no_longer() {
        let window = window();
        record(&window, 500, 40, 1);
        assert!(close(window.quantiles(at(9_999)).unwrap().p50, 40));
        assert_eq!(window.quantiles(at(10_000)), None);
    }

    #[test]
    fn a_late_clock_never_resets_a_newer_slice() {
        let window = window();
        record(&window, 10_500, 40, 1);
        record(&window, 400, 40, 1); // the same word, one turn of the ring earlier
        assert_eq!(window.quantiles(at(10_500)).unwrap().count, 2);
    }

    #[test]
    fn peer_fault_30_asking_on_every_call_looks_through_nothing() {
        let window = window();
        record(&window, 100, 10, 100);
        assert!(close(window.quantiles(at(100)).unwrap().p99, 10));
        // Had the second answer come from the samples, it would be another one.
        record(&window, 200, 5_000, 1_000);
        assert!(close(window.quantiles(at(999)).unwrap().p99, 10));
        assert!(close(window.quantiles(at(1_000)).unwrap().p99, 5_000));
        // And what is looked through then does not grow with the calls.
        let words = |window: &QuantileWindow| {
            format!("{:?}", window.histogram)
                .matches("AtomicU64")
                .count()
        };
        let before = words(&window);
        record(&window, 2_000, 70, 100_000);
        assert_eq!(words(&window), before);
    }

    proptest! {
        /// Against a sorted list of everything in the window.
        #[test]
        fn ranks_agree_with_a_sorted_list_to_one_part_in_32(
            samples in proptest::collection::vec((0..800_u64, 1_100..100_000_000_000_u64), 1..300),
            stripes in 1..9_usize,
        ) {
            let config = QuantileConfig { window: Duration::from_secs(10) };
            let window = QuantileWindow::new(&config, stripes);
            let (mut now, mut list) = (0, Vec::new());
            for (index, (step, took)) in samples.into_iter().enumerate() {
                now += step;
                let stripe = Stripe(u32::try_from(index).unwrap());
                window.record(stripe, at(now), Duration::from_nanos(took));
                list.push((now, took));
            }
            list.retain(|(when, _)| now / 1000 - when / 1000 < 10);
            let mut took: Vec<u64> = list.into_iter().map(|(_, took)| took).collect();
            took.sort_unstable();
            let seen = window.quantiles(at(now)).unwrap();
            prop_assert_eq!(seen.count, took.len() as u64);
            for (answer, permille) in [(seen.p50, 500), (seen.p90, 900), (seen.p95, 950), (seen.p99, 990)] {
                let exact = took[(took.len() * permille).div_ceil(1000) - 1];
                prop_assert!(nanos(answer).abs_diff(exact) <= exact / 32, "{answer:?} for {exact}");
            }
        }
    }
}
