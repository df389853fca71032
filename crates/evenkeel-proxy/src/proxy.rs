//! What all connections share: routes, upstreams, metrics, the drain.

use crate::config::{self, Bounds, ProxyConfig, RouteConfig};
use crate::dependencies::Dependencies;
use crate::drain::Drain;
use crate::fallback::LastGood;
use crate::gauges::Gauges;
use crate::hygiene::Pseudonym;
use crate::metrics::{Metrics, RouteMetrics, UpstreamMetrics};
use crate::replay::ReplayMemory;
use crate::route::RouteTable;
use crate::upstream::Pool;
use evenkeel::Dependency;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// One running proxy.
pub(crate) struct Proxy {
    pub(crate) bounds: Bounds,
    pub(crate) table: RouteTable,
    pub(crate) routes: Vec<Route>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) metrics: Metrics,
    pub(crate) drain: Drain,
    pub(crate) stopping: config::Drain,
    pub(crate) pseudonym: Pseudonym,
    pub(crate) replay: Arc<ReplayMemory>,
    pub(crate) last_good: LastGood,
}

/// One route, with its counters.
pub(crate) struct Route {
    pub(crate) config: RouteConfig,
    pub(crate) metrics: RouteMetrics,
    /// Whether any fallback needs last good answers.
    pub(crate) keeps_last_good: bool,
}

/// One upstream: its connections, its policy, its counters.
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) dependency: Dependency,
    pub(crate) pool: Arc<Pool>,
    /// Its own host, for clients that named none.
    pub(crate) host: HeaderValue,
    may_retry: bool,
    pub(crate) metrics: UpstreamMetrics,
}

impl Upstream {
    /// Whether its policy allows more than one attempt.
    pub(crate) fn may_retry(&self) -> bool {
        self.may_retry
    }
}

impl Proxy {
    /// A proxy that serves nobody yet.
    pub(crate) fn new(config: ProxyConfig) -> Arc<Proxy> {
        let ProxyConfig {
            service,
            bounds,
            drain,
            upstreams,
            routes,
            ..
        } = config;
        let mut metrics = Metrics::new(&service);
        let mut dependencies: BTreeMap<String, Dependency> = BTreeMap::new();
        let upstreams: Vec<Upstream> = upstreams
            .into_iter()
            .map(|upstream| Upstream {
                metrics: metrics.upstream(
                    &upstream.dependency,
                    upstream.origin.host(),
                    upstream.origin.port(),
                ),
                host: HeaderValue::try_from(upstream.origin.authority())
                    .unwrap_or(HeaderValue::from_static("localhost")),
                may_retry: upstream
                    .policy
                    .retry
                    .as_ref()
                    .is_some_and(|retry| retry.max_attempts.get() > 1),
                pool: Arc::new(Pool::new(upstream.origin, &bounds)),
                name: upstream.name,
                dependency: dependencies
                    .entry(upstream.dependency)
                    .or_insert_with_key(|name| Dependency::new(&service, name, upstream.policy))
                    .clone(),
            })
            .collect();
        let table = RouteTable::new(routes.iter().map(|route| &route.matches));
        let routes = routes
            .into_iter()
            .map(|config| Route {
                metrics: metrics.route(&config.name),
                keeps_last_good: config
                    .fallbacks
                    .iter()
                    .any(|fallback| matches!(fallback, config::Fallback::LastGood { .. })),
                config,
            })
            .collect();
        let replay = ReplayMemory::new(bounds.replay_bytes, bounds.replay_bytes_total);
        metrics.register_collector(Dependencies::new(dependencies.into_values()));
        metrics.register_collector(Gauges {
            pools: upstreams
                .iter()
                .map(|upstream| (upstream.name.clone(), Arc::clone(&upstream.pool)))
                .collect(),
            replay: Arc::clone(&replay),
        });
        Arc::new(Proxy {
            table,
            routes,
            upstreams,
            metrics,
            drain: Drain::new(drain.idle),
            stopping: drain,
            // The hasher's keys are the one source of randomness std has.
            pseudonym: Pseudonym::new(RandomState::new().hash_one("via")),
            replay,
            last_good: LastGood::new(bounds.last_good_bytes, bounds.last_good_bytes_total),
            bounds,
        })
    }
}
