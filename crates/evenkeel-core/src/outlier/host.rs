//! One host's record, in one word.
//!
//! ```text
//!  63                        24 23    23 22    16 15           0
//! +----------------------------+--------+--------+--------------+
//! | until: milliseconds, 40    | away   | times  | in a row, 16 |
//! +----------------------------+--------+--------+--------------+
//! ```
//!
//! `until` is when the host comes back, or came back last.

use core::time::Duration;

use crate::sync::{AtomicU64, Ordering, Protocol, update};
use crate::time::{Instant, nanos};

const IN_A_ROW_MASK: u64 = (1 << 16) - 1;
const TIMES_SHIFT: u32 = 16;
const TIMES_MASK: u64 = (1 << 7) - 1;
const AWAY: u64 = 1 << 23;
const UNTIL_SHIFT: u32 = 24;

const MILLI: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Host(AtomicU64);

impl Host {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more failure in a row; answers how many there are.
    pub(super) fn count_failure(&self) -> u32 {
        let counted = update(Protocol::Outlier, &self.0, |held| {
            (held & IN_A_ROW_MASK != IN_A_ROW_MASK).then_some(held + 1)
        });
        let in_a_row = counted.map_or(IN_A_ROW_MASK, |(_, after)| after & IN_A_ROW_MASK);
        u32::try_from(in_a_row).unwrap_or(u32::MAX)
    }

    /// A success: the row of failures is over.
    pub(super) fn forgive(&self) {
        update(Protocol::Outlier, &self.0, |held| {
            (held & IN_A_ROW_MASK != 0).then_some(held & !IN_A_ROW_MASK)
        });
    }

    pub(super) fn is_away(&self) -> bool {
        self.0.load(Ordering::Relaxed) & AWAY != 0
    }

    pub(super) fn away_until(&self) -> Option<Instant> {
        let held = self.0.load(Ordering::Relaxed);
        (held & AWAY != 0).then(|| Instant::from_nanos((held >> UNTIL_SHIFT) * MILLI))
    }

    /// Sends the host away, for as long as `time_away` says after so many times before; none if it is away
    /// already.
    pub(super) fn send_away(
        &self,
        now: Instant,
        time_away: impl Fn(u32) -> Duration,
    ) -> Option<Duration> {
        let now = now.as_nanos() / MILLI;
        let mut away = Duration::ZERO;
        update(Protocol::Outlier, &self.0, |held| {
            if held & AWAY != 0 {
                return None;
            }
            let times = (held >> TIMES_SHIFT) & TIMES_MASK;
            let was_well = now.saturating_sub(held >> UNTIL_SHIFT);
            // For each stretch as long as its last time away, once is forgotten.
            let last_away = millis(time_away(narrow(times.saturating_sub(1)))).max(1);
            let times = times.saturating_sub(was_well / last_away);
            away = time_away(narrow(times));
            let until = (now + millis(away)).min(u64::MAX >> UNTIL_SHIFT);
            let times = (times + 1).min(TIMES_MASK);
            Some(until << UNTIL_SHIFT | AWAY | times << TIMES_SHIFT)
        })?;
        Some(away)
    }

    /// Clears the mark if its time is over; true for the one caller who does.
    pub(super) fn come_back(&self, now: Instant) -> bool {
        let now = now.as_nanos() / MILLI;
        update(Protocol::Outlier, &self.0, |held| {
            let is_over = held & AWAY != 0 && held >> UNTIL_SHIFT <= now;
            is_over.then_some(held & !AWAY & !IN_A_ROW_MASK)
        })
        .is_some()
    }
}

fn narrow(times: u64) -> u32 {
    u32::try_from(times).unwrap_or(u32::MAX)
}

const fn millis(duration: Duration) -> u64 {
    nanos(duration) / MILLI
}
