//! What became of one attempt.
//!
//! Systems that know two outcomes get the other two wrong, in opposite ways: a caller who hangs up counts
//! as a success and closes a circuit over a dead service, or a timeout counts as nothing and a hung
//! dependency never opens one. Here an attempt has one of four [`Outcome`]s, which the bounds learn from,
//! and a failed one has a [`Class`], which says whether trying again is safe.

use core::fmt;
use core::time::Duration;

/// The verdict on one attempt, for the bounds that learn from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The dependency did its work.
    Success,
    /// The dependency answered, and failed; or the code around the attempt panicked.
    Failure,
    /// The dependency could not keep up: it said so, or it outlived the attempt's timeout.
    Overload,
    /// Nothing was learned about the dependency: the caller hung up early, or the fault was the caller's.
    Ignored,
}

impl Outcome {
    /// Whether the breaker counts it against the dependency.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failure | Self::Overload)
    }

    /// The outcome in one lower-case word, as it stands in metrics and cases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Overload => "overload",
            Self::Ignored => "ignored",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an attempt failed, for the decision whether another one is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It provably never reached the dependency: retried at once, and whatever the operation.
    NotSent,
    /// The dependency refused it unprocessed and asked for less: retried slowly, whatever the operation.
    Rejected,
    /// The dependency failed and is known to have done nothing: retried, whatever the operation.
    Transient,
    /// It may have been done: retried only if the operation is idempotent.
    Ambiguous,
    /// It would fail again: never retried.
    Fatal,
}

impl Class {
    /// Whether the attempt reached the dependency, as far as anyone can know.
    #[must_use]
    pub const fn sent(self) -> Sent {
        match self {
            Self::NotSent => Sent::No,
            Self::Rejected | Self::Transient | Self::Fatal => Sent::Yes,
            Self::Ambiguous => Sent::Maybe,
        }
    }

    /// The class in one lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the dependency has seen the call: what a caller must know before doing it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sent {
    /// Certainly not.
    No,
    /// Nobody can tell.
    Maybe,
    /// Certainly.
    Yes,
}

/// How an attempt ended, as its driver saw it.
///
/// ```
/// use evenkeel_core::outcome::{Class, Finished, Outcome};
/// use std::time::Duration;
///
/// let throttled = Finished::failed(Class::Rejected).retry_after(Duration::from_secs(2));
/// assert_eq!(throttled.outcome, Outcome::Overload);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// What the bounds learn.
    pub outcome: Outcome,
    /// How it failed; none if its answer is acceptable.
    pub class: Option<Class>,
    /// The dependency asked not to be tried again for this long.
    pub retry_after: Option<Duration>,
    /// The dependency asked not to be tried again at all.
    pub no_retry: bool,
    /// How many of the extra attempts that it was [granted](crate::grant) it says are left.
    pub grant_left: Option<u32>,
}

impl Finished {
    /// An acceptable answer.
    #[must_use]
    pub const fn success() -> Self {
        Self {
            outcome: Outcome::Success,
            class: None,
            retry_after: None,
            no_retry: false,
            grant_left: None,
        }
    }

    /// A failure of `class`. Its outcome is what that class says of the dependency: a refusal is overload,
    /// everything else failure.
    #[must_use]
    pub const fn failed(class: Class) -> Self {
        let outcome = match class {
            Class::Rejected => Outcome::Overload,
            _ => Outcome::Failure,
        };
        Self {
            outcome,
            class: Some(class),
            retry_after: None,
            no_retry: false,
            grant_left: None,
        }
    }

    /// An attempt that was dropped because it outlived its timeout.
    #[must_use]
    pub const fn timed_out() -> Self {
        Self::failed(Class::Ambiguous).outcome(Outcome::Overload)
    }

    /// An error that is the caller's own doing: it says nothing of the dependency and is not retried.
    #[must_use]
    pub const fn callers_fault() -> Self {
        Self::failed(Class::Fatal).outcome(Outcome::Ignored)
    }

    /// The same, with another outcome.
    #[must_use]
    pub const fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// The same, with the dependency's wish not to be tried again for `wait`.
    #[must_use]
    pub const fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// The same, and the dependency says how many of the attempts it was granted are left.
    #[must_use]
    pub const fn grant_left(self, attempts: u32) -> Self {
        Self {
            grant_left: Some(attempts),
            ..self
        }
    }

    /// The same, with the dependency's wish not to be tried again at all.
    #[must_use]
    pub const fn no_retry(self) -> Self {
        Self {
            no_retry: true,
            ..self
        }
    }
}
