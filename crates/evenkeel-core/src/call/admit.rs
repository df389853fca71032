//! An attempt's way through the bounds.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use super::attempt::{Extra, Kind};
use super::watch::Watch;
use super::{AttemptId, AttemptPermit, Call, Phase, Queued, Step, handed_on};
use crate::counter::Event;
use crate::endpoint::EndpointId;
use crate::rejection::{Reason, Rejection};
use crate::time::Instant;

/// What kept an attempt from being made.
pub(super) enum Refused {
    /// A bound that is final.
    By(Rejection),
    /// All slots are taken: they may be waited for.
    NoSlot,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::By(rejection)
    }
}

impl Call {
    /// The call's first step: what is asked once, and then its first attempt.
    #[inline]
    pub(super) fn begin(&mut self, now: Instant) -> Step {
        if let Some(rate) = &self.local.shared.rate {
            if let Err(rejection) = rate.try_acquire(now, NonZeroU32::MIN) {
                return self.refuse(now, rejection);
            }
        }
        self.start(now, false)
    }

    /// Makes the next attempt, or queues for its slot. With `holds_slot`, the queue is behind it.
    #[inline]
    pub(super) fn start(&mut self, now: Instant, holds_slot: bool) -> Step {
        let kind = if self.attempts == 0 {
            Kind::First
        } else {
            self.next_kind()
        };
        match self.admit(now, kind, holds_slot) {
            Ok(permit) => {
                let extra = self.take_extra();
                Step::Attempt(self.launch(permit, extra))
            }
            Err(Refused::By(rejection)) => self.refuse(now, rejection),
            Err(Refused::NoSlot) => self.enqueue(now),
        }
    }

    /// Walks an attempt through the bounds. What it has taken when it is refused, the permit gives back.
    #[inline]
    pub(super) fn admit(
        &mut self,
        now: Instant,
        kind: Kind,
        holds_slot: bool,
    ) -> Result<AttemptPermit, Refused> {
        let local = Arc::clone(&self.local);
        let timeout = local.shared.attempt_timeout;
        let remaining = self.deadline.at().nanos_since(now);
        let whole_deadline = if kind == Kind::First && !self.deadline.is_brought() {
            remaining
        } else {
            u64::MAX
        };
        // From here on, dropping gives back what it holds.
        let mut permit = AttemptPermit {
            stripe: self.stripe,
            id: AttemptId(self.attempts + 1),
            kind,
            endpoint: EndpointId::ONLY,
            started: now,
            accepted: Instant::MAX,
            due: now.plus_nanos(timeout).min(self.deadline.at()),
            blame_after: timeout.min(whole_deadline),
            admission: None,
            place: None,
            holds_slot,
            held: None,
            has_endpoint: false,
            is_begun: false,
            is_judged: false,
            grant: None,
            extra: None,
            local,
        };
        let shared = &permit.local.shared;
        if remaining == 0 {
            return Err(Rejection::new(Reason::DeadlineTooClose).into());
        }
        // Asked before the queue, not again behind it.
        if let (Some(throttle), false) = (&shared.throttle, holds_slot) {
            throttle.admit(now, permit.stripe, &mut self.dice)?;
        }
        if let Some(endpoints) = &shared.endpoints {
            let (breakers, tried) = (&shared.breakers, self.tried);
            permit.endpoint = if kind == Kind::Hedge {
                let elsewhere = endpoints.enter_elsewhere(breakers, now, &mut self.dice, tried);
                elsewhere.ok_or(Rejection::new(Reason::BreakerOpen))?
            } else {
                endpoints.enter(breakers, now, &mut self.dice, tried)
            };
            permit.has_endpoint = true;
        }
        if let Some(breaker) = shared.breaker(permit.endpoint) {
            if kind == Kind::Hedge && !breaker.is_closed() {
                return Err(Rejection::new(Reason::BreakerOpen).into());
            }
            let (admitted, transition) = breaker.admit(now, &mut self.dice, timeout);
            self.transition = transition.or(self.transition);
            let overrule = |refused| shared.overrule(permit.endpoint).ok_or(refused);
            permit.admission = Some(admitted.or_else(overrule)?);
        }
        if let Some(limiter) = &shared.limiter {
            permit.place = NonZeroU32::new(limiter.admit(permit.stripe)?);
        }
        if let (Some(bulkhead), false) = (&shared.bulkhead, holds_slot) {
            if !bulkhead.acquire(permit.stripe) {
                return Err(Refused::NoSlot);
            }
            permit.holds_slot = true;
        }
        Ok(permit)
    }

    /// Counts an attempt that was admitted, and spends its tokens.
    #[inline]
    pub(super) fn launch(
        &mut self,
        mut permit: AttemptPermit,
        extra: Option<Box<Extra>>,
    ) -> AttemptPermit {
        let (now, local) = (permit.started, &*permit.local);
        self.attempts += 1;
        if permit.kind != Kind::First {
            self.grant = self.grant.map(|grant| grant.take().unwrap_or(grant));
        }
        permit.grant = handed_on(self.grant, self.caller_retries);
        self.tried |= 1_u64.checked_shl(permit.endpoint.0).unwrap_or(0);
        permit.is_begun = true;
        permit.extra = extra;
        if let Some(extra) = &mut permit.extra {
            extra.spend();
        }
        local.operation.progress.count_attempt(permit.stripe, now);
        self.count(match permit.kind {
            Kind::First => Event::FIRST_ATTEMPT,
            Kind::Retry => Event::RETRY,
            Kind::Hedge => Event::HEDGE,
        });
        if permit.kind == Kind::First {
            if let Some(budget) = &local.shared.budget {
                budget.deposit(permit.stripe, now);
            }
            if let Some(hedges) = local.operation.hedges() {
                hedges.on_call(permit.stripe, now);
            }
        }
        if self.flights.is_empty() {
            self.hedge_at = Instant::ZERO;
            self.round_began = now;
        }
        let due = now.plus_nanos(local.shared.attempt_timeout);
        let watch = Watch::new(permit.admission, permit.endpoint, now);
        self.flights.begin(permit.id, due, watch);
        self.phase = Phase::Running;
        permit
    }

    #[cold]
    fn enqueue(&mut self, now: Instant) -> Step {
        let Some(bulkhead) = &self.local.shared.bulkhead else {
            return Step::WaitUntil(now);
        };
        let remaining = Duration::from_nanos(self.deadline.at().nanos_since(now));
        match bulkhead.enqueue(now) {
            Ok(ticket) => {
                let until = now + bulkhead.config().wait_within(remaining);
                self.phase = Phase::Queued(Box::new(Queued { ticket, until }));
                self.poll_queue(now)
            }
            Err(rejection) => self.refuse(now, rejection),
        }
    }

    #[cold]
    pub(super) fn poll_queue(&mut self, now: Instant) -> Step {
        let Phase::Queued(queued) = &mut self.phase else {
            return Step::WaitUntil(now);
        };
        let until = queued.until;
        if queued.ticket.fetch() {
            return self.start(now, true);
        }
        if now >= until {
            return self.refuse(now, Rejection::new(Reason::WaitTimeout));
        }
        self.register();
        Step::AwaitSlot { until }
    }
}
