//! Which calls are slow, and how many.
//!
//! A dependency that answers everything, forty times as slowly as it used to, fails nothing and takes its
//! callers down all the same. So slow calls are counted as well; and since a call that hangs ends long after
//! the damage is done, an attempt is slow **as soon as** it has run for too long, while it still runs.
//!
//! What is too long is written in the configuration, or learned: a multiple of the median of the successes.
//! A median needs no record of the calls that are far below it, only their number. So only those are
//! recorded that could be the median and matter, which a healthy dependency has none of: a fast call pays
//! one comparison for all of this.
//!
//! Two traps in learning what is usual. In the first seconds nothing is: then no call is slow. And an
//! incident makes slowness usual, within half a window: so the threshold falls at once and rises by a
//! sixteenth per slice. A lasting rise of four times is believed within half a minute of traffic.

use core::time::Duration;

use super::config::{SlowRate, SlowerThan};
use super::word::Generation;
use crate::ratio::Ratio;
use crate::stripe::Stripe;
use crate::sync::{AtomicU64, Ordering, Protocol, exchange, update};
use crate::time::{Instant, nanos};
use crate::window::histogram::Histogram;
use crate::window::{RatioWindow, SLICES, Totals, is_ahead};

const MICROS_BITS: u32 = 40;
const MICROS_MASK: u64 = (1 << MICROS_BITS) - 1;
const TAG_MASK: u64 = (1 << (64 - MICROS_BITS)) - 1;

/// A usual duration that grows is believed by one part in this many per slice.
const RISE: u64 = 16;

const COUNT_BITS: u32 = 32;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Slow calls of one circuit, ended and running.
#[derive(Debug)]
pub(super) struct Slow {
    threshold: Ratio,
    than: SlowerThan,
    /// Calls shorter than this, in nanoseconds, are neither slow nor needed to know what is usual.
    pub(super) floor: u64,
    slice: u64,
    /// Slow calls that ended, each counted as a bad one.
    ended: RatioWindow,
    /// Generation and number of the attempts that are slow and still run.
    running: AtomicU64,
    /// Successes from the floor on.
    tail: Histogram,
    /// The slice in which it was last looked at, and the learned threshold in microseconds; zero: not
    /// known yet.
    learned: AtomicU64,
}

impl Slow {
    pub(super) fn new(config: &SlowRate, window: Duration) -> Self {
        let floor = match config.than {
            SlowerThan::Fixed(than) => nanos(than),
            SlowerThan::Usual { factor, at_least } => {
                let factor = factor.max(Ratio::ONE).permille();
                nanos(at_least) / u64::from(factor) * 1000
            }
        };
        Self {
            threshold: config.threshold,
            than: config.than,
            floor: floor.max(1),
            slice: (nanos(window) / SLICES as u64).max(1),
            // One stripe each: calls that take this long do not come by the million.
            ended: RatioWindow::new(window, 1),
            tail: Histogram::new(SLICES, 1),
            running: AtomicU64::new(0),
            learned: AtomicU64::new(0),
        }
    }

    /// Counts a call that took `took` nanoseconds, at least the floor; whether that is slow.
    pub(super) fn record(&self, now: Instant, took: u64, succeeded: bool, threshold: u64) -> bool {
        if succeeded && matches!(self.than, SlowerThan::Usual { .. }) {
            let slice = now.as_nanos() / self.slice;
            self.tail
                .record(Stripe(0), slice, Duration::from_nanos(took));
        }
        let slow = took >= threshold;
        if slow {
            self.ended.record(Stripe(0), now, true);
        }
        slow
    }

    /// From how many nanoseconds on a call is slow; `u64::MAX` while that is not known. `seen` tells what
    /// the window holds, if it is enough to go by; it is asked at most once a slice.
    pub(super) fn threshold(&self, now: Instant, seen: impl FnOnce() -> Option<Totals>) -> u64 {
        let (factor, at_least) = match self.than {
            SlowerThan::Fixed(than) => return nanos(than),
            SlowerThan::Usual { factor, at_least } => (factor.max(Ratio::ONE), nanos(at_least)),
        };
        let slice = now.as_nanos() / self.slice;
        let held = self.learned.load(Ordering::Relaxed);
        let (tag, known) = (held >> MICROS_BITS, held & MICROS_MASK);
        if tag == slice & TAG_MASK || is_ahead(tag, slice, TAG_MASK) {
            return threshold_of(known);
        }
        // Whoever claims the slice learns; the others go on with what was known.
        let claimed = (slice & TAG_MASK) << MICROS_BITS | known;
        if exchange(Protocol::Breaker, &self.learned, held, claimed).is_err() {
            return threshold_of(known);
        }
        let Some(totals) = seen() else {
            return threshold_of(known);
        };
        let usual = factor.of(self.median(slice, totals)).max(at_least);
        let target = (usual / 1000).clamp(1, MICROS_MASK);
        let next = if known == 0 || target < known {
            target
        } else {
            target.min(known + known / RISE + 1)
        };
        let learned = claimed & !MICROS_MASK | next;
        // Lost to a slow probe or to a later slice: theirs holds.
        let _ = exchange(Protocol::Breaker, &self.learned, claimed, learned);
        threshold_of(next)
    }

    /// What is known of the threshold, without learning.
    pub(super) fn known_threshold(&self) -> Option<Duration> {
        let known = match self.than {
            SlowerThan::Fixed(than) => return Some(than),
            SlowerThan::Usual { .. } => self.learned.load(Ordering::Relaxed) & MICROS_MASK,
        };
        (known != 0).then(|| Duration::from_micros(known))
    }

    /// Whether a probe that succeeded in `took` nanoseconds was slow all the same. It is, and for each that
    /// is, the threshold rises a little: a dependency that is slower for good is let back in the end.
    pub(super) fn condemns(&self, took: u64) -> bool {
        let SlowerThan::Usual { .. } = self.than else {
            return took >= self.floor;
        };
        let mut slow = false;
        update(Protocol::Breaker, &self.learned, |held| {
            let known = held & MICROS_MASK;
            slow = known != 0 && took / 1000 >= known;
            let raised = (known + known / RISE + 1).min(MICROS_MASK);
            slow.then_some(held & !MICROS_MASK | raised)
        });
        slow
    }

    /// Slow calls in the window, and those that still run.
    pub(super) fn count(&self, now: Instant, begin: Instant, generation: Generation) -> (u64, u64) {
        let held = self.running.load(Ordering::Relaxed);
        let running = if tag_of(held) == generation.0 {
            held & COUNT_MASK
        } else {
            0
        };
        (self.ended.totals(now, begin).bad, running)
    }

    /// Whether `slow` of `calls` are too many.
    pub(super) fn reached_by(&self, slow: u64, calls: u64) -> bool {
        self.threshold.reached_by(slow, calls)
    }

    /// One more attempt of `generation` is slow and still runs.
    pub(super) fn enter(&self, generation: Generation) {
        update(Protocol::Breaker, &self.running, |held| {
            let others = if tag_of(held) == generation.0 {
                held
            } else if Generation(tag_of(held)).is_before(generation) {
                // Of an earlier state, which nobody asks about any more.
                u64::from(generation.0) << COUNT_BITS
            } else {
                return None;
            };
            Some(others + 1)
        });
    }

    /// It has ended.
    pub(super) fn leave(&self, generation: Generation) {
        update(Protocol::Breaker, &self.running, |held| {
            (tag_of(held) == generation.0).then(|| held - 1)
        });
    }

    /// The median of the successes, to one part in 32, or zero where it is below the floor.
    fn median(&self, slice: u64, totals: Totals) -> u64 {
        let succeeded = totals.calls - totals.bad.min(totals.calls);
        let tail = self.tail.counts(slice, SLICES);
        let rank = succeeded.div_ceil(2);
        let below = succeeded.saturating_sub(tail.total());
        let within = rank.saturating_sub(below);
        if within == 0 {
            return 0;
        }
        tail.at_rank(within).map_or(0, nanos)
    }
}

fn threshold_of(micros: u64) -> u64 {
    if micros == 0 { u64::MAX } else { micros * 1000 }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a generation has twelve bits"
)]
const fn tag_of(held: u64) -> u16 {
    (held >> COUNT_BITS) as u16
}
