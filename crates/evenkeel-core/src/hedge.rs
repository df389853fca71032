//! Asking a second host before the first has answered.
//!
//! One call in a hundred meets a pause of the collector, a cold cache, a full queue; a page that makes a
//! hundred calls meets one of them nearly always. A **hedge**, the same call to another host once the first
//! has taken longer than nineteen in twenty do, answers for it in most such cases, at the cost of one call in
//! twenty. Asked without bounds it doubles the load just when everything is slow, and from half of capacity
//! on the dependency does not recover.
//!
//! So a hedge waits for a quantile of *this route's own* latency, over a sliding window, and not before it
//! is known from [`Config::min_samples`] calls. It is a share of the calls, counted by a
//! [budget] of its own that grants nothing to a quiet service. It is refused for a call that
//! is not safe to make twice, while the limit of what may be in flight is nearly reached, and while the host
//! that it would go to is not well.
//!
//! The loser of the two is not wasted for learning: that it took *at least* as long as it ran is recorded
//! as having taken that long, so that the slow calls that hedges cut off stay in the quantile.
//!
//! Limits: copies must be independent; a row that is slow on every replica gains nothing. With load, the
//! gain shrinks: the numbers are from an idle system.
//!
//! Sources: Dean and Barroso, *The Tail at Scale*, 2013; the learned delay and the budget without a floor are
//! Finagle's.

use core::time::Duration;

use crate::budget::{self, Budget, Cost, Withdrawal};
use crate::ratio::Ratio;
use crate::stripe::Stripe;
use crate::sync::Arc;
use crate::time::Instant;
use crate::window::{QuantileConfig, QuantileWindow, Quantiles};

/// When a call is made twice, and how many may be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How long the attempts before have to take before another is made. Higher: fewer hedges, later.
    /// Default [`After::P95`].
    pub after: After,
    /// But never before this: below it, a hedge costs more than it saves. Default 5 ms.
    pub min_delay: Duration,
    /// Latency is known once this many calls of the window were measured. Default 100.
    pub min_samples: u64,
    /// How many hedges one call may make. Default 1; 3 at most are worth it.
    pub max_hedges: u32,
    /// Hedges per call, over all calls. Leave some slack above the share that the quantile lets pass, or
    /// the tokens run out. Default 0.05.
    pub ratio: Ratio,
    /// None is made while more than this share of what may be in flight is. Default 0.8.
    pub max_used: Ratio,
    /// What latency is looked back on.
    pub latency: QuantileConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            after: After::P95,
            min_delay: Duration::from_millis(5),
            min_samples: 100,
            max_hedges: 1,
            ratio: Ratio::from_permille(50),
            max_used: Ratio::from_permille(800),
            latency: QuantileConfig::default(),
        }
    }
}

/// The share of calls that take no longer than the wait before a hedge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum After {
    /// Nine in ten.
    P90,
    /// Nineteen in twenty.
    P95,
    /// Ninety-nine in a hundred.
    P99,
}

impl After {
    const fn of(self, quantiles: &Quantiles) -> Duration {
        match self {
            Self::P90 => quantiles.p90,
            Self::P95 => quantiles.p95,
            Self::P99 => quantiles.p99,
        }
    }
}

/// What a call is like at the moment at which a hedge would be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conditions {
    /// Making the call twice does no harm.
    pub idempotent: bool,
    /// How many hedges it has made.
    pub hedges: u32,
    /// Attempts to the dependency in flight, of all calls.
    pub in_flight: u64,
    /// More than [`Config::max_used`] of what may be in flight is.
    pub is_busy: bool,
    /// The breaker of the host that the hedge would go to is closed, and the host is another one.
    pub host_is_well: bool,
}

impl Conditions {
    /// A call that is safe to make twice, has made no hedge, and meets no bound.
    #[must_use]
    pub const fn clear() -> Self {
        Self {
            idempotent: true,
            hedges: 0,
            in_flight: 0,
            is_busy: false,
            host_is_well: true,
        }
    }
}

/// Why no hedge is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Making the call twice may do harm.
    NotIdempotent,
    /// The call has made as many as it may.
    Exhausted,
    /// Nearly as much is in flight as may be.
    Busy,
    /// No other host is well.
    NoHost,
    /// The budget is spent.
    Budget,
}

impl Refusal {
    /// The refusal in lower-case words joined by underscores, as it stands in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotIdempotent => "not_idempotent",
            Self::Exhausted => "exhausted",
            Self::Busy => "busy",
            Self::NoHost => "no_host",
            Self::Budget => "budget",
        }
    }
}

/// The hedges of one route. Cheap to clone; clones are one.
///
/// ```
/// use evenkeel_core::hedge::{Conditions, Config, Hedges};
/// use evenkeel_core::{stripe::Stripe, time::Instant};
/// use std::time::Duration;
///
/// let (hedges, now) = (Hedges::new(Config::default(), 1), Instant::ZERO);
/// assert_eq!(hedges.delay(now), None, "nothing is known yet");
/// for millis in 0..200 {
///     hedges.on_call(Stripe(0), now);
///     hedges.record(Stripe(0), now, Duration::from_millis(10 + millis / 10));
/// }
/// let later = now + Duration::from_secs(3);
/// let delay = hedges.delay(later).unwrap();
/// assert!(delay > Duration::from_millis(27) && delay < Duration::from_millis(30));
/// assert!(hedges.try_hedge(later, Conditions::clear()).is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Hedges(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    latency: QuantileWindow,
    budget: Budget,
}

impl Hedges {
    /// Hedges of a route of which nothing is known, counting on `stripes` stripes: as many as threads call
    /// at once.
    #[must_use]
    pub fn new(config: Config, stripes: usize) -> Self {
        let budget = budget::Config {
            ratio: config.ratio,
            floor_per_second: 0,
            window: config.latency.window,
            ..budget::Config::default()
        };
        Self(Arc::new(Shared {
            latency: QuantileWindow::new(&config.latency, stripes),
            budget: Budget::new(budget, stripes),
            config,
        }))
    }

    /// Counts one call: it deposits its share of a hedge.
    #[inline]
    pub fn on_call(&self, stripe: Stripe, now: Instant) {
        self.0.budget.deposit(stripe, now);
    }

    /// Records how long an attempt took that was served, timed out, or lost to another: a loser took at
    /// least as long as it ran. Not one that failed: failures are quick, and the wait would shrink.
    #[inline]
    pub fn record(&self, stripe: Stripe, now: Instant, took: Duration) {
        self.0.latency.record(stripe, now, took);
    }

    /// How long the attempts of a call have to take before it makes a hedge; none while too little is
    /// known.
    #[must_use]
    pub fn delay(&self, now: Instant) -> Option<Duration> {
        let config = &self.0.config;
        let known = self.0.latency.quantiles(now)?;
        let enough = known.count >= config.min_samples;
        enough.then(|| config.after.of(&known).max(config.min_delay))
    }

    /// Asks for a hedge whose delay has passed. Spend what is granted when it is made.
    ///
    /// # Errors
    /// [`Refusal`], with nothing taken. The call goes on with the attempts that it has.
    pub fn try_hedge(&self, now: Instant, call: Conditions) -> Result<Withdrawal, Refusal> {
        let config = &self.0.config;
        // Cheapest and most final first; the budget last, since asking it takes from it.
        if !call.idempotent {
            return Err(Refusal::NotIdempotent);
        }
        if call.hedges >= config.max_hedges {
            return Err(Refusal::Exhausted);
        }
        if call.is_busy {
            return Err(Refusal::Busy);
        }
        if !call.host_is_well {
            return Err(Refusal::NoHost);
        }
        let granted = self
            .0
            .budget
            .try_withdraw(now, call.in_flight, Cost::Ordinary);
        granted.map_err(|_| Refusal::Budget)
    }

    /// How long attempts took of late; none while nothing is known.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Option<Quantiles> {
        self.0.latency.quantiles(now)
    }

    /// The rules as they were given.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// What the budget shows of itself.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> budget::Snapshot {
        self.0.budget.snapshot(now)
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;

    const ONE: Stripe = Stripe(0);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// A route that has made a hundred calls of 40 ms.
    fn hedges() -> Hedges {
        let hedges = Hedges::new(Config::default(), 1);
        for _ in 0..100 {
            hedges.on_call(ONE, at(0));
            hedges.record(ONE, at(0), Duration::from_millis(40));
        }
        hedges
    }

    #[test]
    fn nothing_is_hedged_before_enough_is_known() {
        let hedges = Hedges::new(Config::default(), 1);
        for _ in 0..99 {
            hedges.record(ONE, at(0), Duration::from_millis(40));
        }
        assert_eq!(hedges.delay(at(0)), None);
        hedges.record(ONE, at(0), Duration::from_millis(40));
        assert!(
            hedges.delay(at(3_000)).is_some(),
            "seen when the next slice begins"
        );
    }

    #[test]
    fn a_fast_route_waits_the_least_that_is_worth_it() {
        let hedges = Hedges::new(Config::default(), 1);
        for _ in 0..100 {
            hedges.record(ONE, at(0), Duration::from_micros(80));
        }
        assert_eq!(hedges.delay(at(0)), Some(Duration::from_millis(5)));
    }

    #[test]
    fn hedges_are_a_share_of_the_calls_and_a_quiet_service_has_none() {
        let hedges = hedges();
        let granted: Vec<_> = (0..100)
            .filter_map(|_| {
                hedges
                    .try_hedge(
                        at(0),
                        Conditions {
                            in_flight: 1000,
                            ..Conditions::clear()
                        },
                    )
                    .ok()
            })
            .map(|mut hedge| hedge.spend())
            .collect();
        assert_eq!(granted.len(), 5, "a twentieth of a hundred");
        let quiet = Hedges::new(Config::default(), 1);
        for _ in 0..19 {
            quiet.on_call(ONE, at(0));
        }
        assert_eq!(
            quiet.try_hedge(at(0), Conditions::clear()).err(),
            Some(Refusal::Budget)
        );
    }

    #[test]
    fn each_condition_refuses_alone_and_takes_nothing() {
        let hedges = hedges();
        let clear = Conditions::clear();
        let before = hedges.snapshot(at(0));
        for (conditions, refusal) in [
            (
                Conditions {
                    idempotent: false,
                    ..clear
                },
                Refusal::NotIdempotent,
            ),
            (Conditions { hedges: 1, ..clear }, Refusal::Exhausted),
            (
                Conditions {
                    is_busy: true,
                    ..clear
                },
                Refusal::Busy,
            ),
            (
                Conditions {
                    host_is_well: false,
                    ..clear
                },
                Refusal::NoHost,
            ),
        ] {
            assert_eq!(hedges.try_hedge(at(0), conditions).err(), Some(refusal));
        }
        assert_eq!(hedges.snapshot(at(0)), before);
        assert!(hedges.try_hedge(at(0), clear).is_ok());
    }

    #[test]
    fn a_hedge_that_is_not_made_gives_its_token_back() {
        let hedges = hedges();
        let before = hedges.snapshot(at(0));
        drop(hedges.try_hedge(at(0), Conditions::clear()));
        assert_eq!(hedges.snapshot(at(0)), before);
    }

    #[test]
    fn a_phase_in_which_everything_is_slow_is_not_hedged_twice_over() {
        let hedges = hedges();
        // All calls take ten times as long: each asks for a hedge, a twentieth gets one.
        let mut granted = 0;
        for call in 0..2_000 {
            let now = at(3_000 + call * 10);
            hedges.on_call(ONE, now);
            let asked = hedges.try_hedge(
                now,
                Conditions {
                    in_flight: 40,
                    ..Conditions::clear()
                },
            );
            if let Ok(mut hedge) = asked {
                hedge.spend();
                granted += 1;
            }
            hedges.record(ONE, now, Duration::from_millis(400));
        }
        assert!(granted <= 2_100 / 20, "{granted}");
        assert!(
            hedges.delay(at(24_000)).unwrap() > Duration::from_millis(380),
            "and it waits longer now"
        );
    }
}
