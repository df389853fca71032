//! The words in which every driver tells what happened.

use crate::call::Kind;
use crate::policy::Snapshot;
use crate::rejection::Rejection;
use crate::stop::StopReason;

/// An attempt began, at that endpoint if there are several.
#[must_use]
pub fn begun(number: u32, kind: Kind, endpoint: Option<usize>) -> String {
    let hedge = if kind == Kind::Hedge { ", a hedge" } else { "" };
    match endpoint {
        Some(endpoint) => format!("attempt {number} at {endpoint}{hedge}"),
        None => format!("attempt {number}{hedge}"),
    }
}

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

/// What `show` prints of an operation.
#[must_use]
pub fn progress(snapshot: &Snapshot, operation: &str) -> String {
    let name = if operation == "all" { "" } else { operation };
    let found = snapshot
        .operations
        .iter()
        .find(|shown| &*shown.name == name);
    let Some(found) = found else {
        return format!("{operation} unknown");
    };
    let seen = &found.progress;
    format!(
        "{operation} begun={} attempts={} succeeded={} failed={} abandoned={} in_flight={} verdict={}",
        seen.begun,
        seen.attempts,
        seen.succeeded,
        seen.failed,
        seen.abandoned,
        seen.in_flight,
        seen.verdict.as_str()
    )
}

/// What `show` prints: the parts of `snapshot` that the policy has.
#[must_use]
pub fn shown(snapshot: &Snapshot) -> String {
    let mut parts = Vec::new();
    if let Some(breaker) = &snapshot.breaker {
        parts.push(format!("circuit={}", breaker.state.as_str()));
        parts.push(format!("calls={} bad={}", breaker.calls, breaker.bad));
    }
    for (at, endpoint) in snapshot.endpoints.iter().enumerate() {
        let circuit = endpoint
            .breaker
            .as_ref()
            .map_or("none", |breaker| breaker.state.as_str());
        let away = endpoint
            .outlier
            .is_some_and(|host| host.away_until.is_some());
        parts.push(format!("{at}:circuit={circuit},away={away}"));
    }
    if let Some(rate) = &snapshot.rate {
        parts.push(format!("remaining={}", rate.remaining));
    }
    if let Some(throttle) = &snapshot.throttle {
        parts.push(format!(
            "wanted={} accepted={} held_back={}",
            throttle.wanted, throttle.accepted, throttle.held_back
        ));
    }
    if let Some(limiter) = &snapshot.limiter {
        parts.push(format!(
            "limit={} taken={}",
            limiter.limit, limiter.in_flight
        ));
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
