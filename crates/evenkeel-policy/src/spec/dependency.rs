//! One dependency as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Breaker, Count, Duration, Endpoints, Hedge, Limiter, OrNone, Progress, Rate, Ratio, Throttle,
};

/// The bounds of every call to one dependency. A section that is absent is off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a dependency, such as `{ deadline: 1s }`"
)]
pub struct Dependency {
    /// A call completes or gets a definite error within this, all its attempts and waits included.
    /// Default 30s, which `check` reports: a bound nobody chose is too long for somebody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// How many calls may be made in a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// One attempt may take this long. Default: what is left of the deadline, so that an attempt that
    /// hangs leaves no time for another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_timeout: Option<Duration>,
    /// Whether and how failed attempts are repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Whether and when a slow call is made a second time beside the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<Hedge>,
    /// When a part of the attempts is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    /// When the dependency is left alone for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// How many attempts may be under way at once, found out by watching.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limiter: Option<Limiter>,
    /// How many attempts may be under way at once. Beside a `limiter`, the most that it may find.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<Bulkhead>,
    /// The hosts behind the name, for a service that addresses them itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// What counts as getting work done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// When and how a failed attempt is repeated. Never past the deadline, never without a bound.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of `retry`, such as `{ attempts: 3 }`"
)]
pub struct Retry {
    /// All attempts of one call, the first among them: 1 is no retry. Default 3, and 2 for a dependency
    /// that the proxy calls, since its callers may retry too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempts: Option<Count>,
    /// The wait before a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// The wait before a retry when the dependency said that it has too much to do: the settings of
    /// `backoff`, but with the defaults `initial: 1s` and `max: 20s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Backoff>,
    /// No retry begins later than this after its call began. Default: the deadline alone bounds
    /// them, which `check` reports where that is a default as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_elapsed: Option<Duration>,
    /// When the dependency asks for a longer wait than this, the call gives up and hands the wish to its
    /// caller. Default 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retry_after: Option<Duration>,
    /// What bounds the retries of all calls together. On by default; `none` leaves them bounded per call
    /// alone, so that an outage multiplies the load by `attempts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<OrNone<Budget>>,
}

/// How the waits before retries grow, and how they are spread.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a back-off, such as `{ initial: 50ms }`"
)]
pub struct Backoff {
    /// How the wait grows from one retry to the next. Default exponential. Not with `jitter:
    /// decorrelated`, whose draw makes it grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// With `growth: exponential`: each wait is this many times the one before, at least 1. Default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub multiplier: Option<Ratio>,
    /// With `growth: linear`: each wait is this much longer than the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub increment: Option<Duration>,
    /// How the wait is spread, so that clients that failed together do not come back together. Default
    /// decorrelated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Jitter>,
    /// The first wait, before jitter. Larger: calmer servers, slower answers. Default 50ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<Duration>,
    /// No wait is longer, whatever growth and jitter make of it. Default 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// Of two parties that back off from each other, this one does not: it retries at once. Not for callers
    /// of a server, of which there are many. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authoritative: Option<bool>,
}

/// How a wait grows from one retry to the next, before jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// Always `initial`.
    Constant,
    /// `initial`, then longer by `increment` each time.
    Linear,
    /// `initial`, then `multiplier` times longer each time.
    Exponential,
}

/// How a wait is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Not at all: clients that fail together come back together.
    None,
    /// Evenly from zero to the wait.
    Full,
    /// Evenly from half the wait to the wait.
    Equal,
    /// Evenly from `initial` to three times the wait before.
    Decorrelated,
    /// Evenly around the wait by this share of it, the randomisation factor: 0.5 is from half to one and
    /// a half times the wait. Under 0.5 is reported as too little.
    Proportional(#[schemars(range(max = 1))] Ratio),
}

/// How much extra load retries may make, over all calls to the dependency.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a retry budget, such as `{ ratio: 0.2 }`, or `none`"
)]
pub struct Budget {
    /// Retries per call, at most 1. Larger: more failures are hidden, and a struggling dependency is
    /// pushed harder. Default 0.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub ratio: Option<Ratio>,
    /// Retries per second that are allowed whatever the traffic, so that a quiet service can retry at
    /// all. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor_per_second: Option<Count>,
    /// How long a call counts, and how long a retry is held against it. Kept in ten slices of at least
    /// 1ms. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// At least this many retries may be under way or waiting at once. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_concurrent: Option<Count>,
    /// The share of the attempts in flight that may be retries, where that is more. Default 0.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub concurrent: Option<Ratio>,
}

/// How many attempts may be under way at once, and how a caller may wait for its turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a bulkhead, such as `{ limit: 40 }`"
)]
pub struct Bulkhead {
    /// Attempts in flight at most. A starting point: calls per second at peak, times the seconds that a
    /// call takes at p99, times one and a half.
    #[schemars(required, range(min = 1))]
    pub limit: Option<Count>,
    /// Callers that may wait for a slot at most; 0 rejects at once. Default: as many as `limit`, at most
    /// 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Count>,
    /// A caller waits at most this long. Default 50ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
    /// And at most this share of the time left until its deadline. Default 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub max_wait_share: Option<Ratio>,
}
