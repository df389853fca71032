//! A dependency: answers any path after a seeded latency, and can be made slow.
//!
//! The latency of a call is drawn from the lognormal distribution by the ordinal of the page it
//! is made for (`?page=N`), so that the same page meets the same latency in every run of the same
//! seed, whichever way its calls took. While the dependency is slow every call takes the same
//! long time, without error: the fault that health checks do not see.
//!
//! | control | does |
//! |---|---|
//! | `POST /control/slow?milliseconds=N` | calls that arrive from now on take `N` ms |
//! | `POST /control/repair` | calls that arrive from now on take their drawn latency again |
//! | `GET /control/calls` | [`Calls`]: how many calls arrived, and how many while it was slow |

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{answer, json, lifeline, query_number, serve};
use crate::draw;

/// Seconds that are counted one by one while slow; calls after that count for the last.
const SLOW_SECONDS: usize = 600;

/// What a dependency is.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// Its name: the stream its latencies are drawn from.
    pub name: String,
    /// The seed of the drill.
    pub seed: u64,
    /// The median latency of a healthy call.
    pub median: Duration,
    /// The sigma of the logarithm of the latency.
    pub sigma: f64,
}

/// The calls a dependency has seen arrive, whether or not their callers waited for the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// All calls since the start.
    pub total: u64,
    /// Calls that arrived while it was slow, per second since it became slow.
    pub slow_by_second: Vec<u64>,
}

impl Calls {
    /// All calls that arrived while it was slow.
    #[must_use]
    pub fn slow(&self) -> u64 {
        self.slow_by_second.iter().sum()
    }
}

#[derive(Debug, Default)]
struct State {
    calls: Calls,
    slow: Option<Slow>,
}

#[derive(Debug, Clone, Copy)]
struct Slow {
    since: Instant,
    takes: Duration,
}

#[derive(Debug)]
struct Service {
    what: Dependency,
    state: Mutex<State>,
}

/// Serves the dependency until the lifeline closes.
///
/// # Errors
/// If no port of loopback can be bound, or the lifeline cannot be watched.
pub async fn run(what: Dependency, announce: impl FnOnce(SocketAddr)) -> io::Result<()> {
    run_until(what, announce, lifeline()?).await
}

pub(super) async fn run_until(
    what: Dependency,
    announce: impl FnOnce(SocketAddr),
    closed: impl Future,
) -> io::Result<()> {
    let service = Arc::new(Service {
        what,
        state: Mutex::default(),
    });
    serve(announce, closed, move |request| {
        let service = Arc::clone(&service);
        async move { service.handle(&request).await }
    })
    .await
}

impl Service {
    async fn handle(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/control/slow") => {
                let Some(takes) = query_number(request, "milliseconds") else {
                    return answer(StatusCode::BAD_REQUEST, "say ?milliseconds=N");
                };
                let slow = Slow {
                    since: Instant::now(),
                    takes: Duration::from_millis(takes),
                };
                self.with(|state| state.slow = Some(slow));
                answer(StatusCode::OK, "{}")
            }
            (&Method::POST, "/control/repair") => {
                self.with(|state| state.slow = None);
                answer(StatusCode::OK, "{}")
            }
            (&Method::GET, "/control/calls") => json(&self.with(|state| state.calls.clone())),
            _ => {
                let page = query_number(request, "page").unwrap_or_default();
                let latency = self.arrived(page);
                tokio::time::sleep(latency).await;
                answer(
                    StatusCode::OK,
                    format!("{{\"from\":\"{}\"}}", self.what.name),
                )
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // Counters are whole after every statement, so a poisoned lock hides nothing.
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a call and says how long it takes.
    fn arrived(&self, page: u64) -> Duration {
        let slow = self.with(|state| {
            state.calls.total += 1;
            if let Some(slow) = state.slow {
                let since = usize::try_from(slow.since.elapsed().as_secs()).unwrap_or(usize::MAX);
                let second = since.min(SLOW_SECONDS - 1);
                let by_second = &mut state.calls.slow_by_second;
                by_second.resize(by_second.len().max(second + 1), 0);
                by_second[second] += 1;
            }
            state.slow
        });
        match slow {
            Some(slow) => slow.takes,
            None => self.what.latency(page),
        }
    }
}

impl Dependency {
    /// How long the healthy call for page `page` takes.
    fn latency(&self, page: u64) -> Duration {
        let median = self.median.as_secs_f64();
        let drawn = draw::lognormal(self.seed, &self.name, page, median, self.sigma);
        Duration::from_secs_f64(drawn)
    }
}
