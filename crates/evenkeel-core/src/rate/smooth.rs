//! The generic cell rate algorithm, in one word.

use core::num::NonZeroU32;
use core::time::Duration;

use super::{Grant, Snapshot, Undo};
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

    #[inline]
    pub(super) fn grant(
        &self,
        now: Instant,
        cost: NonZeroU32,
        max_wait: Duration,
    ) -> Result<Grant, Option<Duration>> {
        let increment = self.period.saturating_mul(u64::from(cost.get()));
        if increment > self.tolerance {
            return Err(None);
        }
        let (now, reach) = (
            now.as_nanos(),
            self.tolerance.saturating_add(nanos(max_wait)),
        );
        let mut ahead = 0;
        let moved = update(Protocol::Rate, &self.arrival, |arrival| {
            let after = arrival.max(now).saturating_add(increment);
            ahead = after - now;
            (ahead <= reach).then_some(after)
        });
        let wait = ahead.saturating_sub(self.tolerance);
        let (before, after) = moved.ok_or(Some(Duration::from_nanos(wait)))?;
        Ok(Grant {
            ready: Instant::from_nanos(now.saturating_add(wait)),
            remaining: self.remaining(ahead),
            undo: Undo::Smooth { before, after },
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
            remaining: self.remaining(ahead),
            full_in: Duration::from_nanos(ahead),
        }
    }

    fn remaining(&self, ahead: u64) -> u32 {
        let units = self.tolerance.saturating_sub(ahead) / self.period;
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}
