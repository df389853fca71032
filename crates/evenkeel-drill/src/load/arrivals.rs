//! When each request is due, decided before the run.

use std::time::Duration;

use crate::draw;

/// The due times of a fixed number of requests at a mean rate.
///
/// Each request is due at a seeded, uniformly drawn moment within its own slot of `1 / rate`: the
/// load is irregular from moment to moment, and every full second carries exactly `rate`
/// requests. With Poisson arrivals the count itself would scatter by its square root, a tenth at
/// 100 a second, and goodput per second could not be compared with a limit of 95 %.
///
/// ```
/// use evenkeel_drill::load::Arrivals;
///
/// let arrivals = Arrivals::new(100, 2, 42);
/// assert_eq!(arrivals.count(), 200);
/// assert_eq!(arrivals.due(7), Arrivals::new(100, 2, 42).due(7));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Arrivals {
    rate: u32,
    seconds: u32,
    seed: u64,
}

impl Arrivals {
    /// `rate` requests a second for `seconds` seconds, drawn from `seed`.
    ///
    /// # Panics
    /// If `rate` is zero.
    #[must_use]
    pub fn new(rate: u32, seconds: u32, seed: u64) -> Self {
        assert!(rate > 0, "a load of zero requests a second is no load");
        Self {
            rate,
            seconds,
            seed,
        }
    }

    /// How many requests there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::from(self.rate) * u64::from(self.seconds)
    }

    /// When request `ordinal` is due, from the start of the run. Ascending in `ordinal`.
    #[must_use]
    pub fn due(&self, ordinal: u64) -> Duration {
        let within = draw::uniform(self.seed, "arrivals", ordinal);
        let rate = u64::from(self.rate);
        // Whole seconds apart from the fraction, so that a long run loses no precision.
        let whole = Duration::from_secs(ordinal / rate);
        #[expect(
            clippy::cast_precision_loss,
            reason = "the remainder is below the rate"
        )]
        let slot = (ordinal % rate) as f64 + within;
        whole + Duration::from_secs_f64(slot / f64::from(self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_carries_exactly_the_rate_and_due_times_ascend() {
        let arrivals = Arrivals::new(97, 5, 11);
        let due: Vec<Duration> = (0..arrivals.count()).map(|n| arrivals.due(n)).collect();
        assert!(due.is_sorted());
        for second in 0..5 {
            let count = due.iter().filter(|due| due.as_secs() == second).count();
            assert_eq!(count, 97, "second {second}");
        }
    }

    #[test]
    fn the_gaps_between_arrivals_are_irregular() {
        let arrivals = Arrivals::new(100, 1, 11);
        let gaps: Vec<Duration> = (1..100)
            .map(|n| arrivals.due(n) - arrivals.due(n - 1))
            .collect();
        assert!(gaps.iter().any(|gap| *gap < Duration::from_millis(4)));
        assert!(gaps.iter().any(|gap| *gap > Duration::from_millis(16)));
    }
}
