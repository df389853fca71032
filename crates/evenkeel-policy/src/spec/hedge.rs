//! The hedges of a dependency as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration, Ratio};

/// Whether and when a call that takes longer than nearly all others is made a second time beside the first.
/// Only what may safely be done twice is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of hedges: `{}` for the defaults"
)]
pub struct Hedge {
    /// The share of attempts that take no longer than the wait before a hedge, of the operation's own.
    /// Higher: fewer hedges, later. Default p95.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// But never before this: on a fast route a hedge costs more than it saves. Default 5ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_delay: Option<Duration>,
    /// Latency is known once this many attempts of the window were measured. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_samples: Option<Count>,
    /// How many hedges one call may make, from 1 to 3. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3))]
    pub max_hedges: Option<Count>,
    /// Hedges per call, over all calls, at most 1. They also take from the budget of `retry`, if there is
    /// one. Default 0.05.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub ratio: Option<Ratio>,
    /// None is made while more than this share of the slots, or of the adaptive limit, is used. Default
    /// 0.8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub max_used: Option<Ratio>,
    /// The time that is looked back on for latency, in ten slices of at least 1ms. Default 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
}

/// A share of attempts, by how long they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// Nine in ten take no longer.
    P90,
    /// Nineteen in twenty take no longer.
    P95,
    /// Ninety-nine in a hundred take no longer.
    P99,
}
