//! How a request ended: one label from a closed list.
//!
//! A status code does not tell an operator what happened: a 503 may be the upstream's own, our
//! breaker's, or our bulkhead's, and a 200 may have cost three attempts or be an hour old. Each
//! request that matched a route gets exactly one fate, whatever happened to it, so that the
//! fates of a route always add up to its requests.

/// How a request ended. The label values are promised: dashboards and alerts are built on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// The upstream's answer was passed on, at the first attempt.
    Success,
    /// The upstream's answer was passed on, after at least one retry.
    SuccessAfterRetry,
    /// A hedge won.
    SuccessHedge,
    /// The upstream failed in a way no retry would cure, or failed after its head was passed on.
    UpstreamError,
    /// It failed, and its method may not be repeated.
    NotRetryable,
    /// The total deadline passed.
    DeadlineExceeded,
    /// Every attempt the policy allows has failed.
    RetriesExhausted,
    /// It failed, and the retry budget had nothing left.
    RetryBudgetExhausted,
    /// It failed, and its body was too large to be kept for another attempt.
    UnreplayableBody,
    /// The breaker was open; nothing was sent.
    BreakerOpen,
    /// The bulkhead was full; nothing was sent.
    BulkheadFull,
    /// Refused by importance under overload.
    Shed,
    /// Refused by a rate limit.
    RateLimited,
    /// A stored answer was replayed for an idempotency key.
    Replayed,
    /// A fallback answered in the upstream's place.
    Degraded,
    /// Shared the answer of another request.
    Coalesced,
    /// A keyed request whose outcome is not known.
    InDoubt,
    /// The client left before its answer was complete, or did not send the rest of its request.
    CancelledByClient,
}

impl Fate {
    /// Every fate, in the order of the enum.
    pub const ALL: [Fate; 18] = [
        Fate::Success,
        Fate::SuccessAfterRetry,
        Fate::SuccessHedge,
        Fate::UpstreamError,
        Fate::NotRetryable,
        Fate::DeadlineExceeded,
        Fate::RetriesExhausted,
        Fate::RetryBudgetExhausted,
        Fate::UnreplayableBody,
        Fate::BreakerOpen,
        Fate::BulkheadFull,
        Fate::Shed,
        Fate::RateLimited,
        Fate::Replayed,
        Fate::Degraded,
        Fate::Coalesced,
        Fate::InDoubt,
        Fate::CancelledByClient,
    ];

    /// The value of the `fate` label, and of our reason header.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Fate::Success => "success",
            Fate::SuccessAfterRetry => "success_after_retry",
            Fate::SuccessHedge => "success_hedge",
            Fate::UpstreamError => "upstream_error",
            Fate::NotRetryable => "not_retryable",
            Fate::DeadlineExceeded => "deadline_exceeded",
            Fate::RetriesExhausted => "retries_exhausted",
            Fate::RetryBudgetExhausted => "retry_budget_exhausted",
            Fate::UnreplayableBody => "unreplayable_body",
            Fate::BreakerOpen => "breaker_open",
            Fate::BulkheadFull => "bulkhead_full",
            Fate::Shed => "shed",
            Fate::RateLimited => "rate_limited",
            Fate::Replayed => "replayed",
            Fate::Degraded => "degraded",
            Fate::Coalesced => "coalesced",
            Fate::InDoubt => "in_doubt",
            Fate::CancelledByClient => "cancelled_by_client",
        }
    }

    /// Whether the caller got what it asked for, degraded or not.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Fate::Success
                | Fate::SuccessAfterRetry
                | Fate::SuccessHedge
                | Fate::Replayed
                | Fate::Degraded
                | Fate::Coalesced
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Fate;
    use std::collections::BTreeSet;

    #[test]
    fn every_fate_has_a_label_of_its_own() {
        let labels: BTreeSet<_> = Fate::ALL.iter().map(|fate| fate.label()).collect();
        assert_eq!(labels.len(), Fate::ALL.len());
        assert!(
            labels
                .iter()
                .all(|label| label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }

    #[test]
    fn all_lists_the_fates_in_the_order_of_the_enum() {
        for (index, fate) in Fate::ALL.iter().enumerate() {
            assert_eq!(*fate as usize, index, "{fate:?} is out of place");
        }
    }
}
