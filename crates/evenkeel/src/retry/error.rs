//! How a call that was retried ends without an answer.

use std::fmt;
use std::num::NonZeroU32;

use evenkeel_core::call::StopReason;

use crate::context::Ended;
use crate::leaks::Name;

/// Why a retried operation has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The last attempt failed, and there was no other.
    Failed {
        /// The name of the [`Retry`](super::Retry).
        name: Name,
        /// The last attempt's error.
        error: E,
        /// How many attempts were made.
        attempts: NonZeroU32,
        /// Why there was no other.
        reason: StopReason,
    },
    /// The context ended: nobody wants the answer any more.
    Ended {
        /// The name of the [`Retry`](super::Retry).
        name: Name,
        /// How it ended.
        ended: Ended,
        /// How many attempts were begun.
        attempts: u32,
        /// The last error, of the attempt before the one that was dropped.
        last: Option<E>,
    },
}

impl<E> Error<E> {
    /// The operation's own last error.
    pub fn into_operation(self) -> Option<E> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::Ended { last, .. } => last,
        }
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed {
                name,
                attempts,
                reason,
                ..
            } => write!(
                f,
                "{name} failed, {attempts} made: {reason}",
                attempts = Made(attempts.get())
            ),
            Self::Ended {
                name,
                ended,
                attempts,
                ..
            } => write!(
                f,
                "{name} ended, {attempts} made: {ended}",
                attempts = Made(*attempts)
            ),
        }
    }
}

struct Made(u32);

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 attempt"),
            many => write!(f, "{many} attempts"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::Ended { last, .. } => last.as_ref().map(|error| error as _),
        }
    }
}

/// An error with its verdict, for operations some of whose errors are for good. `?` takes any error for
/// transient; wrap the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// The next attempt may succeed.
    Transient(E),
    /// It would fail again.
    Permanent(E),
}

impl<E> Failure<E> {
    /// Whether trying again is pointless.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent(_))
    }

    /// The error.
    pub fn into_inner(self) -> E {
        match self {
            Self::Transient(error) | Self::Permanent(error) => error,
        }
    }
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Transient(error)
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient(error) | Self::Permanent(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transient(error) | Self::Permanent(error) => error.source(),
        }
    }
}
