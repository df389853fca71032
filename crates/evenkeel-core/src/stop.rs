//! Why a failed call was not tried again.
//!
//! "It failed" leaves the reader of a log guessing whether more retries would have helped. Each call that
//! ends with a failed attempt ends for one [`StopReason`], out of a closed set.

use core::fmt;

use crate::rejection::Reason;

/// What kept a failed call from another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The failure would repeat itself.
    NotRetryable,
    /// It may have been done, and doing it twice is not safe.
    NotIdempotent,
    /// What was sent cannot be sent again.
    Unreplayable,
    /// The policy allows no more attempts.
    AttemptsExhausted,
    /// The dependency's budget for extra attempts is spent.
    BudgetExhausted,
    /// The wait before another attempt would outlast the deadline.
    DeadlineTooClose,
    /// The dependency asked for a longer wait than the policy allows.
    RetryAfterTooLong,
    /// The dependency asked not to be tried again.
    Forbidden,
    /// Another bound refused the next attempt.
    Refused(
        /// Which.
        Reason,
    ),
    /// It has been retried for as long as it may.
    MaxElapsed,
    /// The retries that its caller granted are spent.
    GrantExhausted,
    /// It is a retry of its caller's already, which retries of our own would multiply.
    CallerRetries,
}

impl StopReason {
    /// How many kinds there are; a refusal is one of them, whatever its reason.
    pub const KINDS: usize = 12;

    /// Every kind, in the order of [`StopReason::index`].
    pub const ALL: [Self; Self::KINDS] = [
        Self::NotRetryable,
        Self::NotIdempotent,
        Self::Unreplayable,
        Self::AttemptsExhausted,
        Self::BudgetExhausted,
        Self::DeadlineTooClose,
        Self::RetryAfterTooLong,
        Self::Forbidden,
        Self::Refused(Reason::BreakerOpen),
        Self::MaxElapsed,
        Self::GrantExhausted,
        Self::CallerRetries,
    ];

    /// The kind's number.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::NotRetryable => 0,
            Self::NotIdempotent => 1,
            Self::Unreplayable => 2,
            Self::AttemptsExhausted => 3,
            Self::BudgetExhausted => 4,
            Self::DeadlineTooClose => 5,
            Self::RetryAfterTooLong => 6,
            Self::Forbidden => 7,
            Self::Refused(_) => 8,
            Self::MaxElapsed => 9,
            Self::GrantExhausted => 10,
            Self::CallerRetries => 11,
        }
    }

    /// The kind in lower-case words joined by underscores, as it stands in metrics and cases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetryable => "not_retryable",
            Self::NotIdempotent => "not_idempotent",
            Self::Unreplayable => "unreplayable",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::BudgetExhausted => "budget_exhausted",
            Self::DeadlineTooClose => "deadline_too_close",
            Self::RetryAfterTooLong => "retry_after_too_long",
            Self::Forbidden => "forbidden",
            Self::Refused(_) => "refused",
            Self::MaxElapsed => "max_elapsed",
            Self::GrantExhausted => "grant_exhausted",
            Self::CallerRetries => "caller_retries",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRetryable => "trying again would not help",
            Self::NotIdempotent => "it may have been done, and doing it twice is not safe",
            Self::Unreplayable => "what was sent cannot be sent again",
            Self::AttemptsExhausted => "no attempts are left",
            Self::BudgetExhausted => "the retry budget is spent",
            Self::DeadlineTooClose => "the deadline is too close for another attempt",
            Self::RetryAfterTooLong => "the dependency asked for a longer wait than is allowed",
            Self::Forbidden => "the dependency asked not to be tried again",
            Self::MaxElapsed => "it has been retried for as long as it may",
            Self::GrantExhausted => "the retries that its caller granted are spent",
            Self::CallerRetries => "its caller is retrying already",
            Self::Refused(reason) => return write!(f, "another attempt was refused: {reason}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_stands_at_its_index() {
        for (index, reason) in StopReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
