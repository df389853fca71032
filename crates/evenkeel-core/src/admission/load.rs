//! What is known of the load, and what follows from it.

use core::time::Duration;

use crate::queue::law::ServiceLaw;
use crate::queue::plan::{Load, Plan, plan};
use crate::time::{Instant, nanos};

/// A new plan is made after as many services.
const SERVICES: u32 = 16;

/// And not sooner after the last one, once the first services are known: it takes some microseconds.
const PAUSE: Duration = Duration::from_millis(10);
const FIRST_SERVICES: usize = 64;

/// The rate of arrivals is that of as many.
const ARRIVALS: u64 = 1_024;

/// A pause between arrivals counts as so many times the usual one at most: silence is not a load.
const SILENCE: u64 = 8;

/// A deadline's weight in the usual time allowed: one in this many.
const ALLOWED_WEIGHT: u64 = 64;

/// Nobody waits longer than an hour.
const ALLOWED_MAX: u64 = 3_600_000_000_000;

/// Measured load, and when the plan was last made from it.
#[derive(Debug)]
pub(super) struct Measured {
    law: ServiceLaw,
    services: u32,
    /// Arrivals and the nanoseconds in which they came, both fading.
    arrivals: u64,
    lasted: u64,
    /// Of the counter of arrivals, as of the last plan.
    offered: u64,
    planned: Instant,
    allowed: u64,
}

impl Measured {
    pub(super) fn new() -> Self {
        Self {
            law: ServiceLaw::new(),
            services: 0,
            arrivals: 0,
            lasted: 0,
            offered: 0,
            planned: Instant::ZERO,
            allowed: 0,
        }
    }

    /// The mean service in nanoseconds.
    pub(super) fn mean(&self) -> u64 {
        self.law.mean()
    }

    /// Takes in how long a request had from its arrival to its deadline.
    pub(super) fn on_allowed(&mut self, allowed: Duration) {
        let allowed = nanos(allowed).min(ALLOWED_MAX);
        self.allowed = if self.allowed == 0 {
            allowed
        } else {
            self.allowed - self.allowed / ALLOWED_WEIGHT + allowed / ALLOWED_WEIGHT
        };
    }

    pub(super) fn on_service(&mut self, took: Duration) {
        self.law.record(took);
        self.services += 1;
    }

    /// A plan, if it is time for one. `offered`: all arrivals so far.
    pub(super) fn plan(&mut self, now: Instant, offered: u64, workers: u32) -> Option<Plan> {
        let soon = self.law.len() > FIRST_SERVICES && now.since(self.planned) < PAUSE;
        if self.services < SERVICES || soon {
            return None;
        }
        self.services = 0;
        self.count(now, offered);
        self.law.fit();
        Some(plan(
            &self.law,
            Load {
                gap: self.gap(),
                allowed: to_float(self.allowed),
                workers,
            },
        ))
    }

    fn count(&mut self, now: Instant, offered: u64) {
        let came = offered.wrapping_sub(self.offered);
        if came == 0 {
            return;
        }
        let mut lasted = now.nanos_since(self.planned).min(ALLOWED_MAX);
        if self.arrivals > 0 {
            let usual = u128::from(self.lasted) * u128::from(came) / u128::from(self.arrivals);
            let most = usual.saturating_mul(u128::from(SILENCE));
            lasted = lasted.min(u64::try_from(most).unwrap_or(u64::MAX));
        }
        // Old arrivals fade by as many as came.
        let kept = ARRIVALS.saturating_sub(came);
        if self.arrivals > kept {
            let fading = u128::from(self.lasted) * u128::from(kept) / u128::from(self.arrivals);
            self.lasted = u64::try_from(fading).unwrap_or(u64::MAX);
            self.arrivals = kept;
        }
        self.arrivals += came;
        self.lasted = self.lasted.saturating_add(lasted);
        (self.offered, self.planned) = (offered, now);
    }

    fn gap(&self) -> f64 {
        if self.arrivals == 0 {
            return 0.0;
        }
        to_float(self.lasted) / to_float(self.arrivals)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a nanosecond in a hundred days is nothing"
)]
const fn to_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `services` of 10 ms each, one every `gap_micros`, with as many arrivals; answers the last plan and the gap.
    fn watch(measured: &mut Measured, from: u64, services: u64, gap_micros: u64) -> (Plan, f64) {
        let mut plan = Plan::UNKNOWN;
        for n in 1..=services {
            let now = Instant::ZERO + Duration::from_micros(from + n * gap_micros);
            measured.on_allowed(Duration::from_millis(100));
            measured.on_service(Duration::from_millis(10));
            plan = measured
                .plan(now, measured.offered + measured.services as u64, 8)
                .unwrap_or(plan);
        }
        (plan, measured.gap())
    }

    #[test]
    fn the_rate_of_arrivals_is_that_of_the_last_thousand() {
        let mut measured = Measured::new();
        let (_, gap) = watch(&mut measured, 0, 4_000, 1_000);
        assert!((gap - 1e6).abs() < 1e4, "{gap}");
        let (_, gap) = watch(&mut measured, 4_000_000, 5_000, 100);
        assert!((gap - 1e5).abs() < 1e4, "{gap}");
    }

    #[test]
    fn an_hour_of_silence_is_not_a_load() {
        let mut measured = Measured::new();
        watch(&mut measured, 0, 4_000, 1_000);
        let (_, gap) = watch(&mut measured, 3_600_000_000, 16, 1_000);
        assert!(gap < 2e6, "{gap}");
    }

    #[test]
    fn before_the_first_services_everything_is_in_order() {
        let mut measured = Measured::new();
        let (plan, _) = watch(&mut measured, 0, 15, 1_000);
        assert_eq!(plan, Plan::UNKNOWN);
    }
}
