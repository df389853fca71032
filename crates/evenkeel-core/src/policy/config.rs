//! What a policy is told.

use core::time::Duration;

use crate::{breaker, bulkhead, retry};

/// The bounds of every call to one dependency. An absent section means that this bound is off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// A call completes or gets a definite error within this. A caller with less time left brings its own,
    /// tighter deadline. Default 30 s.
    pub deadline: Duration,
    /// One attempt may take this long. None: as long as the deadline leaves.
    pub attempt_timeout: Option<Duration>,
    /// Whether and how failed attempts are repeated.
    pub retry: Option<retry::Config>,
    /// When the dependency is left alone.
    pub breaker: Option<breaker::Config>,
    /// How many attempts may be in flight.
    pub bulkhead: Option<bulkhead::Config>,
}

impl Config {
    /// Calls that take `deadline` at most, with no other bound.
    #[must_use]
    pub const fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            attempt_timeout: None,
            retry: None,
            breaker: None,
            bulkhead: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}
