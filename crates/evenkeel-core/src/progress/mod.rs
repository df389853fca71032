//! Whether work gets done.
//!
//! A service in livelock is busy: its processors run, its callers retry, its dashboards show traffic. An
//! error rate shows nothing, since nothing ends; a latency shows nothing, since what never ends has none.
//! What is missing is **progress**: calls that end well, per second, against the calls that begin and the
//! attempts they take.
//!
//! For each operation, it counts what began, what ended and how, and the attempts on the way; it knows the
//! oldest call that is still running, and when a call last ended well. Read together they tell four states
//! apart that look alike from outside:
//!
//! | verdict | calls run | attempts are made | calls end well |
//! |---|---|---|---|
//! | [`Verdict::Healthy`] | any | about one a call | as many as usual |
//! | [`Verdict::Degraded`] | yes | more | fewer than half of what is usual, or of what ends |
//! | [`Verdict::LivelockSuspect`] | yes | ten and more for each that ends well | hardly any |
//! | [`Verdict::Stalled`] | yes, the oldest for long | none | none for as long |
//!
//! *Usual* is learned: a slow average of the calls that ended well per second, while things are well.
//!
//! At every instant, what began is what ended and what runs: a [`Run`] that is dropped has ended. Counts
//! are kept per [stripe](crate::stripe), and ended calls are read before begun ones, so that what runs is
//! never negative and is exact at rest.
//!
//! Limits: a call registers its age only once it has to wait, and the oldest sixty-four a stripe are kept;
//! calls that end at once cost nothing for it. The baseline does not know the time of day.

mod running;

use core::time::Duration;

pub(crate) use running::{Running, Slot};

use crate::ratio::Ratio;
use crate::stripe::{Stripe, Striped};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::time::{Instant, nanos};
use crate::window::RatioWindow;

/// One window in so many is what a window weighs in the baseline.
const BASELINE_WEIGHT: u64 = 32;

/// What counts as progress, and its lack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The time that is looked back on, in ten slices. Default 10 s.
    pub window: Duration,
    /// Fewer calls or attempts than this in the window prove nothing. Default 20.
    pub min_calls: u32,
    /// Without a call that ends well for this long, while one has run for as long, the operation is
    /// stalled. Default 30 s.
    pub stalled_after: Duration,
    /// More attempts than this for each call that ends well are suspect. Default 10.
    pub max_attempts_per_success: u32,
    /// Below this share of what is usual, or of the calls that end, an operation is degraded. Default 0.5.
    pub degraded_below: Ratio,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_calls: 20,
            stalled_after: Duration::from_secs(30),
            max_attempts_per_success: 10,
            degraded_below: Ratio::from_permille(500),
        }
    }
}

/// Whether an operation gets its work done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It does, or there is none.
    Healthy,
    /// It gets less done than usual, or than it is asked for.
    Degraded,
    /// Calls run, and none has ended well for long.
    Stalled,
    /// Much is attempted and hardly anything gets done.
    LivelockSuspect,
}

impl Verdict {
    /// Every verdict, from well to worst.
    pub const ALL: [Self; 4] = [
        Self::Healthy,
        Self::Degraded,
        Self::Stalled,
        Self::LivelockSuspect,
    ];

    /// The verdict in lower-case words joined by underscores, as it stands in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Stalled => "stalled",
            Self::LivelockSuspect => "livelock_suspect",
        }
    }
}

/// The progress of one operation. Cheap to clone; clones are one.
///
/// ```
/// use evenkeel_core::progress::{Config, Progress, Verdict};
/// use evenkeel_core::{stripe::Stripe, time::Instant};
/// use std::time::Duration;
///
/// let progress = Progress::new(Config::default(), 1);
/// let mut run = progress.begin(Instant::ZERO, Stripe(0));
/// for attempt in 0..40 {
///     run.on_attempt(Instant::ZERO + Duration::from_millis(100 * attempt));
/// }
/// let seen = progress.snapshot(Instant::ZERO + Duration::from_secs(4));
/// assert_eq!((seen.in_flight, seen.verdict), (1, Verdict::LivelockSuspect));
/// ```
#[derive(Debug, Clone)]
pub struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    counts: Striped<Counts>,
    /// Calls that ended; bad: those that did not end well.
    ended: RatioWindow,
    attempts: RatioWindow,
    running: Striped<Running>,
    /// Calls that end well, in a thousand seconds, as learned.
    usual: AtomicU64,
    learned: AtomicU64,
    learning: Mutex<()>,
}

#[derive(Debug)]
struct Counts {
    begun: AtomicU64,
    attempts: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
    /// When a call last ended well, in nanoseconds; zero: none has.
    last_success: AtomicU64,
}

/// One call under way. Report its end with [`Run::finish`]; dropped, it was abandoned.
#[derive(Debug)]
#[must_use = "a run that is dropped at once has ended"]
pub struct Run {
    progress: Progress,
    stripe: Stripe,
    began: Instant,
    slot: Option<Slot>,
    ended: bool,
}

impl Run {
    /// Counts an attempt of this call.
    pub fn on_attempt(&mut self, now: Instant) {
        self.progress.count_attempt(self.stripe, now);
    }

    /// Registers the call's age: it has to wait. Calls that end at once need not.
    pub fn on_pending(&mut self) {
        if self.slot.is_none() {
            self.slot = self.progress.register(self.stripe, self.began);
        }
    }

    /// Reports the end of the call, and whether it was a good one.
    pub fn finish(mut self, now: Instant, succeeded: bool) {
        self.ended = true;
        self.progress
            .count_end(self.stripe, self.slot.take(), now, succeeded);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended {
            self.progress.count_abandoned(self.stripe, self.slot.take());
        }
    }
}

/// What is shown of an operation's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls that began.
    pub begun: u64,
    /// Calls that ended well.
    pub succeeded: u64,
    /// Calls that ended otherwise.
    pub failed: u64,
    /// Calls that nobody waited for any more.
    pub abandoned: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Attempts, of all calls.
    pub attempts: u64,
    /// Calls of the window that ended well, in a thousand seconds.
    pub per_thousand_seconds: u64,
    /// The same as it usually is; none: it is not known yet.
    pub usual: Option<u64>,
    /// Attempts in the window.
    pub recent_attempts: u64,
    /// Calls of the window that ended well.
    pub recent_successes: u64,
    /// How long the oldest of the waiting calls has run.
    pub oldest: Option<Duration>,
    /// How long ago a call ended well; none: none has.
    pub since_success: Option<Duration>,
    /// What all this comes to.
    pub verdict: Verdict,
}

impl Progress {
    /// An operation of which nothing is known, counting on `stripes` stripes: as many as threads call at
    /// once.
    #[must_use]
    pub fn new(config: Config, stripes: usize) -> Self {
        let zero = || AtomicU64::new(0);
        Self(Arc::new(Shared {
            counts: Striped::with_own(stripes, || Counts {
                begun: zero(),
                attempts: zero(),
                succeeded: zero(),
                failed: zero(),
                abandoned: zero(),
                last_success: zero(),
            }),
            ended: RatioWindow::new(config.window, stripes),
            attempts: RatioWindow::new(config.window, stripes),
            running: Striped::new(stripes, Running::new),
            usual: zero(),
            learned: zero(),
            learning: Mutex::new(()),
            config,
        }))
    }

    /// Begins one call.
    pub fn begin(&self, now: Instant, stripe: Stripe) -> Run {
        self.count_begun(stripe);
        Run {
            progress: self.clone(),
            stripe,
            began: now,
            slot: None,
            ended: false,
        }
    }

    /// The parts of a [`Run`], for a caller that is one already and needs no handle.
    #[inline]
    pub(crate) fn count_begun(&self, stripe: Stripe) {
        let (counts, writers) = self.0.counts.at(stripe);
        writers.add(&counts.begun, 1);
    }

    #[inline]
    pub(crate) fn count_attempt(&self, stripe: Stripe, now: Instant) {
        let (counts, writers) = self.0.counts.at(stripe);
        writers.add(&counts.attempts, 1);
        self.0.attempts.record(stripe, now, false);
    }

    pub(crate) fn register(&self, stripe: Stripe, began: Instant) -> Option<Slot> {
        self.0.running.of(stripe).enter(began)
    }

    #[inline]
    pub(crate) fn count_end(
        &self,
        stripe: Stripe,
        slot: Option<Slot>,
        now: Instant,
        succeeded: bool,
    ) {
        self.leave(stripe, slot);
        let (counts, writers) = self.0.counts.at(stripe);
        if succeeded {
            writers.add(&counts.succeeded, 1);
            writers.raise(&counts.last_success, now.as_nanos().max(1));
        } else {
            writers.add(&counts.failed, 1);
        }
        self.0.ended.record(stripe, now, !succeeded);
        self.learn_if_due(now);
    }

    pub(crate) fn count_abandoned(&self, stripe: Stripe, slot: Option<Slot>) {
        self.leave(stripe, slot);
        let (counts, writers) = self.0.counts.at(stripe);
        writers.add(&counts.abandoned, 1);
    }

    fn leave(&self, stripe: Stripe, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.0.running.of(stripe).leave(slot);
        }
    }

    /// What is shown of the operation.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let shared = &*self.0;
        let sum = |count: fn(&Counts) -> &AtomicU64| -> u64 {
            let counts = shared.counts.iter();
            counts
                .map(|counts| count(counts).load(Ordering::Relaxed))
                .sum()
        };
        // Ended before begun: a call that ends in between is counted as running, and never less than none.
        let succeeded = sum(|counts| &counts.succeeded);
        let failed = sum(|counts| &counts.failed);
        let abandoned = sum(|counts| &counts.abandoned);
        let begun = sum(|counts| &counts.begun);
        let last_success = shared
            .counts
            .iter()
            .map(|counts| counts.last_success.load(Ordering::Relaxed));
        let last_success = last_success.max().filter(|last| *last != 0);
        let ended = shared.ended.totals(now, Instant::ZERO);
        let recent_successes = ended.calls - ended.bad;
        let oldest = shared.running.iter().filter_map(Running::oldest).min();
        let usual = shared.usual.load(Ordering::Relaxed);
        let mut seen = Snapshot {
            begun,
            succeeded,
            failed,
            abandoned,
            in_flight: begun.saturating_sub(succeeded + failed + abandoned),
            attempts: sum(|counts| &counts.attempts),
            // The window's last slice is not over: what it holds came in less than the window's time.
            per_thousand_seconds: per_thousand_seconds(
                recent_successes,
                ended.observed.max(shared.config.window / 10),
            ),
            usual: (usual != 0).then_some(usual),
            recent_attempts: shared.attempts.totals(now, Instant::ZERO).calls,
            recent_successes,
            oldest: oldest.map(|began| now.since(began)),
            since_success: last_success.map(|last| now.since(Instant::from_nanos(last))),
            verdict: Verdict::Healthy,
        };
        seen.verdict = self.verdict(&seen, ended.calls);
        seen
    }

    fn verdict(&self, seen: &Snapshot, ended: u64) -> Verdict {
        let config = &self.0.config;
        let enough = u64::from(config.min_calls.max(1));
        let waits = seen.oldest.is_some_and(|age| age >= config.stalled_after);
        let rests = seen
            .since_success
            .is_none_or(|since| since >= config.stalled_after);
        let suspect = seen
            .recent_successes
            .saturating_mul(u64::from(config.max_attempts_per_success));
        if seen.recent_attempts >= enough && seen.recent_attempts > suspect {
            return Verdict::LivelockSuspect;
        }
        if waits && rests {
            return Verdict::Stalled;
        }
        let below = |part, whole| !config.degraded_below.reached_by(part, whole);
        let fails = ended >= enough && below(seen.recent_successes, ended);
        // That less is asked for than usual is no fault: only calls that wait for longer than a window tell
        // it from getting less done.
        let backlog = seen.oldest.is_some_and(|age| age >= config.window);
        let slow = seen
            .usual
            .is_some_and(|usual| backlog && below(seen.per_thousand_seconds, usual));
        if fails || slow {
            Verdict::Degraded
        } else {
            Verdict::Healthy
        }
    }

    fn learn_if_due(&self, now: Instant) {
        let learned = self.0.learned.load(Ordering::Relaxed);
        if now.as_nanos().saturating_sub(learned) < nanos(self.0.config.window) {
            return;
        }
        // Whoever does not get the lock goes on: somebody else is learning.
        let Ok(_learning) = self.0.learning.try_lock() else {
            return;
        };
        if self.0.learned.load(Ordering::Relaxed) != learned {
            return;
        }
        self.0.learned.store(now.as_nanos(), Ordering::Relaxed);
        let seen = self.snapshot(now);
        let enough = seen.recent_successes >= u64::from(self.0.config.min_calls.max(1));
        if learned == 0 || !enough || seen.verdict != Verdict::Healthy {
            return;
        }
        let usual = match seen.usual {
            None => seen.per_thousand_seconds,
            Some(usual) => {
                usual - usual / BASELINE_WEIGHT + seen.per_thousand_seconds / BASELINE_WEIGHT
            }
        };
        self.0.usual.store(usual, Ordering::Relaxed);
    }
}

fn per_thousand_seconds(calls: u64, within: Duration) -> u64 {
    let rate = u128::from(calls) * 1_000_000_000_000 / u128::from(nanos(within)).max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
