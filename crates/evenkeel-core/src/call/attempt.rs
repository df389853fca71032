//! One try of a call, from its permit to its end.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::breaker::{Admission, Transition};
use crate::budget::Withdrawal;
use crate::bulkhead::Held;
use crate::counter::Event;
use crate::outcome::{Class, Outcome};
use crate::policy::live::Local;
use crate::stripe::Padded;
use crate::time::Instant;

/// An attempt that was abandoned after a second, in nanoseconds, was slow, where nothing tells what is usual.
const SLOW: u64 = 1_000_000_000;

/// Which attempt of a call: 1 is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub(super) u32);

impl AttemptId {
    /// The attempt's number, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to one attempt: its slot, its place with the breaker, its tokens.
///
/// It is handed out by [`Step::Attempt`](super::Step::Attempt) and goes back to the call with
/// [`Call::on_finished`](super::Call::on_finished). An attempt that outlives its call, as a response body
/// does, keeps the permit and ends it with [`AttemptPermit::finish`]. Dropped, it gives everything back and
/// says nothing about the dependency; a driver who knows how long the attempt ran says more with
/// [`AttemptPermit::abandon`].
#[derive(Debug)]
#[must_use = "a permit that is dropped at once ends its attempt"]
pub struct AttemptPermit {
    pub(super) local: Arc<Padded<Local>>,
    pub(super) id: AttemptId,
    pub(super) started: Instant,
    /// When the attempt is to be abandoned, unless its answer was accepted.
    pub(super) due: Instant,
    /// Abandoned after this many nanoseconds, it was the dependency that was slow.
    pub(super) blame_after: u64,
    pub(super) admission: Option<Admission>,
    /// How many nanoseconds its answer's head took, once that is here: what follows is a download.
    pub(super) answered_after: Option<u64>,
    pub(super) holds_slot: bool,
    /// Shows since when, once its answer goes on after its call has ended.
    pub(super) held: Option<Held>,
    /// Held for its place among the concurrent extras. On the heap, for the first attempt has none.
    pub(super) withdrawal: Option<Box<Withdrawal>>,
    pub(super) is_judged: bool,
}

impl AttemptPermit {
    /// Which attempt of its call this is.
    #[must_use]
    pub const fn id(&self) -> AttemptId {
        self.id
    }

    /// When the attempt was admitted.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// When the attempt will be abandoned if it has not been accepted by then.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Ends the attempt; answers the transition of the breaker that this made, if it made one.
    pub fn finish(mut self, now: Instant, outcome: Outcome) -> Option<Transition> {
        self.judge(now, outcome)
    }

    /// Ends an attempt that nobody waits for any more.
    ///
    /// If it ran for as long as its timeout, or until its breaker calls it slow (for a second where that does
    /// not know), or used up the whole deadline of its policy, the dependency was overloaded, whoever gave up; a hung dependency must not go unnoticed because its
    /// callers hang up. If the code around it is `unwinding`, it failed. Otherwise nothing was learned.
    pub fn abandon(self, now: Instant, unwinding: bool) -> Option<Transition> {
        let outcome = self.outcome_if_abandoned(now, unwinding);
        self.finish(now, outcome)
    }

    /// What [`AttemptPermit::abandon`] would report.
    #[must_use]
    pub fn outcome_if_abandoned(&self, now: Instant, unwinding: bool) -> Outcome {
        if unwinding {
            Outcome::Failure
        } else if now.nanos_since(self.started) >= self.blame_after.min(self.slow_after(now)) {
            Outcome::Overload
        } else {
            Outcome::Ignored
        }
    }

    /// From when on it is slow by any measure: the breaker's, or a second.
    fn slow_after(&self, now: Instant) -> u64 {
        let breaker = self.local.shared.breaker.as_ref();
        breaker
            .map(|breaker| breaker.slow_after(now))
            .filter(|after| *after != u64::MAX)
            .unwrap_or(SLOW)
    }

    /// Its answer was accepted: a probe that waited for more than that would keep the circuit half-open
    /// for as long as a download takes.
    pub(super) fn accept(&mut self, now: Instant) -> Option<Transition> {
        self.answered_after = Some(now.nanos_since(self.started));
        if let (true, Some(bulkhead)) = (self.holds_slot, &self.local.shared.bulkhead) {
            self.held = bulkhead.register(self.started);
        }
        if !self.admission.as_ref()?.is_probe() {
            return None;
        }
        self.settle(now, Outcome::Success)
    }

    /// Reports the attempt, once, and keeps its slot.
    pub(super) fn judge(&mut self, now: Instant, outcome: Outcome) -> Option<Transition> {
        if self.is_judged {
            return None;
        }
        self.is_judged = true;
        drop(self.withdrawal.take());
        let shared = &self.local.shared;
        shared
            .counts
            .of(self.local.stripe)
            .add(Event::outcome(outcome));
        self.settle(now, outcome)
    }

    fn settle(&mut self, now: Instant, outcome: Outcome) -> Option<Transition> {
        let admission = self.admission.take()?;
        let breaker = self.local.shared.breaker.as_ref()?;
        let took = self
            .answered_after
            .unwrap_or_else(|| now.nanos_since(self.started));
        breaker.settle(self.local.stripe, admission, now, took, outcome)
    }
}

impl Drop for AttemptPermit {
    fn drop(&mut self) {
        // An ignored outcome moves nothing that needs the time.
        self.judge(Instant::ZERO, Outcome::Ignored);
        if !self.holds_slot {
            return;
        }
        if let Some(bulkhead) = &self.local.shared.bulkhead {
            bulkhead.release();
        }
    }
}

/// What one failed attempt of a call was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// Which attempt.
    pub id: AttemptId,
    /// The verdict on it.
    pub outcome: Outcome,
    /// How it failed.
    pub class: Class,
    /// The wait before it, counted from the end of the attempt before.
    pub waited: Duration,
    /// How long it ran.
    pub ran: Duration,
    /// The wait that the dependency asked for.
    pub retry_after: Option<Duration>,
}
