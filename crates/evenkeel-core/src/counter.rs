//! What happened to the calls of one dependency, counted.
//!
//! Every count is kept per [stripe](crate::stripe) and added up by whoever reads, so that counting costs
//! the callers nothing to share. Counts only grow; what is in flight is a difference of two of them.

use crate::outcome::Outcome;
use crate::rejection::Reason;
use crate::stop::StopReason;
use crate::stripe::{Striped, Writers};
use crate::sync::{AtomicU64, Ordering};

/// One kind of event; its number is its place among the counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event(usize);

impl Event {
    pub(crate) const FIRST_ATTEMPT: Self = Self(0);
    pub(crate) const RETRY: Self = Self(1);
    pub(crate) const HEDGE: Self = Self(2);
    pub(crate) const DEADLINE_EXCEEDED: Self = Self(3);

    const OUTCOMES: usize = 4;
    const REJECTIONS: usize = Self::OUTCOMES + 4;
    const STOPS: usize = Self::REJECTIONS + Reason::ALL.len();
    const COUNT: usize = Self::STOPS + StopReason::KINDS;

    #[inline]
    pub(crate) const fn outcome(outcome: Outcome) -> Self {
        Self(Self::OUTCOMES + outcome as usize)
    }

    pub(crate) const fn rejection(reason: Reason) -> Self {
        Self(Self::REJECTIONS + reason.index())
    }

    pub(crate) const fn stop(reason: StopReason) -> Self {
        Self(Self::STOPS + reason.index())
    }
}

/// The counts of one stripe.
#[derive(Debug)]
pub(crate) struct Counts([AtomicU64; Event::COUNT]);

impl Counts {
    pub(crate) fn new() -> Self {
        Self(core::array::from_fn(|_| AtomicU64::new(0)))
    }

    #[inline]
    pub(crate) fn add(&self, event: Event, writers: Writers) {
        writers.add(&self.0[event.0], 1);
    }

    fn get(&self, event: Event) -> u64 {
        self.0[event.0].load(Ordering::Relaxed)
    }
}

/// What happened to the calls of one dependency since its policy was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tally {
    /// First attempts: calls that were not refused.
    pub first_attempts: u64,
    /// Attempts after a failure.
    pub retries: u64,
    /// Attempts beside one that had not answered yet.
    pub hedges: u64,
    /// Attempts that ended in success, failure, overload and ignored, in this order.
    pub outcomes: [u64; 4],
    /// Calls that ran into their deadline with an attempt under way.
    pub deadline_exceeded: u64,
    /// Refusals, in the order of [`Reason::ALL`].
    pub rejections: [u64; Reason::ALL.len()],
    /// Failed calls by what kept them from another attempt, in the order of [`StopReason::index`].
    pub stops: [u64; StopReason::KINDS],
}

impl Tally {
    /// Adds up `stripes`. Ended attempts are read before begun ones, so that the attempts in flight are
    /// never negative; they are exact only while nothing moves.
    pub(crate) fn of(stripes: &Striped<Counts>) -> Self {
        let sum = |event: Event| stripes.iter().map(|counts| counts.get(event)).sum();
        let outcomes = core::array::from_fn(|at| sum(Event(Event::OUTCOMES + at)));
        Self {
            outcomes,
            first_attempts: sum(Event::FIRST_ATTEMPT),
            retries: sum(Event::RETRY),
            hedges: sum(Event::HEDGE),
            deadline_exceeded: sum(Event::DEADLINE_EXCEEDED),
            rejections: core::array::from_fn(|at| sum(Event(Event::REJECTIONS + at))),
            stops: core::array::from_fn(|at| sum(Event(Event::STOPS + at))),
        }
    }

    /// Attempts of `outcome`.
    #[must_use]
    pub const fn ended(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        (self.first_attempts + self.retries + self.hedges)
            .saturating_sub(self.outcomes.iter().sum())
    }
}
