//! What an admitted request holds, and what a waiting one does.

use core::task::Waker;
use core::time::Duration;

use super::{Admission, Arrival, Verdict};
use crate::criticality::Criticality;
use crate::outcome::Outcome;
use crate::queue::WaiterId;
use crate::rejection::{Reason, Rejection};
use crate::stripe::Stripe;
use crate::tenant::{Taken, Tenant};
use crate::time::Instant;

/// What is known of a request for as long as it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) class: Criticality,
    pub(super) tenant: Option<Tenant>,
    pub(super) cost: Option<Duration>,
    /// From its arrival to its deadline.
    pub(super) allowed: Duration,
    pub(super) stripe: Stripe,
    /// Of its tenant's rate.
    pub(super) taken: Option<Taken>,
}

impl Held {
    pub(super) fn new(now: Instant, arrival: &Arrival) -> Self {
        Self {
            class: arrival.criticality,
            tenant: arrival.tenant,
            cost: arrival.cost,
            allowed: arrival.deadline.since(now),
            stripe: arrival.stripe,
            taken: None,
        }
    }
}

/// A worker, until it is finished. Dropped, it is free again and nothing is learned from it.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once admits nothing"]
pub struct Permit {
    admission: Admission,
    held: Held,
    began: Instant,
    serving: u32,
    finished: bool,
}

impl Permit {
    pub(super) fn new(admission: &Admission, held: Held, began: Instant, serving: u32) -> Self {
        if let Some(shed) = &admission.0.shed {
            shed.on_begun();
        }
        admission.0.counts.on_admitted(held.class);
        Self {
            admission: admission.clone(),
            held,
            began,
            serving,
            finished: false,
        }
    }

    /// Reports that the work is over and how it ended. How long it took counts for what is begun in
    /// future, whatever the outcome but [`Outcome::Ignored`]: a failure keeps a worker busy too.
    pub fn finish(mut self, now: Instant, outcome: Outcome) {
        self.finished = true;
        self.admission
            .release(&self.held, self.began, self.serving, Some((now, outcome)));
    }

    /// Takes as much again of the tenant's rate as `times` requests, for one that turned out to cost that much
    /// more. Never refused; what is missing is held against the tenant for up to a second.
    pub fn charge(&self, now: Instant, times: u32) {
        if let (Some(rates), Some(taken)) = (&self.admission.0.rates, self.held.taken) {
            rates.charge(now, taken, times);
        }
    }

    /// When its work began: for a request that waited, when the worker became its own.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.finished {
            self.admission
                .release(&self.held, self.began, self.serving, None);
        }
    }
}

/// A place in the queue for a worker. Dropped, it leaves the queue; a worker it had been given goes to the next in
/// turn.
#[derive(Debug)]
#[must_use = "a place that is dropped at once leaves the queue"]
pub struct Place {
    admission: Admission,
    id: Option<WaiterId>,
    deadline: Instant,
    held: Held,
}

impl Place {
    pub(super) fn new(admission: &Admission, id: WaiterId, deadline: Instant, held: Held) -> Self {
        Self {
            admission: admission.clone(),
            id: Some(id),
            deadline,
            held,
        }
    }

    /// What became of it: none while it waits, then its permit or why there is none, once.
    ///
    /// # Cancel safety
    /// Dropping the place between a wake-up and this loses nothing: a worker it had been given goes on.
    pub fn poll(&mut self, now: Instant) -> Option<Result<Permit, Rejection>> {
        let id = self.id?;
        let verdict = self.admission.lock().verdicts.remove(&id);
        match verdict {
            Some(Verdict::Begun(began, serving)) => {
                self.id = None;
                let permit = Permit::new(&self.admission, self.held, began, serving);
                Some(Ok(permit))
            }
            Some(Verdict::Refused(rejection)) => {
                self.id = None;
                Some(Err(self.refused(rejection)))
            }
            None if now >= self.deadline => {
                self.id = None;
                self.admission.leave(id, &self.held);
                let rejection = Rejection::new(Reason::DeadlineTooClose);
                Some(Err(self.refused(rejection)))
            }
            None => None,
        }
    }

    /// Wakes `waker` when there is something to [poll](Place::poll) for. The last one set counts. Call it before
    /// polling, so that what comes in between is not missed.
    pub fn wake_by(&mut self, waker: &Waker) {
        let Some(id) = self.id else { return };
        let mut state = self.admission.lock();
        let Some(waiter) = state.queue.get_mut(id) else {
            return;
        };
        let known = waiter.waker.as_ref();
        if known.is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        let before = waiter.waker.replace(waker.clone());
        // What dropping a waker does is its owner's affair, and may come back here.
        drop(state);
        drop(before);
    }

    /// When to poll at the latest.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    fn refused(&self, rejection: Rejection) -> Rejection {
        self.admission.give_back(&self.held);
        let counts = &self.admission.0.counts;
        counts.on_refused(self.held.class, rejection.reason);
        rejection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.admission.leave(id, &self.held);
            self.admission.give_back(&self.held);
        }
    }
}
