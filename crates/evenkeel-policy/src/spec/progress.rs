//! What counts as progress, as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration, Ratio};

/// What counts as getting work done, and as its lack. Always on, whether or not the section is written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of progress, such as `{ stalled_after: 30s }`"
)]
pub struct Progress {
    /// The time that is looked back on, in ten slices of at least 1ms. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Fewer calls or attempts than this in the window prove nothing. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_calls: Option<Count>,
    /// Without a call that ends well for this long, while one has run for as long, an operation is stalled.
    /// Default 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled_after: Option<Duration>,
    /// More attempts than this for each call that ends well are suspect of a livelock. Default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_attempts_per_success: Option<Count>,
    /// Below this share of what is usual, or of the calls that end, an operation is degraded. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub degraded_below: Option<Ratio>,
}
