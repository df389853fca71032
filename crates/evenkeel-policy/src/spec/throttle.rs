//! The throttle of a dependency as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration, Ratio};

/// When a part of the attempts is not sent, since the dependency refuses a part of what it gets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a throttle: `{}` for the defaults"
)]
pub struct Throttle {
    /// How much more is sent than is accepted, at least 1. 2 begins once half is refused. Nearer to 1:
    /// spares the dependency more and sees it recover later. Default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub headroom: Option<Ratio>,
    /// The time that is looked back on, in ten slices of at least 1ms. Longer: steadier, and slower to
    /// begin and to end. Default 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Fewer attempts than this in the window prove nothing. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_calls: Option<Count>,
    /// Nor do attempts that all came within less than this: a cold start refuses for its own reasons.
    /// Default 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_observed: Option<Duration>,
    /// At most this share is held back, so that some find out when there is room again. Default 0.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub max_share: Option<Ratio>,
}
