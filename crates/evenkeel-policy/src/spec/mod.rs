//! The policy file as written.
//!
//! These types are the file's shape and nothing more: every setting is optional, names are not looked up,
//! numbers are not judged. What an author may write is decided here, what it means in
//! the private module `resolve`. Their documentation is what editors show: it becomes the descriptions of
//! the JSON schema.

mod breaker;
mod choice;
mod dependency;
mod endpoints;
mod hedge;
mod limiter;
mod progress;
mod proxy;
mod rate;
mod scalar;
#[cfg(test)]
mod tests;
mod throttle;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use breaker::{Breaker, FailureRate, Mode, Open, Preset, Probes, SlowRate};
pub use choice::{OneOrMany, OrNone};
pub use dependency::{Backoff, Budget, Bulkhead, Dependency, Growth, Jitter, Retry};
pub use endpoints::{Endpoints, Outlier};
pub use hedge::{After, Hedge};
pub use limiter::{Algorithm, Limiter};
pub use progress::Progress;
pub use proxy::{Bounds, Drain, Fallback, LastGood, Match, Proxy, Route, StaticAnswer, Upstream};
pub use rate::{Rate, RateMode};
pub use scalar::{Count, Duration, Ratio, Size};
pub use throttle::Throttle;

/// One policy for all that a service calls: how long, how often, how many at once, and what instead.
///
/// A section that is absent is off; a section that is there, even as `{}`, is on with its defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a policy: `version: 1`, `service`, `dependencies`, `proxy`"
)]
#[schemars(title = "evenkeel policy", rename = "Policy")]
pub struct Policy {
    /// The version of this format: 1.
    #[schemars(required, range(min = 1, max = 1))]
    pub version: Option<Count>,
    /// The service that calls: lower-case letters, digits and hyphens. It is mixed into the seed of
    /// every random choice, so that two services with equal settings do not retry in step, and it is the
    /// `service` label of every metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What the service calls, by name. The name is the `dependency` label of every metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, Dependency>,
    /// The proxy that stands between the service and its dependencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
}
