//! What a server admits, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Limiter, OrNone, Ratio};

/// Which of the requests that come in are served, in which order, and which are refused. The deadline that each
/// carries and what is measured decide; nothing here needs to be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of an admission: `{}` for the defaults"
)]
pub struct Admission {
    /// Requests that are served at once: as many as there are workers. Say it where it is known. Default:
    /// found by watching, as `limiter` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workers: Option<Count>,
    /// How the number of requests that are served at once is found. Not with `workers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limiter: Option<Limiter>,
    /// When requests are refused by how much they matter, before they queue. On by default; `none`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shed: Option<OrNone<Shed>>,
    /// What each tenant may use, beside its turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Tenants>,
}

/// Refusing the less important on arrival.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of shedding, such as `{ headroom: 16 }`, or `none`"
)]
pub struct Shed {
    /// The queue is left this many arrivals to choose from for each one it begins, at least 2. Smaller: whole trees
    /// of calls are admitted or refused sooner, and what is served has waited longer. Default 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub headroom: Option<Ratio>,
}

/// What tenants may use. Those that are not named have one share each, and belong to the group `others`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of tenants, such as `{ rate: { per_second: 100 } }`"
)]
pub struct Tenants {
    /// How many requests each tenant may make, for each of its shares. Default: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<TenantRate>,
    /// The shares of tenants that have more than one, by name: of the turns, and of the rate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shares: BTreeMap<String, Count>,
    /// Parts of the workers for groups of tenants, by the name of the group; `others` is of all tenants that
    /// no group names, and has one share unless it is written. Default: all workers for all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Group>,
}

/// How many requests a tenant may make.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a tenant's rate, such as `{ per_second: 100 }`"
)]
pub struct TenantRate {
    /// So many a second, for each share, up to a million.
    #[schemars(required, range(min = 1, max = 1_000_000))]
    pub per_second: Option<Count>,
    /// So many at once after a pause. Default: as many as in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<Count>,
    /// Tenants that are told apart at once, eight bytes each, up to ten million; those beyond share one bucket.
    /// Default 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_tenants: Option<Count>,
}

/// A part of the workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of a group of tenants, such as `{ tenants: [acme], shares: 3 }`"
)]
pub struct Group {
    /// Its tenants, by name. Not for `others`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// Its part, in relation to the other groups'. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub shares: Option<Count>,
    /// The share of its workers that others may use while it does not. Larger: less is idle, and a return from a
    /// pause waits for somebody else's request to end. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub lendable: Option<Ratio>,
    /// What it may use of others' workers at most, as a share of its own: 0 is a hard cap. Default `none`:
    /// whatever is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borrowing: Option<OrNone<Ratio>>,
}
