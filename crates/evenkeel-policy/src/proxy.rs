//! What the proxy is told, resolved.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::name::Name;

/// The proxy that stands between a service and its dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where requests are accepted.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are answered; none: nowhere.
    pub admin: Option<SocketAddr>,
    /// How the proxy stops.
    pub drain: Drain,
    /// The servers behind the proxy.
    pub upstreams: BTreeMap<Name, Upstream>,
    /// In the order of the file. Of those that match a request the most specific holds: an exact host
    /// before `*.`, and that before none; then the longest path prefix; then methods before none; of
    /// equals the first.
    pub routes: Vec<Route>,
    /// What is spent on clients before any dependency is asked.
    pub bounds: Bounds,
}

/// How the proxy stops when it is told to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drain {
    /// How long to go on accepting while `/readyz` already says no.
    pub delay: Duration,
    /// From the closing of the listener to the last answer: no shorter than the longest deadline, or
    /// requests are cut that are inside theirs.
    pub timeout: Duration,
    /// How long a connection without a request is kept once the listener is closed.
    pub idle: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            timeout: Duration::from_secs(31),
            idle: Duration::from_millis(500),
        }
    }
}

/// One server behind the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upstream {
    /// A DNS name or an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The dependency whose bounds hold; it is defined.
    pub dependency: Name,
}

impl Upstream {
    /// `host:port`, as in a `Host` field and for resolving.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.authority())
    }
}

/// Which requests go to an upstream, and what holds for them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The `route` label; no two routes share it.
    pub name: Name,
    /// The lower-case host a request must name, `*.` standing for whatever is below it; none: any.
    pub host: Option<String>,
    /// What the path begins with, in whole segments: `/`, or without a slash at its end.
    pub path_prefix: String,
    /// The methods; empty: any.
    pub methods: Vec<String>,
    /// Where the requests go; it is defined.
    pub upstream: Name,
    /// Tighter than the dependency's deadline; none: that one.
    pub deadline: Option<Duration>,
    /// Whether the deadline covers the body of the answer.
    pub deadline_covers_body: bool,
    /// Whether any method may be repeated.
    pub idempotent: bool,
    /// What is answered instead, tried in order.
    pub fallbacks: Vec<Fallback>,
}

/// What is answered to a `GET`, `HEAD` or `QUERY` when the upstream has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// Always the same.
    Static {
        /// 200 to 599.
        status: u16,
        /// A valid field value.
        content_type: String,
        /// The bytes to send.
        body: String,
    },
    /// The last good answer to the same request.
    LastGood {
        /// An older one is not served.
        max_age: Duration,
    },
}

/// What the proxy spends on its clients before any dependency is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// Client connections open at once.
    pub max_connections: usize,
    /// Bytes of one request head.
    pub max_head_bytes: usize,
    /// Bytes that one connection buffers in each direction; at least `max_head_bytes` and 8 KiB.
    pub max_buffer_bytes: usize,
    /// From the first byte of a request head to its last.
    pub head_timeout: Duration,
    /// How long a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// How long a request may go without one byte moving, where no deadline covers the body.
    pub stall_timeout: Duration,
    /// How long to read on after closing our half of a connection.
    pub linger_timeout: Duration,
    /// To open a connection to an upstream.
    pub connect_timeout: Duration,
    /// Idle connections kept per upstream.
    pub upstream_idle_connections: usize,
    /// How long an idle upstream connection may be used again.
    pub upstream_idle_timeout: Duration,
    /// Bytes of one request body kept for another attempt.
    pub replay_bytes: usize,
    /// The same for all requests together.
    pub replay_bytes_total: usize,
    /// Bytes of one answer kept as the last good one.
    pub last_good_bytes: usize,
    /// The same for all answers together.
    pub last_good_bytes_total: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            max_connections: 10_000,
            max_head_bytes: 32 * KIB,
            max_buffer_bytes: 64 * KIB,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(300),
            linger_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            upstream_idle_connections: 128,
            upstream_idle_timeout: Duration::from_secs(4),
            replay_bytes: 64 * KIB,
            replay_bytes_total: 16 * MIB,
            last_good_bytes: 256 * KIB,
            last_good_bytes_total: 16 * MIB,
        }
    }
}
