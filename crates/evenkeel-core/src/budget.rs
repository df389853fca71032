use crate::ratio::Ratio;
use core::time::Duration;

/// How much extra load retries and hedges may make together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Extra attempts per first attempt. Larger: more failures are hidden, and a struggling dependency is
    /// pushed harder. Default 0.2 (Finagle, Linkerd, Envoy).
    pub ratio: Ratio,
    /// Extra attempts per second that are allowed whatever the traffic, so that a quiet service can retry
    /// at all. Default 3.
    pub floor_per_second: u32,
    /// How long a call counts, and how long an extra attempt is held against it. Default 10 s.
    pub window: Duration,
    /// At least this many extra attempts may be under way or waiting at once. Default 3.
    pub min_concurrent: u32,
    /// The share of the attempts in flight that may be extra ones, where that is more. Default 0.2.
    pub concurrent: Ratio,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ratio: Ratio::from_permille(200),
            floor_per_second: 3,
            window: Duration::from_secs(10),
            min_concurrent: 3,
            concurrent: Ratio::from_permille(200),
        }
    }
}
