//! The generic cell rate algorithm, in one word.

use core::num::NonZeroU32;
use core::time::Duration;

use super::{Grant, Room, Snapshot, Undo};
use crate::sync::{AtomicU64, Ordering, Protocol, exchange, update};
use crate::time::{Instant, nanos};

/// A burst, and then one unit of cost each period.
#[derive(Debug)]
pub(super) struct Smooth {
    /// Nanoseconds that one unit of cost takes up.
    period: u64,
    /// How far ahead of now the theoretical arrival time may be.
    tolerance: u64,
    /// The theoretical arrival time, in nanoseconds.
    arrival: AtomicU64,
}

impl Smooth {
    pub(super) fn new(limit: NonZeroU32, per: Duration, burst: NonZeroU32) -> Self {
        // Rounded up: a rate that is a little slow keeps its promise, one that is a little fast does not.
        let period = nanos(per).div_ceil(u64::from(limit.get())).max(1);
        Self {
            period,
            tolerance: period.saturating_mul(u64::from(burst.get())),
            arrival: AtomicU64::new(0),
        }
    }

    /// Spends `cost` now; answers what is left.
    #[inline]
    pub(super) fn spend(&self, now: Instant, cost: NonZeroU32) -> Result<Room, Option<Duration>> {
        let (_, after) = self.advance(now, cost, self.tolerance)?;
        Ok(self.room(after - now.as_nanos()))
    }

    /// Takes the next turn for `cost` within `max_wait`.
    pub(super) fn grant(
        &self,
        now: Instant,
        cost: NonZeroU32,
        max_wait: Duration,
    ) -> Result<Grant, Option<Duration>> {
        let reach = self.tolerance.saturating_add(nanos(max_wait));
        let (before, after) = self.advance(now, cost, reach)?;
        let ahead = after - now.as_nanos();
        let wait = ahead.saturating_sub(self.tolerance);
        Ok(Grant {
            ready: now + Duration::from_nanos(wait),
            room: self.room(ahead),
            undo: Undo::Smooth { before, after },
        })
    }

    /// Moves the arrival time on by `cost`, to `reach` ahead of now at most. Refused, says how long to wait
    /// until `cost` may be spent at once, if it ever may.
    #[inline]
    fn advance(
        &self,
        now: Instant,
        cost: NonZeroU32,
        reach: u64,
    ) -> Result<(u64, u64), Option<Duration>> {
        let increment = self.period.saturating_mul(u64::from(cost.get()));
        if increment > self.tolerance {
            return Err(None);
        }
        let now = now.as_nanos();
        let moved = update(Protocol::Rate, &self.arrival, |arrival| {
            let after = arrival.max(now).saturating_add(increment);
            (after - now <= reach).then_some(after)
        });
        moved.ok_or_else(|| {
            let arrival = self.arrival.load(Ordering::Relaxed).max(now);
            let ahead = arrival.saturating_add(increment) - now;
            Some(Duration::from_nanos(ahead.saturating_sub(self.tolerance)))
        })
    }

    /// Puts the arrival time back, unless another grant has moved it on.
    pub(super) fn undo(&self, before: u64, after: u64) {
        // Losing this exchange means just that.
        let _moved_on = exchange(Protocol::Rate, &self.arrival, after, before);
    }

    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        let ahead = self
            .arrival
            .load(Ordering::Relaxed)
            .saturating_sub(now.as_nanos());
        Snapshot {
            remaining: self.room(ahead).units(),
            full_in: Duration::from_nanos(ahead),
        }
    }

    fn room(&self, ahead: u64) -> Room {
        Room {
            left: self.tolerance.saturating_sub(ahead),
            per_unit: self.period,
        }
    }
}
