//! What one proxy does, resolved: every name looked up, every default in place.
//!
//! The policy file is what people write; this is what the proxy runs on. Nothing here can be
//! wrong any more except the outside world: an address in use, an upstream that is not there.

use crate::route::RouteMatch;
use crate::upstream::Origin;
use bytes::Bytes;
use evenkeel::core::{breaker, bulkhead, policy, retry};
pub use evenkeel_policy::proxy::{Bounds, Drain};
use evenkeel_policy::{Policy, proxy};
use http::{HeaderValue, Method, StatusCode};
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Fields of one head, in either direction. hyper parses this many without a heap allocation, and
/// a client that sends more gets a 431.
pub(crate) const MAX_FIELDS: usize = 100;

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
    /// How it stops.
    pub drain: Drain,
    /// The upstreams that routes refer to.
    pub upstreams: Vec<UpstreamConfig>,
    /// The routes, in the order of the file.
    pub routes: Vec<RouteConfig>,
}

/// Why a policy file cannot be proxied with. The file itself is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// It has no `proxy` section.
    NoProxySection,
    /// A part of it that HTTP does not allow.
    NotHttp {
        /// Where in the file, as a path.
        place: String,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::NoProxySection => f.write_str(
                "the file has no `proxy` section, which says where to listen, which upstreams \
                 there are and which requests go where",
            ),
            ConfigError::NotHttp { place, what } => write!(f, "`{place}` {what}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl ProxyConfig {
    /// What a policy file says.
    ///
    /// # Errors
    /// When it has no `proxy` section, or says there what HTTP does not allow.
    pub fn from_policy(policy: &Policy) -> Result<ProxyConfig, ConfigError> {
        let proxy = policy.proxy.as_ref().ok_or(ConfigError::NoProxySection)?;
        let mut upstreams = Vec::new();
        for (name, upstream) in &proxy.upstreams {
            let place = format!("proxy.upstreams.{name}.url");
            let origin = Origin::parse(&upstream.url()).map_err(not_http(place))?;
            upstreams.push(UpstreamConfig {
                name: name.to_string(),
                origin,
                dependency: upstream.dependency.to_string(),
                policy: policy
                    .dependencies
                    .get(&upstream.dependency)
                    .cloned()
                    .unwrap_or_default(),
            });
        }
        let mut routes = Vec::new();
        for (index, route) in proxy.routes.iter().enumerate() {
            let place = |part: &str| format!("proxy.routes[{index}].{part}");
            let upstream = proxy
                .upstreams
                .keys()
                .position(|name| *name == route.upstream)
                .ok_or("is not defined")
                .map_err(not_http(place("upstream")))?;
            let longest = upstreams[upstream].policy.deadline;
            routes.push(RouteConfig {
                name: route.name.to_string(),
                matches: RouteMatch {
                    host: route.host.clone(),
                    path_prefix: Some(route.path_prefix.clone()),
                    methods: methods(&route.methods).map_err(not_http(place("match.methods")))?,
                },
                upstream,
                deadline: route.deadline.map_or(longest, |own| own.min(longest)),
                deadline_covers_body: route.deadline_covers_body,
                idempotent: route.idempotent,
                fallbacks: route
                    .fallbacks
                    .iter()
                    .map(Fallback::from_policy)
                    .collect::<Result<_, _>>()
                    .map_err(not_http(place("fallback")))?,
            });
        }
        Ok(ProxyConfig {
            service: policy.service.to_string(),
            listen: proxy.listen.to_string(),
            admin: proxy.admin.map(|admin| admin.to_string()),
            bounds: proxy.bounds.clone(),
            drain: proxy.drain.clone(),
            upstreams,
            routes,
        })
    }

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
        let mut drain = Drain::default();
        // A second beyond the last deadline, for the last answers to be written and read.
        drain.timeout = policy.deadline.saturating_add(Duration::from_secs(1));
        ProxyConfig {
            service: "proxy".to_owned(),
            listen: "127.0.0.1:9000".to_owned(),
            admin: Some("127.0.0.1:9901".to_owned()),
            bounds: Bounds::default(),
            drain,
            routes: vec![RouteConfig::new("default", 0, policy.deadline)],
            upstreams: vec![UpstreamConfig::new("upstream", origin, policy)],
        }
    }
}

fn not_http<W: Into<String>>(place: String) -> impl FnOnce(W) -> ConfigError {
    move |what| ConfigError::NotHttp {
        place,
        what: what.into(),
    }
}

fn methods(names: &[String]) -> Result<Vec<Method>, String> {
    names
        .iter()
        .map(|name| {
            Method::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a method"))
        })
        .collect()
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

impl Fallback {
    fn from_policy(fallback: &proxy::Fallback) -> Result<Fallback, String> {
        Ok(match fallback {
            proxy::Fallback::Static {
                status,
                content_type,
                body,
            } => Fallback::Static {
                status: StatusCode::from_u16(*status)
                    .map_err(|_| format!("has the status {status}, which is none"))?,
                content_type: HeaderValue::try_from(content_type)
                    .map_err(|_| format!("has the content type `{content_type}`, which is none"))?,
                body: Bytes::from(body.clone()),
            },
            proxy::Fallback::LastGood { max_age } => Fallback::LastGood { max_age: *max_age },
            other => return Err(format!("is of a kind this proxy does not know: {other:?}")),
        })
    }
}

impl Fallback {
    /// Always the same answer.
    #[must_use]
    pub fn fixed(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Fallback::Static {
            status,
            content_type,
            body: body.into(),
        }
    }

    /// The last good answer to the same request.
    #[must_use]
    pub fn last_good(max_age: Duration) -> Self {
        Fallback::LastGood { max_age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_example_file_becomes_a_proxy() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/proxy.yaml");
        let loaded = evenkeel_policy::load(&file).unwrap();
        let config = ProxyConfig::from_policy(&loaded.policy).unwrap();
        assert_eq!(config.service, "product-page");
        let route = config
            .routes
            .iter()
            .find(|route| route.name == "recommendations")
            .unwrap();
        let upstream = &config.upstreams[route.upstream];
        assert_eq!(upstream.origin.authority(), "127.0.0.1:8081");
        assert_eq!(
            route.deadline,
            Duration::from_millis(60),
            "its dependency's"
        );
        assert_eq!(route.matches.methods, [Method::GET, Method::HEAD]);
        assert_eq!(
            route.fallbacks,
            [Fallback::fixed(
                StatusCode::OK,
                HeaderValue::from_static("application/json"),
                "[]"
            )]
        );
    }

    #[test]
    fn a_drain_waits_for_every_request_that_is_inside_its_deadline() {
        let alone = ProxyConfig::in_front_of(Origin::parse("http://127.0.0.1:1").unwrap());
        assert!(alone.drain.timeout > alone.routes[0].deadline);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/proxy.yaml");
        let loaded = evenkeel_policy::load(&file).unwrap();
        let config = ProxyConfig::from_policy(&loaded.policy).unwrap();
        for route in &config.routes {
            assert!(config.drain.timeout > route.deadline, "{}", route.name);
        }
    }

    #[test]
    fn a_file_without_a_proxy_section_says_so() {
        let text = "version: 1\nservice: shop\ndependencies: { cart: { deadline: 1s } }\n";
        let loaded = evenkeel_policy::parse("policy.yaml", text).unwrap();
        let error = ProxyConfig::from_policy(&loaded.policy).unwrap_err();
        assert_eq!(error, ConfigError::NoProxySection);
    }
}
