//! evenkeel's own limit: two baselines, confirmed by throughput.
//!
//! Latency alone cannot tell a dependency that queues from one that has become slower, and whatever learns
//! what is healthy by watching also learns what is not. So:
//!
//! * It looks at whole windows, by their 90th percentile: no outlier moves it.
//! * Two baselines. The **best** is the least 90th percentile seen; it rises only on the evidence of calls
//!   that found the dependency nearly idle, and after ten minutes. The **long** one follows slowly, so that
//!   ordinary noise is not taken for queueing, and is held within half as much again of the best: it
//!   cannot drift away. Nothing is ever pinned to probe.
//! * It grows only while used, by the limit's logarithm, and while few calls seem to wait.
//! * It shrinks by a tenth, at most once a window: when 2 % of the calls are dropped, when too many seem to
//!   wait, when latency exceeds what the configuration calls healthy; and when more calls in flight have
//!   brought no more calls served, to three quarters of what was in flight before. Not below half of what the throughput needs: a dependency that fails
//!   for other reasons is not starved.
//! * After a minute without a full window it comes back to what was used lately: a limit that was right
//!   last night proves nothing this morning.
//!
//! Limits: it needs 30 calls within five seconds to learn anything; where calls take seconds, set a longer
//! window. A dependency that is overloaded from the first call on is taken for a slow one until the rule of
//! throughput has led the limit down, which takes a minute. What it controls must be most of the load on the dependency.
//!
//! Sources: the queue estimate is Vegas', the percentile and the use of throughput are as in failsafe-go's
//! adaptive limiter; the calm baseline and its bounds are our own.

use core::num::NonZeroU32;
use core::time::Duration;

use super::vegas::log10;
use super::window::Observed;
use crate::ratio::Ratio;
use crate::time::{Instant, nanos};

/// Queue lengths in units of the limit's logarithm: below the one it grows, above the other it shrinks.
const FEW: u64 = 3;
const MANY: u64 = 6;

/// A window in which this share was dropped shrinks the limit.
const DROPS: Ratio = Ratio::from_permille(20);

/// What is left after shrinking: nine tenths.
const SHRINK: Ratio = Ratio::from_permille(900);

/// What is left of what was in flight before a rise that brought nothing: three quarters. Far enough below
/// to see what a call takes without the queue, where the limit was too high from the start.
const RETREAT: Ratio = Ratio::from_permille(750);

/// A rise that brought nothing counts only where latency is this much above the best.
const SLOWER: Ratio = Ratio::from_permille(1250);

/// It grows only if this share of the limit was used.
const USED: Ratio = Ratio::from_permille(800);

/// Latency this much above the baseline is noise: two buckets of the histogram.
const NOISE: Ratio = Ratio::from_permille(1125);

/// The long baseline never exceeds the best by more.
const MAX_DRIFT: Ratio = Ratio::from_permille(1500);

/// A window's weight in the long baseline: one in 32.
const LONG_WEIGHT: u64 = 32;

/// For how long the best baseline stands without having been met.
const BEST_HOLDS_MINUTES: usize = 10;

/// Windows over which throughput is compared: five against the five before.
const HISTORY: usize = 10;

/// Without a window for this long, the limit comes back to what was used.
const IDLE: Duration = Duration::from_secs(60);

/// Where the limit starts, how far it goes, and what is known of the dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnConfig {
    /// The limit at first. Larger: no ramp after a start, and more load on a dependency that cannot bear
    /// it. Default 20.
    pub initial: NonZeroU32,
    /// The limit is never lower. Default 1.
    pub min: NonZeroU32,
    /// Nor higher. Default 1000.
    pub max: NonZeroU32,
    /// Latency above this is never healthy, whatever was seen: the limit shrinks and nothing is learned
    /// from it. Set it where a requirement gives a number. Default: none.
    pub max_healthy_rtt: Option<Duration>,
}

impl Default for OwnConfig {
    fn default() -> Self {
        Self {
            initial: NonZeroU32::MIN.saturating_add(19),
            min: NonZeroU32::MIN,
            max: NonZeroU32::MIN.saturating_add(999),
            max_healthy_rtt: None,
        }
    }
}

/// What moved a limit last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Nothing has.
    Initial,
    /// It was used, and few calls waited.
    Used,
    /// Too many calls were refused or timed out.
    Drops,
    /// Too many calls waited.
    Queueing,
    /// Latency was above what is healthy.
    Unhealthy,
    /// More calls in flight brought no more calls served.
    Plateau,
    /// There was no full window for a while.
    Idle,
}

impl Cause {
    /// The cause in one lower-case word, as it stands in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Used => "used",
            Self::Drops => "drops",
            Self::Queueing => "queueing",
            Self::Unhealthy => "unhealthy",
            Self::Plateau => "plateau",
            Self::Idle => "idle",
        }
    }
}

/// evenkeel's own limit, window for window.
#[derive(Debug, Clone)]
pub struct Own {
    config: OwnConfig,
    limit: u32,
    cause: Cause,
    best: Best,
    /// Nanoseconds, and the windows in it; zero: none yet.
    long: u64,
    queue: u64,
    history: [Point; HISTORY],
    windows: usize,
    last: Option<Instant>,
}

/// One window of the history.
#[derive(Debug, Clone, Copy, Default)]
struct Point {
    peak: u64,
    /// Calls served in a thousand seconds.
    throughput: u64,
}

impl Own {
    /// The algorithm before its first window.
    #[must_use]
    pub fn new(config: OwnConfig) -> Self {
        Self {
            limit: config.initial.get(),
            cause: Cause::Initial,
            best: Best::new(),
            long: 0,
            queue: 0,
            history: [Point::default(); HISTORY],
            windows: 0,
            last: None,
            config,
        }
    }

    /// Takes in a window of at least 30 calls; answers the limit from now on.
    pub fn on_window(&mut self, seen: &Observed) -> u32 {
        self.come_back_from_idling(seen);
        let p90 = nanos(seen.p90);
        let unhealthy = self
            .config
            .max_healthy_rtt
            .is_some_and(|most| seen.p90 > most);
        let drops = seen.dropped != 0 && DROPS.reached_by(seen.dropped, seen.served + seen.dropped);
        if !unhealthy && !drops && p90 != 0 {
            self.learn(seen, p90);
        }
        self.queue = self.waiting(p90);
        let plateau = self.plateau(seen, p90);
        let step = u64::from(log10(self.limit));
        let shrinks = [
            (drops, Cause::Drops),
            (unhealthy, Cause::Unhealthy),
            (self.queue > MANY * step, Cause::Queueing),
            (plateau.is_some(), Cause::Plateau),
        ];
        if let Some((_, cause)) = shrinks.iter().find(|(is_so, _)| *is_so) {
            let (from, by) = match plateau {
                Some(before) if *cause == Cause::Plateau => (before.min(self.limit), RETREAT),
                _ => (self.limit, SHRINK),
            };
            let shrunk = u32::try_from(by.of(u64::from(from))).unwrap_or(from);
            self.set(shrunk.max(self.needed(seen).min(self.limit)), *cause);
        } else if self.queue <= FEW * step && is_used(seen.peak, self.limit) {
            self.set(self.limit.saturating_add(log10(self.limit)), Cause::Used);
        }
        self.limit
    }

    /// The limit at present.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// What moved the limit last.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// How many calls seemed to wait in the dependency in the last window.
    #[must_use]
    pub const fn queue(&self) -> u64 {
        self.queue
    }

    /// The least 90th percentile that is believed to be healthy; none before the first window.
    #[must_use]
    pub fn best(&self) -> Option<Duration> {
        (self.best.value != u64::MAX).then_some(Duration::from_nanos(self.best.value))
    }

    /// The slow average of the 90th percentile, within bounds of the best; none before the first window.
    #[must_use]
    pub fn long(&self) -> Option<Duration> {
        (self.long != 0).then_some(Duration::from_nanos(self.long))
    }

    fn set(&mut self, limit: u32, cause: Cause) {
        let limit = limit.min(self.config.max.get()).max(self.config.min.get());
        if limit != self.limit {
            (self.limit, self.cause) = (limit, cause);
        }
    }

    fn learn(&mut self, seen: &Observed, p90: u64) {
        self.best.observe(p90, seen.calm_p90.map(nanos), seen.ended);
        let long = if self.long == 0 { p90 } else { self.long };
        let moved = long - long / LONG_WEIGHT + p90 / LONG_WEIGHT;
        let best = self.best.value;
        self.long = moved.clamp(best, MAX_DRIFT.of(best));
    }

    /// How many of the calls in flight wait, by Little's law.
    fn waiting(&self, p90: u64) -> u64 {
        let alone = NOISE.of(self.long);
        if self.long == 0 || p90 <= alone {
            return 0;
        }
        let waiting = u128::from(self.limit) * u128::from(p90 - alone) / u128::from(p90);
        u64::try_from(waiting).unwrap_or(u64::MAX)
    }

    /// Half of what throughput and best latency need in flight.
    fn needed(&self, seen: &Observed) -> u32 {
        if self.best.value == u64::MAX {
            return 0;
        }
        let busy = u128::from(seen.served) * u128::from(self.best.value) / 2;
        let lasted = u128::from(nanos(seen.lasted)).max(1);
        u32::try_from(busy / lasted).unwrap_or(u32::MAX)
    }

    /// If the last five windows had more in flight than the five before, served no more for it, and took
    /// longer: what was in flight before the rise.
    fn plateau(&mut self, seen: &Observed, p90: u64) -> Option<u32> {
        let lasted = u128::from(nanos(seen.lasted)).max(1);
        let throughput = u128::from(seen.served) * 1_000_000_000_000 / lasted;
        self.history[self.windows % HISTORY] = Point {
            peak: u64::from(seen.peak),
            throughput: u64::try_from(throughput).unwrap_or(u64::MAX),
        };
        self.windows += 1;
        if self.windows < HISTORY || !is_used(seen.peak, self.limit) {
            return None;
        }
        let half = |from: usize| {
            let points =
                (from..from + HISTORY / 2).map(|at| self.history[(self.windows + at) % HISTORY]);
            points.fold((0_u128, 0_u128), |sum, point| {
                (
                    sum.0 + u128::from(point.peak),
                    sum.1 + u128::from(point.throughput),
                )
            })
        };
        let ((peak_then, served_then), (peak, served)) = (half(0), half(HISTORY / 2));
        let rise = peak.saturating_sub(peak_then);
        let rose = rise * 16 > peak_then;
        // A quarter of the rise in flight, at least, should show in what is served.
        let gained = served.saturating_sub(served_then) * 4 * peak_then;
        let slower = p90 > SLOWER.of(self.best.value);
        if !rose || !slower || gained >= rise * served_then {
            return None;
        }
        // The same windows are not held against it twice.
        self.windows = 0;
        u32::try_from(peak_then / (HISTORY as u128 / 2)).ok()
    }

    fn come_back_from_idling(&mut self, seen: &Observed) {
        let idled = self
            .last
            .is_some_and(|last| seen.ended.since(last) > IDLE + seen.lasted.min(IDLE));
        self.last = Some(seen.ended);
        if !idled {
            return;
        }
        let used = self.history.iter().map(|point| point.peak).max();
        let used = u32::try_from(used.unwrap_or(0)).unwrap_or(u32::MAX);
        let most = self.config.initial.get().max(used.saturating_mul(2));
        self.set(self.limit.min(most), Cause::Idle);
        (self.history, self.windows) = ([Point::default(); HISTORY], 0);
    }
}

fn is_used(peak: u32, limit: u32) -> bool {
    USED.reached_by(u64::from(peak), u64::from(limit))
}

/// The least 90th percentile, in nanoseconds, and what calm calls have shown in the last minutes.
#[derive(Debug, Clone)]
struct Best {
    value: u64,
    met: Instant,
    /// The least calm 90th percentile of each of the last minutes.
    calm: [u64; BEST_HOLDS_MINUTES],
    minute: u64,
}

impl Best {
    const fn new() -> Self {
        Self {
            value: u64::MAX,
            met: Instant::ZERO,
            calm: [u64::MAX; BEST_HOLDS_MINUTES],
            minute: 0,
        }
    }

    fn observe(&mut self, p90: u64, calm: Option<u64>, now: Instant) {
        let minute = now.as_nanos() / 60_000_000_000;
        for passed in (self.minute + 1..=minute).take(self.calm.len()) {
            *self.calm_of(passed) = u64::MAX;
        }
        self.minute = self.minute.max(minute);
        if let Some(calm) = calm {
            let least = self.calm_of(minute);
            *least = calm.min(*least);
        }
        if p90 <= self.value {
            (self.value, self.met) = (p90, now);
        } else if now.since(self.met) >= Duration::from_secs(60 * BEST_HOLDS_MINUTES as u64) {
            let shown = self.calm.iter().copied().min().unwrap_or(u64::MAX);
            if shown != u64::MAX {
                (self.value, self.met) = (shown, now);
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the remainder is below ten"
    )]
    const fn calm_of(&mut self, minute: u64) -> &mut u64 {
        &mut self.calm[(minute % BEST_HOLDS_MINUTES as u64) as usize]
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
