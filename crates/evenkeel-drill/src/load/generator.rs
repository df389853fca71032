//! Sends each request when it is due, answered or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use super::arrivals::Arrivals;
use super::record::{Answer, Record, Sample};

/// The answer's header that says a part of it came from a fallback.
const DEGRADED: &str = "x-evenkeel-degraded";

/// What is sent where, and the bounds of sending.
#[derive(Debug, Clone)]
pub struct Generator {
    /// Where the requests go.
    pub target: SocketAddr,
    /// The path of every request; `?page=ORDINAL` is appended.
    pub path: String,
    /// When they are due.
    pub arrivals: Arrivals,
    /// How long an answer is waited for, from the moment of sending. Longer than anything the
    /// service may take, so that the service ends the request and not the generator.
    pub give_up: Duration,
    /// How many requests may be under way at once. A request due beyond that is not sent and is
    /// counted as such: it keeps file handles bounded, and a run in which it happened says so.
    pub in_flight: usize,
}

type Http = Client<HttpConnector, Empty<Bytes>>;

fn client() -> Http {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        // A request that is sent again behind our back would be a policy.
        .retry_canceled_requests(false)
        .build(connector)
}

/// Sends the whole load, beginning at `start`, and returns when every request was answered or
/// given up.
///
/// # Cancel safety
/// Dropping the future ends the sending and every request under way; `record` keeps what was
/// recorded until then.
pub async fn run(generator: &Generator, start: Instant, record: &Arc<Record>) {
    let http = client();
    let under_way = Arc::new(AtomicUsize::new(0));
    let mut requests = tokio::task::JoinSet::new();
    for ordinal in 0..generator.arrivals.count() {
        let intended = generator.arrivals.due(ordinal);
        tokio::time::sleep_until(start + intended).await;
        // Finished tasks are taken out as we go, so that the set holds only those under way.
        while requests.try_join_next().is_some() {}
        record.offer(intended);
        if under_way.load(Ordering::Relaxed) >= generator.in_flight {
            record.not_sent(intended);
            continue;
        }
        let Some(request) = request(generator, ordinal) else {
            record.not_sent(intended);
            continue;
        };
        let slot = UnderWay::enter(&under_way);
        let (http, record, give_up) = (http.clone(), Arc::clone(record), generator.give_up);
        requests.spawn(async move {
            let sent = start.elapsed();
            let answer = tokio::time::timeout(give_up, send(&http, request)).await;
            let finished = start.elapsed();
            let answer = answer.unwrap_or(Answer::GivenUp);
            record.finish(&Sample {
                intended,
                sent,
                finished,
                answer,
            });
            drop(slot);
        });
    }
    while requests.join_next().await.is_some() {}
}

fn request(generator: &Generator, ordinal: u64) -> Option<Request<Empty<Bytes>>> {
    let uri = format!(
        "http://{}{}?page={ordinal}",
        generator.target, generator.path
    );
    Request::get(uri).body(Empty::new()).ok()
}

async fn send(http: &Http, request: Request<Empty<Bytes>>) -> Answer {
    let Ok(response) = http.request(request).await else {
        return Answer::NoAnswer;
    };
    let status = response.status().as_u16();
    let degraded = response.headers().contains_key(DEGRADED);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return Answer::NoAnswer;
        }
    }
    match status {
        200 if degraded => Answer::Degraded,
        200 => Answer::Full,
        status => Answer::Refused(status),
    }
}

/// Counts a request as under way for as long as it lives, cancelled or not.
#[derive(Debug)]
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
