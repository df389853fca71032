//! The words in which every driver tells what happened.

use crate::policy::Snapshot;
use crate::rejection::Rejection;
use crate::stop::StopReason;

/// A call was refused.
#[must_use]
pub fn rejected(rejection: &Rejection) -> String {
    let reason = rejection.reason.as_str();
    match rejection.retry_after {
        Some(wait) => format!("rejected: {reason}, retry after {wait:?}"),
        None => format!("rejected: {reason}"),
    }
}

/// A call ended with its last attempt's failure.
#[must_use]
pub fn stopped(reason: StopReason) -> String {
    match reason {
        StopReason::Refused(bound) => format!("failed: refused {}", bound.as_str()),
        other => format!("failed: {}", other.as_str()),
    }
}

/// What `show` prints: the parts of `snapshot` that the policy has.
#[must_use]
pub fn shown(snapshot: &Snapshot) -> String {
    let mut parts = Vec::new();
    if let Some(breaker) = &snapshot.breaker {
        parts.push(format!("circuit={}", breaker.state.as_str()));
        parts.push(format!("calls={} bad={}", breaker.calls, breaker.bad));
    }
    if let Some(bulkhead) = &snapshot.bulkhead {
        parts.push(format!(
            "in_use={} waiting={}",
            bulkhead.in_use, bulkhead.waiting
        ));
    }
    if let Some(budget) = &snapshot.budget {
        let (whole, rest) = (budget.balance_milli / 1000, budget.balance_milli % 1000);
        parts.push(format!("tokens={whole}.{rest:03} extras={}", budget.extras));
    }
    parts.push(format!("in_flight={}", snapshot.tally.in_flight()));
    parts.join(" ")
}
