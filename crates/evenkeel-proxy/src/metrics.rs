//! What the proxy counts, under names that are promised.
//!
//! Labels are bounded by the policy file: routes, dependencies, fates, known methods and status
//! codes, never a path, a host or anything else a client chooses. Whatever a request needs is
//! looked up when the proxy starts; counting is an add to a counter it already holds. The two
//! durations have the names and buckets of OpenTelemetry's HTTP conventions.

use crate::classify::Kind;
use crate::fate::Fate;
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::borrow::Cow;
use std::sync::atomic::AtomicU64;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Seconds; OpenTelemetry's advice for HTTP durations.
const DURATION_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// A method as a label: one of the known ones, or `_OTHER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MethodLabel(&'static str);

impl MethodLabel {
    /// The label of a method.
    pub(crate) fn of(method: &Method) -> MethodLabel {
        MethodLabel(match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            "PATCH" => "PATCH",
            "OPTIONS" => "OPTIONS",
            "TRACE" => "TRACE",
            "QUERY" => "QUERY",
            _ => "_OTHER",
        })
    }
}

type CounterFamily<L> = Family<L, Counter<u64, AtomicU64>>;
type DurationFamily<L> = Family<L, Histogram, fn() -> Histogram>;

fn durations<L: Clone + std::hash::Hash + Eq>() -> DurationFamily<L> {
    Family::new_with_constructor((|| Histogram::new(DURATION_BUCKETS)) as fn() -> Histogram)
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FateLabels {
    route: String,
    fate: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    operation: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    dependency: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServerLabels {
    http_request_method: &'static str,
    http_response_status_code: u16,
    http_route: String,
    url_scheme: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClientLabels {
    http_request_method: &'static str,
    /// Empty, and so left out by Prometheus, where there was no answer.
    http_response_status_code: Cow<'static, str>,
    /// Empty on an answer.
    error_type: &'static str,
    server_address: String,
    server_port: u16,
}

/// Everything that is counted, and the registry it is read from.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: CounterFamily<FateLabels>,
    invalid: CounterFamily<ReasonLabels>,
    operation_attempts: CounterFamily<OperationLabels>,
    operation_successes: CounterFamily<OperationLabels>,
    errors: CounterFamily<ErrorLabels>,
    server_durations: DurationFamily<ServerLabels>,
    client_durations: DurationFamily<ClientLabels>,
    /// Requests that matched a route and are being answered.
    pub(crate) in_flight: Gauge,
    /// Client connections open.
    pub(crate) connections: Gauge,
    /// Deadline fields that did not parse.
    pub(crate) malformed_deadlines: Counter,
    /// Requests cut because the drain timeout passed.
    pub(crate) drain_cut: Counter,
}

impl Metrics {
    /// An empty set for one service.
    pub(crate) fn new(service: &str) -> Metrics {
        let labels = vec![(Cow::Borrowed("service"), Cow::Owned(service.to_owned()))];
        let mut registry = Registry::with_labels(labels.into_iter());
        let metrics = Metrics {
            requests: Family::default(),
            invalid: Family::default(),
            operation_attempts: Family::default(),
            operation_successes: Family::default(),
            errors: Family::default(),
            server_durations: durations(),
            client_durations: durations(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            malformed_deadlines: Counter::default(),
            drain_cut: Counter::default(),
            registry: Registry::default(),
        };
        registry.register(
            "evenkeel_requests",
            "Requests that matched a route, by how they ended",
            metrics.requests.clone(),
        );
        registry.register(
            "evenkeel_invalid_requests",
            "Requests that are malformed, or that no route takes",
            metrics.invalid.clone(),
        );
        registry.register(
            "attempts",
            "Attempts made for an operation, retries included",
            metrics.operation_attempts.clone(),
        );
        registry.register(
            "success",
            "Requests of an operation that got the answer they asked for",
            metrics.operation_successes.clone(),
        );
        registry.register(
            "dependency_errors",
            "Attempts that failed, by kind",
            metrics.errors.clone(),
        );
        registry.register(
            "http_server_request_duration_seconds",
            "From the end of a request's head to the end of its answer",
            metrics.server_durations.clone(),
        );
        registry.register(
            "http_client_request_duration_seconds",
            "From the start of an attempt to the head of its answer",
            metrics.client_durations.clone(),
        );
        registry.register(
            "evenkeel_requests_in_flight",
            "Requests being answered",
            metrics.in_flight.clone(),
        );
        registry.register(
            "evenkeel_client_connections",
            "Client connections open",
            metrics.connections.clone(),
        );
        registry.register(
            "evenkeel_malformed_deadlines",
            "Deadline fields that did not parse and were ignored",
            metrics.malformed_deadlines.clone(),
        );
        registry.register(
            "evenkeel_drain_cut_connections",
            "Connections cut because the drain timeout passed",
            metrics.drain_cut.clone(),
        );
        registry.register(
            "evenkeel_build",
            "What is running",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Metrics {
            registry,
            ..metrics
        }
    }

    /// Adds what is read at each scrape.
    pub(crate) fn register_collector(
        &mut self,
        collector: impl prometheus_client::collector::Collector,
    ) {
        self.registry.register_collector(Box::new(collector));
    }

    /// The handles of one route.
    pub(crate) fn route(&self, name: &str) -> RouteMetrics {
        let operation = OperationLabels {
            operation: name.to_owned(),
        };
        RouteMetrics {
            name: name.to_owned(),
            fates: Fate::ALL.map(|fate| {
                let labels = FateLabels {
                    route: name.to_owned(),
                    fate: fate.label(),
                };
                self.requests.get_or_create_owned(&labels)
            }),
            attempts: self.operation_attempts.get_or_create_owned(&operation),
            successes: self.operation_successes.get_or_create_owned(&operation),
            durations: self.server_durations.clone(),
            cache: RwLock::default(),
        }
    }

    /// The handles of one upstream.
    pub(crate) fn upstream(&self, dependency: &str, address: &str, port: u16) -> UpstreamMetrics {
        UpstreamMetrics {
            errors: Kind::ALL.map(|kind| {
                let labels = ErrorLabels {
                    dependency: dependency.to_owned(),
                    kind: kind.label(),
                };
                self.errors.get_or_create_owned(&labels)
            }),
            address: address.to_owned(),
            port,
            durations: self.client_durations.clone(),
            cache: RwLock::default(),
        }
    }

    /// Counts a request that never matched a route.
    pub(crate) fn invalid(&self, reason: &'static str) {
        self.invalid.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// The text form.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a string cannot fail; a collector that does leaves the text short, which the
        // missing `# EOF` shows to whoever parses it.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// Few enough to scan: the methods and statuses a route has really seen.
type Cache<K> = RwLock<Vec<(K, Histogram)>>;

fn observe<K: PartialEq + Copy>(
    cache: &Cache<K>,
    key: K,
    taken: Duration,
    make: impl FnOnce() -> Histogram,
) {
    let found = cache.read().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, histogram)) = found.iter().find(|(known, _)| *known == key) {
        histogram.observe(taken.as_secs_f64());
        return;
    }
    drop(found);
    let histogram = make();
    histogram.observe(taken.as_secs_f64());
    cache
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .push((key, histogram));
}

/// One route's counters.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    name: String,
    fates: [Counter<u64, AtomicU64>; Fate::ALL.len()],
    /// Attempts for this route.
    pub(crate) attempts: Counter<u64, AtomicU64>,
    successes: Counter<u64, AtomicU64>,
    durations: DurationFamily<ServerLabels>,
    cache: Cache<(MethodLabel, u16)>,
}

impl RouteMetrics {
    /// Counts the end of one request. `status` is none when no answer was begun.
    pub(crate) fn ended(
        &self,
        fate: Fate,
        method: MethodLabel,
        status: Option<StatusCode>,
        taken: Duration,
    ) {
        self.fates[fate as usize].inc();
        if fate.is_success() {
            self.successes.inc();
        }
        // 499 is what the field writes for a client that left before it was answered.
        let status = status.map_or(499, |status| status.as_u16());
        observe(&self.cache, (method, status), taken, || {
            self.durations.get_or_create_owned(&ServerLabels {
                http_request_method: method.0,
                http_response_status_code: status,
                http_route: self.name.clone(),
                url_scheme: "http",
            })
        });
    }
}

/// How an attempt ended, for its duration's labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    /// An answer's head came.
    Answered(StatusCode),
    /// It did not.
    Failed(Kind),
}

/// One upstream's counters.
#[derive(Debug)]
pub(crate) struct UpstreamMetrics {
    errors: [Counter<u64, AtomicU64>; Kind::ALL.len()],
    address: String,
    port: u16,
    durations: DurationFamily<ClientLabels>,
    cache: Cache<(MethodLabel, AttemptEnd)>,
}

impl UpstreamMetrics {
    /// Counts a failed attempt.
    pub(crate) fn failed(&self, kind: Kind) {
        self.errors[kind as usize].inc();
    }

    /// Counts the end of one attempt.
    pub(crate) fn ended(&self, method: MethodLabel, end: AttemptEnd, taken: Duration) {
        observe(&self.cache, (method, end), taken, || {
            let (status, error) = match end {
                AttemptEnd::Answered(status) => (Cow::Owned(status.as_str().to_owned()), ""),
                AttemptEnd::Failed(kind) => (Cow::Borrowed(""), kind.label()),
            };
            self.durations.get_or_create_owned(&ClientLabels {
                http_request_method: method.0,
                http_response_status_code: status,
                error_type: error,
                server_address: self.address.clone(),
                server_port: self.port,
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_were_promised() {
        let metrics = Metrics::new("shop");
        let route = metrics.route("cart");
        route.attempts.inc();
        let get = MethodLabel::of(&Method::GET);
        route.ended(
            Fate::Success,
            get,
            Some(StatusCode::OK),
            Duration::from_millis(7),
        );
        let upstream = metrics.upstream("pricing", "127.0.0.1", 80);
        upstream.failed(Kind::Connect);
        upstream.ended(
            get,
            AttemptEnd::Failed(Kind::Connect),
            Duration::from_millis(1),
        );
        metrics.invalid("bad_host");
        let text = metrics.encode();
        for line in [
            r#"evenkeel_requests_total{service="shop",route="cart",fate="success"} 1"#,
            r#"evenkeel_requests_total{service="shop",route="cart",fate="degraded"} 0"#,
            r#"evenkeel_invalid_requests_total{service="shop",reason="bad_host"} 1"#,
            r#"attempts_total{service="shop",operation="cart"} 1"#,
            r#"success_total{service="shop",operation="cart"} 1"#,
            r#"dependency_errors_total{service="shop",dependency="pricing",kind="connect"} 1"#,
            r#"http_server_request_duration_seconds_bucket{service="shop",le="0.01",http_request_method="GET",http_response_status_code="200",http_route="cart",url_scheme="http"} 1"#,
            "# EOF",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line}\nis not in\n{text}"
            );
        }
        assert!(
            text.contains("evenkeel_build_info{service=\"shop\",version="),
            "{text}"
        );
    }

    #[test]
    fn a_method_nobody_knows_is_one_label() {
        let made_up = Method::from_bytes(b"X-4711").unwrap();
        assert_eq!(MethodLabel::of(&made_up), MethodLabel("_OTHER"));
    }
}
