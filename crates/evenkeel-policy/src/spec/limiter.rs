//! The adaptive limit of a dependency as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration};

/// How many attempts may be under way at once, found out by watching latency and refusals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a limiter: `{}` for the defaults"
)]
pub struct Limiter {
    /// What turns what was seen into a limit. Default own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// The limit at first. Larger: no ramp after a start, and more load on a dependency that cannot bear
    /// it. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub initial: Option<Count>,
    /// The limit is never lower. Default 1, and as the source has it with `aimd` and `gradient2`: 20.
    /// Without effect with `vegas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min: Option<Count>,
    /// Nor higher. Default 1000, and 200 with `aimd` and `gradient2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max: Option<Count>,
    /// With `algorithm: own`: latency above this is never healthy, whatever was seen. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_healthy_latency: Option<Duration>,
    /// The limit is looked at anew after this at the soonest. Shorter: reacts sooner, to less. Default
    /// 250ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_window: Option<Duration>,
    /// And after this at the latest. Default 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_window: Option<Duration>,
    /// In between, once this many attempts ended; with fewer, at the latest, nothing changes. Default 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_samples: Option<Count>,
}

/// What turns what was seen into a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// evenkeel's own: latency against two baselines, refusals, and whether more is served.
    Own,
    /// Halves on errors and on doubled latency, and grows by one when it is full.
    Classic,
    /// The additive increase and multiplicative decrease of Netflix's concurrency-limits.
    Aimd,
    /// The Vegas of Netflix's concurrency-limits.
    Vegas,
    /// The Gradient2 of Netflix's concurrency-limits.
    Gradient2,
}
