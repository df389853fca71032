use crate::ratio::Ratio;
use core::num::NonZeroU32;
use core::time::Duration;

/// How many attempts may be under way at once, and how a caller may wait for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Attempts in flight at most.
    pub limit: NonZeroU32,
    /// Callers that may wait for a slot at most; zero rejects at once. Default: as many as `limit`, at
    /// most 100.
    pub queue: u32,
    /// A caller waits at most this long. Default 50 ms.
    pub max_wait: Duration,
    /// And at most this share of the time left until its deadline. Default 0.1.
    pub max_wait_share: Ratio,
}

impl Config {
    /// At most `limit` attempts in flight, with the default queue.
    #[must_use]
    pub fn new(limit: NonZeroU32) -> Self {
        Self {
            limit,
            queue: limit.get().min(100),
            max_wait: Duration::from_millis(50),
            max_wait_share: Ratio::from_permille(100),
        }
    }
}
