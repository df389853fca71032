//! One job, from its submission to its end.

use std::sync::Arc;

use evenkeel_core::call::Call;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::queue::Outstanding;
use crate::context::Context;
use crate::leaks::{Name, Registration};
use crate::pulse::Pulse;

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobFate {
    /// It was done.
    Done,
    /// It will not be done, and became a dead letter.
    Dead {
        /// Why.
        why: Why,
        /// How many attempts were begun.
        attempts: u32,
    },
    /// Whoever submitted it cancelled it.
    Cancelled,
}

/// Why a job will not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It failed, for good or for the last time, with this error.
    Failed(String),
    /// It panicked, with this message: nobody knows how far it came.
    Panicked(String),
    /// Its deadline passed.
    DeadlineExceeded,
    /// The workers stopped before it was done.
    Stopped,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::DeadlineExceeded => f.write_str("its deadline passed"),
            Self::Stopped => f.write_str("the workers stopped"),
        }
    }
}

/// A job that will not be done, for whoever looks into it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Letter<J> {
    /// The pool's name.
    pub queue: Name,
    /// What was to be done.
    pub job: Arc<J>,
    /// Why it was not.
    pub why: Why,
    /// How many attempts were begun.
    pub attempts: u32,
}

/// A job in the hands of a pool. Dropping it changes nothing: the job goes on.
#[derive(Debug)]
pub struct Submitted {
    name: Name,
    context: Context,
    pulse: Pulse,
    fate: oneshot::Receiver<JobFate>,
}

impl Submitted {
    /// The job's name: the pool's, and a number.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cancels the job: before it runs it is left out, and while it runs its context ends.
    pub fn cancel(&self) {
        self.context.cancel();
    }

    /// How long ago it showed a sign of life, the last being its submission, the beginning of an attempt,
    /// or a [beat](JobContext::beat).
    #[must_use]
    pub fn silence(&self) -> std::time::Duration {
        self.pulse.silence()
    }

    /// Waits for the job's end.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the job as it is.
    pub async fn finished(self) -> JobFate {
        // Without a word the job's pool is gone, with its runtime.
        self.fate.await.unwrap_or(JobFate::Dead {
            why: Why::Stopped,
            attempts: 0,
        })
    }
}

/// What a handler is told about the job it does.
#[derive(Debug, Clone)]
pub struct JobContext {
    pub(super) context: Context,
    pub(super) pulse: Pulse,
    pub(super) attempt: u32,
}

impl JobContext {
    /// The job's context, which is also the [current](Context::current) one: its deadline, and the news
    /// that it is to stop.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Which attempt of the job this is; 1 is the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Shows a sign of life: work was done since the last one. A job that stays silent for long is
    /// reported as stuck.
    pub fn beat(&self) {
        self.pulse.beat();
    }
}

/// What a job keeps until it is over: its room in the pool, its place in the register, its share of the
/// count of what is outstanding, which is given up last.
pub(super) type Keeps = (OwnedSemaphorePermit, Registration, Outstanding);

pub(super) struct Accepted<J> {
    pub(super) name: Name,
    pub(super) payload: J,
    pub(super) context: Context,
    pub(super) call: Call,
    pub(super) pulse: Pulse,
    pub(super) keeps: Keeps,
}

pub(super) struct Job<J> {
    pub(super) name: Name,
    pub(super) payload: Arc<J>,
    pub(super) context: Context,
    pub(super) call: Call,
    pub(super) pulse: Pulse,
    pub(super) attempts: u32,
    /// The last attempt's error.
    pub(super) error: Option<String>,
    fate: oneshot::Sender<JobFate>,
    keeps: Keeps,
}

impl<J> Job<J> {
    pub(super) fn new(accepted: Accepted<J>) -> (Self, Submitted) {
        let Accepted {
            name,
            payload,
            context,
            call,
            pulse,
            keeps,
        } = accepted;
        let (fate, told) = oneshot::channel();
        let submitted = Submitted {
            name: name.clone(),
            context: context.clone(),
            pulse: pulse.clone(),
            fate: told,
        };
        let job = Self {
            name,
            payload: Arc::new(payload),
            context,
            call,
            pulse,
            attempts: 0,
            error: None,
            fate,
            keeps,
        };
        (job, submitted)
    }

    /// Ends the job. What it kept is free before whoever waits for it hears of it.
    pub(super) fn over(self, fate: JobFate) {
        drop(self.call);
        drop(self.keeps);
        // Nobody may be listening.
        let _ = self.fate.send(fate);
    }
}
