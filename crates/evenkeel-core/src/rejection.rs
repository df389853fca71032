//! Saying no without calling.
//!
//! A refusal that does not say who refused, why, and when to come back is answered with an immediate
//! retry. A [`Rejection`] says why and when; the dependency's name is added by whoever knows it.

use core::fmt;
use core::time::Duration;

/// A call that was refused before anything was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// Which bound refused.
    pub reason: Reason,
    /// When trying again is worth it, counted from now; none where nobody can tell.
    pub retry_after: Option<Duration>,
}

impl Rejection {
    pub(crate) const fn new(reason: Reason) -> Self {
        Self {
            reason,
            retry_after: None,
        }
    }

    pub(crate) const fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        match self.retry_after {
            Some(wait) => write!(f, ", try again in {wait:?}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Rejection {}

/// The bound that refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The circuit is open: the dependency has been failing.
    BreakerOpen,
    /// All slots are taken, and none may be waited for.
    BulkheadFull,
    /// All slots are taken, and as many callers wait as may.
    QueueFull,
    /// No slot came free within the wait that is allowed.
    WaitTimeout,
    /// The deadline had passed, or is too close for an attempt, before one was made.
    DeadlineTooClose,
    /// More calls came than the rate allows.
    RateLimited,
    /// The dependency has been refusing a good part of the calls, so a part is not sent.
    Throttled,
    /// As many attempts are in flight as the adaptive limit allows at present.
    LimiterFull,
    /// It asks for more slots of a bulkhead at once than there are.
    ExceedsLimit,
    /// More important requests need the server.
    Shed,
    /// More requests arrive than can be served in time, and this one has waited longest.
    Overloaded,
    /// The tenant has used up what is its own.
    TenantLimited,
}

impl Reason {
    /// Every reason, in the order of their numbers in [`Reason::index`].
    pub const ALL: [Self; 12] = [
        Self::BreakerOpen,
        Self::BulkheadFull,
        Self::QueueFull,
        Self::WaitTimeout,
        Self::DeadlineTooClose,
        Self::RateLimited,
        Self::Throttled,
        Self::LimiterFull,
        Self::ExceedsLimit,
        Self::Shed,
        Self::Overloaded,
        Self::TenantLimited,
    ];

    /// The reason's place in [`Reason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The reason in lower-case words joined by underscores, as it stands in metrics and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::BulkheadFull => "bulkhead_full",
            Self::QueueFull => "queue_full",
            Self::WaitTimeout => "wait_timeout",
            Self::DeadlineTooClose => "deadline_too_close",
            Self::RateLimited => "rate_limited",
            Self::Throttled => "throttled",
            Self::LimiterFull => "limiter_full",
            Self::ExceedsLimit => "exceeds_limit",
            Self::Shed => "shed",
            Self::Overloaded => "overloaded",
            Self::TenantLimited => "tenant_limited",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BreakerOpen => "circuit open",
            Self::BulkheadFull => "bulkhead full",
            Self::QueueFull => "bulkhead and its queue full",
            Self::WaitTimeout => "no slot came free in time",
            Self::DeadlineTooClose => "deadline too close for an attempt",
            Self::RateLimited => "rate exceeded",
            Self::Throttled => "throttled, since the dependency refuses calls",
            Self::LimiterFull => "adaptive limit reached",
            Self::ExceedsLimit => "asks for more slots than there are",
            Self::Shed => "shed in favour of what is more important",
            Self::Overloaded => "more requests than can be served in time",
            Self::TenantLimited => "the tenant's share is used up",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_says_why_and_when_to_come_back() {
        let rejection =
            Rejection::new(Reason::BreakerOpen).retry_after(Duration::from_millis(1500));
        assert_eq!(rejection.to_string(), "circuit open, try again in 1.5s");
    }

    #[test]
    fn every_reason_stands_at_its_index() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
