//! How often, and how patiently, a failed attempt is repeated.
//!
//! Every retry is bounded three times over: by [`Config::max_attempts`], by the call's deadline, past
//! which nothing sleeps, and by the dependency's [budget]. There is no unbounded form.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::backoff;
use crate::budget;
use crate::retry_after;

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
    /// How a wait that the dependency asks for is heeded. By default, the call gives up when it is longer
    /// than 30 s and hands the wish to its caller.
    pub retry_after: retry_after::Config,
    /// No retry begins later than this after its call began. None: the deadline alone
    /// bounds them. Default none, which `check` reports where nobody chose a deadline either.
    pub max_elapsed: Option<Duration>,
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
            retry_after: retry_after::Config::default(),
            max_elapsed: None,
            budget: Some(budget::Config::default()),
        }
    }
}
