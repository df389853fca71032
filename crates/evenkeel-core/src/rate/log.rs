//! The times of the last calls, for a limit that holds in every period.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::PoisonError;

use super::{Grant, Snapshot, Undo};
use crate::sync::Mutex;
use crate::time::{Instant, nanos};

/// At most `limit` entries: when each unit of cost is, or will be, used. In order.
#[derive(Debug)]
pub(super) struct Log {
    limit: usize,
    per: u64,
    entries: VecDeque<u64>,
}

/// Runs `on` under the log's lock.
pub(super) fn locked<T>(log: &Mutex<Log>, on: impl FnOnce(&mut Log) -> T) -> T {
    // Nothing in here panics while it holds the lock, so a poisoned log is still a whole one.
    on(&mut log.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Log {
    pub(super) const fn new(limit: NonZeroU32, per: u64) -> Self {
        Self {
            limit: limit.get() as usize,
            per,
            entries: VecDeque::new(),
        }
    }

    pub(super) fn grant(
        &mut self,
        now: Instant,
        cost: NonZeroU32,
        max_wait: Duration,
    ) -> Result<Grant, Option<Duration>> {
        let (now, cost) = (now.as_nanos(), cost.get());
        let free_after = self.limit.checked_sub(cost as usize).ok_or(None)?;
        self.forget(now);
        // All of the cost is used at once: when enough of what is in the log has left its period, and not
        // before whoever was given a turn earlier.
        let crowded = self.entries.len().checked_sub(free_after + 1);
        let freed = crowded.map_or(0, |last| self.entries[last].saturating_add(self.per));
        let latest = self.entries.back().copied().unwrap_or(0);
        let ready = now.max(freed).max(latest);
        let wait = ready - now;
        if wait > nanos(max_wait) {
            return Err(Some(Duration::from_nanos(wait)));
        }
        self.entries.extend((0..cost).map(|_| ready));
        Ok(Grant {
            ready: Instant::from_nanos(ready),
            remaining: self.remaining(),
            undo: Undo::Strict { last: ready, cost },
        })
    }

    /// Takes the last `cost` entries out, if they are still the ones of `last`.
    pub(super) fn undo(&mut self, last: u64, cost: u32) {
        if self.entries.back() == Some(&last) {
            let kept = self.entries.len().saturating_sub(cost as usize);
            self.entries.truncate(kept);
        }
    }

    pub(super) fn snapshot(&mut self, now: Instant) -> Snapshot {
        let now = now.as_nanos();
        self.forget(now);
        let latest = self.entries.back();
        let full_at = latest.map_or(now, |latest| latest.saturating_add(self.per));
        Snapshot {
            remaining: self.remaining(),
            full_in: Duration::from_nanos(full_at.saturating_sub(now)),
        }
    }

    fn remaining(&self) -> u32 {
        u32::try_from(self.limit.saturating_sub(self.entries.len())).unwrap_or(u32::MAX)
    }

    /// Drops what has left its period.
    fn forget(&mut self, now: u64) {
        while let Some(oldest) = self.entries.front()
            && oldest.saturating_add(self.per) <= now
        {
            self.entries.pop_front();
        }
    }
}
