//! The breaker of a dependency as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration, OrNone, Ratio};

/// When the circuit to the dependency opens, for how long, and what closes it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a breaker: `{}` for the defaults"
)]
pub struct Breaker {
    /// Where the defaults of this section come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Opens by the share of failures in a window. `none`: does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<OrNone<FailureRate>>,
    /// Opens by the share of slow calls in the same window, those that still run among them. `none`: does
    /// not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<OrNone<SlowRate>>,
    /// Opens after this many failures in a row: the rule that sees a dead dependency behind low traffic.
    /// `none`: does not. Default 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<OrNone<Count>>,
    /// How long the circuit stays open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
    /// What is let through while half-open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// After closing, admits a share of the calls that grows from a tenth to all over this time. `0s`:
    /// all at once. Default 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Duration>,
    /// Who decides about the circuit at first; it can be changed while it runs. Default automatic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// Who decides about a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Its rules.
    Automatic,
    /// A person, who wants no call made.
    ForcedOpen,
    /// A person, who wants every call made and none counted.
    Disabled,
    /// Its rules, and yet every call is made: the state and `evenkeel_breaker_unenforced_total` show what
    /// would be refused.
    ObserveOnly,
}

/// A named set of defaults for a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The numbers most texts use: opens after five failures in a row, for 30s, then one probe decides.
    Classic,
}

/// Opening by the share of failures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a failure rate, such as `{ threshold: 0.5 }`, or `none`"
)]
pub struct FailureRate {
    /// Opens when at least this share of the window's calls failed: more than 0, at most 1. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub threshold: Option<Ratio>,
    /// The time that is looked back on, in ten slices of at least 1ms. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Fewer calls than this in the window prove nothing. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_calls: Option<Count>,
    /// Nor do calls that all came within less than this; at most the window. Default 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_observed: Option<Duration>,
}

/// Opening by the share of slow calls: of those that `rate` looks back on, and of those that are slow
/// already and still run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of slow calls, such as `{ than: 2s }`, or `none`"
)]
pub struct SlowRate {
    /// Opens when at least this share of the window's calls was slow: more than 0, at most 1. Default 0.8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub threshold: Option<Ratio>,
    /// Calls that take this long are slow. Default: `factor` times the usual duration, at least `at_least`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub than: Option<Duration>,
    /// Without `than`: calls that take this many times the median of the successes are slow, at least 1.
    /// Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub factor: Option<Ratio>,
    /// Without `than`: but calls shorter than this never are. Default 1s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Duration>,
}

/// How long a circuit stays open: `initial`, doubled each time it opens again, spread by `jitter`, at
/// most `max`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of the open state, such as `{ initial: 1s }`"
)]
pub struct Open {
    /// The first time. Shorter: faster recovery, more probes at a dead dependency. Default 1s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<Duration>,
    /// At most this, after jitter. Default 4s; a fleet of hundreds wants longer, since its probes add
    /// up: at least a second for every 25 processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// Spreads the time by this share up and down, so that a fleet does not probe in step. Default 0.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub jitter: Option<Ratio>,
}

/// What a half-open circuit lets through.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of the probes, such as `{ concurrent: 1 }`"
)]
pub struct Probes {
    /// How many may be under way at once: 1 to 10. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub concurrent: Option<Count>,
    /// The least time between two. Default 100ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<Duration>,
    /// This many successes close the circuit: 1 to 15. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15))]
    pub successes: Option<Count>,
    /// More failures than this open it again: 0 to 14. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 14))]
    pub tolerated_failures: Option<Count>,
    /// A probe that has not reported by then counts as a failure, and its place is free again. Counts only
    /// without an `attempt_timeout`, which is a probe's lease where there is one. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
}
