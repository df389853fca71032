//! The driver: does what the call machine says, with tokio.
//!
//! One future for one call. It owns the machine, the attempts in flight, and at most one timer; the first
//! attempt lives inside it, so that a call that succeeds at once allocates nothing and registers nothing.
//! Only a hedge, which joins an attempt that is still in flight, has a place of its own on the heap.
//! The clock is read when the call begins and when an attempt ends; beyond that only while something is
//! pending.
//!
//! **Dropped** at any point, it drops each attempt first and then reports it, with the time it took: a
//! caller who hangs up on a hung dependency still tells the breaker. **A panic** in the attempt's code
//! reports a failure on its way out.

mod attempts;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use evenkeel_core::call::{
    AttemptPermit, AttemptRecord, Call, CallHint, First, Next, Step, StopReason,
};
use evenkeel_core::grant::Grant;
use evenkeel_core::outcome::Finished;
use evenkeel_core::rejection::Rejection;
use evenkeel_core::time::Instant;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use attempts::{Attempts, Polled};

use crate::attempt::{Attempt, Guard};
use crate::dependency::Inner;
use crate::{local, telemetry};

/// What is settled about a call before it is polled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) hint: CallHint,
    /// The time that the caller has left, counted from the first poll.
    pub(crate) within: Option<Duration>,
}

/// How a call ended.
pub(crate) struct Ended<R> {
    pub(crate) how: How<R>,
    pub(crate) history: History,
}

pub(crate) enum How<R> {
    /// With an acceptable answer.
    Answered(R),
    /// With a failed attempt's result; none if that attempt was abandoned.
    Failed(Option<R>, StopReason),
    Rejected(Rejection),
    DeadlineExceeded,
}

/// What happened on the way.
pub(crate) struct History {
    pub(crate) attempts: Vec<AttemptRecord>,
    pub(crate) ran: Duration,
    /// Whether the deadline was the caller's, tighter than the policy's own.
    pub(crate) hurried: bool,
    /// The extra attempts that are left of what was granted.
    pub(crate) grant: Option<Grant>,
}

pin_project! {
    /// The future of one call that makes attempts with `F` and judges their results with `C`.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Drive<'a, F, Fut: Future, C> {
        inner: &'a Inner,
        plan: Plan,
        operation: F,
        classify: C,
        // Where the permit of an accepted attempt goes that goes on after its future has ended; none: none does.
        open: Option<&'a mut Option<AttemptPermit>>,
        live: Live,
        began: Instant,
        // The last failed attempt's result, in case there is no other attempt.
        last: Option<Fut::Output>,
        #[pin]
        attempts: Attempts<'a, Fut>,
        #[pin]
        timer: Option<Sleep>,
        // Whether the machine has nothing to say before the timer fires or the attempt ends.
        asleep: bool,
        // Whether the call is in line for a slot, so that its waker must be known to the queue.
        queued: bool,
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "a call lives in its future: a box would be an allocation for each"
)]
enum Live {
    Unborn,
    Call(Call),
    Over,
}

impl<'a, F, Fut, C> Drive<'a, F, Fut, C>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future,
    C: Fn(&Fut::Output) -> Finished,
{
    pub(crate) fn new(inner: &'a Inner, plan: Plan, operation: F, classify: C) -> Self {
        Self {
            inner,
            plan,
            operation,
            classify,
            open: None,
            live: Live::Unborn,
            began: Instant::ZERO,
            last: None,
            attempts: Attempts::new(),
            timer: None,
            asleep: false,
            queued: false,
        }
    }
}

impl<'a, F, Fut: Future, C> Drive<'a, F, Fut, C> {
    /// The same, for an attempt that goes on after its future has ended: its permit goes to `open`.
    pub(crate) fn staying_open(mut self, open: &'a mut Option<AttemptPermit>) -> Self {
        self.open = Some(open);
        self
    }
}

impl<F, Fut, C> Future for Drive<'_, F, Fut, C>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future,
    C: Fn(&Fut::Output) -> Finished,
{
    type Output = Ended<Fut::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = *this.inner;
        // Kept while it is fresh: what follows at once costs no further look at the clock.
        let mut now = None;
        // What the first attempt came to, while the call was no machine yet.
        let mut polled = None;
        if matches!(this.live, Live::Unborn) {
            let began = *now.insert(inner.clock.now());
            let mut hint = this.plan.hint;
            hint.deadline = this.plan.within.map(|within| began + within);
            // Until the call waits, it is on this thread.
            hint.stripe = local::own_stripe();
            *this.began = began;
            match inner.policy.load().begin_first(began, hint) {
                Err(call) => *this.live = Live::Call(call),
                Ok(first) => {
                    let attempt = Attempt::first(&first, began);
                    let span = telemetry::attempt(inner, attempt);
                    let mut guard = Guard::first(inner, first);
                    guard.running = true;
                    let future = span.in_scope(|| (this.operation)(attempt));
                    guard.running = false;
                    this.attempts.as_mut().begin(future, guard, span);
                    let outcome = this.attempts.as_mut().poll(cx, this.classify);
                    if let Polled::Ended(_, result, finished) = outcome {
                        if finished == Finished::success() && this.open.is_none() {
                            let ended = inner.clock.now();
                            let first = this.attempts.as_mut().end_first();
                            let transition = first.and_then(|first| first.succeed(ended));
                            telemetry::transition(inner, transition);
                            *this.live = Live::Over;
                            return Poll::Ready(Ended {
                                how: How::Answered(result),
                                history: History {
                                    attempts: Vec::new(),
                                    ran: ended.since(began),
                                    hurried: false,
                                    grant: None,
                                },
                            });
                        }
                        polled = Some(Polled::Ended(First::ID, result, finished));
                    } else {
                        polled = Some(outcome);
                    }
                    now = None;
                    if let Some(call) = this.attempts.as_mut().adopt() {
                        *this.live = Live::Call(call);
                    }
                }
            }
        }
        let (how, permit, ended) = loop {
            // Polled again after its end: there is nothing more to come.
            let Live::Call(call) = this.live else {
                return Poll::Pending;
            };
            let outcome = polled
                .take()
                .unwrap_or_else(|| this.attempts.as_mut().poll(cx, this.classify));
            match outcome {
                Polled::Ended(id, result, finished) => {
                    let ended = *now.insert(inner.clock.now());
                    let permit = this.attempts.as_mut().end(id);
                    *this.asleep = false;
                    let goes_on = this.open.is_some();
                    let (next, open) = report(inner, call, permit, ended, finished, goes_on);
                    match next {
                        Next::Wait => *this.last = Some(result),
                        Next::Done => {
                            // Their answers are not needed any more: dropped, they stop.
                            while let Some(other) = this.attempts.any() {
                                let permit = this.attempts.as_mut().end(other);
                                abandoned(inner, call, permit, ended);
                            }
                            break (How::Answered(result), open, ended);
                        }
                        Next::Failed(reason) => {
                            break (How::Failed(Some(result), reason), open, ended);
                        }
                    }
                }
                Polled::Pending if *this.asleep => {
                    ready!(fire(this.timer.as_mut(), cx));
                    *this.asleep = false;
                }
                Polled::Pending | Polled::Idle => {}
            }
            if *this.queued {
                call.wake_by(cx.waker());
            }
            let at = now.take().unwrap_or_else(|| inner.clock.now());
            let step = call.poll(at);
            telemetry::transition(inner, call.take_transition());
            let was_queued = std::mem::replace(this.queued, matches!(step, Step::AwaitSlot { .. }));
            let until = match step {
                Step::Attempt(permit) => {
                    // Superseded: what it holds, a connection perhaps, is free again.
                    *this.last = None;
                    let attempt = Attempt::new(&permit, at);
                    let span = telemetry::attempt(inner, attempt);
                    let mut guard = Guard::new(inner, permit);
                    guard.running = true;
                    let future = span.in_scope(|| (this.operation)(attempt));
                    guard.running = false;
                    this.attempts.as_mut().begin(future, guard, span);
                    // A timer that was set for the others may be too late for this one.
                    *this.asleep = false;
                    continue;
                }
                // Once more, with the waker in its place: its turn may have come in between.
                Step::AwaitSlot { .. } if !was_queued => continue,
                Step::AwaitSlot { until } | Step::WaitUntil(until) => until,
                Step::Abandon(id) => {
                    let permit = this.attempts.as_mut().end(id);
                    match abandoned(inner, call, permit, at) {
                        // Of a round, another one may have ended with a result.
                        Next::Failed(reason) => {
                            break (How::Failed(this.last.take(), reason), None, at);
                        }
                        Next::Wait | Next::Done => continue,
                    }
                }
                Step::Reject(rejection) => break (How::Rejected(rejection), None, at),
                Step::GiveUp(reason) => {
                    break (How::Failed(this.last.take(), reason), None, at);
                }
                Step::TimedOut => {
                    this.attempts.as_mut().clear();
                    break (How::DeadlineExceeded, None, at);
                }
            };
            // Wherever it goes on.
            call.share();
            this.attempts.as_mut().share();
            sleep_until(this.timer.as_mut(), inner.clock.timer(until));
            *this.asleep = true;
            ready!(fire(this.timer.as_mut(), cx));
            *this.asleep = false;
        };
        let mut history = History {
            attempts: Vec::new(),
            ran: ended.since(*this.began),
            hurried: false,
            grant: None,
        };
        if let Live::Call(call) = this.live {
            history.attempts = call.take_failed_attempts();
            history.hurried = call.deadline_is_brought();
            history.grant = call.grant();
        }
        *this.live = Live::Over;
        if let (Some(open), Some(mut permit)) = (this.open, permit) {
            permit.share();
            **open = Some(permit);
        }
        Poll::Ready(Ended { how, history })
    }
}

/// Tells the machine how an attempt ended; answers its permit if it `goes_on` all the same.
#[inline]
fn report(
    inner: &Inner,
    call: &mut Call,
    permit: Option<AttemptPermit>,
    at: Instant,
    finished: Finished,
    goes_on: bool,
) -> (Next, Option<AttemptPermit>) {
    let Some(mut permit) = permit else {
        return (Next::Done, None);
    };
    let next = if goes_on && finished.class.is_none() {
        call.on_answered(&mut permit, at)
    } else {
        call.on_judged(&mut permit, at, finished)
    };
    telemetry::transition(inner, call.take_transition());
    // One that is tried again is over: its slot is free for its successor.
    (next, (goes_on && next != Next::Wait).then_some(permit))
}

/// Tells the machine of an attempt that was dropped because it said so.
#[cold]
fn abandoned(inner: &Inner, call: &mut Call, permit: Option<AttemptPermit>, at: Instant) -> Next {
    let Some(permit) = permit else {
        return Next::Wait;
    };
    let next = call.on_abandoned(permit, at);
    telemetry::transition(inner, call.take_transition());
    next
}

/// Sets the timer, which is registered once and moved only if it must fire at another time.
fn sleep_until(mut timer: Pin<&mut Option<Sleep>>, at: tokio::time::Instant) {
    match timer.as_mut().as_pin_mut() {
        Some(set) if set.deadline() == at && !set.is_elapsed() => {}
        Some(set) => set.reset(at),
        None => timer.set(Some(tokio::time::sleep_until(at))),
    }
}

fn fire(timer: Pin<&mut Option<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
    match timer.as_pin_mut() {
        Some(timer) => timer.poll(cx),
        None => Poll::Ready(()),
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
