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
//!         Attempt(permit)     -> start an attempt, keep its permit; others may be under way
//!         AwaitSlot { until } -> come back at `until`, or when woken (Call::wake_by)
//!         WaitUntil(instant)  -> come back then, or when an attempt ends
//!         Abandon(id)         -> drop that attempt, then on_abandoned(permit, now)
//!         Reject(rejection)   -> over: nothing was sent
//!         GiveUp(reason)      -> over: the last failed attempt is the answer
//!         TimedOut            -> over: drop the attempts under way, abandon() their permits
//!     }
//!     an attempt ended        -> call.on_finished(permit, now, finished):
//!                                Wait -> poll again; Failed(reason) -> over;
//!                                Done -> over: drop the attempts under way, on_abandoned(permit, now)
//! }
//! ```
//!
//! Polling too early or too often does no harm. Dropping the call at any point gives back what it holds:
//! its place in a queue, its tokens; a permit that the driver holds is the driver's to drop.
//!
//! # Retries and hedges together
//!
//! A call goes in **rounds**. A round begins with the first attempt or with a retry; while that one has not
//! answered, hedges join it. The round is won by the first acceptable answer: the others are abandoned, and
//! the winner's permit lives on until its body ends. An attempt of the round that fails while another is
//! under way changes nothing: the other may still succeed. When all have failed, the round is lost, and what
//! they came to together, the worst of it, decides about a retry, which begins the next round.
//!
//! A failure that comes before the round's hedge was due brings the hedge forward: the retry is made at once
//! instead of after its back-off, and counts as retry and against the call's hedges. Not so if the
//! dependency asked for less or for a wait.
//!
//! Each attempt of a call is one of the [`Config::max_attempts`](crate::policy::Config::max_attempts), takes
//! the way through all bounds, and, unless it is the first, takes from the budget of extra attempts; a hedge
//! also from the hedges' own. A hedge that any bound refuses is not made, and the call goes on without it.

mod admit;
mod again;
mod attempt;
mod first;
mod flight;
mod hedged;
mod hint;
mod watch;

use core::task::Waker;
use std::sync::Arc;

use again::History;
use attempt::Extra;
pub use attempt::{AttemptId, AttemptPermit, AttemptRecord, Kind};
pub use first::First;
use flight::Flights;
pub use hint::CallHint;
use hint::{granted, handed_on};

use crate::breaker::Transition;
use crate::bulkhead::Ticket;
use crate::counter::Event;
use crate::deadline::Deadline;
use crate::entropy::Entropy;
use crate::grant::Grant;
use crate::outcome::Finished;
use crate::policy::live::{Local, Shared};
use crate::progress::Slot;
use crate::rejection::Rejection;
pub use crate::stop::StopReason;
use crate::stripe::{Padded, Stripe};
use crate::time::Instant;

/// What the driver does next.
#[derive(Debug)]
pub enum Step {
    /// Start an attempt now, beside those that are under way.
    Attempt(AttemptPermit),
    /// All slots are taken and this call is queued for one: poll again at `until`, or when woken.
    AwaitSlot {
        /// The queue will not be endured for longer.
        until: Instant,
    },
    /// Nothing to do before this, unless an attempt ends.
    WaitUntil(Instant),
    /// Drop this attempt, and report it with [`Call::on_abandoned`]: it outlived its timeout, or another one
    /// answered.
    Abandon(AttemptId),
    /// Over: nothing was sent, nor will be.
    Reject(Rejection),
    /// Over: the last failed attempt is the answer, for this reason.
    GiveUp(StopReason),
    /// Over: the deadline passed. Drop the attempts in flight.
    TimedOut,
}

/// What follows from the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The call goes on: poll it.
    Wait,
    /// The call is over, with an acceptable answer. Other attempts under way have lost: drop them, and report
    /// each with [`Call::on_abandoned`].
    Done,
    /// The call is over: the attempt's failure is the answer, and this is why there is no other attempt.
    Failed(StopReason),
}

/// One logical call: see the [module](self).
#[derive(Debug)]
pub struct Call {
    local: Arc<Padded<Local>>,
    stripe: Stripe,
    deadline: Deadline,
    idempotent: bool,
    replayable: bool,
    sequential: bool,
    caller_retries: bool,
    /// The extra attempts that the request may still cause, here and behind; none where nobody counts.
    grant: Option<Grant>,
    began: Instant,
    attempts: u32,
    /// How many of them were hedges, or retries in place of one.
    hedged: u32,
    /// The endpoints that it has been to, one bit each.
    tried: u64,
    dice: Entropy,
    phase: Phase,
    flights: Flights,
    /// When the first of the attempts under way began.
    round_began: Instant,
    /// When they get company; [`Instant::ZERO`]: not known yet, [`Instant::MAX`]: never.
    hedge_at: Instant,
    /// Where its age is registered, once it has had to wait.
    slot: Option<Slot>,
    transition: Option<Transition>,
    /// Made when an attempt fails: a call that succeeds at once never has one.
    history: Option<Box<History>>,
}

#[derive(Debug)]
enum Phase {
    Ready,
    Queued(Box<Queued>),
    Running,
    BackingOff { until: Instant },
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
        local.operation.progress.count_begun(hint.stripe);
        Self::unbegun(local, now, hint)
    }

    /// The same without counting it.
    #[inline]
    fn unbegun(local: Arc<Padded<Local>>, now: Instant, hint: CallHint) -> Self {
        let own = Deadline::after_nanos(now, local.shared.deadline);
        let grant = granted(&local.shared, &hint);
        Self {
            local,
            stripe: hint.stripe,
            deadline: own.tightened(hint.deadline),
            idempotent: hint.idempotent,
            replayable: hint.replayable,
            sequential: hint.sequential,
            caller_retries: hint.caller_retries,
            grant,
            began: now,
            attempts: 0,
            hedged: 0,
            tried: 0,
            dice: Entropy::new(hint.seed),
            phase: Phase::Ready,
            flights: Flights::default(),
            round_began: now,
            hedge_at: Instant::ZERO,
            slot: None,
            transition: None,
            history: None,
        }
    }

    /// From now on it may be polled on any thread. To be called, like
    /// [`AttemptPermit::share`] on each permit, before a call that began on a thread's [own
    /// stripe](Stripe::own) leaves that thread; a driver that waits cannot know where it will go on.
    #[inline]
    pub const fn share(&mut self) {
        self.stripe = self.stripe.shared();
    }

    /// What to do now. See [the contract](self#the-contract).
    #[inline]
    pub fn poll(&mut self, now: Instant) -> Step {
        match &self.phase {
            Phase::Ready => self.begin(now),
            Phase::Running => self.poll_running(now),
            Phase::BackingOff { until } if now < *until => Step::WaitUntil(*until),
            Phase::BackingOff { .. } => self.start(now, false),
            Phase::Queued(_) => self.poll_queue(now),
            // Those that are still under way have lost.
            Phase::Over(End::Finished) => match self.flights.lowest() {
                Some(id) => Step::Abandon(id),
                None => step_of(End::Finished),
            },
            Phase::Over(end) => step_of(*end),
        }
    }

    fn poll_running(&mut self, now: Instant) -> Step {
        self.register();
        if self.deadline.has_passed(now) {
            self.count(Event::DEADLINE_EXCEEDED);
            return self.over(now, End::TimedOut);
        }
        if let Some(id) = self.flights.over(now) {
            return Step::Abandon(id);
        }
        if self.hedge_at == Instant::ZERO {
            self.arm(now);
        }
        if now >= self.hedge_at {
            if let Some(permit) = self.hedge(now) {
                return Step::Attempt(permit);
            }
        }
        let (look_again, transition) = self.flights.look(&self.local.shared, now);
        self.transition = transition.or(self.transition);
        let due = self.flights.due().min(self.hedge_at).min(look_again);
        Step::WaitUntil(due.min(self.deadline.at()))
    }

    /// The head of an attempt's answer arrived, and it is acceptable: its timeout no longer applies, the
    /// deadline still does; other attempts under way have lost, and are to be abandoned. If it was a probe,
    /// it has shown what it was to show.
    pub fn on_accepted(&mut self, attempt: &mut AttemptPermit, now: Instant) {
        self.flights.accept(attempt.id);
        self.hedge_at = Instant::MAX;
        self.transition = attempt.accept(now).or(self.transition);
    }

    /// The same, and the call has done its part: what is still to come of the answer is its reader's, who
    /// has the permit and [finishes](AttemptPermit::finish) it.
    #[inline]
    pub fn on_answered(&mut self, attempt: &mut AttemptPermit, now: Instant) -> Next {
        self.transition = attempt.accept(now).or(self.transition);
        let flight = self.flights.end(attempt.id);
        if flight.is_none_or(|flight| flight.is_lost) {
            return self.next();
        }
        self.end(now, true);
        self.phase = Phase::Over(End::Finished);
        Next::Done
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

    /// An attempt was dropped because [`Step::Abandon`] said so: it outlived its timeout, or lost to
    /// another one.
    pub fn on_abandoned(&mut self, attempt: AttemptPermit, now: Instant) -> Next {
        let is_over = matches!(self.phase, Phase::Over(_));
        if !is_over && !self.flights.is_lost(attempt.id) {
            return self.on_finished(attempt, now, Finished::timed_out());
        }
        self.flights.end(attempt.id);
        self.transition = attempt.lose(now).or(self.transition);
        self.next()
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
        self.transition = attempt.judge(now, &finished).or(self.transition);
        let flight = self.flights.end(attempt.id);
        if flight.is_none_or(|flight| flight.is_lost) {
            // Too late to matter.
            return self.next();
        }
        let Some(class) = finished.class else {
            self.end(now, true);
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

    /// The extra attempts that the request may still cause: what to tell the caller who granted them. None
    /// where nobody counts.
    #[must_use]
    pub const fn grant(&self) -> Option<Grant> {
        self.grant
    }

    /// The failed attempts so far, in the order in which they ended.
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

    /// The last transition of a breaker that this call made and nobody has taken yet.
    pub fn take_transition(&mut self) -> Option<Transition> {
        self.transition.take()
    }

    fn shared(&self) -> &Shared {
        &self.local.shared
    }

    fn count(&self, event: Event) {
        let (counts, writers) = self.shared().counts.at(self.stripe);
        counts.add(event, writers);
    }

    /// Registers the call's age: it has to wait.
    fn register(&mut self) {
        if self.slot.is_none() {
            let local = &self.local;
            self.slot = local.operation.progress.register(self.stripe, self.began);
        }
    }

    /// Counts the call as ended.
    fn end(&mut self, now: Instant, succeeded: bool) {
        let (local, slot) = (&self.local, self.slot.take());
        local
            .operation
            .progress
            .count_end(self.stripe, slot, now, succeeded);
    }

    fn over(&mut self, now: Instant, end: End) -> Step {
        self.end(now, false);
        self.phase = Phase::Over(end);
        // The right to an attempt that will not be made.
        drop(self.take_extra());
        step_of(end)
    }

    /// What follows from an attempt whose end changes nothing.
    const fn next(&self) -> Next {
        match self.phase {
            Phase::Over(End::Finished) => Next::Done,
            Phase::Over(End::GaveUp(reason)) => Next::Failed(reason),
            _ => Next::Wait,
        }
    }

    fn next_kind(&self) -> Kind {
        let extra = self
            .history
            .as_ref()
            .and_then(|history| history.extra.as_ref());
        extra.map_or(Kind::Retry, |extra| extra.kind)
    }

    fn take_extra(&mut self) -> Option<Box<Extra>> {
        self.history
            .as_mut()
            .and_then(|history| history.extra.take())
    }

    #[cold]
    fn refuse(&mut self, now: Instant, rejection: Rejection) -> Step {
        if self.attempts == 0 {
            self.count(Event::rejection(rejection.reason));
            return self.over(now, End::Rejected(rejection));
        }
        let reason = StopReason::Refused(rejection.reason);
        self.count(Event::stop(reason));
        self.over(now, End::GaveUp(reason))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !matches!(self.phase, Phase::Over(_)) {
            // What a panic left behind may be dropped on any thread.
            self.share();
            let (local, slot) = (&self.local, self.slot.take());
            let progress = &local.operation.progress;
            progress.count_abandoned(self.stripe, slot);
        }
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
mod grant_tests;
#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod panic_tests;
#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
