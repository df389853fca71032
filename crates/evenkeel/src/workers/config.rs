//! How much a pool does at once, and how patiently.

use std::num::NonZeroUsize;
use std::time::Duration;

use evenkeel_core::retry;

use crate::leaks::Name;

/// The bounds of a pool.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The pool's name, in logs, registers and dead letters.
    pub name: Name,
    /// Jobs that run at once. Larger: more load on what the jobs call.
    pub workers: NonZeroUsize,
    /// Jobs that may be accepted beyond those that run: queued, or waiting for their next attempt. Larger:
    /// longer bursts are taken, and the last in line waits longer. Default 100.
    pub queue: usize,
    /// How long a job may take from its submission, in the queue and with all its attempts; then it is
    /// dropped and becomes a dead letter. Default 10 min.
    pub deadline: Duration,
    /// How a failed job is tried again. Default: at most three attempts, retries at most a fifth of the jobs.
    pub retry: retry::Config,
    /// How many jobs may panic before the pool slows down. Default 5 in 60 s.
    pub restarts: Restarts,
    /// A job that shows no sign of life for so long is reported as stuck: see
    /// [`JobContext::beat`](super::JobContext::beat). Default 30 s.
    pub stuck_after: Duration,
    /// How long [`drain`](super::Workers::drain) lets the jobs finish. Default 30 s.
    pub drain: Duration,
    /// How long jobs have after they were cancelled, before they are aborted. Default 5 s.
    pub grace: Duration,
}

impl Config {
    /// A pool called `name` that does `workers` jobs at once; everything else by default.
    #[must_use]
    pub fn new(name: impl Into<Name>, workers: NonZeroUsize) -> Self {
        Self {
            name: name.into(),
            workers,
            queue: 100,
            deadline: Duration::from_secs(600),
            retry: retry::Config::default(),
            restarts: Restarts::default(),
            stuck_after: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }

    /// Jobs that may be accepted and not over.
    pub(super) fn outstanding(&self) -> usize {
        let most = tokio::sync::Semaphore::MAX_PERMITS;
        self.workers.get().saturating_add(self.queue).min(most)
    }
}

/// How many panics are taken in one's stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restarts {
    /// So many panics
    pub most: u32,
    /// within so long. Beyond that, work waits until fewer lie within that time.
    pub within: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self {
            most: 5,
            within: Duration::from_secs(60),
        }
    }
}
