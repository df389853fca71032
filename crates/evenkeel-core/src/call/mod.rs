//! One logical call, as a machine.
//!
//! A caller asks once; the dependency may be asked several times, not at all, or again while the first
//! question is still open. Stacked combinators each own a piece of that and none sees the whole: a timeout
//! outside a retry records nothing, a limit inside it leaks a slot. Here one machine owns the whole call
//! and says what to do next; whoever drives it (an async runtime, a simulator, a test) does it.
//!
//! # The contract
//!
//! ```text
//! loop {
//!     match call.poll(now) {
//!         Attempt(permit)     -> start an attempt, keep its permit
//!         AwaitSlot { until } -> come back at `until`, or when woken (Call::wake_by)
//!         WaitUntil(instant)  -> come back then, or when an attempt ends
//!         Abandon(id)         -> drop that attempt, then on_finished(permit, now, Finished::timed_out())
//!         Reject(rejection)   -> over: nothing was sent
//!         GiveUp(reason)      -> over: the last failed attempt is the answer
//!         TimedOut            -> over: drop the attempt in flight, abandon() its permit
//!     }
//!     an attempt ended        -> call.on_finished(permit, now, finished):
//!                                Wait -> poll again; Done or Failed(reason) -> over
//! }
//! ```
//!
//! Polling too early or too often does no harm. Dropping the call at any point gives back what it holds:
//! its place in a queue, its tokens; a permit that the driver holds is the driver's to drop.

mod again;
mod attempt;
mod watch;

use core::task::Waker;
use core::time::Duration;
use std::sync::Arc;

pub use attempt::{AttemptId, AttemptPermit, AttemptRecord};
use watch::Watch;

use crate::backoff::Backoff;
use crate::breaker::Transition;
use crate::budget::Withdrawal;
use crate::bulkhead::Ticket;
use crate::counter::Event;
use crate::deadline::Deadline;
use crate::entropy::Entropy;
use crate::outcome::{Class, Finished, Outcome};
use crate::policy::live::{Local, Shared};
use crate::rejection::{Reason, Rejection};
pub use crate::stop::StopReason;
use crate::stripe::{Padded, Stripe};
use crate::time::Instant;

/// What a call brings with it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CallHint {
    /// Every random draw of the call follows from it.
    pub seed: u64,
    /// Which copy of striped state the call writes: see [`Stripe`].
    pub stripe: Stripe,
    /// The caller's own deadline; the tighter of it and the policy's counts.
    pub deadline: Option<Instant>,
    /// Whether the operation may be done twice. Default: no.
    pub idempotent: bool,
    /// Whether what is sent can be sent again. Default: yes.
    pub replayable: bool,
}

impl CallHint {
    /// A call whose dice follow from `seed`, not idempotent, with the policy's deadline.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            stripe: Stripe(0),
            deadline: None,
            idempotent: false,
            replayable: true,
        }
    }

    /// The same, and it may be done twice.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self {
            idempotent: true,
            ..self
        }
    }
}

/// What the driver does next.
#[derive(Debug)]
pub enum Step {
    /// Start an attempt now.
    Attempt(AttemptPermit),
    /// All slots are taken and this call is queued for one: poll again at `until`, or when woken.
    AwaitSlot {
        /// The queue will not be endured for longer.
        until: Instant,
    },
    /// Nothing to do before this, unless an attempt ends.
    WaitUntil(Instant),
    /// Drop this attempt: it outlived its timeout.
    Abandon(AttemptId),
    /// Over: nothing was sent, nor will be.
    Reject(Rejection),
    /// Over: the last failed attempt is the answer, for this reason.
    GiveUp(StopReason),
    /// Over: the deadline passed. Drop the attempt in flight.
    TimedOut,
}

/// What follows from the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The call goes on: poll it.
    Wait,
    /// The call is over, with an acceptable answer.
    Done,
    /// The call is over: the attempt's failure is the answer, and this is why there is no other attempt.
    Failed(StopReason),
}

/// One logical call: see the [module](self).
#[derive(Debug)]
pub struct Call {
    local: Arc<Padded<Local>>,
    deadline: Deadline,
    idempotent: bool,
    replayable: bool,
    attempts: u32,
    dice: Entropy,
    phase: Phase,
    transition: Option<Transition>,
    /// Made when an attempt fails: a call that succeeds at once never has one.
    history: Option<Box<History>>,
}

/// What a call remembers of its failed attempts.
#[derive(Debug, Default)]
struct History {
    failed: Vec<AttemptRecord>,
    backoff: Backoff,
    throttled: Backoff,
    /// The wait before the present attempt.
    waited: Duration,
    /// The right to the attempt that is waited for.
    withdrawal: Option<Box<Withdrawal>>,
}

#[derive(Debug)]
enum Phase {
    Ready,
    Queued(Box<Queued>),
    Running {
        id: AttemptId,
        due: Instant,
        watch: Watch,
    },
    BackingOff {
        until: Instant,
    },
    Over(End),
}

#[derive(Debug)]
struct Queued {
    ticket: Ticket,
    until: Instant,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Finished,
    Rejected(Rejection),
    GaveUp(StopReason),
    TimedOut,
}

impl Call {
    #[inline]
    pub(crate) fn new(local: Arc<Padded<Local>>, now: Instant, hint: CallHint) -> Self {
        let own = Deadline::after_nanos(now, local.shared.deadline);
        Self {
            local,
            deadline: own.tightened(hint.deadline),
            idempotent: hint.idempotent,
            replayable: hint.replayable,
            attempts: 0,
            dice: Entropy::new(hint.seed),
            phase: Phase::Ready,
            transition: None,
            history: None,
        }
    }

    /// What to do now. See [the contract](self#the-contract).
    #[inline]
    pub fn poll(&mut self, now: Instant) -> Step {
        match &mut self.phase {
            Phase::Ready => self.start(now, false),
            Phase::Running { id, due, watch } => {
                if self.deadline.has_passed(now) {
                    self.count(Event::DEADLINE_EXCEEDED);
                    self.over(End::TimedOut)
                } else if now >= *due {
                    Step::Abandon(*id)
                } else {
                    let (look_again, transition) = watch.look(&self.local.shared, now);
                    self.transition = transition.or(self.transition);
                    Step::WaitUntil((*due).min(self.deadline.at()).min(look_again))
                }
            }
            Phase::BackingOff { until } if now < *until => Step::WaitUntil(*until),
            Phase::BackingOff { .. } => self.start(now, false),
            Phase::Queued(_) => self.poll_queue(now),
            Phase::Over(end) => step_of(*end),
        }
    }

    /// The head of an attempt's answer arrived, and it is acceptable: its timeout no longer applies, the
    /// deadline still does. If it was a probe, it has shown what it was to show.
    pub fn on_accepted(&mut self, attempt: &mut AttemptPermit, now: Instant) {
        if let Phase::Running { id, due, watch } = &mut self.phase {
            if *id == attempt.id {
                *due = Instant::MAX;
                watch.answered();
            }
        }
        self.transition = attempt.accept(now).or(self.transition);
    }

    /// An attempt ended, as `finished` says.
    #[inline]
    pub fn on_finished(
        &mut self,
        mut attempt: AttemptPermit,
        now: Instant,
        finished: Finished,
    ) -> Next {
        self.on_judged(&mut attempt, now, finished)
    }

    /// An attempt is judged, as `finished` says, and goes on all the same: its answer's body is still to
    /// come. The permit holds its slot until it is dropped.
    #[inline]
    pub fn on_judged(
        &mut self,
        attempt: &mut AttemptPermit,
        now: Instant,
        finished: Finished,
    ) -> Next {
        self.transition = attempt.judge(now, finished.outcome).or(self.transition);
        let Some(class) = finished.class else {
            self.phase = Phase::Over(End::Finished);
            return Next::Done;
        };
        self.on_failed(attempt, now, finished, class)
    }

    /// Wakes `waker` when a slot is this call's. Only while [`Step::AwaitSlot`] is the step; set it before
    /// polling again, so that a turn that comes in between is not missed.
    pub fn wake_by(&mut self, waker: &Waker) {
        if let Phase::Queued(queued) = &mut self.phase {
            queued.ticket.wake_by(waker);
        }
    }

    /// The instant by which the call is over, one way or another.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline.at()
    }

    /// Whether that instant is the caller's, tighter than the policy's own.
    #[must_use]
    pub const fn deadline_is_brought(&self) -> bool {
        self.deadline.is_brought()
    }

    /// The failed attempts so far, in order.
    #[must_use]
    pub fn failed_attempts(&self) -> &[AttemptRecord] {
        self.history.as_ref().map_or(&[], |history| &history.failed)
    }

    /// The same, taken out of the call.
    #[must_use]
    pub fn take_failed_attempts(&mut self) -> Vec<AttemptRecord> {
        self.history
            .as_mut()
            .map(|history| core::mem::take(&mut history.failed))
            .unwrap_or_default()
    }

    /// The last transition of the breaker that this call made and nobody has taken yet.
    pub fn take_transition(&mut self) -> Option<Transition> {
        self.transition.take()
    }

    fn shared(&self) -> &Shared {
        &self.local.shared
    }

    fn count(&self, event: Event) {
        self.shared().counts.of(self.local.stripe).add(event);
    }

    fn over(&mut self, end: End) -> Step {
        self.phase = Phase::Over(end);
        // The right to an attempt that will not be made.
        drop(self.take_withdrawal());
        step_of(end)
    }

    /// Walks an attempt through the bounds. With `holds_slot`, the bulkhead has been passed.
    #[inline]
    fn start(&mut self, now: Instant, holds_slot: bool) -> Step {
        let remaining = self.deadline.at().nanos_since(now);
        if remaining == 0 {
            return self.refuse(Rejection::new(Reason::DeadlineTooClose), holds_slot);
        }
        let (local, mut admission) = (Arc::clone(&self.local), None);
        let shared = &local.shared;
        let timeout = shared.attempt_timeout;
        if let Some(breaker) = &shared.breaker {
            let (admitted, transition) = breaker.admit(now, &mut self.dice, timeout);
            self.transition = transition.or(self.transition);
            match admitted {
                Ok(admitted) => admission = Some(admitted),
                Err(rejection) => return self.refuse(rejection, holds_slot),
            }
        }
        let bulkhead = shared.bulkhead.as_ref().filter(|_| !holds_slot);
        if let Some(full) = bulkhead.filter(|bulkhead| !bulkhead.acquire()) {
            // What was admitted was not attempted: a probe's place is free again.
            if let (Some(breaker), Some(admission)) = (&shared.breaker, admission) {
                breaker.settle(local.stripe, admission, now, 0, Outcome::Ignored);
            }
            return match full.enqueue(now) {
                Ok(ticket) => {
                    let wait = full.config().wait_within(Duration::from_nanos(remaining));
                    self.phase = Phase::Queued(Box::new(Queued {
                        ticket,
                        until: now + wait,
                    }));
                    self.poll_queue(now)
                }
                Err(rejection) => self.refuse(rejection, false),
            };
        }
        self.attempts += 1;
        let mut withdrawal = self.take_withdrawal();
        if let Some(withdrawal) = &mut withdrawal {
            withdrawal.spend();
        }
        let first = self.attempts == 1;
        self.count(if first {
            Event::FIRST_ATTEMPT
        } else {
            Event::RETRY
        });
        if let (true, Some(budget)) = (first, &shared.budget) {
            budget.deposit(local.stripe, now);
        }
        let id = AttemptId(self.attempts);
        let due = now.plus_nanos(timeout);
        let watch = Watch::new(admission, now);
        self.phase = Phase::Running { id, due, watch };
        let whole_deadline = if first && !self.deadline.is_brought() {
            remaining
        } else {
            u64::MAX
        };
        Step::Attempt(AttemptPermit {
            id,
            started: now,
            due: due.min(self.deadline.at()),
            blame_after: timeout.min(whole_deadline),
            admission,
            answered_after: None,
            held: None,
            holds_slot: shared.bulkhead.is_some(),
            withdrawal,
            is_judged: false,
            local,
        })
    }

    #[cold]
    fn poll_queue(&mut self, now: Instant) -> Step {
        let Phase::Queued(queued) = &mut self.phase else {
            return Step::WaitUntil(now);
        };
        let until = queued.until;
        if queued.ticket.fetch() {
            return self.start(now, true);
        }
        if now >= until {
            return self.refuse(Rejection::new(Reason::WaitTimeout), false);
        }
        Step::AwaitSlot { until }
    }

    fn take_withdrawal(&mut self) -> Option<Box<Withdrawal>> {
        self.history
            .as_mut()
            .and_then(|history| history.withdrawal.take())
    }

    #[cold]
    fn refuse(&mut self, rejection: Rejection, holds_slot: bool) -> Step {
        if let (true, Some(bulkhead)) = (holds_slot, &self.shared().bulkhead) {
            bulkhead.release();
        }
        if self.attempts == 0 {
            self.count(Event::rejection(rejection.reason));
            return self.over(End::Rejected(rejection));
        }
        let reason = StopReason::Refused(rejection.reason);
        self.count(Event::stop(reason));
        self.over(End::GaveUp(reason))
    }

    #[cold]
    fn on_failed(
        &mut self,
        attempt: &AttemptPermit,
        now: Instant,
        finished: Finished,
        class: Class,
    ) -> Next {
        let mut history = self.history.take().unwrap_or_default();
        history.failed.push(AttemptRecord {
            id: attempt.id,
            outcome: finished.outcome,
            class,
            waited: history.waited,
            ran: now.since(attempt.started),
            retry_after: finished.retry_after,
        });
        if let (Some(breaker), Some(wait)) = (&self.shared().breaker, finished.retry_after) {
            breaker.hold(now, wait);
        }
        let next = match self.plan_retry(&mut history, now, finished, class) {
            Ok((delay, withdrawal)) => {
                history.waited = delay;
                history.withdrawal = withdrawal.map(Box::new);
                self.phase = Phase::BackingOff { until: now + delay };
                Next::Wait
            }
            Err(reason) => {
                self.count(Event::stop(reason));
                self.phase = Phase::Over(End::GaveUp(reason));
                Next::Failed(reason)
            }
        };
        self.history = Some(history);
        next
    }
}

fn step_of(end: End) -> Step {
    match end {
        // A finished call has nothing to do, ever.
        End::Finished => Step::WaitUntil(Instant::MAX),
        End::Rejected(rejection) => Step::Reject(rejection),
        End::GaveUp(reason) => Step::GiveUp(reason),
        End::TimedOut => Step::TimedOut,
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
