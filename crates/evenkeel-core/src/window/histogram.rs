//! Durations sorted into buckets that grow with what they hold.
//!
//! A bucket is a sixteenth of its octave wide, so that a microsecond and a minute are known equally well:
//! to one part in 32, by the middle of the bucket. Two neighbouring buckets share a word with the number
//! of their slice. A writer whose slice has not begun yet claims the word by compare-exchange and so
//! resets it; a writer who comes late counts in the newer slice. Nothing is ever cleared, so that no
//! sample pays for the slice before it.
//!
//! Limits: below a microsecond and above two minutes all samples are alike. A word counts a quarter of a
//! million samples per stripe and slice and then stops.

use core::time::Duration;
use std::sync::OnceLock;

use super::is_ahead;
use crate::stripe::{Stripe, Striped, Writers};
use crate::sync::{AtomicU64, Ordering, Protocol, exchange};

/// Every octave is cut into this many buckets; an answer is off by half a bucket at most.
const PER_OCTAVE_BITS: u32 = 4;
const PER_OCTAVE: u64 = 1 << PER_OCTAVE_BITS;

/// The shortest and the longest duration that are told apart: 1.024 µs and 137 s.
const LOWEST_BITS: u32 = 10;
/// A model has one octave: it tries every interleaving of every word that is read.
const HIGHEST_BITS: u32 = if cfg!(evenkeel_loom) { 11 } else { 37 };

/// How many buckets there are: few enough for a number of nine bits.
pub(super) const BUCKETS: usize = ((HIGHEST_BITS - LOWEST_BITS) as usize) << PER_OCTAVE_BITS;

/// Words of one slice: two buckets each.
const WORDS: usize = BUCKETS / 2;

/// More threads than this share the stripes: histograms are large, and the gain is gone.
const MAX_STRIPES: usize = 8;

const COUNT_BITS: u32 = 18;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TAG_SHIFT: u32 = 2 * COUNT_BITS;
pub(crate) const TAG_MASK: u64 = (1 << (64 - TAG_SHIFT)) - 1;

/// A full count: the headroom above is for writers that add after another one filled it.
const FULL: u64 = COUNT_MASK - 1024;

/// Durations counted by size, in `SLICES` slices that are told apart by number.
#[derive(Debug)]
pub(crate) struct Histogram<const SLICES: usize> {
    /// Each stripe is allocated when it counts its first sample.
    stripes: Striped<OnceLock<Box<[AtomicU64]>>>,
}

impl<const SLICES: usize> Histogram<SLICES> {
    pub(crate) fn new(stripes: usize) -> Self {
        Self {
            stripes: Striped::with_own(stripes.min(MAX_STRIPES), OnceLock::new),
        }
    }

    /// Counts one duration, in nanoseconds, in slice number `slice`.
    #[inline]
    pub(crate) fn record(&self, stripe: Stripe, slice: u64, took: u64) {
        let (words, writers) = self.stripes.at(stripe);
        let words = words.get_or_init(allocate::<SLICES>);
        let bucket = bucket_of(took);
        let word = &words[place::<SLICES>(slice) * WORDS + bucket / 2];
        let shift = if bucket & 1 == 0 { 0 } else { COUNT_BITS };
        let held = word.load(Ordering::Relaxed);
        if held >> TAG_SHIFT == slice & TAG_MASK && held >> shift & COUNT_MASK < FULL {
            writers.add(word, 1 << shift);
        } else {
            begin_or_join(word, slice, shift, writers);
        }
    }

    /// What the `slices` slices up to number `last` hold; a slice ahead of it is as good as it.
    pub(crate) fn counts(&self, last: u64, slices: usize) -> Counts {
        let mut counts = Counts::default();
        for words in self.stripes.iter().filter_map(OnceLock::get) {
            for (at, word) in words.iter().enumerate() {
                let held = word.load(Ordering::Relaxed);
                let tag = held >> TAG_SHIFT;
                let age = last.wrapping_sub(tag) & TAG_MASK;
                if is_ahead(tag, last, TAG_MASK) || age < slices as u64 {
                    let bucket = at % WORDS * 2;
                    counts.add(bucket, held & COUNT_MASK);
                    counts.add(bucket + 1, held >> COUNT_BITS & COUNT_MASK);
                }
            }
        }
        counts
    }
}

/// Counts in a word that is full, or of another slice.
#[cold]
fn begin_or_join(word: &AtomicU64, slice: u64, shift: u32, writers: Writers) {
    let mut held = word.load(Ordering::Relaxed);
    loop {
        let tag = held >> TAG_SHIFT;
        if tag == slice & TAG_MASK || is_ahead(tag, slice, TAG_MASK) {
            if held >> shift & COUNT_MASK < FULL {
                writers.add(word, 1 << shift);
            }
            return;
        }
        let fresh = (slice & TAG_MASK) << TAG_SHIFT | 1 << shift;
        match exchange(Protocol::Quantile, word, held, fresh) {
            Ok(_) => return,
            Err(other) => held = other,
        }
    }
}

#[cold]
fn allocate<const SLICES: usize>() -> Box<[AtomicU64]> {
    (0..SLICES * WORDS).map(|_| AtomicU64::new(0)).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below the number of slices"
)]
const fn place<const SLICES: usize>(slice: u64) -> usize {
    (slice % SLICES as u64) as usize
}

/// How many samples each bucket holds, added up over stripes and slices.
#[derive(Debug)]
pub(crate) struct Counts {
    buckets: [u64; BUCKETS],
    total: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            total: 0,
        }
    }
}

impl Counts {
    fn add(&mut self, bucket: usize, samples: u64) {
        self.buckets[bucket] += samples;
        self.total += samples;
    }

    /// These and those of `other`.
    pub(crate) fn with(mut self, other: &Self) -> Self {
        for (bucket, samples) in other.buckets.iter().enumerate() {
            self.add(bucket, *samples);
        }
        self
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The bucket in which the sample lies that `permille` of all samples do not exceed.
    pub(super) fn bucket_at(&self, permille: u64) -> Option<usize> {
        self.bucket_of_rank((self.total * permille).div_ceil(1000).max(1))
    }

    fn bucket_of_rank(&self, rank: u64) -> Option<usize> {
        let mut passed = 0;
        self.buckets.iter().position(|samples| {
            passed += samples;
            passed >= rank
        })
    }

    /// The duration of the sample that is number `rank` by size, from 1, to one part in 32.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<Duration> {
        self.bucket_of_rank(rank).map(middle_of)
    }

    /// The duration that `permille` of all samples do not exceed, to one part in 32.
    pub(crate) fn quantile(&self, permille: u64) -> Option<Duration> {
        self.bucket_at(permille).map(middle_of)
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a bucket's number has nine bits"
)]
fn bucket_of(nanos: u64) -> usize {
    let held = nanos.clamp(1 << LOWEST_BITS, (1 << HIGHEST_BITS) - 1);
    let octave = held.ilog2();
    let within = held >> (octave - PER_OCTAVE_BITS) & (PER_OCTAVE - 1);
    (u64::from(octave - LOWEST_BITS) << PER_OCTAVE_BITS | within) as usize
}

/// The middle of a bucket.
pub(super) fn middle_of(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    let octave = bucket >> PER_OCTAVE_BITS;
    let width_bits = octave + u64::from(LOWEST_BITS - PER_OCTAVE_BITS);
    let low = (PER_OCTAVE + (bucket & (PER_OCTAVE - 1))) << width_bits;
    Duration::from_nanos(low + (1 << width_bits) / 2)
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use crate::time::nanos;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        let mut last = 0;
        for nanos in
            (1 << LOWEST_BITS..1 << 20).chain((1 << 36..1 << HIGHEST_BITS).step_by(1 << 25))
        {
            let bucket = bucket_of(nanos);
            assert!(bucket == last || bucket == last + 1 || nanos == 1 << 36);
            last = bucket;
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn a_full_bucket_stops_counting_and_never_spills_into_its_neighbour() {
        let histogram = Histogram::<1>::new(1);
        let (even, odd) = (middle_of(100), middle_of(101));
        histogram.record(Stripe(0), 1, nanos(odd));
        for _ in 0..COUNT_MASK + 10 {
            histogram.record(Stripe(0), 1, nanos(even));
        }
        assert_eq!(histogram.counts(1, 1).total(), FULL + 1);
    }

    proptest! {
        #[test]
        fn the_middle_of_a_bucket_is_within_one_part_in_32(nanos in 1_u64 << LOWEST_BITS..1 << HIGHEST_BITS) {
            let middle = crate::time::nanos(middle_of(bucket_of(nanos)));
            prop_assert!(middle.abs_diff(nanos) <= nanos / 32);
        }
    }
}
