//! How a service starts its parts, and how it ends them.
//!
//! On the way down, most services lose something: the listener closes while a client's request is in its
//! backlog; the pool of connections closes before the workers that use it; one task ignores the signal, and
//! after thirty seconds the orchestrator kills everything else with it. A [`Lifecycle`] owns every part that
//! runs by itself, and ends them in an order that loses nothing: servers first, since they bring new work;
//! then workers; then queues; then clients, which the others need to finish.
//!
//! All phases share one budget of time, of which a twentieth is kept for each phase to come. Each part is first asked to *drain*: to finish what it has and to
//! begin nothing. When the budget is spent, all that is left is *cancelled* at once: its context ends. What
//! still runs after a grace is *aborted* at its next await. The [`Report`] names everything that did not
//! end when it was asked to, and what even then is still there.
//!
//! ```
//! use evenkeel::lifecycle::Lifecycle;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let life = Lifecycle::new();
//! life.worker("reconciler", |stop| async move {
//!     while !stop.is_draining() {
//!         stop.beat();
//!         tokio::time::sleep(Duration::from_secs(1)).await; // … reconcile
//!     }
//! });
//! let shutdown_signal = tokio::time::sleep(Duration::from_secs(10));
//! let report = life.run_until(shutdown_signal).await;
//! assert!(report.is_clean(), "{report}");
//! # }
//! ```

mod part;
mod report;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::leaks::Name;
use crate::workers::{Leftover, Restarts, Workers};
pub use part::Stop;
use part::{Part, Start};
pub use report::{Cause, How, Report, Stopped};

/// A twentieth of the budget is kept for each phase that is still to come: one deaf worker must not leave
/// the connections of everybody else unclosed.
const KEPT_FOR_LATER: u32 = 20;

/// How long an aborted part has to reach its next await and be gone.
const ABORTED_WITHIN: Duration = Duration::from_secs(1);

/// How long a service takes to end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// For all parts together to finish what they have. Smaller than what the orchestrator grants, less
    /// [`grace`](Self::grace). Default 30 s.
    pub drain: Duration,
    /// For what was cancelled to end by itself. Default 5 s.
    pub grace: Duration,
    /// How many panics of a worker are answered with a restart at once. Default 5 in 60 s; then it waits.
    pub restarts: Restarts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            restarts: Restarts::default(),
        }
    }
}

/// What kind of part it is, in the order in which parts are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Brings in work. It is not expected to end by itself: if it does, the service ends.
    Server,
    /// Does work.
    Worker,
    /// Holds work.
    Queue,
    /// Is what the others work with.
    Client,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 4] = [Self::Server, Self::Worker, Self::Queue, Self::Client];

    /// The phase in one lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Worker => "worker",
            Self::Queue => "queue",
            Self::Client => "client",
        }
    }
}

/// The parts of one service. Cheap to clone; clones are one service.
#[derive(Clone)]
pub struct Lifecycle(Arc<Shared>);

struct Shared {
    config: Config,
    context: Context,
    parts: Mutex<Vec<Part>>,
    draining: [CancellationToken; Phase::ALL.len()],
    ready: watch::Sender<bool>,
    /// The server that ended by itself.
    ended: watch::Sender<Option<Name>>,
}

impl std::fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lifecycle")
            .field("ready", &self.is_ready())
            .field("parts", &self.lock().len())
            .finish_non_exhaustive()
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A service without parts: 30 s to drain, 5 s of grace.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    /// The same, as `config` says.
    #[must_use]
    pub fn with(config: Config) -> Self {
        Self(Arc::new(Shared {
            config,
            context: Context::current().unwrap_or_default().child(),
            parts: Mutex::default(),
            draining: std::array::from_fn(|_| CancellationToken::new()),
            ready: watch::Sender::new(true),
            ended: watch::Sender::new(None),
        }))
    }

    /// Starts a part. It is over when its future is, and it is to heed [`Stop`].
    ///
    /// With axum: `life.start(Phase::Server, "http", |stop| async move {
    /// axum::serve(listener, app).with_graceful_shutdown(stop.draining()).await })`, whose output is
    /// taken for granted.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<F, Fut>(&self, phase: Phase, name: impl Into<Name>, run: F) -> &Self
    where
        F: FnOnce(Stop) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.start_reporting(phase, name, |stop| {
            let run = run(stop);
            async move {
                run.await;
                Vec::new()
            }
        })
    }

    fn start_reporting<F, Fut>(&self, phase: Phase, name: impl Into<Name>, run: F) -> &Self
    where
        F: FnOnce(Stop) -> Fut,
        Fut: Future<Output = Vec<Leftover>> + Send + 'static,
    {
        let shared = &self.0;
        let part = Part::start(
            Start {
                phase,
                name: name.into(),
                context: &shared.context,
                draining: shared.draining[phase as usize].clone(),
                grace: shared.config.grace,
                ended: &shared.ended,
            },
            run,
        );
        self.lock().push(part);
        self
    }

    /// Starts a worker that runs until it is asked to stop. If it panics it is started anew; after
    /// [`Config::restarts`] it waits first.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn worker<F, Fut>(&self, name: impl Into<Name>, work: F) -> &Self
    where
        F: Fn(Stop) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let restarts = self.0.config.restarts;
        self.start(Phase::Worker, name, move |stop| {
            part::restarting(stop, restarts, work)
        })
    }

    /// Drains a pool of workers with the service. Its own times to drain and of grace do not apply then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn workers<J: Send + Sync + 'static>(&self, pool: &Workers<J>) -> &Self {
        let pool = pool.clone();
        let name = Name::Owned(pool.name().to_owned());
        self.start_reporting(Phase::Worker, name, |stop| async move {
            stop.draining().await;
            // A fifth of the grace is kept for the report.
            let grace = stop.grace() * 4 / 5;
            pool.drain_until(stop.cancelled(), grace).await
        })
    }

    /// Whether the service may be sent work: false from the instant in which it is asked to end.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// The same, to wait for its change.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// The context that all parts work in, and that ends with the service.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// Runs until `shutdown`, or until a server ends by itself; then ends all parts and says how it went.
    ///
    /// A task that blocks its thread is named, and is still there: end such a process with
    /// `Runtime::shutdown_background`, since dropping the runtime waits for it.
    ///
    /// # Cancel safety
    /// Dropped, all parts are cancelled and aborted.
    pub async fn run_until(&self, shutdown: impl Future<Output = ()>) -> Report {
        let guard = AbortOnDrop(Some(self));
        let mut ended = self.0.ended.subscribe();
        let cause = tokio::select! {
            biased;
            () = shutdown => Cause::Asked,
            ended = ended.wait_for(Option::is_some) => {
                // The sender is ours: there is no error.
                Cause::ServerEnded(ended.ok().and_then(|name| name.clone()).unwrap_or_default())
            }
        };
        let report = self.end(cause).await;
        guard.disarm();
        report
    }

    async fn end(&self, cause: Cause) -> Report {
        let began = Instant::now();
        let config = &self.0.config;
        self.0.ready.send_replace(false);
        tracing::info!(target: "evenkeel::lifecycle", %cause, "draining");
        let over = began + config.drain;
        for phase in Phase::ALL {
            self.0.draining[phase as usize].cancel();
            let parts = self.waits(|part| part.phase() == phase);
            let after = Phase::ALL.iter().filter(|later| **later > phase);
            let after =
                after.filter(|later| !self.waits(|part| part.phase() == **later).is_empty());
            let kept = config.drain / KEPT_FOR_LATER * u32::try_from(after.count()).unwrap_or(1);
            let until = over.checked_sub(kept).unwrap_or(began);
            let _ = tokio::time::timeout_at(until, all(parts)).await;
        }
        let late = self.names();
        if !late.is_empty() {
            tracing::warn!(target: "evenkeel::lifecycle", ?late, "cancelling what did not drain in time");
        }
        self.0.context.cancel();
        let _ = tokio::time::timeout(config.grace, all(self.waits(|_| true))).await;
        let stubborn = self.names();
        if !stubborn.is_empty() {
            tracing::error!(target: "evenkeel::lifecycle", ?stubborn, "aborting what ignores its cancellation");
            for part in self.lock().iter() {
                part.abort();
            }
            let _ = tokio::time::timeout(ABORTED_WITHIN, all(self.waits(|_| true))).await;
        }
        let parts = std::mem::take(&mut *self.lock());
        let mut stopped = Vec::with_capacity(parts.len());
        for part in parts {
            let was = |names: &[Name]| names.contains(part.name());
            let how = match (was(&stubborn), was(&late)) {
                (true, _) => How::Aborted,
                (false, true) => How::Cancelled,
                (false, false) => How::Drained,
            };
            stopped.push(part.settle(how).await);
        }
        Report {
            cause,
            took: began.elapsed(),
            stopped,
            left: self.0.context.register().live(),
        }
    }

    /// The parts that are not over.
    fn names(&self) -> Vec<Name> {
        let parts = self.lock();
        let parts = parts.iter().filter(|part| !part.is_over());
        parts.map(|part| part.name().clone()).collect()
    }

    fn waits(&self, which: impl Fn(&Part) -> bool) -> Vec<CancellationToken> {
        let parts = self.lock();
        let parts = parts.iter().filter(|part| which(part));
        parts.map(Part::over).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Part>> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn all(parts: Vec<CancellationToken>) {
    for part in parts {
        part.cancelled().await;
    }
}

/// A service whose end nobody waits for any more ends at once.
struct AbortOnDrop<'a>(Option<&'a Lifecycle>);

impl AbortOnDrop<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(life) = self.0 {
            life.0.context.cancel();
            for part in life.lock().iter() {
                part.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests;
