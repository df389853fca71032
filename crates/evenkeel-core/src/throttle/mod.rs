//! Sending less to a dependency that refuses a part of what it gets.
//!
//! A refusal is cheap, not free: a service that can serve a thousand calls a second and is sent ten
//! thousand spends itself on refusing. Its callers know what it answers them, and can leave the rest
//! unsent. A breaker would send nothing at all to a service that serves most of what it gets; a
//! **throttle** sends as much as is accepted, and a little more, so that it sees when there is room again.
//!
//! Over a window, it counts the calls that were wanted and the ones that the dependency accepted. Once
//! more than [`Config::headroom`] times the accepted ones are wanted, a call is not sent, with probability
//!
//! ```text
//! (wanted - headroom x accepted) / (wanted + 1)
//! ```
//!
//! A call that is not sent counts as wanted and not as accepted: otherwise the share that is sent would be
//! judged as if it were all there is, and sending would swing up again. Only being refused or left waiting
//! says "too much": an error that the dependency worked on is as good as accepted, since sending less would
//! not help. A timeout counts half, since it may have other causes.
//!
//! Limits: an attempt is counted when it ends, so that the throttle says nothing about calls that hang;
//! their timeouts do. It treats all calls alike.
//!
//! Source: *Site Reliability Engineering* (Beyer et al.), chapter 21, "Client-Side Throttling".
//! [`grpc`] holds another protocol's rule, for retries alone.

pub mod grpc;

use core::time::Duration;

use crate::entropy::Entropy;
use crate::outcome::{Class, Finished, Outcome};
use crate::ratio::Ratio;
use crate::rejection::{Reason, Rejection};
use crate::stripe::Stripe;
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::time::{Instant, nanos};
use crate::window::{RatioWindow, SLICES};

/// When calls are held back, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How much more is sent than is accepted. Two: begins once half is refused, and sends two calls for
    /// each that is accepted. Nearer to one: spares the dependency more and sees it recover later. Below
    /// one is taken as one. Default 2 (the source's); 1.5 suits the edge, where calls are many and cheap.
    pub headroom: Ratio,
    /// The time that is looked back on, in ten slices. Longer: steadier, and slower to begin and to end.
    /// Default 30 s.
    pub window: Duration,
    /// Fewer calls than this in the window prove nothing. Default 20.
    pub min_calls: u32,
    /// Nor do calls that all came within less than this: a cold start refuses for its own reasons.
    /// Default 5 s.
    pub min_observed: Duration,
    /// At most this share is held back, so that there are always calls that can find the dependency well.
    /// Default 0.9.
    pub max_share: Ratio,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            headroom: Ratio::from_permille(2000),
            window: Duration::from_secs(30),
            min_calls: 20,
            min_observed: Duration::from_secs(5),
            max_share: Ratio::from_permille(900),
        }
    }
}

/// The share of calls to hold back, in billionths, when of `wanted` calls `accepted` were accepted.
///
/// ```
/// use evenkeel_core::{ratio::Ratio, throttle::share_held_back};
///
/// let twice = Ratio::from_permille(2000);
/// assert_eq!(share_held_back(twice, 100, 50), 0, "half of them: nothing yet");
/// assert_eq!(share_held_back(twice, 100, 25), 495_049_504, "50 of 101");
/// ```
#[must_use]
pub fn share_held_back(headroom: Ratio, wanted: u64, accepted: u64) -> u32 {
    in_billionths(headroom, 2 * u128::from(wanted), 2 * u128::from(accepted))
}

/// The same, with both counted in halves.
fn in_billionths(headroom: Ratio, wanted: u128, accepted: u128) -> u32 {
    let sent = accepted * u128::from(headroom.permille());
    let too_many = (wanted * 1000).saturating_sub(sent);
    let share = too_many * 1_000_000 / (wanted + 2);
    u32::try_from(share).unwrap_or(WHOLE)
}

/// All calls, in billionths.
const WHOLE: u32 = 1_000_000_000;

const SHARE_BITS: u32 = 30;
const SHARE_MASK: u64 = (1 << SHARE_BITS) - 1;
const PERIOD_MASK: u64 = u64::MAX >> SHARE_BITS;

/// A throttle. Cheap to clone; clones are one throttle.
///
/// ```
/// use evenkeel_core::outcome::{Class, Finished};
/// use evenkeel_core::throttle::{Config, Throttle};
/// use evenkeel_core::{entropy::Entropy, stripe::Stripe, time::Instant};
/// use std::time::Duration;
///
/// let (throttle, mut dice) = (Throttle::new(Config::default(), 1), Entropy::new(1));
/// let mut sent = 0;
/// for call in 0..10_000 {
///     let now = Instant::ZERO + Duration::from_millis(call);
///     if let Ok(permit) = throttle.try_acquire(now, Stripe(0), &mut dice) {
///         sent += 1;
///         permit.finish(now, &Finished::failed(Class::Rejected));
///     }
/// }
/// assert!((5_000..6_000).contains(&sent), "all for five seconds, then a tenth: {sent}");
/// ```
#[derive(Debug, Clone)]
pub struct Throttle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    /// Calls that were wanted; bad: those that were refused, by the dependency or here.
    wanted: RatioWindow,
    /// Timeouts, each of which takes half a call from the accepted ones.
    timeouts: RatioWindow,
    /// The share that is held back, and in which refresh period it was found: adding up the windows costs
    /// more than the call may. Whoever stores last wins; both found the same.
    share: AtomicU64,
    refresh: u64,
}

/// The share is found anew this many times within a slice of the window.
const REFRESHES_PER_SLICE: u64 = 8;

/// The right to send one call. Report how it ended with [`Permit::finish`]; dropped, it counts for nothing.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once counts for nothing"]
pub struct Permit {
    throttle: Throttle,
    stripe: Stripe,
}

impl Permit {
    /// Reports how the attempt ended.
    pub fn finish(self, now: Instant, finished: &Finished) {
        self.throttle.record(self.stripe, now, finished);
    }
}

/// What a throttle shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls in the window, those that were not sent among them.
    pub wanted: u64,
    /// Calls in the window that the dependency accepted.
    pub accepted: u64,
    /// The share of calls that is held back at present.
    pub held_back: Ratio,
}

impl Throttle {
    /// A throttle that has seen nothing, counting on `stripes` stripes: as many as threads call at once.
    #[must_use]
    pub fn new(config: Config, stripes: usize) -> Self {
        Self(Arc::new(Shared {
            wanted: RatioWindow::new(config.window, stripes),
            timeouts: RatioWindow::new(config.window, stripes),
            share: AtomicU64::new(0),
            refresh: (nanos(config.window) / SLICES as u64 / REFRESHES_PER_SLICE).max(1),
            config,
        }))
    }

    /// The same throttle under another configuration. Equal configurations go on as they are; otherwise it
    /// has to see for itself first.
    #[must_use]
    pub fn successor(&self, config: Config, stripes: usize) -> Self {
        if config == self.0.config {
            return self.clone();
        }
        Self::new(config, stripes)
    }

    /// Asks whether to send a call.
    ///
    /// # Errors
    /// [`Reason::Throttled`]. When to come back nobody can tell.
    pub fn try_acquire(
        &self,
        now: Instant,
        stripe: Stripe,
        dice: &mut Entropy,
    ) -> Result<Permit, Rejection> {
        self.admit(now, stripe, dice)?;
        Ok(Permit {
            throttle: self.clone(),
            stripe,
        })
    }

    /// The same without a permit: the caller [records](Throttle::record) how the attempt ended.
    #[inline]
    pub(crate) fn admit(
        &self,
        now: Instant,
        stripe: Stripe,
        dice: &mut Entropy,
    ) -> Result<(), Rejection> {
        let share = self.recent_share(now);
        if share != 0 && dice.between(0, u64::from(WHOLE) - 1) < u64::from(share) {
            self.0.wanted.record(stripe, now, true);
            return Err(Rejection::new(Reason::Throttled));
        }
        Ok(())
    }

    /// What the throttle shows of itself.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let (wanted, halves, _) = self.counts(now);
        Snapshot {
            wanted,
            accepted: halves / 2,
            held_back: Ratio::from_permille(self.share(now) / (WHOLE / 1000)),
        }
    }

    /// Counts how an attempt ended.
    #[inline]
    pub(crate) fn record(&self, stripe: Stripe, now: Instant, finished: &Finished) {
        let refused = match finished.outcome {
            Outcome::Ignored => return,
            Outcome::Success | Outcome::Failure => false,
            Outcome::Overload => finished.class == Some(Class::Rejected),
        };
        self.0.wanted.record(stripe, now, refused);
        if finished.outcome == Outcome::Overload && !refused {
            self.0.timeouts.record(stripe, now, false);
        }
    }

    /// Wanted calls, accepted ones in halves, and for how long they have been counted.
    fn counts(&self, now: Instant) -> (u64, u64, Duration) {
        let wanted = self.0.wanted.totals(now, Instant::ZERO);
        let timeouts = self.0.timeouts.totals(now, Instant::ZERO).calls;
        let halves = (2 * (wanted.calls - wanted.bad)).saturating_sub(timeouts);
        (wanted.calls, halves, wanted.observed)
    }

    /// The share to hold back as it was found in this refresh period.
    #[inline]
    fn recent_share(&self, now: Instant) -> u32 {
        let period = (now.as_nanos() / self.0.refresh) & PERIOD_MASK;
        let held = self.0.share.load(Ordering::Relaxed);
        if held >> SHARE_BITS == period {
            return (held & SHARE_MASK) as u32;
        }
        let share = self.share(now);
        let fresh = period << SHARE_BITS | u64::from(share);
        self.0.share.store(fresh, Ordering::Relaxed);
        share
    }

    /// The share to hold back, in billionths.
    fn share(&self, now: Instant) -> u32 {
        let config = &self.0.config;
        let (wanted, accepted_halves, observed) = self.counts(now);
        if wanted < u64::from(config.min_calls) || observed < config.min_observed {
            return 0;
        }
        let share = in_billionths(
            config.headroom.max(Ratio::ONE),
            2 * u128::from(wanted),
            u128::from(accepted_halves),
        );
        let most = config.max_share.min(Ratio::ONE).permille() * (WHOLE / 1000);
        share.min(most)
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Stripe = Stripe(0);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn throttle() -> Throttle {
        Throttle::new(Config::default(), 1)
    }

    /// Ten calls a second for ten seconds, each of which ends as `finished` says.
    fn observe(throttle: &Throttle, finished: impl Fn(u64) -> Finished) {
        for call in 0..100 {
            let permit = Permit {
                throttle: throttle.clone(),
                stripe: ONE,
            };
            permit.finish(at(call * 100), &finished(call));
        }
    }

    fn held_back(throttle: &Throttle) -> u32 {
        throttle.snapshot(at(10_000)).held_back.permille()
    }

    #[test]
    fn nothing_is_held_back_while_half_is_accepted() {
        let throttle = throttle();
        observe(&throttle, |call| {
            if call % 2 == 0 {
                Finished::success()
            } else {
                Finished::failed(Class::Rejected)
            }
        });
        assert_eq!(held_back(&throttle), 0);
    }

    #[test]
    fn beyond_that_twice_as_much_is_sent_as_is_accepted() {
        let throttle = throttle();
        observe(&throttle, |call| {
            if call % 4 == 0 {
                Finished::success()
            } else {
                Finished::failed(Class::Rejected)
            }
        });
        assert_eq!(held_back(&throttle), 495, "50 of 101");
    }

    #[test]
    fn a_headroom_below_one_does_not_hold_back_what_is_accepted() {
        let config = Config {
            headroom: Ratio::from_permille(500),
            ..Config::default()
        };
        let throttle = Throttle::new(config, 1);
        observe(&throttle, |_| Finished::success());
        assert_eq!(held_back(&throttle), 0);
    }

    #[test]
    fn some_calls_are_sent_whatever_is_refused() {
        let throttle = throttle();
        observe(&throttle, |_| Finished::failed(Class::Rejected));
        assert_eq!(held_back(&throttle), 900);
    }

    #[test]
    fn errors_that_the_dependency_worked_on_hold_nothing_back() {
        let throttle = throttle();
        observe(&throttle, |_| Finished::failed(Class::Transient));
        assert_eq!(held_back(&throttle), 0);
    }

    #[test]
    fn a_timeout_counts_half() {
        let throttle = throttle();
        observe(&throttle, |_| Finished::timed_out());
        assert_eq!(held_back(&throttle), 0, "as if half were accepted");
        let snapshot = throttle.snapshot(at(10_000));
        assert_eq!((snapshot.wanted, snapshot.accepted), (100, 50));
    }

    #[test]
    fn a_caller_who_left_says_nothing() {
        let throttle = throttle();
        observe(&throttle, |_| Finished::callers_fault());
        assert_eq!(throttle.snapshot(at(10_000)).wanted, 0);
    }

    #[test]
    fn a_cold_start_and_a_quiet_service_are_left_alone() {
        let throttle = throttle();
        for _ in 0..1000 {
            throttle.record(ONE, at(0), &Finished::failed(Class::Rejected));
        }
        assert_eq!(throttle.share(at(2_999)), 0, "observed too shortly");
        let quiet = self::throttle();
        for call in 0..19 {
            quiet.record(ONE, at(call * 1000), &Finished::failed(Class::Rejected));
        }
        assert_eq!(quiet.share(at(19_000)), 0, "too few");
    }

    #[test]
    fn what_is_not_sent_still_counts_as_wanted() {
        let (throttle, mut dice) = (throttle(), Entropy::new(1));
        observe(&throttle, |_| Finished::failed(Class::Rejected));
        let refused =
            (0..100).filter(|_| throttle.try_acquire(at(10_000), ONE, &mut dice).is_err());
        let refused = refused.count() as u64;
        assert_eq!(throttle.snapshot(at(10_000)).wanted, 100 + refused);
    }

    #[test]
    fn a_dependency_that_accepts_again_is_sent_everything_again() {
        let (throttle, mut dice) = (throttle(), Entropy::new(1));
        observe(&throttle, |_| Finished::failed(Class::Rejected));
        for call in 0..4_000 {
            let now = at(10_000 + call * 10);
            if let Ok(permit) = throttle.try_acquire(now, ONE, &mut dice) {
                permit.finish(now, &Finished::success());
            }
        }
        assert_eq!(throttle.recent_share(at(50_000)), 0);
    }

    proptest! {
        /// Whatever is counted and held back follows from a plain list of the calls of the window.
        #[test]
        fn the_window_agrees_with_a_list(
            calls in proptest::collection::vec((0..1_500_u64, 0..5_usize), 1..150),
        ) {
            let throttle = throttle();
            let window = nanos(throttle.0.config.window) / 1_000_000;
            let slice = window / 10;
            let (mut now, mut list) = (0, Vec::new());
            for (stripe, (wait, how)) in (0..).zip(calls) {
                now += wait;
                // How it ended, and what of it was accepted, in halves.
                let (finished, halves) = [
                    (Finished::success(), Some(2)),
                    (Finished::failed(Class::Transient), Some(2)),
                    (Finished::timed_out(), Some(1)),
                    (Finished::failed(Class::Rejected), Some(0)),
                    (Finished::callers_fault(), None),
                ][how];
                throttle.record(Stripe(stripe), at(now), &finished);
                list.extend(halves.map(|halves| (now, halves)));
                let lately = list.iter().filter(|(when, _)| now / slice - when / slice < 10);
                let (wanted, accepted) = lately.clone().fold((0, 0), |sum, call| {
                    (sum.0 + 1, sum.1 + call.1)
                });
                let shown = throttle.snapshot(at(now));
                prop_assert_eq!((shown.wanted, shown.accepted), (wanted, accepted / 2));
                let config = &throttle.0.config;
                let oldest = lately.map(|(when, _)| when / slice * slice).min();
                let seen = Duration::from_millis(oldest.map_or(0, |oldest| now - oldest));
                let share = throttle.share(at(now));
                if wanted < u64::from(config.min_calls) || seen < config.min_observed {
                    prop_assert_eq!(share, 0);
                } else {
                    let headroom = config.headroom.permille() as f64 / 1000.0;
                    let (wanted, accepted) = (wanted as f64, accepted as f64 / 2.0);
                    let exact = ((wanted - headroom * accepted) / (wanted + 1.0)).clamp(0.0, 0.9);
                    prop_assert!((f64::from(share) / 1e9 - exact).abs() < 1e-6, "{share}, {exact}");
                }
            }
        }

        #[test]
        fn the_share_is_the_formula(permille in 1000..5000_u32, wanted in 0..1_000_000_u64, percent in 0..=100_u64) {
            let accepted = wanted * percent / 100;
            let share = share_held_back(Ratio::from_permille(permille), wanted, accepted);
            let (wanted, accepted) = (wanted as f64, accepted as f64);
            let formula = (wanted - f64::from(permille) / 1000.0 * accepted) / (wanted + 1.0);
            prop_assert!((f64::from(share) / 1e9 - formula.max(0.0)).abs() < 2e-9);
        }
    }
}
