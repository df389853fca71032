//! The attempts of one call that are under way: the first in the call's own future, hedges beside it.

use std::pin::Pin;
use std::task::{Context, Poll};

use evenkeel_core::call::{AttemptId, AttemptPermit};
use evenkeel_core::outcome::Finished;
use pin_project_lite::pin_project;
use tracing::Span;

use crate::attempt::Guard;
use crate::dependency::Inner;

pin_project! {
    /// All attempts under way.
    pub(super) struct Attempts<'a, Fut> {
        #[pin]
        first: Option<Running<'a, Fut>>,
        // Only what joins an attempt under way needs memory of its own.
        others: Vec<Pin<Box<Running<'a, Fut>>>>,
    }
}

pin_project! {
    struct Running<'a, Fut> {
        // Before the guard: the attempt is over when its future is dropped, and reported then.
        #[pin]
        future: Fut,
        guard: Guard<&'a Inner>,
        span: Span,
    }
}

/// What polling them came to.
pub(super) enum Polled<R> {
    /// There are none.
    Idle,
    /// None has ended.
    Pending,
    /// This one has.
    Ended(AttemptId, R, Finished),
}

impl<'a, Fut: Future> Attempts<'a, Fut> {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            others: Vec::new(),
        }
    }

    /// Adds an attempt: in place, or, while another one has that, on the heap.
    pub(super) fn begin(self: Pin<&mut Self>, future: Fut, guard: Guard<&'a Inner>, span: Span) {
        let mut this = self.project();
        let running = Running {
            future,
            guard,
            span,
        };
        if this.first.is_none() {
            this.first.set(Some(running));
        } else {
            this.others.push(Box::pin(running));
        }
    }

    /// Polls each until one has ended, and judges its result.
    #[inline]
    pub(super) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        classify: &impl Fn(&Fut::Output) -> Finished,
    ) -> Polled<Fut::Output> {
        let this = self.project();
        let mut polled = Polled::Idle;
        let first = this.first.as_pin_mut();
        for running in first
            .into_iter()
            .chain(this.others.iter_mut().map(Pin::as_mut))
        {
            let id = running.guard.id();
            match (running.poll(cx, classify), id) {
                (Poll::Ready((result, finished)), Some(id)) => {
                    return Polled::Ended(id, result, finished);
                }
                _ => polled = Polled::Pending,
            }
        }
        polled
    }

    /// Drops an attempt and answers its permit. The future first: its slot is free when it is really gone.
    #[inline]
    pub(super) fn end(self: Pin<&mut Self>, id: AttemptId) -> Option<AttemptPermit> {
        let mut this = self.project();
        if let Some(first) = this.first.as_mut().as_pin_mut() {
            let guard = first.project().guard;
            if guard.id() == Some(id) {
                let permit = guard.take();
                this.first.set(None);
                return permit;
            }
        }
        let at = this
            .others
            .iter()
            .position(|running| running.guard.id() == Some(id))?;
        let mut running = this.others.swap_remove(at);
        running.as_mut().project().guard.take()
    }

    /// From now on they may be on any thread.
    pub(super) fn share(self: Pin<&mut Self>) {
        let this = self.project();
        let first = this.first.as_pin_mut();
        for running in first
            .into_iter()
            .chain(this.others.iter_mut().map(Pin::as_mut))
        {
            running.project().guard.share();
        }
    }

    /// One of them, if there is any.
    #[inline]
    pub(super) fn any(&self) -> Option<AttemptId> {
        let first = self.first.as_ref().and_then(|first| first.guard.id());
        first.or_else(|| self.others.first().and_then(|other| other.guard.id()))
    }

    /// Drops all of them; each reports itself.
    pub(super) fn clear(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.first.set(None);
        this.others.clear();
    }
}

impl<Fut: Future> Running<'_, Fut> {
    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        classify: &impl Fn(&Fut::Output) -> Finished,
    ) -> Poll<(Fut::Output, Finished)> {
        let this = self.project();
        let _entered = this.span.enter();
        this.guard.running = true;
        let polled = this.future.poll(cx).map(|result| {
            let finished = classify(&result);
            (result, finished)
        });
        // Not reached by a panic: the guard then knows whose fault it is.
        this.guard.running = false;
        polled
    }
}
