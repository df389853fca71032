//! Comparing what a call takes with what calls took lately.
//!
//! Without a fixed idea of what a call takes alone, one can still see that it takes longer than it used to.
//! Gradient2 scales the limit by the ratio of a long average to the present sample, and adds a few so that
//! it keeps asking for more.
//!
//! Limits: it forgets. A lasting rise of latency becomes the long average within some hundred samples, and
//! the limit returns to its maximum; drops are not looked at, so that it climbs while every call times out
//! evenly. It is here because others use it, and to compare with.
//!
//! Source: Netflix/concurrency-limits, `Gradient2Limit` and `ExpAvgMeasurement`.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::ratio::Ratio;

/// Beyond this ratio of long average to sample, the long average is brought down by [`DECAY`] a sample.
const MAX_LEAD: f64 = 2.0;
const DECAY: f64 = 0.95;

/// A single sample takes away at most half of the limit.
const MIN_GRADIENT: f64 = 0.5;

/// How Gradient2 starts, how far it goes and how long it remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gradient2Config {
    /// The limit at first. Default 20, as in the source, like all below.
    pub initial: NonZeroU32,
    /// The limit is never lower. Default 20.
    pub min: NonZeroU32,
    /// Nor higher. Default 200.
    pub max: NonZeroU32,
    /// How much of each new limit counts against the one before. Smaller: smoother, slower. Default 0.2.
    pub smoothing: Ratio,
    /// How many calls may wait in the dependency's queue: what makes the limit grow. Default 4.
    pub queue: u32,
    /// How many samples the long average remembers. Longer: remembers what was healthy longer, and takes
    /// longer to learn what is. Default 600.
    pub long_window: u32,
    /// The long average is a plain mean for this many samples. Default 10.
    pub warm_up: u32,
    /// Latency may exceed the long average by this before the limit shrinks. Default 1.5.
    pub tolerance: Ratio,
}

impl Default for Gradient2Config {
    fn default() -> Self {
        Self {
            initial: NonZeroU32::MIN.saturating_add(19),
            min: NonZeroU32::MIN.saturating_add(19),
            max: NonZeroU32::MIN.saturating_add(199),
            smoothing: Ratio::from_permille(200),
            queue: 4,
            long_window: 600,
            warm_up: 10,
            tolerance: Ratio::from_permille(1500),
        }
    }
}

/// Netflix's Gradient2, sample for sample.
///
/// ```
/// use evenkeel_core::limiter::gradient2::{Gradient2, Gradient2Config};
/// use std::time::Duration;
///
/// let mut gradient = Gradient2::new(Gradient2Config::default());
/// let (fast, slow) = (Duration::from_millis(10), Duration::from_millis(40));
/// let grown = (0..50).map(|_| gradient.on_sample(fast, 60, false)).last().unwrap();
/// assert_eq!(grown, 60);
/// assert!(gradient.on_sample(slow, 60, false) < grown);
/// ```
#[derive(Debug, Clone)]
pub struct Gradient2 {
    config: Gradient2Config,
    estimate: f64,
    long: LongAverage,
}

impl Gradient2 {
    /// The algorithm before its first sample.
    #[must_use]
    pub fn new(config: Gradient2Config) -> Self {
        Self {
            estimate: f64::from(config.initial.get()),
            long: LongAverage::default(),
            config,
        }
    }

    /// Takes in a sample that took `rtt` while `in_flight` were under way; answers the limit from now on.
    /// As in the source, a drop is a sample like any other.
    pub fn on_sample(&mut self, rtt: Duration, in_flight: u32, _dropped: bool) -> u32 {
        let config = &self.config;
        let short = crate::time::nanos(rtt).max(1) as f64;
        let long = self.long.add(short, config);
        if long / short > MAX_LEAD {
            self.long.value *= DECAY;
        }
        if f64::from(in_flight) < self.estimate / 2.0 {
            return self.limit();
        }
        let gradient = (super::float(config.tolerance) * long / short).clamp(MIN_GRADIENT, 1.0);
        let smoothing = super::float(config.smoothing);
        let wanted = self.estimate * gradient + f64::from(config.queue);
        self.estimate = (self.estimate * (1.0 - smoothing) + wanted * smoothing)
            .min(f64::from(config.max.get()))
            .max(f64::from(config.min.get()));
        self.limit()
    }

    /// The limit at present.
    #[must_use]
    pub fn limit(&self) -> u32 {
        super::truncated(self.estimate)
    }

    /// The long average; zero before the first sample.
    #[must_use]
    pub fn long_average(&self) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an average of durations is one: neither negative nor longer than they"
        )]
        let nanos = self.long.value as u64;
        Duration::from_nanos(nanos)
    }
}

/// A mean at first, then an average in which the weight of a sample falls with each that follows.
#[derive(Debug, Clone, Default)]
struct LongAverage {
    value: f64,
    sum: f64,
    samples: u32,
}

impl LongAverage {
    fn add(&mut self, sample: f64, config: &Gradient2Config) -> f64 {
        if self.samples < config.warm_up {
            self.samples += 1;
            self.sum += sample;
            self.value = self.sum / f64::from(self.samples);
        } else {
            let weight = 2.0 / (f64::from(config.long_window) + 1.0);
            self.value = self.value * (1.0 - weight) + sample * weight;
        }
        self.value
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn peer_fault_17_falling_latency_is_good_news_and_no_panic() {
        let mut gradient = Gradient2::new(Gradient2Config::default());
        for rtt in [8, 2, 1, 0] {
            for _ in 0..100 {
                gradient.on_sample(rtt * MS, 200, false);
            }
        }
        assert_eq!(gradient.limit(), 200);
        assert!(gradient.long_average() < MS);
    }

    #[test]
    fn a_limit_that_is_not_used_neither_grows_nor_shrinks() {
        let mut gradient = Gradient2::new(Gradient2Config::default());
        for rtt in [10, 10, 500, 1] {
            assert_eq!(gradient.on_sample(rtt * MS, 9, false), 20);
        }
    }
}
