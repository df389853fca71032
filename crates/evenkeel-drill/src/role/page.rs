//! The product page: three calls for each answer, through one pool of connections.
//!
//! This is the service of the story as an ordinary team writes it. It has a client with a pool of
//! at most so many connections in use at once, shared by all its dependencies, and a timeout of
//! seconds, because once somebody needed it. It knows nothing of evenkeel. What is in front of
//! its dependencies is a matter of three base URLs.
//!
//! The page needs all three answers. A call that fails fails the page, as it does wherever nobody
//! thought about it: 504 if the timeout passed, 502 otherwise. An answer that says of itself that
//! it came from a fallback (`x-evenkeel-degraded`) is as good as any: the page is rendered with
//! it, says so in the same header, and is a 200.
//!
//! `GET /control/pool` tells [`Pool`]: the pool is where a cascade is seen first.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{answer, json, lifeline, serve};
use crate::load::LATENCY_CEILING;

/// The header by which an answer says that it came from a fallback.
const DEGRADED: &str = "x-evenkeel-degraded";

/// No answer of a dependency is larger than this.
const LARGEST_ANSWER: usize = 64 << 10;

/// What the page is built with.
#[derive(Debug, Clone)]
pub struct Page {
    /// Base URL of the inventory, without a trailing slash.
    pub inventory: String,
    /// Base URL of the pricing.
    pub pricing: String,
    /// Base URL of the recommendations.
    pub recommendations: String,
    /// Connections that may be in use at once, over all three.
    pub pool: usize,
    /// How long one call may take, the wait for a connection included.
    pub timeout: Duration,
}

/// The state of the page's pool of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pool {
    /// Connections in use.
    pub in_use: u64,
    /// Calls that wait for a connection.
    pub waiting: u64,
    /// The 99th percentile, in milliseconds, of the inventory calls that ended since the pool was
    /// last asked: what a healthy dependency looks like from inside the page. Zero if none ended.
    pub inventory_p99_ms: f64,
    /// Pages answered with an error since the start.
    pub failed_pages: u64,
}

type Http = Client<HttpConnector, Empty<Bytes>>;

#[derive(Debug)]
struct Service {
    what: Page,
    http: Http,
    pool: Semaphore,
    waiting: AtomicU64,
    failed: AtomicU64,
    inventory: Mutex<Histogram<u64>>,
}

/// What one dependency said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Full,
    Fallback,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    Timeout,
    Broken,
}

/// Serves the page until the lifeline closes.
///
/// # Errors
/// If no port of loopback can be bound, or the lifeline cannot be watched.
pub async fn run(what: Page, announce: impl FnOnce(SocketAddr)) -> io::Result<()> {
    run_until(what, announce, lifeline()?).await
}

pub(super) async fn run_until(
    what: Page,
    announce: impl FnOnce(SocketAddr),
    closed: impl Future,
) -> io::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(what.pool)
        .retry_canceled_requests(false)
        .build(connector);
    let ceiling = u64::try_from(LATENCY_CEILING.as_micros()).unwrap_or(u64::MAX);
    let inventory = Histogram::new_with_bounds(1, ceiling, 2).map_err(io::Error::other)?;
    let service = Arc::new(Service {
        pool: Semaphore::new(what.pool),
        what,
        http,
        waiting: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        inventory: Mutex::new(inventory),
    });
    serve(announce, closed, move |request| {
        let service = Arc::clone(&service);
        async move { service.handle(&request).await }
    })
    .await
}

impl Service {
    async fn handle(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/control/pool" {
            return json(&self.state());
        }
        let query = request.uri().query().unwrap_or_default();
        let what = &self.what;
        let calls = tokio::try_join!(
            self.inventory_call(query),
            self.call(&what.pricing, "/pricing/price", query),
            self.call(&what.recommendations, "/recommendations/items", query),
        );
        match calls {
            Ok((inventory, pricing, recommendations)) => {
                page(&[inventory, pricing, recommendations])
            }
            Err(failed) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                match failed {
                    Failed::Timeout => answer(StatusCode::GATEWAY_TIMEOUT, "a call timed out"),
                    Failed::Broken => answer(StatusCode::BAD_GATEWAY, "a call failed"),
                }
            }
        }
    }

    async fn inventory_call(&self, query: &str) -> Result<Said, Failed> {
        let start = Instant::now();
        let said = self
            .call(&self.what.inventory, "/inventory/stock", query)
            .await;
        let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut inventory = self
            .inventory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        inventory.saturating_record(took);
        said
    }

    /// One call, from the wait for a connection to the end of the answer.
    async fn call(&self, base: &str, path: &str, query: &str) -> Result<Said, Failed> {
        let exchange = async {
            let waiting = Waiting::enter(&self.waiting);
            // The pool is never closed.
            let _connection = self.pool.acquire().await.map_err(|_| Failed::Broken)?;
            drop(waiting);
            let request = Request::get(format!("{base}{path}?{query}")).body(Empty::new());
            let request = request.map_err(|_| Failed::Broken)?;
            let response = self
                .http
                .request(request)
                .await
                .map_err(|_| Failed::Broken)?;
            let ok = response.status() == StatusCode::OK;
            let fallback = response.headers().contains_key(DEGRADED);
            let body = Limited::new(response.into_body(), LARGEST_ANSWER)
                .collect()
                .await;
            match body {
                Ok(_) if ok && fallback => Ok(Said::Fallback),
                Ok(_) if ok => Ok(Said::Full),
                _ => Err(Failed::Broken),
            }
        };
        let timeout = tokio::time::timeout(self.what.timeout, exchange);
        timeout.await.unwrap_or(Err(Failed::Timeout))
    }

    fn state(&self) -> Pool {
        let free = self.pool.available_permits();
        let mut inventory = self
            .inventory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        #[expect(clippy::cast_precision_loss, reason = "bounded by the ceiling")]
        let inventory_p99_ms = inventory.value_at_quantile(0.99) as f64 / 1000.0;
        inventory.reset();
        Pool {
            in_use: self.what.pool.saturating_sub(free) as u64,
            waiting: self.waiting.load(Ordering::Relaxed),
            inventory_p99_ms,
            failed_pages: self.failed.load(Ordering::Relaxed),
        }
    }
}

fn page(said: &[Said]) -> Response<Full<Bytes>> {
    let mut response = answer(StatusCode::OK, "{\"page\":\"product\"}");
    if said.contains(&Said::Fallback) {
        response
            .headers_mut()
            .insert(DEGRADED, HeaderValue::from_static("page"));
    }
    response
}

/// Counts a call as waiting for as long as it does, cancelled or not.
#[derive(Debug)]
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
