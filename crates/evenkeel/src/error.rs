//! What a call that did not succeed tells its caller.
//!
//! "Connection reset" leaves the person who reads it with the questions that matter: has it been done?
//! whose fault is it? when may I come back? what was tried? A [`CallError`] answers all four.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_core::call::{AttemptRecord, StopReason};
use evenkeel_core::grant::Grant;
use evenkeel_core::outcome::{Outcome, Sent};
use evenkeel_core::rejection::{Reason, Rejection};

use crate::drive;

/// Why a call did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError<E> {
    /// One of our own bounds refused the call. Nothing was sent.
    Rejected {
        /// Which bound, and when to come back.
        rejection: Rejection,
        /// The call.
        report: Report,
    },
    /// The deadline passed with an attempt in flight.
    DeadlineExceeded {
        /// The call.
        report: Report,
    },
    /// The last attempt outlived its timeout, and there was no other.
    AttemptTimedOut {
        /// The call.
        report: Report,
    },
    /// The last attempt failed, and there was no other.
    Operation {
        /// The operation's own error.
        error: E,
        /// The call.
        report: Report,
    },
}

/// Who can do something about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The caller: the request itself is wrong, or came with too little time.
    Caller,
    /// The dependency: it failed, or did not answer.
    Dependency,
    /// The bounds: they protect the dependency or its callers right now.
    Bounds,
}

/// The history of a failed call.
#[derive(Debug, Clone)]
pub struct Report(Box<History>);

#[derive(Debug, Clone)]
struct History {
    dependency: Arc<str>,
    attempts: Vec<AttemptRecord>,
    stop: Option<StopReason>,
    ran: Duration,
    /// Whether the deadline was the caller's, tighter than the policy's own.
    hurried: bool,
    grant: Option<Grant>,
    in_flight: bool,
}

impl Report {
    pub(crate) fn new(dependency: Arc<str>, history: drive::History) -> Self {
        let drive::History {
            attempts,
            ran,
            hurried,
            grant,
        } = history;
        Self(Box::new(History {
            dependency,
            attempts,
            stop: None,
            ran,
            hurried,
            grant,
            in_flight: false,
        }))
    }

    pub(crate) fn stopped(mut self, reason: StopReason) -> Self {
        self.0.stop = Some(reason);
        self
    }

    pub(crate) fn with_attempt_in_flight(mut self) -> Self {
        self.0.in_flight = true;
        self
    }

    /// The dependency's name.
    #[must_use]
    pub fn dependency(&self) -> &str {
        &self.0.dependency
    }

    /// The failed attempts, in order: how each failed, how long it ran, what it waited for.
    #[must_use]
    pub fn attempts(&self) -> &[AttemptRecord] {
        &self.0.attempts
    }

    /// What kept the call from another attempt; none if it was refused or ran out of time.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.0.stop
    }

    /// How long the call took in all.
    #[must_use]
    pub fn ran(&self) -> Duration {
        self.0.ran
    }

    /// The extra attempts that are left of what was granted: tell whoever granted them, with the answer. None
    /// where nobody counts.
    #[must_use]
    pub fn grant(&self) -> Option<Grant> {
        self.0.grant
    }

    fn sent(&self) -> Sent {
        let in_flight = if self.0.in_flight {
            Sent::Maybe
        } else {
            Sent::No
        };
        // One attempt that may have been done is what matters, whatever is known of the others.
        let maybe = |sent: Sent| {
            if sent == Sent::Maybe {
                2
            } else {
                u8::from(sent == Sent::Yes)
            }
        };
        let each = self.0.attempts.iter().map(|attempt| attempt.class.sent());
        each.chain([in_flight])
            .max_by_key(|sent| maybe(*sent))
            .unwrap_or(Sent::No)
    }
}

impl<E> CallError<E> {
    /// The history of the call.
    #[must_use]
    pub fn report(&self) -> &Report {
        match self {
            Self::Rejected { report, .. }
            | Self::DeadlineExceeded { report }
            | Self::AttemptTimedOut { report }
            | Self::Operation { report, .. } => report,
        }
    }

    /// Whether the dependency has seen the call: before doing it again, look here.
    ///
    /// `Maybe` outweighs `Yes`: an attempt that failed for certain says nothing about another one that may
    /// have been done.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.report().sent()
    }

    /// Who can do something about it.
    #[must_use]
    pub fn blame(&self) -> Blame {
        let report = self.report();
        match self {
            Self::Rejected { rejection, .. } => match rejection.reason {
                Reason::DeadlineTooClose => Blame::Caller,
                _ => Blame::Bounds,
            },
            Self::DeadlineExceeded { .. } if report.0.hurried => Blame::Caller,
            Self::Operation { .. } => match report.attempts().last() {
                Some(last) if last.outcome == Outcome::Ignored => Blame::Caller,
                _ => Blame::Dependency,
            },
            Self::AttemptTimedOut { .. } | Self::DeadlineExceeded { .. } => Blame::Dependency,
        }
    }

    /// When trying again is worth it, counted from the error; none where nobody can tell.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { rejection, .. } => rejection.retry_after,
            other => other
                .report()
                .attempts()
                .last()
                .and_then(|last| last.retry_after),
        }
    }

    /// The operation's own error, if the last attempt ended with one.
    pub fn into_operation(self) -> Option<E> {
        match self {
            Self::Operation { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl<E> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report();
        let dependency = report.dependency();
        match self {
            Self::Rejected { rejection, .. } => {
                return write!(f, "call to {dependency} refused: {rejection}");
            }
            Self::DeadlineExceeded { .. } => {
                write!(
                    f,
                    "call to {dependency} exceeded its deadline after {:?}",
                    report.ran()
                )?;
            }
            Self::AttemptTimedOut { .. } => write!(f, "call to {dependency} timed out")?,
            Self::Operation { .. } => write!(f, "call to {dependency} failed")?,
        }
        let attempts = report.attempts().len() + usize::from(report.0.in_flight);
        write!(
            f,
            ", {attempts} {} made",
            if attempts == 1 { "attempt" } else { "attempts" }
        )?;
        report
            .stop_reason()
            .map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

impl<E: std::error::Error + 'static> std::error::Error for CallError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Operation { error, .. } => Some(error),
            Self::Rejected { rejection, .. } => Some(rejection),
            Self::DeadlineExceeded { .. } | Self::AttemptTimedOut { .. } => None,
        }
    }
}
