//! How often, and how patiently, a failed attempt is repeated.
//!
//! Every retry is bounded three times over: by [`Config::max_attempts`], by the call's deadline, past
//! which nothing sleeps, and by the dependency's [budget]. There is no unbounded form.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::backoff;
use crate::budget;

/// When and how a failed attempt is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// All attempts of one call, the first among them. One: no retry. Default 3.
    pub max_attempts: NonZeroU32,
    /// The wait before a retry.
    pub backoff: backoff::Config,
    /// The wait before a retry of an attempt that the dependency refused as too much.
    pub throttled: backoff::Config,
    /// When the dependency asks for a longer wait than this, the call gives up and hands the wish to its
    /// caller. Default 30 s.
    pub max_retry_after: Duration,
    /// What bounds the retries of all calls together; none leaves them bounded per call alone, which
    /// `check` reports.
    pub budget: Option<budget::Config>,
}

impl Config {
    /// At most `max_attempts` attempts; everything else as [`Config::default`] has it.
    #[must_use]
    pub fn new(max_attempts: NonZeroU32) -> Self {
        Self {
            max_attempts,
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroU32::MIN.saturating_add(2),
            backoff: backoff::Config::default(),
            throttled: backoff::Config::throttled(),
            max_retry_after: Duration::from_secs(30),
            budget: Some(budget::Config::default()),
        }
    }
}
