//! One part of a service that runs by itself.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Phase;
use super::report::{How, Stopped};
use crate::context::{Context, panic_message};
use crate::leaks::{Kind, Name};
use crate::pulse::Pulse;
use crate::workers::{Health, Leftover, Restarts};

/// What a part is told: that it is to drain, and later that its time is over.
#[derive(Debug, Clone)]
pub struct Stop {
    name: Name,
    draining: CancellationToken,
    context: Context,
    grace: Duration,
    pulse: Pulse,
}

impl Stop {
    /// Ready when the part is to finish what it has and to begin nothing. The future is independent of
    /// `self`.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.draining.clone().cancelled_owned()
    }

    /// Whether that has come.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Ready when the time to drain is over: whatever still runs is to end now.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.context.cancellation().clone().cancelled_owned()
    }

    /// The part's context, which is also the [current](Context::current) one. It ends when the time to
    /// drain is over.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// How long the part will have after that, before it is aborted.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Shows a sign of life: the report says how long ago the last one was.
    pub fn beat(&self) {
        self.pulse.beat();
    }
}

pub(super) struct Start<'a> {
    pub(super) phase: Phase,
    pub(super) name: Name,
    pub(super) context: &'a Context,
    pub(super) draining: CancellationToken,
    pub(super) grace: Duration,
    pub(super) ended: &'a watch::Sender<Option<Name>>,
}

pub(super) struct Part {
    phase: Phase,
    name: Name,
    pulse: Pulse,
    over: CancellationToken,
    task: JoinHandle<Vec<Leftover>>,
}

impl Part {
    pub(super) fn start<F, Fut>(start: Start<'_>, run: F) -> Self
    where
        F: FnOnce(Stop) -> Fut,
        Fut: Future<Output = Vec<Leftover>> + Send + 'static,
    {
        let context = start.context.child();
        let stop = Stop {
            name: start.name.clone(),
            draining: start.draining.clone(),
            context: context.clone(),
            grace: start.grace,
            pulse: Pulse::new(),
        };
        let (over, pulse) = (CancellationToken::new(), stop.pulse.clone());
        let registered = context
            .register()
            .enter(Kind::Component, start.name.clone(), None);
        let future = run(stop);
        let (says_over, ended) = (over.clone().drop_guard(), start.ended.clone());
        let (name, draining, phase) = (start.name.clone(), start.draining, start.phase);
        let task = tokio::spawn(context.enter(async move {
            // Dropped in this order however the part ends: what it held, its place in the register, and
            // then the news that it is over.
            let _over = says_over;
            let _registered = registered;
            let _premature = Premature {
                name,
                draining,
                phase,
                ended,
            };
            future.await
        }));
        Self {
            phase: start.phase,
            name: start.name,
            pulse,
            over,
            task,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    pub(super) fn abort(&self) {
        self.task.abort();
    }

    /// Says how the part ended, if `how` is what was last done to end it.
    pub(super) async fn settle(self, how: How) -> Stopped {
        let (age, silence) = (self.pulse.age(), self.pulse.silence());
        let (how, left) = if self.is_over() {
            // Over in a moment, if not by now.
            match self.task.await {
                Ok(left) => (how, left),
                Err(error) => match error.try_into_panic() {
                    Ok(payload) => (How::Panicked(panic_message(&*payload)), Vec::new()),
                    Err(_) => (How::Aborted, Vec::new()),
                },
            }
        } else {
            (How::NotStopped, Vec::new())
        };
        Stopped {
            phase: self.phase,
            name: self.name,
            how,
            age,
            silence,
            left,
        }
    }
}

/// Tells of a server that is over before anybody asked it to be.
struct Premature {
    name: Name,
    draining: CancellationToken,
    phase: Phase,
    ended: watch::Sender<Option<Name>>,
}

impl Drop for Premature {
    fn drop(&mut self) {
        if self.draining.is_cancelled() {
            return;
        }
        let name = &self.name;
        if self.phase == Phase::Server {
            tracing::error!(target: "evenkeel::lifecycle", %name, "server ended by itself");
            self.ended.send_replace(Some(name.clone()));
        } else {
            tracing::info!(target: "evenkeel::lifecycle", %name, "part ended by itself");
        }
    }
}

/// Runs `work`, again after a panic.
pub(super) async fn restarting<F, Fut>(stop: Stop, restarts: Restarts, work: F)
where
    F: Fn(Stop) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let health = Health::new(restarts);
    loop {
        let mut running = pin!(async { work(stop.clone()).await });
        let ended = std::future::poll_fn(|waker| {
            // What a panic leaves half done is the future's own, and is dropped.
            match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(waker))) {
                Ok(polled) => polled.map(|()| None),
                Err(payload) => Poll::Ready(Some(panic_message(&*payload))),
            }
        });
        let Some(message) = ended.await else {
            return;
        };
        let name = &stop.name;
        tracing::error!(target: "evenkeel::lifecycle", %name, %message, "worker panicked");
        health.panicked();
        if stop.is_draining() {
            return;
        }
        if let Some(until) = health.wait() {
            tracing::error!(target: "evenkeel::lifecycle", %name, "worker panics too often and waits");
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = stop.draining() => return,
            }
        }
    }
}
