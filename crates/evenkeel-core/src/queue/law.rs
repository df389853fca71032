//! How long a service takes, as measured.
//!
//! The last 2,048 services, sorted into buckets a sixteenth of an octave wide: enough that the chance to fit into
//! what is left of a deadline is known to a point. When the last 32 of them are not like the others, a server that has
//! become four times slower, say, the others are forgotten, so that this is known after some ten services.

use core::time::Duration;
use std::collections::VecDeque;

use crate::time::nanos;

/// Services that are remembered.
const SAMPLES: usize = 2_048;

/// The last services, which are compared with all of them.
const RECENT: usize = 32;

/// How many of them are kept when they are not like the others.
const KEPT: usize = 16;

const CLIP: u64 = 4;

/// Standard errors by which their mean is beyond, or below, what chance explains. Services are skewed: their
/// mean is far above what is usual more often than far below.
const ABOVE: f64 = 5.0;
const BELOW: f64 = 4.0;

const PER_OCTAVE_BITS: u32 = 4;
const PER_OCTAVE: u64 = 1 << PER_OCTAVE_BITS;
/// Below 1.024 µs and above 137 s all services are alike.
const LOWEST_BITS: u32 = 10;
const HIGHEST_BITS: u32 = 37;
const BUCKETS: usize = ((HIGHEST_BITS - LOWEST_BITS) as usize) << PER_OCTAVE_BITS;

/// The whole, in the fixed point of shares.
pub(crate) const ONE: u32 = 1 << 16;

/// The distribution of the last services.
#[derive(Debug)]
pub(crate) struct ServiceLaw {
    /// In nanoseconds, oldest first.
    samples: VecDeque<u64>,
    counts: Vec<u16>,
    sum: u64,
    /// The last [`RECENT`], each of at most [`CLIP`] means: one that is very long is no change.
    recent: VecDeque<u64>,
    squares: u128,
    /// The share of services that end before each bucket, and after the last; as of [`ServiceLaw::fit`].
    below: Vec<u32>,
}

impl ServiceLaw {
    pub(crate) fn new() -> Self {
        Self {
            samples: VecDeque::new(),
            counts: vec![0; BUCKETS],
            sum: 0,
            recent: VecDeque::new(),
            squares: 0,
            below: vec![0; BUCKETS + 1],
        }
    }

    /// Takes one service in, for the oldest one.
    pub(crate) fn record(&mut self, took: Duration) {
        let took = nanos(took).clamp(1 << LOWEST_BITS, (1 << HIGHEST_BITS) - 1);
        if self.samples.len() >= SAMPLES {
            self.forget_oldest();
        }
        self.samples.push_back(took);
        self.counts[bucket_of(took)] += 1;
        self.sum += took;
        self.squares += u128::from(took) * u128::from(took);
        self.recent.push_back(took.min(CLIP * self.mean()));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
            if self.has_changed() {
                while self.samples.len() > KEPT {
                    self.forget_oldest();
                }
                self.recent.clear();
            }
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.samples.pop_front() {
            self.counts[bucket_of(oldest)] -= 1;
            self.sum -= oldest;
            self.squares -= u128::from(oldest) * u128::from(oldest);
        }
    }

    /// Whether the last services are not like the others.
    #[expect(
        clippy::cast_precision_loss,
        reason = "what is lost is far below what a few services know"
    )]
    fn has_changed(&self) -> bool {
        if self.samples.len() < 4 * RECENT {
            return false;
        }
        let recent: u64 = self.recent.iter().sum();
        let (mean, recent) = (self.mean() as f64, recent as f64 / RECENT as f64);
        // Compared as squares. Services that are nearly alike still differ by a bucket.
        let error = mean * mean * self.variation().max(0.01) / RECENT as f64;
        let beyond = if recent > mean { ABOVE } else { BELOW };
        (recent - mean) * (recent - mean) > beyond * beyond * error
    }

    /// Brings what [`ServiceLaw::fits`] answers up to date.
    pub(crate) fn fit(&mut self) {
        let samples = self.len().max(1) as u64;
        let mut passed = 0;
        for (share, count) in self.below[1..].iter_mut().zip(&self.counts) {
            passed += u64::from(*count);
            *share = share_of(passed * u64::from(ONE) / samples);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The mean service in nanoseconds; zero before the first.
    pub(crate) fn mean(&self) -> u64 {
        self.sum / self.len().max(1) as u64
    }

    /// The squared coefficient of variation: 0 for services that are all alike, 1 for exponential ones.
    #[expect(
        clippy::cast_precision_loss,
        reason = "what is lost is far below what some thousand services know"
    )]
    pub(crate) fn variation(&self) -> f64 {
        let (samples, sum) = (self.len() as f64, self.sum as f64);
        if self.sum == 0 {
            return 0.0;
        }
        (self.squares as f64 * samples / (sum * sum) - 1.0).max(0.0)
    }

    /// The share of services that end within `nanos`, of [`ONE`].
    pub(crate) fn fits(&self, nanos: u64) -> u32 {
        if nanos < 1 << LOWEST_BITS {
            return 0;
        }
        if nanos >= 1 << HIGHEST_BITS {
            return self.below[BUCKETS];
        }
        let bucket = bucket_of(nanos);
        let (begin, width) = extent(bucket);
        let (least, most) = (self.below[bucket], self.below[bucket + 1]);
        least + share_of(u64::from(most - least) * (nanos - begin) / width)
    }

    /// The least time within which this share of services ends: at most what [`ServiceLaw::fits`] needs.
    pub(crate) fn within(&self, share: u32) -> u64 {
        let reached = self.below[1..].partition_point(|below| *below < share);
        if share == 0 || reached >= BUCKETS {
            return 0;
        }
        let (begin, width) = extent(reached);
        let (least, most) = (self.below[reached], self.below[reached + 1]);
        let part = u64::from(share.saturating_sub(least));
        begin + (width * part).div_ceil(u64::from(most - least).max(1))
    }
}

/// A share, which is at most [`ONE`].
#[expect(clippy::cast_possible_truncation, reason = "at most ONE")]
const fn share_of(share: u64) -> u32 {
    share as u32
}

const fn bucket_of(nanos: u64) -> usize {
    let octave = nanos.ilog2();
    let within = nanos >> (octave - PER_OCTAVE_BITS) & (PER_OCTAVE - 1);
    ((octave - LOWEST_BITS) as usize) << PER_OCTAVE_BITS | within as usize
}

/// Where a bucket begins, and how wide it is.
const fn extent(bucket: usize) -> (u64, u64) {
    let within = (bucket as u64) & (PER_OCTAVE - 1);
    let shift = (bucket >> PER_OCTAVE_BITS) + (LOWEST_BITS - PER_OCTAVE_BITS) as usize;
    ((PER_OCTAVE + within) << shift, 1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn law(millis: impl IntoIterator<Item = u64>) -> ServiceLaw {
        let mut law = ServiceLaw::new();
        for took in millis {
            law.record(Duration::from_millis(took));
        }
        law.fit();
        law
    }

    #[test]
    fn half_of_the_services_fit_into_their_median() {
        let law = law(1..=100);
        let half = law.fits(50_000_000);
        assert!(half.abs_diff(ONE / 2) < ONE / 50, "{half}");
        assert_eq!(law.fits(1_000_000_000), ONE);
        assert_eq!(law.fits(0), 0);
        assert_eq!(law.mean(), 50_500_000);
    }

    #[test]
    fn services_that_are_alike_do_not_vary_and_memoryless_ones_do() {
        assert!(law([10; 100]).variation() < 1e-9);
        // Three in four take 1 ms, one takes 17 ms: mean 5, variance 48.
        let mixed = law((0..100).map(|n| if n % 4 == 0 { 17 } else { 1 }));
        assert!((mixed.variation() - 48.0 / 25.0).abs() < 1e-6);
    }

    #[test]
    fn what_was_two_thousand_services_ago_is_forgotten() {
        let law = law((0..3_000).map(|n| {
            if n < 900 {
                1 + n % 2 * 40
            } else {
                2 + n % 2 * 38
            }
        }));
        assert_eq!(law.len(), SAMPLES);
        assert_eq!(law.fits(1_500_000), 0, "of the first ones none is left");
    }

    #[test]
    fn a_server_that_becomes_slower_or_faster_is_known_as_such_after_a_few_services() {
        let varied = |n: u64| 1 + n * 7 % 20;
        for (before, after) in [(1, 4), (4, 1)] {
            let mut law = law((0..SAMPLES as u64).map(|n| before * varied(n)));
            for n in 0..RECENT as u64 {
                law.record(Duration::from_millis(after * varied(n)));
            }
            let mean = law.mean() / after;
            assert!(law.len() < 2 * RECENT);
            assert!((8_000_000..=22_000_000).contains(&mean), "{mean}");
        }
    }

    #[test]
    fn one_outlier_is_not_a_change() {
        let law = law((0..2_048).map(|n| if n == 2_000 { 2_000 } else { 1 + n * 7 % 20 }));
        assert_eq!(law.len(), SAMPLES);
    }

    proptest! {
        /// `within` is the inverse of `fits`, to a bucket's width.
        #[test]
        fn the_time_within_which_a_share_ends_holds_that_share(
            took in proptest::collection::vec(1..5_000_u64, 1..200),
            share in 1..=ONE,
        ) {
            let law = law(took);
            let within = law.within(share);
            // One part in a few hundred is lost to whole numbers.
            prop_assert!(law.fits(within) + ONE / 256 >= share, "{within} holds {}", law.fits(within));
            prop_assert!(law.fits(within - within / 8) <= share + ONE / 256);
        }

        #[test]
        fn more_time_never_holds_fewer_services(
            took in proptest::collection::vec(1..5_000_u64, 1..200),
            less in 0..5_000_000_000_u64,
            more in 0..5_000_000_000_u64,
        ) {
            let law = law(took);
            prop_assert!(law.fits(less.min(more)) <= law.fits(less.max(more)));
        }
    }
}
