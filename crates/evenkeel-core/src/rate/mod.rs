//! How many calls may be made in a time.
//!
//! A partner allows a hundred calls a second, a job may not flood the service it shares with people. A
//! counter that is reset every second lets two hundred calls through around the stroke of the second; a
//! bucket that a timer refills needs the timer.
//!
//! [`Mode::Smooth`] is the generic cell rate algorithm: one word holds the *theoretical arrival time*, the
//! instant at which all that was admitted would have been done had it come evenly. A call moves it on by
//! its cost; one that would move it further ahead of now than the burst allows is refused, and told how
//! long that will take to change. No timer, no refill, one exchange.
//!
//! Smooth admits a burst and then the rate: in some period of any second, up to burst + rate. Where a
//! contract says *never more than N in any T*, [`Mode::Strict`] keeps the time of each of the last N calls.
//! It costs eight bytes a call and a lock, which is why it is not the default.
//!
//! A caller that may wait [reserves](RateLimit::reserve) its turn. A [`Reservation`] that is dropped gives
//! its turn back if nobody has been given a later one meanwhile: those behind it were told when to come,
//! and giving it to a newcomer would let two through at a time.
//!
//! Limits: one process. A period is held in whole nanoseconds, rounded up, so that a rate is never
//! exceeded; at a million a second the loss is a tenth of a percent at most.
//!
//! Sources: GCRA as in ITU-T I.371; the strict mode is the sliding log.

mod log;
mod smooth;

use core::num::NonZeroU32;
use core::time::Duration;

use log::Log;
use smooth::Smooth;

use crate::rejection::{Reason, Rejection};
use crate::sync::{Arc, Mutex};
use crate::time::{Instant, nanos};

/// How many calls may be made in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// This much cost, within each [`Config::per`]. A call costs one unless it says otherwise.
    pub limit: NonZeroU32,
    /// The time in which [`Config::limit`] may be spent. Default 1 s.
    pub per: Duration,
    /// How much may come at once after a pause. Larger: bursts pass, and the far side meets them. Smaller:
    /// calls that happen to coincide are refused. One: calls come evenly or not at all. Default: `limit`.
    /// Has no meaning with [`Mode::Strict`], where `limit` is the burst.
    pub burst: NonZeroU32,
    /// What the limit promises. Default [`Mode::Smooth`].
    pub mode: Mode,
}

impl Config {
    /// `limit` a second, all of it at once after a pause.
    #[must_use]
    pub const fn per_second(limit: NonZeroU32) -> Self {
        Self::new(limit, Duration::from_secs(1))
    }

    /// `limit` in each `per`, all of it at once after a pause.
    #[must_use]
    pub const fn new(limit: NonZeroU32, per: Duration) -> Self {
        Self {
            limit,
            per,
            burst: limit,
            mode: Mode::Smooth,
        }
    }
}

/// What a rate limit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The rate in the long run, and a burst on top of it. One word, one exchange.
    Smooth,
    /// Never more than the limit in any period, wherever it begins. Eight bytes a call, under a lock.
    Strict,
}

/// A rate limit. Cheap to clone; clones are one limit.
///
/// ```
/// use evenkeel_core::rate::{Config, RateLimit};
/// use evenkeel_core::time::Instant;
/// use std::{num::NonZeroU32, time::Duration};
///
/// let limit = RateLimit::new(Config::per_second(NonZeroU32::new(10).unwrap()));
/// let now = Instant::ZERO;
/// assert_eq!((0..20).filter(|_| limit.try_acquire(now, NonZeroU32::MIN).is_ok()).count(), 10);
///
/// let refused = limit.try_acquire(now, NonZeroU32::MIN).unwrap_err();
/// assert_eq!(refused.retry_after, Some(Duration::from_millis(100)));
/// ```
#[derive(Debug, Clone)]
pub struct RateLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    Smooth(Smooth),
    Strict(Mutex<Log>),
}

/// What was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    room: Room,
}

impl Admitted {
    /// How much more cost would be admitted at the same instant.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.room.units()
    }
}

/// What is left of a limit: divided only when somebody asks, since most callers do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    left: u64,
    per_unit: u64,
}

impl Room {
    fn units(self) -> u32 {
        u32::try_from(self.left / self.per_unit).unwrap_or(u32::MAX)
    }
}

/// What a rate limit shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// How much cost would be admitted now.
    pub remaining: u32,
    /// When all of the burst is there again, if nothing more comes.
    pub full_in: Duration,
}

/// What was taken: the turn it bought, and how to give it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grant {
    ready: Instant,
    room: Room,
    undo: Undo,
}

/// What the limit was like around a grant, so that it can be undone while nothing came after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    Smooth { before: u64, after: u64 },
    Strict { last: u64, cost: u32 },
}

/// A turn that was reserved and has not been used yet. Dropped, it is given back, if nobody was given a
/// later one meanwhile.
#[derive(Debug)]
#[must_use = "a reservation that is dropped at once is given back"]
pub struct Reservation {
    limit: RateLimit,
    grant: Option<Grant>,
    ready: Instant,
}

impl Reservation {
    /// When the call may be made; not before the reservation was.
    #[must_use]
    pub const fn ready(&self) -> Instant {
        self.ready
    }

    /// The call is being made: the turn is spent.
    pub fn spend(mut self) {
        self.grant = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.limit.give_back(grant);
        }
    }
}

impl RateLimit {
    /// A limit that nobody has used yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let rule = match config.mode {
            Mode::Smooth => Rule::Smooth(Smooth::new(config.limit, config.per, config.burst)),
            Mode::Strict => Rule::Strict(Mutex::new(Log::new(config.limit, nanos(config.per)))),
        };
        Self(Arc::new(Shared { config, rule }))
    }

    /// The same limit under another configuration: what was spent of the one before and has not come back
    /// yet is spent of this one, so that a change admits no second burst.
    #[must_use]
    pub fn successor(&self, config: Config, now: Instant) -> Self {
        if config == self.0.config {
            return self.clone();
        }
        let spent = self.burst().saturating_sub(self.snapshot(now).remaining);
        let next = Self::new(config);
        // As much of it as there can be: a debt that is larger than the burst is forgiven down to it.
        if let Some(spent) = NonZeroU32::new(spent.min(next.burst())) {
            let _room = next.try_acquire(now, spent);
        }
        next
    }

    /// The most that can be spent at once.
    fn burst(&self) -> u32 {
        let config = &self.0.config;
        match config.mode {
            Mode::Smooth => config.burst.get(),
            Mode::Strict => config.limit.get(),
        }
    }

    /// Spends `cost` now.
    ///
    /// # Errors
    /// [`Reason::RateLimited`], with the time until it would have been admitted; without one if `cost`
    /// exceeds what can ever be spent at once.
    #[inline]
    pub fn try_acquire(&self, now: Instant, cost: NonZeroU32) -> Result<Admitted, Rejection> {
        let room = match &self.0.rule {
            Rule::Smooth(smooth) => smooth.spend(now, cost),
            Rule::Strict(log) => {
                log::locked(log, |log| log.grant(now, cost, Duration::ZERO)).map(|grant| grant.room)
            }
        };
        Ok(Admitted {
            room: room.map_err(refused)?,
        })
    }

    /// Takes the next turn for `cost` that comes within `max_wait`, to be used at
    /// [`Reservation::ready`].
    ///
    /// # Errors
    /// [`Reason::RateLimited`], with the time until that turn.
    pub fn reserve(
        &self,
        now: Instant,
        cost: NonZeroU32,
        max_wait: Duration,
    ) -> Result<Reservation, Rejection> {
        let grant = self.grant(now, cost, max_wait)?;
        Ok(Reservation {
            limit: self.clone(),
            ready: grant.ready,
            grant: Some(grant),
        })
    }

    /// What the limit shows of itself.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        match &self.0.rule {
            Rule::Smooth(smooth) => smooth.snapshot(now),
            Rule::Strict(log) => log::locked(log, |log| log.snapshot(now)),
        }
    }

    /// The limit as it was given.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    fn grant(
        &self,
        now: Instant,
        cost: NonZeroU32,
        max_wait: Duration,
    ) -> Result<Grant, Rejection> {
        let granted = match &self.0.rule {
            Rule::Smooth(smooth) => smooth.grant(now, cost, max_wait),
            Rule::Strict(log) => log::locked(log, |log| log.grant(now, cost, max_wait)),
        };
        granted.map_err(refused)
    }

    fn give_back(&self, grant: Grant) {
        match (&self.0.rule, grant.undo) {
            (Rule::Smooth(smooth), Undo::Smooth { before, after }) => smooth.undo(before, after),
            (Rule::Strict(log), Undo::Strict { last, cost }) => {
                log::locked(log, |log| log.undo(last, cost));
            }
            // A grant goes back to the limit it came from.
            _ => {}
        }
    }
}

fn refused(wait: Option<Duration>) -> Rejection {
    Rejection {
        retry_after: wait,
        ..Rejection::new(Reason::RateLimited)
    }
}

/// Spends every cost of `wanted`, or none of them.
///
/// What was taken of the limits before the one that refuses is given back, as a dropped [`Reservation`]
/// is: a limit that somebody used in between keeps it, so that no limit is ever exceeded.
///
/// # Errors
/// The place in `wanted` of the limit that refused, and its rejection.
///
/// ```
/// use evenkeel_core::rate::{Config, RateLimit, try_acquire_all};
/// use evenkeel_core::time::Instant;
/// use std::num::NonZeroU32;
///
/// let [ten, one] = [10, 1].map(|limit| NonZeroU32::new(limit).unwrap());
/// let (tenant, total) = (RateLimit::new(Config::per_second(ten)), RateLimit::new(Config::per_second(one)));
/// let now = Instant::ZERO;
/// assert!(try_acquire_all(now, &[(&tenant, one), (&total, one)]).is_ok());
/// assert_eq!(try_acquire_all(now, &[(&tenant, one), (&total, one)]).unwrap_err().0, 1);
/// assert_eq!(tenant.snapshot(now).remaining, 9, "the second call cost the tenant nothing");
/// ```
pub fn try_acquire_all(
    now: Instant,
    wanted: &[(&RateLimit, NonZeroU32)],
) -> Result<(), (usize, Rejection)> {
    let Some(((limit, cost), rest)) = wanted.split_first() else {
        return Ok(());
    };
    // One reservation is held on the stack for each limit that has granted, and dropped if a later one
    // refuses.
    let held = limit
        .reserve(now, *cost, Duration::ZERO)
        .map_err(|rejection| (0, rejection))?;
    try_acquire_all(now, rest).map_err(|(later, rejection)| (later + 1, rejection))?;
    held.spend();
    Ok(())
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
