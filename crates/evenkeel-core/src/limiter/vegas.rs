//! Asking how many calls wait in the dependency's queue.
//!
//! A call that takes longer than it would alone has waited, and by Little's law the share of its time that
//! was waiting is the share of the calls in flight that wait. Vegas grows while fewer than a few wait and
//! shrinks once more do; a few is the limit's decimal logarithm.
//!
//! Limits: what a call takes *alone* is the best it has seen, until a probe replaces it by whatever the
//! latency is at that moment. A probe under load is taken for the truth, and the limit drifts upwards; one
//! lucky sample in between pins it to the ground.
//!
//! Sources: Brakmo and Peterson, *TCP Vegas*, 1995; Netflix/concurrency-limits, `VegasLimit`.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::entropy::Entropy;
use crate::ratio::Ratio;

/// Queue lengths in units of the limit's logarithm: below `ALPHA` the limit grows, above `BETA` it shrinks.
const ALPHA: u32 = 3;
const BETA: u32 = 6;

/// How Vegas starts, how far it goes and how often it probes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VegasConfig {
    /// The limit at first. Default 20, as in the source, like all below.
    pub initial: NonZeroU32,
    /// The limit is never higher. Default 1000.
    pub max: NonZeroU32,
    /// How much of each new limit counts against the one before. Smaller: smoother, slower. Default 1.
    pub smoothing: Ratio,
    /// A probe comes after this many samples for each unit of the limit, times the jitter. Larger: drifts
    /// more slowly, and believes an outlier longer. Default 30.
    pub probe_multiplier: u32,
    /// The least and the greatest jitter of a probe. Default 0.5 to 1.
    pub probe_jitter: (Ratio, Ratio),
}

impl Default for VegasConfig {
    fn default() -> Self {
        Self {
            initial: NonZeroU32::MIN.saturating_add(19),
            max: NonZeroU32::MIN.saturating_add(999),
            smoothing: Ratio::ONE,
            probe_multiplier: 30,
            probe_jitter: (Ratio::from_permille(500), Ratio::ONE),
        }
    }
}

/// Netflix's Vegas, sample for sample.
///
/// ```
/// use evenkeel_core::{entropy::Entropy, limiter::vegas::{Vegas, VegasConfig}};
/// use std::time::Duration;
///
/// let mut vegas = Vegas::new(VegasConfig::default(), Entropy::new(1));
/// let (fast, slow) = (Duration::from_millis(10), Duration::from_millis(30));
/// assert_eq!(vegas.on_sample(fast, 20, false), 20, "the first sample is the baseline");
/// assert_eq!(vegas.on_sample(fast, 20, false), 26, "nothing waits: it grows fast");
/// assert_eq!(vegas.on_sample(slow, 26, false), 25, "two thirds of 26 wait: it shrinks");
/// ```
#[derive(Debug, Clone)]
pub struct Vegas {
    config: VegasConfig,
    dice: Entropy,
    estimate: f64,
    /// Nanoseconds of the best sample since the last probe; zero: none yet.
    baseline: u64,
    since_probe: u64,
    jitter: f64,
}

impl Vegas {
    /// The algorithm before its first sample, with `dice` for the jitter of its probes.
    #[must_use]
    pub fn new(config: VegasConfig, dice: Entropy) -> Self {
        let mut vegas = Self {
            estimate: f64::from(config.initial.get()),
            config,
            dice,
            baseline: 0,
            since_probe: 0,
            jitter: 1.0,
        };
        vegas.draw_jitter();
        vegas
    }

    /// Takes in a sample that took `rtt` while `in_flight` were under way; answers the limit from now on.
    pub fn on_sample(&mut self, rtt: Duration, in_flight: u32, dropped: bool) -> u32 {
        let rtt = crate::time::nanos(rtt).max(1);
        self.since_probe += 1;
        if self.is_time_to_probe() {
            self.draw_jitter();
            self.since_probe = 0;
            self.baseline = rtt;
        } else if self.baseline == 0 || rtt < self.baseline {
            self.baseline = rtt;
        } else if let Some(wanted) = self.wanted(rtt, in_flight, dropped) {
            let wanted = wanted.min(f64::from(self.config.max.get())).max(1.0);
            let smoothing = super::float(self.config.smoothing);
            self.estimate = (1.0 - smoothing) * self.estimate + smoothing * wanted;
        }
        self.limit()
    }

    /// The limit at present.
    #[must_use]
    pub fn limit(&self) -> u32 {
        super::truncated(self.estimate)
    }

    /// The limit that this sample asks for; none: it is right as it is, or not used enough to tell.
    fn wanted(&self, rtt: u64, in_flight: u32, dropped: bool) -> Option<f64> {
        let step = log10(self.limit());
        let (estimate, one_step) = (self.estimate, f64::from(step));
        if dropped {
            return Some(estimate - one_step);
        }
        if f64::from(in_flight) * 2.0 < estimate {
            return None;
        }
        let queue = estimate * (1.0 - self.baseline as f64 / rtt as f64);
        let queue = super::truncated(queue.ceil());
        if queue <= step {
            Some(estimate + f64::from(BETA * step))
        } else if queue < ALPHA * step {
            Some(estimate + one_step)
        } else if queue > BETA * step {
            Some(estimate - one_step)
        } else {
            None
        }
    }

    fn is_time_to_probe(&self) -> bool {
        let due = self.jitter * f64::from(self.config.probe_multiplier) * self.estimate;
        due <= self.since_probe as f64
    }

    fn draw_jitter(&mut self) {
        let (least, most) = self.config.probe_jitter;
        let drawn = self
            .dice
            .between(u64::from(least.permille()), u64::from(most.permille()));
        self.jitter = drawn as f64 / 1000.0;
    }
}

/// The whole part of the decimal logarithm, and at least one.
pub(super) const fn log10(limit: u32) -> u32 {
    match limit.checked_ilog10() {
        Some(digits) if digits > 1 => digits,
        _ => 1,
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_steps_at_powers_of_ten() {
        let steps = [0, 1, 9, 10, 99, 100, 999, 1000, u32::MAX].map(log10);
        assert_eq!(steps, [1, 1, 1, 1, 1, 2, 2, 3, 9]);
    }

    #[test]
    fn a_probe_comes_within_its_jitter() {
        let mut vegas = Vegas::new(VegasConfig::default(), Entropy::new(7));
        let slow = Duration::from_millis(50);
        vegas.on_sample(Duration::from_millis(10), 1, false);
        let probed_after = (1..1_000).find(|_| {
            vegas.on_sample(slow, 1, false);
            vegas.baseline == 50_000_000
        });
        // 30 samples for each of a limit of 20, times 0.5 to 1.
        assert!((300..=600).contains(&probed_after.unwrap()));
    }
}
