//! Counting once what several windows remember.
//!
//! The budget wants to know how many calls began in each second, the breaker how many were served, an
//! operation's progress both, its hedges the first again. An addition and the search for its slice, five
//! times over, cost more than all decisions about the call together. But within a slice the windows do not
//! care when a call came. So a call that goes well adds one to one count, and whoever is first in a new
//! slice hands the windows what was counted **in the slice before**: nothing of a later slice has been
//! counted yet, since whoever counts looks first. Before anything is decided by a window, and before it is
//! shown, it is handed the rest.
//!
//! Limits: threads that count while one hands over may find theirs in the neighbouring slice; nothing is
//! lost, nothing is counted twice.

use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::time::Instant;

/// What was handed over, and when it is to be done again.
#[derive(Debug)]
pub(crate) struct Feed {
    /// When the next slice begins, of the window whose slice ends first, in nanoseconds.
    due: AtomicU64,
    /// When it was last done: what was counted since lies in the slices of that instant.
    since: AtomicU64,
    begun: AtomicU64,
    served: AtomicU64,
    handing: Mutex<()>,
}

/// Calls that were counted since the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fed {
    pub(crate) at: Instant,
    pub(crate) begun: u64,
    pub(crate) served: u64,
}

impl Feed {
    /// Nothing was counted yet.
    pub(crate) fn new() -> Self {
        Self {
            due: AtomicU64::new(0),
            since: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            served: AtomicU64::new(0),
            handing: Mutex::new(()),
        }
    }

    /// Whether a new slice has begun.
    #[inline]
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.as_nanos() >= self.due.load(Ordering::Relaxed)
    }

    /// Hands `take` what was counted since the last time, of `counted` calls that began and were served;
    /// it answers when the next slice begins.
    #[cold]
    pub(crate) fn hand_over(
        &self,
        now: Instant,
        counted: impl FnOnce() -> (u64, u64),
        take: impl FnOnce(Fed) -> Instant,
    ) {
        // Whoever does not get the lock goes on: somebody else is handing over.
        let Ok(_handing) = self.handing.try_lock() else {
            return;
        };
        let (begun, served) = counted();
        let since = Instant::from_nanos(self.since.load(Ordering::Relaxed));
        let next = take(Fed {
            at: since,
            begun: begun - self.begun.load(Ordering::Relaxed),
            served: served - self.served.load(Ordering::Relaxed),
        });
        self.begun.store(begun, Ordering::Relaxed);
        self.served.store(served, Ordering::Relaxed);
        // Clocks of threads disagree by a little, and time only moves forward.
        self.since
            .store(now.max(since).as_nanos(), Ordering::Relaxed);
        self.due.store(next.as_nanos(), Ordering::Relaxed);
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_handed_over_once_and_as_of_the_slice_in_which_it_was() {
        let feed = Feed::new();
        let second = |at: u64| Instant::from_nanos(at * 1_000_000_000);
        let mut seen = Vec::new();
        for (now, begun, served) in [(1, 0, 0), (2, 5, 4), (9, 5, 5), (9, 7, 7)] {
            assert!(feed.is_due(second(now)) || now == 9);
            feed.hand_over(
                second(now),
                || (begun, served),
                |fed| {
                    seen.push((fed.at.as_nanos() / 1_000_000_000, fed.begun, fed.served));
                    second(now + 1)
                },
            );
            assert!(!feed.is_due(second(now)));
        }
        assert_eq!(seen, [(0, 0, 0), (1, 5, 4), (2, 0, 1), (9, 2, 2)]);
    }
}
