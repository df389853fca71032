//! What the calls of one window were like, counted where they run.
//!
//! A limiter that steps on every sample believes every outlier. Samples are gathered for as long as it
//! takes to have enough of them, per stripe, tagged with the number of the window; whoever notices that
//! the window is over adds them up and begins the next by moving the number on. What is recorded late, with
//! a number that has passed, is lost or counts in the next window: it informs, it bounds nothing.

use core::time::Duration;

use crate::stripe::{Stripe, Striped};
use crate::sync::{AtomicU64, Ordering, Protocol, exchange, update};
use crate::time::{Instant, nanos};
use crate::window::histogram::{Histogram, TAG_MASK};
use crate::window::is_ahead;

/// The window that is being filled, and the one before it, in which a late sample may still count.
const SLICES: usize = 2;

/// Fewer calm samples than this say nothing of how long a call takes alone.
const MIN_CALM: u64 = 10;

const COUNT_BITS: u32 = 18;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TAG_SHIFT: u32 = 2 * COUNT_BITS;
/// A full count: the headroom above is for writers that add after another one filled it.
const FULL: u64 = COUNT_MASK - 1024;

/// What the calls of one window were like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observed {
    /// When the window ended.
    pub ended: Instant,
    /// How long it lasted.
    pub lasted: Duration,
    /// Calls that were served.
    pub served: u64,
    /// Calls that the dependency could not keep up with: refused, or timed out.
    pub dropped: u64,
    /// Nine in ten of the calls that were served took no longer; zero if none was.
    pub p90: Duration,
    /// The same for those that began while at most a quarter of the limit was used; none if they were too
    /// few.
    pub calm_p90: Option<Duration>,
    /// The most calls that were in flight at once.
    pub peak: u32,
}

impl Observed {
    /// A window that ended at `ended` and in which nothing happened.
    #[must_use]
    pub const fn nothing(ended: Instant) -> Self {
        Self {
            ended,
            lasted: Duration::ZERO,
            served: 0,
            dropped: 0,
            p90: Duration::ZERO,
            calm_p90: None,
            peak: 0,
        }
    }
}

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) min: Duration,
    pub(super) max: Duration,
    pub(super) samples: u64,
}

#[derive(Debug)]
pub(super) struct Window {
    span: Span,
    number: AtomicU64,
    /// When the window began, in nanoseconds; zero: nothing has been recorded yet.
    began: AtomicU64,
    all: Histogram,
    calm: Histogram,
    tallies: Striped<Tally>,
}

/// One stripe's counts; each word is tagged with the number of its window.
#[derive(Debug)]
struct Tally {
    /// Served and dropped calls, 18 bits each.
    calls: [AtomicU64; SLICES],
    /// The most in flight, 36 bits.
    peak: [AtomicU64; SLICES],
}

impl Window {
    pub(super) fn new(span: Span, stripes: usize) -> Self {
        Self {
            span,
            number: AtomicU64::new(0),
            began: AtomicU64::new(0),
            all: Histogram::new(SLICES, stripes),
            calm: Histogram::new(SLICES, stripes),
            tallies: Striped::with_own(stripes, || Tally {
                calls: core::array::from_fn(|_| AtomicU64::new(0)),
                peak: core::array::from_fn(|_| AtomicU64::new(0)),
            }),
        }
    }

    /// Records a call that was served within `took`, and began when `in_flight` were under way.
    #[inline]
    pub(super) fn record_served(&self, stripe: Stripe, took: Duration, in_flight: u32, calm: bool) {
        let number = self.number.load(Ordering::Relaxed);
        self.all.record(stripe, number, took);
        if calm {
            self.calm.record(stripe, number, took);
        }
        self.count(stripe, number, 0, in_flight);
    }

    /// Records a call that the dependency could not keep up with.
    pub(super) fn record_dropped(&self, stripe: Stripe, in_flight: u32) {
        let number = self.number.load(Ordering::Relaxed);
        self.count(stripe, number, COUNT_BITS, in_flight);
    }

    /// Whether it has lasted long enough to be looked at. The first to ask begins the first window.
    #[inline]
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let began = self.began.load(Ordering::Relaxed);
        if began == 0 {
            self.began.store(now.as_nanos().max(1), Ordering::Relaxed);
            return false;
        }
        now.as_nanos().saturating_sub(began) >= nanos(self.span.min)
    }

    /// Ends the window if it holds enough samples, or has lasted as long as it may. For one caller at a
    /// time.
    pub(super) fn close(&self, now: Instant) -> Option<Observed> {
        let began = Instant::from_nanos(self.began.load(Ordering::Relaxed));
        let (lasted, number) = (now.since(began), self.number.load(Ordering::Relaxed));
        let (served, dropped) = self.calls(number);
        let is_over = served + dropped >= self.span.samples || lasted >= self.span.max;
        if lasted < self.span.min || !is_over {
            return None;
        }
        let all = self.all.counts(number, 1);
        let calm = self.calm.counts(number, 1);
        let observed = Observed {
            ended: now,
            lasted,
            served,
            dropped,
            p90: all.quantile(900).unwrap_or(Duration::ZERO),
            calm_p90: calm.quantile(900).filter(|_| calm.total() >= MIN_CALM),
            peak: self.peak(number),
        };
        self.number.store(number + 1, Ordering::Relaxed);
        self.began.store(now.as_nanos().max(1), Ordering::Relaxed);
        Some(observed)
    }

    #[inline]
    fn count(&self, stripe: Stripe, number: u64, shift: u32, in_flight: u32) {
        let (tally, writers) = self.tallies.at(stripe);
        let (place, tag) = (place(number), number & TAG_MASK);
        let word = &tally.calls[place];
        let mut held = word.load(Ordering::Relaxed);
        loop {
            let theirs = held >> TAG_SHIFT;
            if theirs == tag || is_ahead(theirs, tag, TAG_MASK) {
                if held >> shift & COUNT_MASK < FULL {
                    writers.add(word, 1 << shift);
                }
                break;
            }
            match exchange(Protocol::Limiter, word, held, tag << TAG_SHIFT | 1 << shift) {
                Ok(_) => break,
                Err(other) => held = other,
            }
        }
        let peak = tag << TAG_SHIFT | u64::from(in_flight);
        if tally.peak[place].load(Ordering::Relaxed) == peak {
            return;
        }
        update(Protocol::Limiter, &tally.peak[place], |held| {
            let theirs = held >> TAG_SHIFT;
            let is_higher = theirs == tag && held < peak;
            let is_newer = theirs != tag && !is_ahead(theirs, tag, TAG_MASK);
            (is_higher || is_newer).then_some(peak)
        });
    }

    fn calls(&self, number: u64) -> (u64, u64) {
        let of_this = |word: &AtomicU64| {
            let held = word.load(Ordering::Relaxed);
            (held >> TAG_SHIFT == number & TAG_MASK).then_some(held)
        };
        let words = self.tallies.iter().map(|tally| &tally.calls[place(number)]);
        words.filter_map(of_this).fold((0, 0), |sum, held| {
            (
                sum.0 + (held & COUNT_MASK),
                sum.1 + (held >> COUNT_BITS & COUNT_MASK),
            )
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a peak was recorded from 32 bits"
    )]
    fn peak(&self, number: u64) -> u32 {
        let words = self.tallies.iter().map(|tally| &tally.peak[place(number)]);
        let held = words.map(|word| word.load(Ordering::Relaxed));
        held.filter(|held| held >> TAG_SHIFT == number & TAG_MASK)
            .map(|held| held as u32)
            .max()
            .unwrap_or(0)
    }
}

const fn place(number: u64) -> usize {
    (number & 1) as usize
}
