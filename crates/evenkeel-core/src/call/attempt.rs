//! One try of a call, from its permit to its end.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use crate::breaker::{Admission, Transition};
use crate::budget::Withdrawal;
use crate::bulkhead::Held;
use crate::counter::Event;
use crate::endpoint::EndpointId;
use crate::grant::Grant;
use crate::outcome::{Class, Finished, Outcome};
use crate::policy::live::Local;
use crate::stripe::{Padded, Stripe};
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

/// Why an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It is what was asked for.
    First,
    /// The attempts before it failed.
    Retry,
    /// The attempts before it have not answered yet.
    Hedge,
}

impl Kind {
    /// The kind in one lower-case word, as it stands in metrics and cases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::Hedge => "hedge",
        }
    }
}

/// The tokens of an attempt that is not a call's first: of the budget for all such, and of the hedges' own.
#[derive(Debug)]
pub(super) struct Extra {
    pub(super) kind: Kind,
    pub(super) budget: Option<Withdrawal>,
    pub(super) hedge: Option<Withdrawal>,
}

impl Extra {
    pub(super) fn spend(&mut self) {
        for withdrawal in [&mut self.budget, &mut self.hedge].into_iter().flatten() {
            withdrawal.spend();
        }
    }
}

/// The right to one attempt: its slot, its place with the breaker, its tokens.
///
/// It is handed out by [`Step::Attempt`](super::Step::Attempt) and goes back to the call with
/// [`Call::on_finished`](super::Call::on_finished). An attempt that outlives its call, as a response body
/// does, keeps the permit and ends it with [`AttemptPermit::finish`]. Dropped, it gives everything back and
/// says nothing about the dependency; a driver who knows how long the attempt ran says more with
/// [`AttemptPermit::abandon`], or with [`AttemptPermit::lose`] if another attempt of the call answered.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once ends its attempt"]
pub struct AttemptPermit {
    pub(super) local: Arc<Padded<Local>>,
    pub(super) stripe: Stripe,
    pub(super) id: AttemptId,
    pub(super) kind: Kind,
    pub(super) endpoint: EndpointId,
    pub(super) started: Instant,
    /// When the head of its answer was accepted; [`Instant::MAX`]: it was not yet.
    pub(super) accepted: Instant,
    /// When the attempt is to be abandoned, unless its answer was accepted.
    pub(super) due: Instant,
    /// Abandoned after this many nanoseconds, it was the dependency that was slow.
    pub(super) blame_after: u64,
    pub(super) admission: Option<Admission>,
    /// Its place with the adaptive limit: how many were in flight with it when it began.
    pub(super) place: Option<NonZeroU32>,
    pub(super) holds_slot: bool,
    /// Shows since when, once its answer goes on after its call has ended.
    pub(super) held: Option<Held>,
    /// It counts among those at its endpoint.
    pub(super) has_endpoint: bool,
    /// It is counted among those that began; until then it is only a right.
    pub(super) is_begun: bool,
    pub(super) is_judged: bool,
    /// The extra attempts that it may cause where it goes.
    pub(super) grant: Option<Grant>,
    /// Held for its place among the concurrent extras. On the heap, for the first attempt has none.
    pub(super) extra: Option<Box<Extra>>,
}

impl AttemptPermit {
    /// Which attempt of its call this is.
    #[must_use]
    pub const fn id(&self) -> AttemptId {
        self.id
    }

    /// Why it is made.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it goes: [`EndpointId::ONLY`] unless the policy was told of several.
    #[must_use]
    pub const fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// The extra attempts that it may cause where it goes: what to send with it. None where nobody counts.
    #[must_use]
    pub const fn grant(&self) -> Option<Grant> {
        self.grant
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

    /// From now on it may be on any thread: see [`Call::share`](super::Call::share).
    #[inline]
    pub const fn share(&mut self) {
        self.stripe = self.stripe.shared();
    }

    /// Ends the attempt; answers the transition of the breaker that this made, if it made one.
    pub fn finish(mut self, now: Instant, outcome: Outcome) -> Option<Transition> {
        self.judge(now, &bare(outcome))
    }

    /// The same with all that is known: a refusal is told from a timeout.
    pub fn finish_as(mut self, now: Instant, finished: &Finished) -> Option<Transition> {
        self.judge(now, finished)
    }

    /// Ends an attempt that nobody waits for any more.
    ///
    /// If it ran for as long as its timeout, or until its breaker calls it slow (for a second where that does
    /// not know), or used up the whole deadline of its policy, the dependency was overloaded, whoever gave up; a hung dependency must not go unnoticed because its
    /// callers hang up. If the code around it is `unwinding`, it failed. Otherwise nothing was learned.
    pub fn abandon(mut self, now: Instant, unwinding: bool) -> Option<Transition> {
        // What a panic left behind may be dropped on any thread.
        self.share();
        let outcome = self.outcome_if_abandoned(now, unwinding);
        self.finish(now, outcome)
    }

    /// Ends an attempt that was dropped because another one of its call answered.
    ///
    /// As [`AttemptPermit::abandon`]; and that it ran for so long without an answer is remembered, so that
    /// the slow calls which hedges cut short stay in what is known of latency.
    pub fn lose(self, now: Instant) -> Option<Transition> {
        let took = now.nanos_since(self.started);
        let outcome = self.outcome_if_abandoned(now, false);
        // An overload is remembered with its duration already.
        if outcome == Outcome::Ignored && self.accepted == Instant::MAX && !self.is_judged {
            let local = &self.local;
            local.operation.record_lost(self.stripe, now, took);
        }
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

    /// From when on it is slow by any measure: its breaker's, or a second.
    fn slow_after(&self, now: Instant) -> u64 {
        let breaker = self.local.shared.breaker(self.endpoint);
        breaker
            .map(|breaker| breaker.slow_after(now))
            .filter(|after| *after != u64::MAX)
            .unwrap_or(SLOW)
    }

    /// Its answer was accepted: a probe that waited for more than that would keep the circuit half-open
    /// for as long as a download takes.
    pub(super) fn accept(&mut self, now: Instant) -> Option<Transition> {
        if self.is_judged || self.accepted != Instant::MAX {
            return None;
        }
        self.accepted = now;
        let (local, took) = (&self.local, now.nanos_since(self.started));
        local.operation.record(self.stripe, now, took);
        if let (true, Some(bulkhead)) = (self.holds_slot, &local.shared.bulkhead) {
            self.held = bulkhead.register(self.started);
        }
        if !self.admission.as_ref()?.is_probe() {
            return None;
        }
        self.settle(now, Outcome::Success)
    }

    /// Reports the attempt, once, and keeps its slot.
    pub(super) fn judge(&mut self, now: Instant, finished: &Finished) -> Option<Transition> {
        if self.is_judged {
            return None;
        }
        self.is_judged = true;
        drop(self.extra.take());
        let (local, outcome) = (&*self.local, finished.outcome);
        let (shared, stripe) = (&local.shared, self.stripe);
        let (counts, writers) = shared.counts.at(stripe);
        counts.add(Event::outcome(outcome), writers);
        if outcome == Outcome::Ignored {
            // Nothing was learned; and of a permit that is dropped, the time is not known.
            return self.settle(now, outcome);
        }
        // To the head of its answer, however long the body took.
        let took = now.min(self.accepted).nanos_since(self.started);
        if self.accepted == Instant::MAX {
            local.operation.record_end(stripe, now, took, finished);
        }
        if let (Some(limiter), Some(place)) = (&shared.limiter, self.place) {
            limiter.observe(stripe, place.get(), took, now, outcome);
        }
        if let Some(throttle) = &shared.throttle {
            throttle.record(stripe, now, finished);
        }
        if let Some(endpoints) = &shared.endpoints {
            let took = Duration::from_nanos(took);
            endpoints.record(self.endpoint, stripe, now, took, finished);
        }
        self.settle(now, outcome)
    }

    fn settle(&mut self, now: Instant, outcome: Outcome) -> Option<Transition> {
        let admission = self.admission.take()?;
        let breaker = self.local.shared.breaker(self.endpoint)?;
        // Its head alone, where that is here: what follows is a download.
        let took = self.accepted.min(now).nanos_since(self.started);
        if breaker.looks_back_at(took, outcome) {
            self.local.shared.feed(now);
        }
        breaker.settle(self.stripe, admission, now, took, outcome)
    }
}

impl Drop for AttemptPermit {
    fn drop(&mut self) {
        // What a panic left behind may be dropped on any thread.
        self.share();
        // An ignored outcome moves nothing that needs the time.
        if self.is_begun {
            self.judge(Instant::ZERO, &bare(Outcome::Ignored));
        } else {
            self.settle(Instant::ZERO, Outcome::Ignored);
        }
        let shared = &self.local.shared;
        if let (Some(endpoints), true) = (&shared.endpoints, self.has_endpoint) {
            endpoints.leave(self.endpoint);
        }
        if let (Some(limiter), Some(_)) = (&shared.limiter, self.place) {
            limiter.release(self.stripe);
        }
        if let (Some(bulkhead), true) = (&shared.bulkhead, self.holds_slot) {
            bulkhead.release(self.stripe);
        }
    }
}

/// An outcome of which no more is known.
const fn bare(outcome: Outcome) -> Finished {
    Finished {
        outcome,
        ..Finished::success()
    }
}

/// What one failed attempt of a call was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// Which attempt.
    pub id: AttemptId,
    /// Why it was made.
    pub kind: Kind,
    /// Where it went.
    pub endpoint: EndpointId,
    /// The verdict on it.
    pub outcome: Outcome,
    /// How it failed.
    pub class: Class,
    /// The wait before it, counted from the end of the attempt before; none before a first one and before a
    /// hedge.
    pub waited: Duration,
    /// How long it ran.
    pub ran: Duration,
    /// The wait that the dependency asked for.
    pub retry_after: Option<Duration>,
}
