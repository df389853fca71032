//! The rate of a dependency as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration};

/// How many calls may be made in a time, whatever their attempts: a quota.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a rate, such as `{ limit: 100 }`"
)]
pub struct Rate {
    /// So many calls within each `per`.
    #[schemars(required, range(min = 1))]
    pub limit: Option<Count>,
    /// The time in which `limit` may be spent. Default 1s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Duration>,
    /// How many may come at once after a pause. Larger: bursts pass, and the far side meets them. 1: calls
    /// come evenly or not at all. Default: `limit`. Without effect in `mode: strict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<Count>,
    /// What the limit promises. Default smooth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<RateMode>,
}

/// What a rate promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateMode {
    /// The rate in the long run, and a burst on top of it.
    Smooth,
    /// Never more than the limit in any period, wherever it begins. Costs memory for each call of a period.
    Strict,
}
