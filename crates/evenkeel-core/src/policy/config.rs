//! What a policy is told.

use core::time::Duration;

use crate::{breaker, bulkhead, endpoint, hedge, limiter, progress, rate, retry, throttle};

/// The bounds of every call to one dependency. An absent section means that this bound is off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// A call completes or gets a definite error within this. A caller with less time left brings its own,
    /// tighter deadline. Default 30 s.
    pub deadline: Duration,
    /// How many calls may be made in a time.
    pub rate: Option<rate::Config>,
    /// One attempt may take this long. None: as long as the deadline leaves.
    pub attempt_timeout: Option<Duration>,
    /// Whether and how failed attempts are repeated.
    pub retry: Option<retry::Config>,
    /// Whether and when a slow attempt gets company.
    pub hedge: Option<hedge::Config>,
    /// When a part of the attempts is not sent.
    pub throttle: Option<throttle::Config>,
    /// When the dependency is left alone; of a dependency with several endpoints, each of them.
    pub breaker: Option<breaker::Config>,
    /// How many attempts may be in flight, found out by watching.
    pub limiter: Option<limiter::Config>,
    /// How many attempts may be in flight, fixed; beside a limiter, the most that it may find.
    pub bulkhead: Option<bulkhead::Config>,
    /// The hosts behind the dependency's name. None: one, or none of our business.
    pub endpoints: Option<endpoint::Config>,
    /// What counts as progress. Always on.
    pub progress: progress::Config,
}

impl Config {
    /// Calls that take `deadline` at most, with no other bound.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            rate: None,
            attempt_timeout: None,
            retry: None,
            hedge: None,
            throttle: None,
            breaker: None,
            limiter: None,
            bulkhead: None,
            endpoints: None,
            progress: progress::Config::default(),
        }
    }

    /// The attempts that one call makes at most: what its retries allow, or the first attempt and its
    /// hedges, whichever is more. A hedge is one of them.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        let retried = self
            .retry
            .as_ref()
            .map_or(1, |retry| retry.max_attempts.get());
        let hedged = self
            .hedge
            .as_ref()
            .map_or(1, |hedge| hedge.max_hedges.saturating_add(1));
        retried.max(hedged)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}
