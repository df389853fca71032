//! A first attempt, before it needs a machine.
//!
//! Nearly every call is one attempt that is admitted at once and ends well before anyone has to wait for it. A
//! [`Call`] is made for the others: it remembers, waits, tries again and keeps several attempts apart, and is
//! as large as that takes. So a call begins as a [`First`], which is a quarter of the size, and decides what the machine would: when it cannot, because a bound is in the way, the call
//! [begins](crate::policy::Policy::begin) as a machine; when it is pending, or fails, it [becomes
//! one](First::into_call), as if it had been one from the start.

use core::num::NonZeroU32;
use std::sync::Arc;

use super::attempt::{AttemptId, AttemptPermit, Kind};
use super::watch::Watch;
use super::{Call, CallHint, Phase, granted, handed_on};
use crate::breaker::{Admission, Transition};
use crate::counter::Event;
use crate::deadline::Deadline;
use crate::endpoint::EndpointId;
use crate::grant::Grant;
use crate::outcome::{Finished, Outcome};
use crate::policy::live::Local;
use crate::stripe::Padded;
use crate::time::Instant;

/// The right to the first attempt of a call, and the call. Report its success with [`First::succeed`]; for all
/// else, make it a machine with [`First::into_call`]. Dropped, it gives back what it holds, and the call
/// counts as abandoned.
#[derive(Debug)]
#[must_use = "dropped at once, the call is abandoned"]
pub struct First {
    local: Arc<Padded<Local>>,
    hint: CallHint,
    started: Instant,
    deadline: Deadline,
    admission: Option<Admission>,
    place: Option<NonZeroU32>,
    is_over: bool,
}

impl First {
    /// Which attempt it is, of any call.
    pub const ID: AttemptId = AttemptId(1);

    /// Admits it, if no bound is in the way and none has to be asked that only a machine asks.
    #[inline]
    pub(crate) fn begin(local: &Arc<Padded<Local>>, now: Instant, hint: CallHint) -> Option<Self> {
        let shared = &local.shared;
        let deadline = Deadline::after_nanos(now, shared.deadline).tightened(hint.deadline);
        if !shared.is_plain || deadline.has_passed(now) {
            return None;
        }
        let mut admission = None;
        if let Some(breaker) = shared.breakers.first() {
            admission = Some(breaker.admit_if_well()?);
        }
        let mut place = None;
        if let Some(limiter) = &shared.limiter {
            place = NonZeroU32::new(limiter.admit(hint.stripe).ok()?);
        }
        if let Some(bulkhead) = &shared.bulkhead {
            if !bulkhead.acquire(hint.stripe) {
                if let Some(limiter) = &shared.limiter {
                    limiter.release(hint.stripe);
                }
                return None;
            }
        }
        // Before it is counted: what was counted so far belongs to the slice before.
        shared.feed_if_due(now);
        local.operation.feed_if_due(now);
        let (counts, writers) = shared.counts.at(hint.stripe);
        counts.add(Event::AT_ONCE, writers);
        local.operation.progress.count_at_once(hint.stripe);
        Some(Self {
            local: Arc::clone(local),
            hint,
            started: now,
            deadline,
            admission,
            place,
            is_over: false,
        })
    }

    /// When the attempt will be abandoned if it has not been accepted by then.
    #[inline]
    #[must_use]
    pub fn due(&self) -> Instant {
        let timeout = self.local.shared.attempt_timeout;
        self.started.plus_nanos(timeout).min(self.deadline.at())
    }

    /// The extra attempts that it may cause where it goes: what to send with it. None where nobody counts.
    #[must_use]
    pub fn grant(&self) -> Option<Grant> {
        handed_on(
            granted(&self.local.shared, &self.hint),
            self.hint.caller_retries,
        )
    }

    /// The call ended well, and so did its only attempt; answers the transition of the breaker that this made,
    /// if it made one.
    #[inline]
    pub fn succeed(mut self, now: Instant) -> Option<Transition> {
        let (shared, operation) = (&self.local.shared, &self.local.operation);
        let took = now.nanos_since(self.started);
        if let (Some(breaker), Some(admission)) = (shared.breakers.first(), self.admission) {
            if !breaker.stays_well(admission, took) {
                return self.succeed_as_call(now);
            }
        }
        shared.feed_if_due(now);
        operation.feed_if_due(now);
        let stripe = self.hint.stripe;
        let (counts, writers) = shared.counts.at(stripe);
        counts.add(Event::SERVED_AT_ONCE, writers);
        operation.progress.count_served_at_once(stripe, now);
        operation.record(stripe, now, took);
        if let (Some(limiter), Some(place)) = (&shared.limiter, self.place) {
            limiter.observe(stripe, place.get(), took, now, Outcome::Success);
        }
        self.is_over = true;
        self.release();
        None
    }

    /// Makes it the machine that it would be, had it been one from the start, and its attempt's permit.
    #[cold]
    pub fn into_call(mut self) -> (Call, AttemptPermit) {
        self.is_over = true;
        let shared = &self.local.shared;
        let timeout = shared.attempt_timeout;
        let whole_deadline = if self.deadline.is_brought() {
            u64::MAX
        } else {
            self.deadline.at().nanos_since(self.started)
        };
        let permit = AttemptPermit {
            local: Arc::clone(&self.local),
            stripe: self.hint.stripe,
            id: Self::ID,
            kind: Kind::First,
            endpoint: EndpointId::ONLY,
            started: self.started,
            accepted: Instant::MAX,
            due: self.due(),
            blame_after: timeout.min(whole_deadline),
            admission: self.admission,
            place: self.place,
            holds_slot: shared.bulkhead.is_some(),
            held: None,
            has_endpoint: false,
            is_begun: true,
            is_judged: false,
            grant: self.grant(),
            extra: None,
        };
        let mut call = Call::unbegun(Arc::clone(&self.local), self.started, self.hint);
        call.attempts = 1;
        call.tried = 1;
        let due = self.started.plus_nanos(timeout);
        let watch = Watch::new(self.admission, EndpointId::ONLY, self.started);
        call.flights.begin(Self::ID, due, watch);
        call.phase = Phase::Running;
        (call, permit)
    }

    /// A success that moves more than counts.
    #[cold]
    fn succeed_as_call(self, now: Instant) -> Option<Transition> {
        let (mut call, permit) = self.into_call();
        call.on_finished(permit, now, Finished::success());
        call.take_transition()
    }

    #[inline]
    fn release(&self) {
        let (shared, stripe) = (&self.local.shared, self.hint.stripe);
        if let (Some(limiter), Some(_)) = (&shared.limiter, self.place) {
            limiter.release(stripe);
        }
        if let Some(bulkhead) = &shared.bulkhead {
            bulkhead.release(stripe);
        }
    }
}

impl Drop for First {
    #[inline]
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.release();
        // What a panic left behind may be dropped on any thread.
        let stripe = self.hint.stripe.shared();
        let (counts, writers) = self.local.shared.counts.at(stripe);
        counts.add(Event::outcome(Outcome::Ignored), writers);
        let progress = &self.local.operation.progress;
        progress.count_abandoned(stripe, None);
    }
}
