//! What one proxy does, resolved: every name looked up, every default in place.
//!
//! The policy file is what people write; this is what the proxy runs on. Nothing here can be
//! wrong any more except the outside world: an address in use, an upstream that is not there.

use crate::bounds::Bounds;
use crate::route::RouteMatch;
use crate::upstream::Origin;
use bytes::Bytes;
use evenkeel_core::{breaker, bulkhead, policy, retry};
use http::{HeaderValue, StatusCode};
use std::num::NonZeroU32;
use std::time::Duration;

/// The first and one retry, as Envoy has it.
const ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
/// As many requests as Envoy lets into a cluster.
const BULKHEAD: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);

/// A resolved proxy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProxyConfig {
    /// The service's name: the `service` label of every metric.
    pub service: String,
    /// Where clients connect, as `HOST:PORT`; port 0 takes a free one.
    pub listen: String,
    /// Where the admin endpoints are, as `HOST:PORT`. None: nowhere.
    pub admin: Option<String>,
    /// The proxy's own bounds.
    pub bounds: Bounds,
    /// The upstreams that routes refer to.
    pub upstreams: Vec<UpstreamConfig>,
    /// The routes, in the order of the file.
    pub routes: Vec<RouteConfig>,
}

impl ProxyConfig {
    /// A proxy for one upstream, with the defaults that hold where nobody wrote a file: a deadline
    /// of 30 s, 10 s for an attempt, one retry of what is idempotent within a budget of 20 %, the
    /// breaker's own defaults and a bulkhead of 1024.
    #[must_use]
    pub fn in_front_of(origin: Origin) -> ProxyConfig {
        let mut policy = policy::Config::default();
        policy.attempt_timeout = Some(Duration::from_secs(10));
        policy.retry = Some(retry::Config::new(ATTEMPTS));
        policy.breaker = Some(breaker::Config::default());
        policy.bulkhead = Some(bulkhead::Config::new(BULKHEAD));
        ProxyConfig {
            service: "proxy".to_owned(),
            listen: "127.0.0.1:9000".to_owned(),
            admin: Some("127.0.0.1:9901".to_owned()),
            bounds: Bounds::default(),
            routes: vec![RouteConfig::new("default", 0, policy.deadline)],
            upstreams: vec![UpstreamConfig::new("upstream", origin, policy)],
        }
    }
}

/// One upstream: where it is, and the dependency whose policy guards it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// Its name in the policy file.
    pub name: String,
    /// Where it is.
    pub origin: Origin,
    /// The dependency's name: the `dependency` label of every metric.
    pub dependency: String,
    /// The dependency's policy. Upstreams of one dependency share one running policy, that of the
    /// first.
    pub policy: policy::Config,
}

impl UpstreamConfig {
    /// An upstream that is a dependency of the same name.
    #[must_use]
    pub fn new(name: &str, origin: Origin, policy: policy::Config) -> UpstreamConfig {
        UpstreamConfig {
            name: name.to_owned(),
            origin,
            dependency: name.to_owned(),
            policy,
        }
    }
}

/// One route.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteConfig {
    /// The `route` label.
    pub name: String,
    /// What it takes.
    pub matches: RouteMatch,
    /// Position in [`ProxyConfig::upstreams`].
    pub upstream: usize,
    /// The longest a request may take, body and retries included. Callers can shorten it.
    pub deadline: Duration,
    /// Whether the deadline covers the response body. Off for server-sent events and long
    /// downloads: then only a stall ends a body.
    pub deadline_covers_body: bool,
    /// Whether every method may be repeated, on the word of whoever wrote the file.
    pub idempotent: bool,
    /// What to answer when the upstream cannot: the first that has an answer.
    pub fallbacks: Vec<Fallback>,
}

impl RouteConfig {
    /// A route that takes everything.
    #[must_use]
    pub fn new(name: &str, upstream: usize, deadline: Duration) -> RouteConfig {
        RouteConfig {
            name: name.to_owned(),
            matches: RouteMatch::default(),
            upstream,
            deadline,
            deadline_covers_body: true,
            idempotent: false,
            fallbacks: Vec::new(),
        }
    }
}

/// What to answer in an upstream's place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// Always the same.
    Static {
        /// The status code; 200 by default.
        status: StatusCode,
        /// The media type of the body.
        content_type: HeaderValue,
        /// The body.
        body: Bytes,
    },
    /// The last good answer to the same GET, if there was one that is not older than `max_age`.
    LastGood {
        /// How old it may be.
        max_age: Duration,
    },
}
