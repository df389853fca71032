//! Adding one while all is well, taking a part away when it is not.
//!
//! The rule that keeps TCP fair: of two parties that share a bottleneck, each gives up in proportion to
//! what it has and gains equally, so that they meet. Two forms: [`Classic`], as most texts have it, which
//! halves on an error and on doubled latency; and [`Aimd`], as in Netflix's concurrency-limits, which
//! takes a tenth and looks at time-outs alone.
//!
//! Limits: `Classic` never forgets the best latency it has seen, so that one lucky sample makes it cautious
//! for good; `Aimd` does not see queueing at all.
//!
//! Sources: Chiu and Jain, *Analysis of the Increase and Decrease Algorithms*, 1989;
//! Netflix/concurrency-limits, `AIMDLimit`.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::ratio::Ratio;

/// Halving on errors and on doubled latency.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassicConfig {
    /// The limit at first. Default 20.
    pub initial: NonZeroU32,
    /// The limit is never lower. Default 1.
    pub min: NonZeroU32,
    /// Nor higher. Default 1000.
    pub max: NonZeroU32,
}

impl Default for ClassicConfig {
    fn default() -> Self {
        Self {
            initial: NonZeroU32::MIN.saturating_add(19),
            min: NonZeroU32::MIN,
            max: NonZeroU32::MIN.saturating_add(999),
        }
    }
}

/// Halves on a drop or when latency exceeds twice the best seen; adds one when the limit is fully used.
#[derive(Debug, Clone)]
pub struct Classic {
    config: ClassicConfig,
    limit: u32,
    best: Duration,
}

impl Classic {
    /// The algorithm before its first sample.
    #[must_use]
    pub const fn new(config: ClassicConfig) -> Self {
        Self {
            limit: config.initial.get(),
            best: Duration::MAX,
            config,
        }
    }

    /// Takes in a sample that took `rtt` while `in_flight` were under way; answers the limit from now on.
    pub fn on_sample(&mut self, rtt: Duration, in_flight: u32, dropped: bool) -> u32 {
        if !dropped {
            self.best = self.best.min(rtt);
        }
        if dropped || rtt > self.best.saturating_mul(2) {
            self.limit /= 2;
        } else if in_flight >= self.limit {
            self.limit += 1;
        }
        self.limit = self
            .limit
            .min(self.config.max.get())
            .max(self.config.min.get());
        self.limit
    }

    /// The limit at present.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }
}

/// Taking a tenth on drops and time-outs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AimdConfig {
    /// The limit at first. Default 20, as in the source, like all below.
    pub initial: NonZeroU32,
    /// The limit is never lower. Default 20.
    pub min: NonZeroU32,
    /// Nor higher. Default 200.
    pub max: NonZeroU32,
    /// What is left of the limit after a drop. Larger: gentler, and longer in trouble. Default 0.9.
    pub backoff: Ratio,
    /// A sample that takes longer counts as dropped. Default 5 s.
    pub timeout: Duration,
}

impl Default for AimdConfig {
    fn default() -> Self {
        Self {
            initial: NonZeroU32::MIN.saturating_add(19),
            min: NonZeroU32::MIN.saturating_add(19),
            max: NonZeroU32::MIN.saturating_add(199),
            backoff: Ratio::from_permille(900),
            timeout: Duration::from_secs(5),
        }
    }
}

/// Netflix's AIMD, sample for sample.
///
/// ```
/// use evenkeel_core::limiter::aimd::{Aimd, AimdConfig};
/// use std::time::Duration;
///
/// let mut aimd = Aimd::new(AimdConfig::default());
/// assert_eq!(aimd.on_sample(Duration::from_millis(10), 20, false), 21);
/// assert_eq!(aimd.on_sample(Duration::from_millis(10), 3, false), 21, "grows only when used");
/// ```
#[derive(Debug, Clone)]
pub struct Aimd {
    config: AimdConfig,
    limit: u32,
}

impl Aimd {
    /// The algorithm before its first sample.
    #[must_use]
    pub const fn new(config: AimdConfig) -> Self {
        Self {
            limit: config.initial.get(),
            config,
        }
    }

    /// Takes in a sample that took `rtt` while `in_flight` were under way; answers the limit from now on.
    pub fn on_sample(&mut self, rtt: Duration, in_flight: u32, dropped: bool) -> u32 {
        if dropped || rtt > self.config.timeout {
            self.limit =
                super::truncated(f64::from(self.limit) * super::float(self.config.backoff));
        } else if in_flight.saturating_mul(2) >= self.limit {
            self.limit += 1;
        }
        self.limit = self
            .limit
            .max(self.config.min.get())
            .min(self.config.max.get());
        self.limit
    }

    /// The limit at present.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_classic_halves_on_errors_and_on_doubled_latency_and_adds_one_when_full() {
        let mut classic = Classic::new(ClassicConfig::default());
        assert_eq!(classic.on_sample(10 * MS, 20, false), 21);
        assert_eq!(
            classic.on_sample(10 * MS, 20, false),
            21,
            "one short of full"
        );
        assert_eq!(
            classic.on_sample(20 * MS, 21, false),
            22,
            "twice, and not more"
        );
        assert_eq!(classic.on_sample(21 * MS, 22, false), 11);
        assert_eq!(classic.on_sample(10 * MS, 11, true), 5);
        for _ in 0..5 {
            classic.on_sample(10 * MS, 0, true);
        }
        assert_eq!(classic.limit(), 1);
    }

    #[test]
    fn a_drop_teaches_the_classic_nothing_about_latency() {
        let mut classic = Classic::new(ClassicConfig::default());
        classic.on_sample(Duration::from_micros(1), 20, true);
        assert_eq!(classic.on_sample(10 * MS, 10, false), 11);
    }
}
