//! The proxy as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration, OneOrMany, OrNone, Size};

/// The proxy that stands between a service and its dependencies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of the proxy: `upstreams` and `routes`"
)]
pub struct Proxy {
    /// Where the proxy accepts requests: an address and a port; port 0 takes a free one. Default
    /// 127.0.0.1:9000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Where it answers `/livez`, `/readyz` and `/metrics`. Default 127.0.0.1:9901; `none`: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<OrNone<String>>,
    /// How it stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// The servers behind the proxy, by name.
    #[serde(default)]
    #[schemars(!default, extend("minProperties" = 1))]
    pub upstreams: BTreeMap<String, Upstream>,
    /// Which request goes where. Of the routes that match, the most specific holds, in whatever order they
    /// are written: an exact host before `*.`, and that before none; then the longest path prefix; then a
    /// route with methods before one without; of equals the first.
    #[serde(default)]
    #[schemars(!default, length(min = 1))]
    pub routes: Vec<Route>,
    /// What the proxy spends on its clients before any dependency is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
}

/// How the proxy stops when it is told to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of `drain`, such as `{ delay: 5s, idle: 500ms }`"
)]
pub struct Drain {
    /// How long to go on accepting while `/readyz` already says no, so that load balancers can look away
    /// first. Default 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// From the closing of the listener to the last answer; what is still running then is cut and
    /// counted. Default: the longest deadline of a route and 1s, so that nothing is cut inside its
    /// deadline. Whoever kills the process must wait for `delay` and `timeout` together: Kubernetes waits
    /// 30s unless `terminationGracePeriodSeconds` says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long a connection without a request is kept once the listener is closed, for the request that
    /// may be on its way. Default 500ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
}

/// One server behind the proxy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of an upstream, such as `{ url: http://127.0.0.1:8081 }`"
)]
pub struct Upstream {
    /// Where it listens: `http://host:port`, and nothing after the port.
    #[schemars(
        required,
        with = "String",
        regex(pattern = "^http://[^/?#@]+:[0-9]{1,5}/?$")
    )]
    pub url: Option<String>,
    /// The dependency whose bounds hold for it. Default: the one of the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependency: Option<String>,
}

/// Which requests go to an upstream, and what holds for them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a route, such as `{ match: { path_prefix: / }, upstream: … }`"
)]
pub struct Route {
    /// The `route` label of metrics; no two routes share it. Default: the name of the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which requests. Default: all.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Match>,
    /// Where they go: the name of an upstream.
    #[schemars(required)]
    pub upstream: Option<String>,
    /// Tighter than the dependency's deadline, for these requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// Whether the deadline covers the body of the answer, not only its head. Default true; `false` for
    /// answers that stream without an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_covers_body: Option<bool>,
    /// A promise that repeating such a request does no harm, whatever its method. Default false: only
    /// methods that HTTP calls idempotent are retried, and requests that carry an `Idempotency-Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// What to answer a `GET`, `HEAD` or `QUERY` when the upstream has no good answer, labelled as
    /// degraded. No other method is answered so: it would say that what has failed was done. A list is
    /// tried in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<OneOrMany<Fallback>>,
}

/// Which requests a route is for. All that is written must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "what a request must be, such as `{ path_prefix: / }`"
)]
pub struct Match {
    /// The host that the request names, without its port; `*.shop.example` is every host below
    /// `shop.example`. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path begins with this, whole segments: `/a` is for `/a` and `/a/b`, not for `/ab`. Default
    /// `/`, every path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"))]
    pub path_prefix: Option<String>,
    /// The request methods. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub methods: Option<Vec<String>>,
}

/// What is answered instead. Exactly one of the kinds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a fallback, such as `{ static: { body: \"[]\" } }` or `{ last_good: {} }`"
)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Fallback {
    /// Always the same answer. With a status of 200 to 299 not on a route that names methods other than
    /// `GET`, `HEAD` and `QUERY`.
    #[serde(rename = "static", skip_serializing_if = "Option::is_none")]
    pub fixed: Option<StaticAnswer>,
    /// The last good answer to the same request, kept in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good: Option<LastGood>,
}

/// An answer that is always the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an answer, such as `{ status: 200, body: \"[]\" }`"
)]
pub struct StaticAnswer {
    /// The status code: 200 to 599. Default 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<Count>,
    /// The `Content-Type` field. Default `text/plain; charset=utf-8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body. Default empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// The last good answer, kept in memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of `last_good`: `{}` for the defaults"
)]
pub struct LastGood {
    /// An older answer is not served. Default 24h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// What the proxy spends on its clients before any dependency is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the settings of `bounds`, such as `{ max_connections: 10000 }`"
)]
pub struct Bounds {
    /// Client connections open at once. At the bound the proxy stops accepting, so that further clients
    /// wait in the kernel's backlog instead of in memory. Default 10000; fewer where the system's limit on
    /// open files has no room for two to each, which the proxy says when it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_connections: Option<Count>,
    /// Bytes of one request head, line and fields together; a larger one is answered 431. Default 32KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_head_bytes: Option<Size>,
    /// Bytes that one connection buffers in each direction: what a slow reader can hold. Default 64KiB;
    /// at least `max_head_bytes`, and at least 8KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_buffer_bytes: Option<Size>,
    /// From the first byte of a request head to its last. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_timeout: Option<Duration>,
    /// How long a connection may stay open between two requests. Default 1m15s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// How long a request may go without one byte moving in either direction, where its route has no
    /// deadline over the body. Default 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_timeout: Option<Duration>,
    /// After closing our half of a connection: how long to keep reading what the client still sends, so
    /// that the reset its bytes would cause does not destroy the answer on its way. Default 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linger_timeout: Option<Duration>,
    /// To open a connection to an upstream. Default 1s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// Idle connections kept per upstream. Default 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_idle_connections: Option<Count>,
    /// How long an idle upstream connection may be used again. Default 4s, just under the 5s after which
    /// many servers close theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_idle_timeout: Option<Duration>,
    /// Bytes of one request body kept for another attempt; a longer body is sent once, streaming.
    /// Default 64KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_bytes: Option<Size>,
    /// The same for all requests together. Default 16MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_bytes_total: Option<Size>,
    /// Bytes of one answer kept as the last good one. Default 256KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good_bytes: Option<Size>,
    /// The same for all answers together. Default 16MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good_bytes_total: Option<Size>,
}
