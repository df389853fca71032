//! The hosts behind a dependency's name as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration, OrNone, Ratio};

/// The hosts behind the name, for a service that addresses them itself: each attempt is told which one it
/// goes to, and each has a breaker of its own. Not for a dependency that the proxy calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of endpoints, such as `{ count: 3 }`"
)]
pub struct Endpoints {
    /// How many there are, from 2 to 64.
    #[schemars(required, range(min = 2, max = 64))]
    pub count: Option<Count>,
    /// When one of them is left out for a while. On by default; `none`: only its breaker judges it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier: Option<OrNone<Outlier>>,
    /// What is known of a host's latency counts half after this time. Default 7s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_life: Option<Duration>,
    /// A failed attempt counts as if it had taken this long, if it did not take longer. Default 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<Duration>,
    /// When the breakers of more than this share of the hosts are not closed, but not of all, breakers are
    /// ignored, so that the few hosts left are not the next to go down. 1: never. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub panic: Option<Ratio>,
}

/// When a host that is worse than its peers is left out, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of an outlier rule, such as `{ consecutive: 5 }`, or `none`"
)]
pub struct Outlier {
    /// Left out after this many failures in a row. `none`: not for that. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<OrNone<Count>>,
    /// Left out when it fails this many times as often as the median of its peers, at least 1. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub factor: Option<Ratio>,
    /// But only if at least this share of its attempts failed. Default 0.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub min_failures: Option<Ratio>,
    /// Fewer attempts than this in the window prove nothing. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_calls: Option<Count>,
    /// The time that is looked back on, in ten slices of at least 1ms. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// How long a host stays away the first time; doubled each time it comes back and fails. Default 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<Duration>,
    /// And at most. Default 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// Spreads the time away by this share up and down. Default 0.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub jitter: Option<Ratio>,
    /// At most this share of the hosts is away at once, rounded down. Default 0.334.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub max_ejected: Option<Ratio>,
    /// If more than this share is away all the same, nobody is left out. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub panic: Option<Ratio>,
}
