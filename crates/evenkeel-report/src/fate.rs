//! How a request ended, as one label out of a closed set.
//!
//! A status code does not say whether the answer came at the first attempt, from a cache, or from
//! the proxy itself because a breaker was open. The person who is paged asks exactly that. So
//! every request ends with one [`Fate`], and no request with two: the sum over all fates is the
//! number of requests.

use std::fmt;

use serde::Serialize;

/// The closed label of how one request ended.
///
/// The text form is snake case and stable: it is a metric label.
///
/// ```
/// use evenkeel_report::Fate;
///
/// assert_eq!(Fate::BreakerOpen.to_string(), "breaker_open");
/// assert_eq!(Fate::ALL.len(), 18);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fate {
    /// The first attempt was answered well.
    Success,
    /// A later attempt was answered well.
    SuccessAfterRetry,
    /// The concurrent second attempt was answered well, and first.
    SuccessHedge,
    /// A fallback answered instead of the dependency, and the answer says so.
    Degraded,
    /// The answer was shared with an equal request already under way.
    Coalesced,
    /// A stored answer was given again for the same idempotency key.
    Replayed,
    /// The dependency answered with an error that was passed on.
    UpstreamError,
    /// An attempt failed and the request must not be sent twice.
    NotRetryable,
    /// The deadline passed before an answer came.
    DeadlineExceeded,
    /// Every allowed attempt failed.
    RetriesExhausted,
    /// A retry was due and the retry budget had no token left.
    RetryBudgetExhausted,
    /// An attempt failed and the body was too large to be sent again.
    UnreplayableBody,
    /// Refused: the breaker of the dependency is open.
    BreakerOpen,
    /// Refused: the bulkhead of the dependency has no free slot.
    BulkheadFull,
    /// Refused: overload, and the request was among the least important.
    Shed,
    /// Refused: over its rate or quota.
    RateLimited,
    /// Whether the operation took effect is not known.
    InDoubt,
    /// The client left before an answer could be given.
    CancelledByClient,
}

impl Fate {
    /// Every fate, in the order in which reports list them: good ends first, then failures, then
    /// refusals.
    pub const ALL: [Self; 18] = [
        Self::Success,
        Self::SuccessAfterRetry,
        Self::SuccessHedge,
        Self::Degraded,
        Self::Coalesced,
        Self::Replayed,
        Self::UpstreamError,
        Self::NotRetryable,
        Self::DeadlineExceeded,
        Self::RetriesExhausted,
        Self::RetryBudgetExhausted,
        Self::UnreplayableBody,
        Self::BreakerOpen,
        Self::BulkheadFull,
        Self::Shed,
        Self::RateLimited,
        Self::InDoubt,
        Self::CancelledByClient,
    ];

    /// The stable label, as it stands in metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::SuccessAfterRetry => "success_after_retry",
            Self::SuccessHedge => "success_hedge",
            Self::Degraded => "degraded",
            Self::Coalesced => "coalesced",
            Self::Replayed => "replayed",
            Self::UpstreamError => "upstream_error",
            Self::NotRetryable => "not_retryable",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::RetriesExhausted => "retries_exhausted",
            Self::RetryBudgetExhausted => "retry_budget_exhausted",
            Self::UnreplayableBody => "unreplayable_body",
            Self::BreakerOpen => "breaker_open",
            Self::BulkheadFull => "bulkhead_full",
            Self::Shed => "shed",
            Self::RateLimited => "rate_limited",
            Self::InDoubt => "in_doubt",
            Self::CancelledByClient => "cancelled_by_client",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fate_has_its_own_label_and_serialises_as_that_label() {
        let labels: BTreeSet<&str> = Fate::ALL.iter().map(|fate| fate.as_str()).collect();
        assert_eq!(labels.len(), Fate::ALL.len());
        for fate in Fate::ALL {
            assert_eq!(serde_json::to_value(fate).unwrap(), fate.as_str());
        }
    }
}
