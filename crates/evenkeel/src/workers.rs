//! Work that nobody waits for, done by a fixed number of hands.
//!
//! "Spawn a task and forget it" has no limit but memory, no end but the process's, and nobody who hears of
//! its failure. Here background work has all three. A pool is started once, with a number of workers and a
//! number of jobs that may be [outstanding](Config::queue); whoever submits more waits, for as long as its
//! context allows, or is told at once. Each job has a deadline from its submission on. One that fails is
//! tried again, within a retry budget that all jobs of the pool share; one that fails for good becomes a
//! [dead letter](Letter), with what it was to do and why it was not done. A job that panics takes nothing
//! with it but itself; when many do, the pool [slows down](Config::restarts) and says that it is not well.
//!
//! A pool ends in three steps: it *drains* (accepts nothing, finishes what it has), then *cancels* (its
//! jobs' contexts are cancelled, what has not begun is buried so that it can be replayed), then *aborts*
//! (drops what runs at its next await) and names what even that did not stop.
//!
//! The count of outstanding jobs is raised before a job is queued and lowered when it is over, retries and
//! their waits included: "nothing outstanding" means that nothing is.

mod config;
#[cfg(feature = "redb")]
pub mod dead_letters;
mod drain;
mod job;
mod queue;
mod run;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evenkeel_core::call::CallHint;
use evenkeel_core::policy::{self, Policy};
use tokio::sync::{Semaphore, TryAcquireError};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Restarts};
pub use drain::Leftover;
pub use job::{JobContext, JobFate, Letter, Submitted, Why};

use crate::clock::Clock;
use crate::context::{Context, Ended};
use crate::leaks::{Kind, Name};
use crate::local;
use crate::pulse::Pulse;
use crate::retry::Failure;
use job::Job;
use queue::Queue;
pub(crate) use run::Health;
use run::Running;

/// Puts a dead letter where it can be found again, on a thread that may block.
type Bury<J> = dyn Fn(&Letter<J>) -> Result<(), String> + Send + Sync;

/// A pool of workers for jobs of the type `J`. Cheap to clone; clones are one pool.
///
/// ```
/// use evenkeel::Context;
/// use evenkeel::retry::Failure;
/// use evenkeel::workers::{Config, JobFate, Workers};
/// use std::num::NonZeroUsize;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let config = Config::new("mails", NonZeroUsize::new(4).unwrap());
/// let mails = Workers::start(config, |_, to: std::sync::Arc<String>| async move {
///     if to.contains('@') { Ok(()) } else { Err(Failure::Permanent("no address")) }
/// });
/// let cx = Context::new();
/// let sent = mails.submit(&cx, "a@example.org".to_owned()).await.unwrap();
/// let not_sent = mails.submit(&cx, "nobody".to_owned()).await.unwrap();
/// assert_eq!(sent.finished().await, JobFate::Done);
/// assert!(matches!(not_sent.finished().await, JobFate::Dead { .. }));
/// assert!(mails.drain().await.is_empty(), "nothing was left over");
/// # }
/// ```
pub struct Workers<J>(Arc<Pool<J>>);

struct Pool<J> {
    config: Config,
    policy: Policy,
    clock: Clock,
    queue: Queue<J>,
    /// The right to be outstanding: one for each job, until it is over.
    room: Arc<Semaphore>,
    /// Jobs are parts of this: cancelled when the time to drain is over.
    stop: CancellationToken,
    running: Running,
    health: Health,
    bury: Box<Bury<J>>,
    /// What the leaks of the pool are registered in.
    context: Context,
    tally: Tally,
    next: AtomicU64,
}

#[derive(Default)]
struct Tally {
    done: AtomicU64,
    dead: AtomicU64,
    cancelled: AtomicU64,
    retries: AtomicU64,
    panics: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
}

/// What a pool shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Jobs that were accepted and are not over: queued, running, or waiting for their next attempt.
    pub outstanding: usize,
    /// Those of them that wait for a worker.
    pub queued: usize,
    /// Those that wait for their next attempt.
    pub backing_off: usize,
    /// Those that run.
    pub running: usize,
    /// Those that run and have not shown a sign of life for [`Config::stuck_after`]: name and silence.
    pub stuck: Vec<(Name, Duration)>,
    /// Jobs that were done, ever.
    pub done: u64,
    /// Jobs that failed for good, ever.
    pub dead: u64,
    /// Jobs that were cancelled by whoever submitted them, ever.
    pub cancelled: u64,
    /// Attempts after the first of their job, ever.
    pub retries: u64,
    /// Attempts that panicked, ever.
    pub panics: u64,
    /// Dead letters that could not be put away, ever. Each was logged.
    pub lost: u64,
    /// Jobs that were not accepted, ever.
    pub refused: u64,
}

/// Why a job was not accepted. The job comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused<J> {
    /// The job.
    pub job: J,
    /// The reason.
    pub reason: RefusedBecause,
}

/// Why a pool accepts no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedBecause {
    /// As many jobs as may be are outstanding.
    Full,
    /// The submitter's context ended while it waited for room.
    Ended(Ended),
    /// The pool is draining, or over.
    Draining,
}

impl fmt::Display for RefusedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::Ended(ended) => write!(f, "gave up waiting for room in the queue: {ended}"),
            Self::Draining => f.write_str("the workers are draining"),
        }
    }
}

impl<J> fmt::Display for Refused<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job refused: {}", self.reason)
    }
}

impl<J: fmt::Debug> std::error::Error for Refused<J> {}

impl<J> Clone for Workers<J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<J: Send + Sync + 'static> Workers<J> {
    /// Starts a pool whose workers do jobs with `handler`. Dead letters are logged, and otherwise gone: use
    /// [`start_burying`](Self::start_burying) to keep them.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<F, Fut, E>(config: Config, handler: F) -> Self
    where
        F: Fn(JobContext, Arc<J>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure<E>>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        Self::start_burying(config, |_: &Letter<J>| Ok(()), handler)
    }

    /// Starts a pool that puts its dead letters away with `bury`, which runs on a thread that may block. Its
    /// error is logged and counted.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start_burying<F, Fut, E>(
        config: Config,
        bury: impl Fn(&Letter<J>) -> Result<(), String> + Send + Sync + 'static,
        handler: F,
    ) -> Self
    where
        F: Fn(JobContext, Arc<J>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure<E>>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let mut bounds = policy::Config::new(config.deadline);
        bounds.retry = Some(config.retry.clone());
        let pool = Self(Arc::new(Pool {
            policy: Policy::new(bounds, &config.name, local::stripes()),
            clock: Clock::runtime(),
            queue: Queue::new(),
            room: Arc::new(Semaphore::new(config.outstanding())),
            stop: CancellationToken::new(),
            running: Running::default(),
            health: Health::new(config.restarts),
            bury: Box::new(bury),
            context: Context::current().unwrap_or_default(),
            tally: Tally::default(),
            next: AtomicU64::new(0),
            config,
        }));
        let handler = Arc::new(handler);
        for _ in 0..pool.0.config.workers.get() {
            tokio::spawn(run::worker(Arc::clone(&pool.0), Arc::clone(&handler)));
        }
        pool
    }

    /// Hands in a job, waiting for room until `cx` ends. The job works on behalf of `cx`'s tenant, and not
    /// within its bounds: it has its own deadline and goes on when the submitter is gone.
    ///
    /// # Errors
    /// [`Refused`], with the job.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready leaves the job out, and nobody else's turn is lost.
    pub async fn submit(&self, cx: &Context, job: J) -> Result<Submitted, Refused<J>> {
        let room = tokio::select! {
            biased;
            room = Arc::clone(&self.0.room).acquire_owned() => room.map_err(|_| RefusedBecause::Draining),
            ended = cx.ended() => Err(RefusedBecause::Ended(ended)),
        };
        match room {
            Ok(room) => Ok(self.accept(cx, job, room)),
            Err(reason) => Err(self.refuse(job, reason)),
        }
    }

    /// Hands in a job if there is room for it now.
    ///
    /// # Errors
    /// [`Refused`], with the job.
    pub fn try_submit(&self, cx: &Context, job: J) -> Result<Submitted, Refused<J>> {
        match Arc::clone(&self.0.room).try_acquire_owned() {
            Ok(room) => Ok(self.accept(cx, job, room)),
            Err(TryAcquireError::NoPermits) => Err(self.refuse(job, RefusedBecause::Full)),
            Err(TryAcquireError::Closed) => Err(self.refuse(job, RefusedBecause::Draining)),
        }
    }

    fn refuse(&self, job: J, reason: RefusedBecause) -> Refused<J> {
        self.0.tally.refused.fetch_add(1, Ordering::Relaxed);
        Refused { job, reason }
    }

    fn accept(&self, cx: &Context, job: J, room: tokio::sync::OwnedSemaphorePermit) -> Submitted {
        let pool = &self.0;
        // Before it is queued: nobody sees an idle pool with a job on its way in.
        let outstanding = pool.queue.outstanding();
        let id = pool.next.fetch_add(1, Ordering::Relaxed);
        let own = cx.adopted(pool.config.deadline, pool.stop.child_token());
        let began = pool.clock.now();
        let (stripe, seed) = local::stripe_and_seed();
        let mut hint = CallHint::new(seed).idempotent();
        hint.stripe = stripe;
        let name = Name::Owned(format!("{}#{id}", pool.config.name));
        let registered = pool
            .context
            .register()
            .enter(Kind::Job, name.clone(), own.deadline());
        let (job, submitted) = Job::new(job::Accepted {
            name,
            payload: job,
            context: own,
            call: pool.policy.begin(began, hint),
            pulse: Pulse::new(),
            keeps: (room, registered, outstanding),
        });
        if let Err(job) = pool.queue.push(job) {
            // It was accepted in the instant in which the pool stopped: buried like all that was queued.
            tokio::spawn(run::bury(Arc::clone(pool), job, Why::Stopped));
        }
        submitted
    }

    /// Waits until nothing is outstanding.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn idle(&self) {
        self.0.queue.idle().await;
    }

    /// Whether the pool does its work at full speed: false while it drains, and while more of its jobs
    /// panic than [`Config::restarts`] allows.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.0.room.is_closed() && self.0.health.wait().is_none()
    }

    /// The pool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// What the pool is doing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let pool = &self.0;
        let (outstanding, queued, backing_off) = pool.queue.lengths();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            outstanding,
            queued,
            backing_off,
            running: pool.running.count(),
            stuck: pool.running.stuck(pool.config.stuck_after),
            done: count(&pool.tally.done),
            dead: count(&pool.tally.dead),
            cancelled: count(&pool.tally.cancelled),
            retries: count(&pool.tally.retries),
            panics: count(&pool.tally.panics),
            lost: count(&pool.tally.lost),
            refused: count(&pool.tally.refused),
        }
    }
}

#[cfg(test)]
mod tests;
