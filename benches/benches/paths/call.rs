//! A whole call: everything that a careful service puts around one.

use std::hint::black_box;
use std::time::Duration;

use evenkeel::Dependency;
use evenkeel::core::policy::Config;
use evenkeel::core::{breaker, hedge, limiter, retry};
use evenkeel_benches::{Bar, Contender, Race, Worker};
use tokio::runtime::Handle;
use tower::{BoxError, Layer, Service, ServiceBuilder, service_fn};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::retry::RetryLayer;
use tower_resilience::timelimiter::TimeLimiterLayer;

use super::retry::Attempts;
use super::{Pause, after_a_pause, ready};

const LIMIT: u32 = 64;
const DEADLINE: Duration = Duration::from_secs(1);

pub(crate) fn races() -> Vec<Race> {
    vec![
        Race {
            path: "whole call, success at once",
            bars: vec![
                Bar {
                    against: "tower",
                    at_most: 0.75,
                },
                Bar {
                    against: "tower-resilience",
                    at_most: 0.1,
                },
            ],
            contenders: vec![
                alone("evenkeel", ours(everything_on())),
                alone("tower", tower(tower_stack())),
                alone("tower-resilience", tower_resilience()),
            ],
        },
        Race {
            path: "whole call, two threads on one policy",
            bars: vec![Bar {
                against: "evenkeel, one thread",
                at_most: 1.2,
            }],
            contenders: {
                let shared = everything_on();
                let stack = tower_stack();
                vec![
                    Contender::together("evenkeel", [ours(shared.clone()), ours(shared.clone())]),
                    alone("evenkeel, one thread", ours(everything_on())),
                    Contender::together("tower", [tower(stack.clone()), tower(stack)]),
                ]
            },
        },
        Race {
            path: "whole call, pending once",
            bars: vec![Bar {
                against: "tower",
                at_most: 1.0,
            }],
            contenders: vec![
                alone("evenkeel", ours_pending(everything_on())),
                alone("tower", tower_pending()),
            ],
        },
    ]
}

fn alone(name: &'static str, worker: Worker) -> Contender {
    Contender::together(name, [worker])
}

fn everything_on() -> Dependency {
    let mut config = Config::new(DEADLINE);
    config.attempt_timeout = Some(DEADLINE / 2);
    config.retry = Some(retry::Config::default());
    config.breaker = Some(breaker::Config::default());
    config.limiter = Some(limiter::Config::default());
    config.hedge = Some(hedge::Config::default());
    Dependency::new("orders", "payments", config)
}

fn ours(dependency: Dependency) -> Worker {
    let runtime = Handle::current();
    Box::new(move |n| {
        let _entered = runtime.enter();
        for i in 0..n {
            let attempt = |_| async move { Ok::<_, ()>(black_box(i)) };
            let call = dependency.call(attempt);
            _ = black_box(ready(call));
        }
    })
}

fn ours_pending(dependency: Dependency) -> Worker {
    let runtime = Handle::current();
    Box::new(move |n| {
        let _entered = runtime.enter();
        for i in 0..n {
            let attempt = |_| async move {
                Pause::default().await;
                Ok::<_, ()>(black_box(i))
            };
            let call = dependency.call(attempt);
            _ = black_box(after_a_pause(call));
        }
    })
}

/// A timeout around retries around a limit; no breaker, no budget.
fn tower_stack() -> impl Service<u64, Response = u64, Error = BoxError, Future: Send> + Clone + Send
{
    ServiceBuilder::new()
        .timeout(DEADLINE)
        .retry(Attempts(2))
        .concurrency_limit(LIMIT as usize)
        .service(service_fn(|i: u64| async move {
            Ok::<_, BoxError>(black_box(i))
        }))
}

fn tower<S>(mut service: S) -> Worker
where
    S: Service<u64, Response = u64, Error = BoxError> + Send + 'static,
{
    let runtime = Handle::current();
    Box::new(move |n| {
        let _entered = runtime.enter();
        for i in 0..n {
            _ = ready(std::future::poll_fn(|context| service.poll_ready(context)));
            _ = black_box(ready(service.call(i)));
        }
    })
}

fn tower_pending() -> Worker {
    let mut service = ServiceBuilder::new()
        .timeout(DEADLINE)
        .retry(Attempts(2))
        .concurrency_limit(LIMIT as usize)
        .service(service_fn(|i: u64| async move {
            Pause::default().await;
            Ok::<_, BoxError>(black_box(i))
        }));
    let runtime = Handle::current();
    Box::new(move |n| {
        let _entered = runtime.enter();
        for i in 0..n {
            _ = ready(std::future::poll_fn(|context| service.poll_ready(context)));
            _ = black_box(after_a_pause(service.call(i)));
        }
    })
}

/// A timeout around retries around a breaker around a bulkhead.
#[expect(
    clippy::expect_used,
    reason = "a peer that cannot be built is not raced"
)]
fn tower_resilience() -> Worker {
    let bulkhead = BulkheadLayer::builder()
        .max_concurrent_calls(LIMIT as usize)
        .build();
    let breaker = CircuitBreakerLayer::builder().build();
    let retry = RetryLayer::<u64, u64, _>::exponential_backoff().build();
    let timeout = TimeLimiterLayer::builder()
        .timeout_duration(DEADLINE)
        .build();
    let inner = service_fn(|i: u64| async move { Ok::<_, BoxError>(black_box(i)) });
    let service = bulkhead.expect("a limit").layer(inner);
    let service = breaker.expect("defaults").layer(service);
    let service = retry.layer(service);
    let mut service = timeout.layer(service);
    let runtime = Handle::current();
    Box::new(move |n| {
        let _entered = runtime.enter();
        for i in 0..n {
            _ = ready(std::future::poll_fn(|context| service.poll_ready(context)));
            _ = black_box(ready(service.call(i)));
        }
    })
}
