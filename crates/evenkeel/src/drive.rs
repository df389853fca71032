//! The driver: does what the call machine says, with tokio.
//!
//! One future for one call. It owns the machine, the attempt in flight, and at most one timer; the first
//! attempt lives inside it, so that a call that succeeds at once allocates nothing and registers nothing.
//! The clock is read when the call begins and when an attempt ends; beyond that only while something is
//! pending.
//!
//! **Dropped** at any point, it drops the attempt first and then reports it, with the time it took: a
//! caller who hangs up on a hung dependency still tells the breaker. **A panic** in the attempt's code
//! reports a failure on its way out.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use evenkeel_core::call::{AttemptPermit, AttemptRecord, Call, CallHint, Next, Step, StopReason};
use evenkeel_core::outcome::Finished;
use evenkeel_core::rejection::Rejection;
use evenkeel_core::time::Instant;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::attempt::{Attempt, Guard};
use crate::dependency::Inner;
use crate::telemetry;

/// What is settled about a call before it is polled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) hint: CallHint,
    /// The time that the caller has left, counted from the first poll.
    pub(crate) within: Option<Duration>,
    /// Whether an accepted attempt goes on after its future has ended.
    pub(crate) stays_open: bool,
}

/// How a call ended.
pub(crate) enum Ended<R> {
    /// With an acceptable answer; its permit is there if the attempt stays open.
    Answered(R, Option<AttemptPermit>),
    /// Otherwise.
    Unanswered(How<R>, History),
}

/// What a call that was not answered leaves to tell.
pub(crate) enum How<R> {
    /// A failed attempt's result; none if that attempt was abandoned.
    Failed(Option<R>, StopReason),
    Rejected(Rejection),
    DeadlineExceeded,
}

/// What happened on the way.
pub(crate) struct History {
    pub(crate) attempts: Vec<AttemptRecord>,
    pub(crate) ran: Duration,
}

pin_project! {
    /// The future of one call that makes attempts with `F` and judges their results with `C`.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Drive<'a, F, Fut: Future, C> {
        inner: &'a Inner,
        plan: Plan,
        operation: F,
        classify: C,
        live: Live,
        began: Instant,
        // The last failed attempt's result, in case there is no other attempt.
        last: Option<Fut::Output>,
        #[pin]
        attempt: Option<Running<'a, Fut>>,
        #[pin]
        timer: Option<Sleep>,
        // Whether the machine has nothing to say before the timer fires or the attempt ends.
        asleep: bool,
        // Whether the call is in line for a slot, so that its waker must be known to the queue.
        queued: bool,
    }
}

enum Live {
    Unborn,
    Call(Call),
    Over,
}

pin_project! {
    struct Running<'a, Fut> {
        // Before the guard: the attempt is over when its future is dropped, and reported then.
        #[pin]
        future: Fut,
        guard: Guard<&'a Inner>,
    }
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
            live: Live::Unborn,
            began: Instant::ZERO,
            last: None,
            attempt: None,
            timer: None,
            asleep: false,
            queued: false,
        }
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
        if matches!(this.live, Live::Unborn) {
            let began = *now.insert(inner.clock.now());
            let mut hint = this.plan.hint;
            hint.deadline = this.plan.within.map(|within| began + within);
            *this.began = began;
            *this.live = Live::Call(inner.policy.begin(began, hint));
        }
        let (how, ended) = loop {
            // Polled again after its end: there is nothing more to come.
            let Live::Call(call) = this.live else {
                return Poll::Pending;
            };
            match this
                .attempt
                .as_mut()
                .as_pin_mut()
                .map(|running| running.poll(cx))
            {
                Some(Poll::Ready((result, permit))) => {
                    let ended = *now.insert(inner.clock.now());
                    this.attempt.set(None);
                    *this.asleep = false;
                    let finished = (this.classify)(&result);
                    if finished.class.is_none() && this.plan.stays_open {
                        *this.live = Live::Over;
                        return Poll::Ready(Ended::Answered(result, permit));
                    }
                    match report(inner, call, permit, ended, finished) {
                        Next::Wait => *this.last = Some(result),
                        Next::Done => {
                            *this.live = Live::Over;
                            return Poll::Ready(Ended::Answered(result, None));
                        }
                        Next::Failed(reason) => break (How::Failed(Some(result), reason), ended),
                    }
                }
                Some(Poll::Pending) if *this.asleep => {
                    ready!(fire(this.timer.as_mut(), cx));
                    *this.asleep = false;
                }
                Some(Poll::Pending) | None => {}
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
                    let (number, remaining) = (permit.id().number(), permit.due().since(at));
                    let guard = Guard::new(inner, permit);
                    let future = (this.operation)(Attempt { number, remaining });
                    this.attempt.set(Some(Running { future, guard }));
                    continue;
                }
                // Once more, with the waker in its place: its turn may have come in between.
                Step::AwaitSlot { .. } if !was_queued => continue,
                Step::AwaitSlot { until } | Step::WaitUntil(until) => until,
                Step::Abandon(_) => {
                    let permit = take_permit(this.attempt.as_mut());
                    // The future first: its slot is free when it is really gone.
                    this.attempt.set(None);
                    match report(inner, call, permit, at, Finished::timed_out()) {
                        Next::Failed(reason) => break (How::Failed(None, reason), at),
                        Next::Wait | Next::Done => continue,
                    }
                }
                Step::Reject(rejection) => break (How::Rejected(rejection), at),
                Step::GiveUp(reason) => break (How::Failed(this.last.take(), reason), at),
                Step::TimedOut => {
                    this.attempt.set(None);
                    break (How::DeadlineExceeded, at);
                }
            };
            sleep_until(this.timer.as_mut(), inner.clock.timer(until));
            *this.asleep = true;
            ready!(fire(this.timer.as_mut(), cx));
            *this.asleep = false;
        };
        let mut history = History {
            attempts: Vec::new(),
            ran: ended.since(*this.began),
        };
        if let Live::Call(call) = this.live {
            history.attempts = call.take_failed_attempts();
        }
        *this.live = Live::Over;
        Poll::Ready(Ended::Unanswered(how, history))
    }
}

impl<Fut: Future> Running<'_, Fut> {
    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<(Fut::Output, Option<AttemptPermit>)> {
        let this = self.project();
        this.guard.running = true;
        let polled = this.future.poll(cx);
        // Not reached by a panic: the guard then knows whose fault it is.
        this.guard.running = false;
        polled.map(|result| (result, this.guard.take()))
    }
}

fn take_permit<Fut>(attempt: Pin<&mut Option<Running<'_, Fut>>>) -> Option<AttemptPermit> {
    attempt
        .as_pin_mut()
        .and_then(|running| running.project().guard.take())
}

/// Tells the machine that an attempt ended.
#[inline]
fn report(
    inner: &Inner,
    call: &mut Call,
    permit: Option<AttemptPermit>,
    at: Instant,
    finished: Finished,
) -> Next {
    let Some(permit) = permit else {
        return Next::Done;
    };
    let next = call.on_finished(permit, at, finished);
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
