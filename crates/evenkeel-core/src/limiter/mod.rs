//! How many attempts may be under way at once, found out by watching.
//!
//! A fixed limit is right on the day it was measured. The dependency gets a slower disk, a fourth replica, a
//! noisy neighbour, and the limit lets too many wait or keeps capacity idle. By Little's law what is in
//! flight is what is served per second times what it takes; more than that only waits. A **limiter** raises
//! the limit while it is used and nothing waits, and lowers it when calls are dropped or latency says that
//! they wait.
//!
//! Admission is one exchange of the word that counts what is in flight. What a call was like goes into a
//! striped window; whoever notices that the window is over tries a lock, steps the algorithm and stores
//! the new limit, and everyone else goes on. So every algorithm sees windows rather than single samples:
//! one outlier moves none of them, and each lowers its limit at most once a window.
//!
//! | algorithm | looks at | choose it when |
//! |---|---|---|
//! | [`own`] (default) | 90th percentile against two baselines, drops, throughput | in doubt |
//! | [`aimd::Classic`] | errors, doubled latency | a rule that fits into a sentence is wanted |
//! | [`aimd::Aimd`], [`vegas`], [`gradient2`] | as in Netflix's concurrency-limits | to compare, or to move from there |
//!
//! The algorithms are plain values that take a sample and answer a limit; fed sample for sample they agree
//! with their sources to the last call.
//!
//! Limits: it must see most of the load on its dependency; latency is to be measured without the wait for a
//! slot on this side. Fewer than [`Config::min_samples`] calls in the longest window change nothing.

pub mod aimd;
pub mod gradient2;
pub mod own;
pub mod vegas;
mod window;

use core::time::Duration;

use aimd::{Aimd, AimdConfig, Classic, ClassicConfig};
use gradient2::{Gradient2, Gradient2Config};
use own::{Cause, Own, OwnConfig};
use vegas::{Vegas, VegasConfig};
pub use window::Observed;
use window::{Span, Window};

use crate::entropy::{Entropy, hash};
use crate::outcome::Outcome;
use crate::ratio::Ratio;
use crate::rejection::{Reason, Rejection};
use crate::slots::Slots;
use crate::stripe::Stripe;
use crate::sync::{Arc, Mutex};
use crate::time::Instant;

/// A call is calm if at most this share of the limit was used when it began: it hardly waited.
const CALM: Ratio = Ratio::from_permille(250);

/// For algorithms that know only "dropped or not", a window in which this share was dropped is.
const DROPS: Ratio = Ratio::from_permille(20);

/// Which algorithm, and how long it watches before each step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What turns windows into limits. Default: evenkeel's own.
    pub algorithm: Algorithm,
    /// A window lasts at least this long. Shorter: reacts sooner, to less. Default 250 ms.
    pub min_window: Duration,
    /// And at most this long. Default 5 s.
    pub max_window: Duration,
    /// It ends between the two once it holds this many calls; with fewer, at its longest, it changes
    /// nothing. Default 30.
    pub min_samples: u32,
}

impl Config {
    /// The algorithm, with windows as [`Config::default`] has them.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            min_window: Duration::from_millis(250),
            max_window: Duration::from_secs(5),
            min_samples: 30,
        }
    }
}

/// What turns what was observed into a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// evenkeel's own.
    Own(OwnConfig),
    /// Halving on errors and on doubled latency.
    Classic(ClassicConfig),
    /// Netflix's AIMD.
    Aimd(AimdConfig),
    /// Netflix's Vegas.
    Vegas(VegasConfig),
    /// Netflix's Gradient2.
    Gradient2(Gradient2Config),
}

impl Default for Algorithm {
    fn default() -> Self {
        Self::Own(OwnConfig::default())
    }
}

/// An adaptive limit. Cheap to clone; clones are one limiter.
///
/// ```
/// use evenkeel_core::limiter::{Config, Limiter};
/// use evenkeel_core::{outcome::Outcome, stripe::Stripe, time::Instant};
/// use std::time::Duration;
///
/// let limiter = Limiter::new(Config::default(), "payments", 1);
/// // Twenty at a time, each taking 10 ms, for half a minute.
/// for turn in 0..3_000 {
///     let begin = Instant::ZERO + Duration::from_millis(10 * turn);
///     let permits: Vec<_> = (0..20).filter_map(|_| limiter.try_acquire(begin, Stripe(0)).ok()).collect();
///     let end = begin + Duration::from_millis(10);
///     permits.into_iter().for_each(|permit| permit.finish(end, Outcome::Success));
/// }
/// let limit = limiter.snapshot().limit;
/// assert!((20..=26).contains(&limit), "as much as is used, and a quarter more: {limit}");
/// ```
#[derive(Debug, Clone)]
pub struct Limiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    slots: Slots,
    window: Window,
    state: Mutex<State>,
}

/// An algorithm between two steps.
#[derive(Debug)]
enum State {
    Own(Box<Own>),
    Classic(Classic),
    Aimd(Aimd),
    Vegas(Vegas),
    Gradient2(Gradient2),
}

/// One place among those in flight. Report how the attempt ended with [`Permit::finish`]; dropped, it gives
/// its place back and counts for nothing.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once admits nothing"]
pub struct Permit {
    limiter: Limiter,
    began: Instant,
    stripe: Stripe,
    /// How many were in flight with this one when it began.
    in_flight: u32,
}

impl Permit {
    /// Reports how the attempt ended.
    ///
    /// Only a success says how long a call takes: failures are quick, and would pass for health. Overload is
    /// a drop. A failure is one for [`Algorithm::Classic`] alone, whose rule says so.
    pub fn finish(self, now: Instant, outcome: Outcome) {
        let took = now.since(self.began);
        self.limiter
            .observe(self.stripe, self.in_flight, took, now, outcome);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.release(self.stripe);
    }
}

/// What a limiter shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Attempts that may be in flight at present.
    pub limit: u32,
    /// Attempts in flight; more than the limit for a while after it was lowered.
    pub in_flight: u32,
    /// What only evenkeel's own algorithm knows.
    pub own: Option<OwnSnapshot>,
}

/// What evenkeel's own algorithm shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnSnapshot {
    /// What moved the limit last.
    pub cause: Cause,
    /// How many calls seemed to wait in the dependency in the last window.
    pub queue: u64,
    /// The least 90th percentile that is believed to be healthy.
    pub best: Option<Duration>,
    /// The slow average of the 90th percentile.
    pub long: Option<Duration>,
}

impl Limiter {
    /// A limiter for the dependency called `identity`, counting on `stripes` stripes: as many as threads
    /// call it at once.
    #[must_use]
    pub fn new(config: Config, identity: &str, stripes: usize) -> Self {
        let state = State::new(&config.algorithm, identity);
        let span = Span {
            min: config.min_window,
            max: config.max_window.max(config.min_window),
            samples: u64::from(config.min_samples),
        };
        Self(Arc::new(Shared {
            slots: Slots::new(state.limit(), stripes),
            window: Window::new(span, stripes),
            state: Mutex::new(state),
            config,
        }))
    }

    /// Takes a place among those in flight.
    ///
    /// # Errors
    /// [`Reason::LimiterFull`]. When a place comes free nobody can tell.
    #[inline]
    pub fn try_acquire(&self, now: Instant, stripe: Stripe) -> Result<Permit, Rejection> {
        let in_flight = self.admit(stripe)?;
        Ok(Permit {
            limiter: self.clone(),
            began: now,
            stripe,
            in_flight,
        })
    }

    /// Whether more than `share` of the limit is used: too much for attempts that need not be made.
    #[must_use]
    pub fn is_used_beyond(&self, share: Ratio) -> bool {
        let slots = &self.0.slots;
        u64::from(slots.in_use()) > share.of(u64::from(slots.limit()))
    }

    /// What the limiter shows of itself.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let own = self.0.state.lock().ok().and_then(|state| match &*state {
            State::Own(own) => Some(OwnSnapshot {
                cause: own.cause(),
                queue: own.queue(),
                best: own.best(),
                long: own.long(),
            }),
            _ => None,
        });
        Snapshot {
            limit: self.0.slots.limit(),
            in_flight: self.0.slots.in_use(),
            own,
        }
    }

    /// Takes a place without a permit: the caller [releases](Limiter::release) it. Answers how many are in
    /// flight with this one: exactly, as long as one stripe alone is used, and a few too many otherwise.
    #[inline]
    pub(crate) fn admit(&self, stripe: Stripe) -> Result<u32, Rejection> {
        let slots = &self.0.slots;
        if slots.acquire(stripe) {
            Ok(slots.in_use_seen_from(stripe))
        } else {
            Err(Rejection::new(Reason::LimiterFull))
        }
    }

    /// Attempts that may be in flight at present.
    pub(crate) fn limit(&self) -> u32 {
        self.0.slots.limit()
    }

    /// Gives back a place that [`Limiter::admit`] gave.
    #[inline]
    pub(crate) fn release(&self, stripe: Stripe) {
        // Nobody waits for one.
        _ = self.0.slots.release(stripe);
    }

    /// Learns what an attempt was like that began when `in_flight` were under way.
    #[inline]
    pub(crate) fn observe(
        &self,
        stripe: Stripe,
        in_flight: u32,
        took: Duration,
        now: Instant,
        outcome: Outcome,
    ) {
        let window = &self.0.window;
        match outcome {
            Outcome::Success => {
                let limit = u64::from(self.0.slots.limit());
                let calm = u64::from(in_flight) <= CALM.of(limit).max(1);
                window.record_served(stripe, took, in_flight, calm);
            }
            Outcome::Failure if !self.failures_are_drops() => return,
            Outcome::Failure | Outcome::Overload => {
                window.record_dropped(stripe, in_flight);
            }
            Outcome::Ignored => return,
        }
        if window.is_due(now) {
            self.step(now);
        }
    }

    fn failures_are_drops(&self) -> bool {
        matches!(self.0.config.algorithm, Algorithm::Classic(_))
    }

    #[cold]
    fn step(&self, now: Instant) {
        // Whoever does not get the lock goes on: somebody else is stepping.
        let Ok(mut state) = self.0.state.try_lock() else {
            return;
        };
        let Some(seen) = self.0.window.close(now) else {
            return;
        };
        if seen.served + seen.dropped >= u64::from(self.0.config.min_samples.max(1)) {
            self.0.slots.resize(state.step(&seen));
        }
    }
}

impl State {
    fn new(algorithm: &Algorithm, identity: &str) -> Self {
        match algorithm.clone() {
            Algorithm::Own(config) => Self::Own(Box::new(Own::new(config))),
            Algorithm::Classic(config) => Self::Classic(Classic::new(config)),
            Algorithm::Aimd(config) => Self::Aimd(Aimd::new(config)),
            Algorithm::Vegas(config) => {
                Self::Vegas(Vegas::new(config, Entropy::new(hash(identity))))
            }
            Algorithm::Gradient2(config) => Self::Gradient2(Gradient2::new(config)),
        }
    }

    fn step(&mut self, seen: &Observed) -> u32 {
        let dropped =
            seen.dropped != 0 && DROPS.reached_by(seen.dropped, seen.served + seen.dropped);
        let peak = seen.peak;
        // Where nothing was served, nothing is known but that it took too long.
        let rtt = if seen.served == 0 {
            Duration::MAX
        } else {
            seen.p90
        };
        match self {
            Self::Own(own) => own.on_window(seen),
            Self::Classic(classic) => classic.on_sample(rtt, peak, dropped),
            Self::Aimd(aimd) => aimd.on_sample(rtt, peak, dropped),
            Self::Vegas(vegas) => vegas.on_sample(rtt, peak, dropped),
            // Its average would hold that against all that follows; the limit stays as it is.
            Self::Gradient2(gradient) if seen.served == 0 => gradient.limit(),
            Self::Gradient2(gradient) => gradient.on_sample(rtt, peak, dropped),
        }
    }

    fn limit(&self) -> u32 {
        match self {
            Self::Own(own) => own.limit(),
            Self::Classic(classic) => classic.limit(),
            Self::Aimd(aimd) => aimd.limit(),
            Self::Vegas(vegas) => vegas.limit(),
            Self::Gradient2(gradient) => gradient.limit(),
        }
    }
}

/// A ratio as the algorithms of others compute with it: the nearest double to its decimals.
fn float(ratio: Ratio) -> f64 {
    f64::from(ratio.permille()) / 1000.0
}

/// The whole part of a limit, as a cast in their languages makes it.
fn truncated(limit: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates at both ends, which is where limits are held"
    )]
    let whole = limit as u32;
    whole
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
