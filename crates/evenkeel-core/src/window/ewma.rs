//! A duration as it is of late, in one word.
//!
//! To prefer the faster of two hosts one needs a figure that follows each of them and forgets: a mean over
//! all time remembers last week, the last sample is noise. An [`Ewma`] halves the weight of what it knows
//! with every half-life that passes; how many samples came meanwhile makes no difference, so that a busy
//! host does not forget faster than a quiet one.
//!
//! [`Ewma::record_peak`] follows a rise at once and a fall slowly: a host that begins to stall is avoided
//! from its first slow answer, and trusted again by and by.
//!
//! Limits: durations to 16 ns and 18 minutes, times to a millisecond. After three days without a sample
//! the age of the last one is known only modulo three days.
//!
//! Source: peak EWMA as in Finagle's and Linkerd's balancers.

use core::time::Duration;

use crate::sync::{AtomicU64, Ordering, Protocol, update};
use crate::time::{Instant, nanos};

const VALUE_BITS: u32 = 36;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;
/// Values are kept in units of 16 ns.
const VALUE_UNIT_BITS: u32 = 4;
/// Times are kept in units of 2^20 ns, about a millisecond.
const TIME_UNIT_BITS: u32 = 20;
const TIME_MASK: u64 = (1 << (64 - VALUE_BITS)) - 1;
/// Clocks of two threads differ by less than this many units: a quarter of an hour.
const LAG: u64 = 1 << 20;

/// One, in the fixed point of weights.
const ONE: u64 = 1 << 32;

/// An exponentially weighted moving average of durations.
///
/// ```
/// use evenkeel_core::{time::Instant, window::Ewma};
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let average = Ewma::new(second);
/// average.record(Instant::ZERO, Duration::from_millis(80));
/// average.record(Instant::ZERO + second, Duration::from_millis(40));
/// let millis = average.value().as_millis();
/// assert!((59..=60).contains(&millis), "after one half-life, old and new weigh the same");
/// ```
#[derive(Debug)]
pub struct Ewma {
    half_life: u64,
    /// When the last sample came, and the average then; zero: no sample yet.
    word: AtomicU64,
}

impl Ewma {
    /// An average that halves the weight of a sample with each `half_life`.
    #[must_use]
    pub fn new(half_life: Duration) -> Self {
        Self {
            half_life: (nanos(half_life) >> TIME_UNIT_BITS).max(1),
            word: AtomicU64::new(0),
        }
    }

    /// Takes one sample in.
    pub fn record(&self, now: Instant, sample: Duration) {
        self.update(now, sample, |average, sample, weight| {
            blend(average, sample, weight)
        });
    }

    /// Takes one sample in; one above the average becomes the average.
    pub fn record_peak(&self, now: Instant, sample: Duration) {
        self.update(now, sample, |average, sample, weight| {
            blend(average, sample, weight).max(sample)
        });
    }

    /// The average; zero while there is no sample.
    #[must_use]
    pub fn value(&self) -> Duration {
        let held = self.word.load(Ordering::Relaxed) & VALUE_MASK;
        Duration::from_nanos(held << VALUE_UNIT_BITS)
    }

    fn update(&self, now: Instant, sample: Duration, into: impl Fn(u64, u64, u64) -> u64) {
        // A sample of nothing is told from no sample.
        let sample = (nanos(sample) >> VALUE_UNIT_BITS).clamp(1, VALUE_MASK);
        let now = now.as_nanos() >> TIME_UNIT_BITS & TIME_MASK;
        update(Protocol::Ewma, &self.word, |held| {
            let (average, then) = (held & VALUE_MASK, held >> VALUE_BITS);
            if average == 0 {
                return Some(now << VALUE_BITS | sample);
            }
            let elapsed = now.wrapping_sub(then) & TIME_MASK;
            let (elapsed, latest) = if elapsed > TIME_MASK - LAG {
                (0, then)
            } else {
                (elapsed, now)
            };
            let weight = half_to_the(elapsed, self.half_life);
            Some(latest << VALUE_BITS | into(average, sample, weight).clamp(1, VALUE_MASK))
        });
    }
}

/// The average after `weight` of it was kept and the rest replaced by `sample`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a mean of two values lies between them"
)]
const fn blend(average: u64, sample: u64, weight: u64) -> u64 {
    let kept = average as u128 * weight as u128 + sample as u128 * (ONE - weight) as u128;
    (kept / ONE as u128) as u64
}

/// Two to the power of `-elapsed / half_life`, in units of [`ONE`]; exact to one part in five thousand.
fn half_to_the(elapsed: u64, half_life: u64) -> u64 {
    /// The series of 2^-f around nothing: (ln 2)^k / k!, in units of `ONE`.
    const SERIES: [u64; 6] = [
        4_294_967_296,
        2_977_044_472,
        1_031_764_991,
        238_388_159,
        41_309_549,
        5_726_719,
    ];
    let halvings = elapsed / half_life;
    if halvings >= 32 {
        return 0;
    }
    let fraction = (elapsed % half_life) * ONE / half_life;
    // Horner's rule; the terms alternate and shrink, so that no difference falls below nothing.
    let power = SERIES
        .iter()
        .rev()
        .fold(0, |sum, term| term - ((sum * fraction) >> 32));
    power >> halvings
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn the_first_sample_is_the_average() {
        let average = Ewma::new(SECOND);
        assert_eq!(average.value(), Duration::ZERO);
        average.record(at(5), Duration::from_millis(32));
        assert_eq!(average.value(), Duration::from_millis(32));
    }

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        let average = Ewma::new(SECOND);
        average.record_peak(at(0), Duration::from_millis(10));
        average.record_peak(at(1), SECOND);
        assert_eq!(average.value(), SECOND);
        average.record_peak(at(1001), Duration::from_millis(10));
        let seen = average.value().as_millis();
        assert!((500..=510).contains(&seen), "half of it is left: {seen} ms");
    }

    #[test]
    fn weights_are_powers_of_a_half() {
        let close = |weight: u64, of_one: f64| (weight as f64 / ONE as f64 - of_one).abs() < 2e-4;
        assert_eq!(half_to_the(0, 1000), ONE);
        assert!(close(half_to_the(500, 1000), 0.5_f64.sqrt()));
        assert!(close(half_to_the(250, 1000), 0.5_f64.sqrt().sqrt()));
        assert!(close(half_to_the(9_999, 10_000), 0.5));
        assert_eq!(half_to_the(3000, 1000), ONE / 8);
        assert_eq!(half_to_the(u64::MAX, 1), 0);
    }

    #[test]
    fn a_clock_that_lags_does_not_forget_everything() {
        let average = Ewma::new(SECOND);
        average.record(at(5_000), Duration::from_millis(10));
        average.record(at(4_000), SECOND);
        assert_eq!(average.value(), Duration::from_millis(10));
    }

    proptest! {
        #[test]
        fn an_average_lies_between_its_samples(
            samples in proptest::collection::vec((0..10_000_u64, 16..1_000_000_000_000_u64), 1..50),
            half_life in 0..100_000_u64,
        ) {
            let average = Ewma::new(Duration::from_millis(half_life));
            let mut now = 0;
            for &(step, sample) in &samples {
                now += step;
                average.record(at(now), Duration::from_nanos(sample));
            }
            let seen = nanos(average.value());
            let (least, most) = (samples.iter().map(|s| s.1).min(), samples.iter().map(|s| s.1).max());
            prop_assert!(seen + 32 * 50 >= least.unwrap() && seen <= most.unwrap());
        }
    }
}
