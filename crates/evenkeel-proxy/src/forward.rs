//! One request and its upstream: attempts under the dependency's policy, one answer.

use crate::activity::Busy;
use crate::body::{AnswerBody, BodyError, UpstreamBody};
use crate::client::Client;
use crate::fallback::Capture;
use crate::fate::Fate;
use crate::metrics::AttemptEnd;
use crate::outgoing::Outgoing;
use crate::problem::Problem;
use crate::record::Record;
use crate::upstream::{ExchangeError, Link};
use crate::{answer, classify};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Instant;

/// What came of a request.
pub(crate) struct Forwarded {
    /// How it ends, if the rest of its answer arrives.
    pub(crate) fate: Fate,
    /// The upstream's answer, or ours.
    pub(crate) result: Result<Box<Answer>, Problem>,
}

/// An upstream's answer whose head is here.
pub(crate) struct Answer {
    response: Response<Incoming>,
    link: Box<Link>,
    upstream: usize,
    guard: Guard,
}

/// Holds the attempt's slot, until its body has ended.
pub(crate) struct Guard {}

impl Guard {
    pub(crate) fn ended_well(self) {}
    pub(crate) fn broke(self, _error: &BodyError) {}
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        self.response.headers_mut()
    }
    /// The length of its body, if it says so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.body().size_hint().exact()
    }
    /// Lets go of it unread.
    pub(crate) fn discard(self) {}

    pub(crate) fn into_response(
        self,
        fate: Fate,
        deadline: Option<Instant>,
        capture: Option<Capture>,
        record: Record,
        busy: Busy,
    ) -> Response<AnswerBody> {
        let Answer {
            response,
            link,
            upstream,
            guard,
        } = self;
        let (mut parts, incoming) = response.into_parts();
        parts.version = http::Version::HTTP_11;
        parts.extensions.clear();
        let body = UpstreamBody::new(incoming, link, upstream, guard, fate, deadline, capture);
        Response::from_parts(parts, AnswerBody::upstream(body, record, busy))
    }
}

pub(crate) fn is_server_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

pub(crate) fn expired() -> Forwarded {
    Forwarded {
        fate: Fate::DeadlineExceeded,
        result: Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "deadline_exceeded",
            "the caller's deadline had passed on arrival; nothing was sent",
        )),
    }
}

pub(crate) async fn forward(
    client: &Arc<Client>,
    record: &Record,
    outgoing: &Outgoing,
    deadline: Instant,
) -> Forwarded {
    let proxy = &client.proxy;
    let index = proxy.routes[record.route].config.upstream;
    let upstream = &proxy.upstreams[index];
    let remaining = answer::remaining(deadline);
    upstream.metrics.started(true);
    proxy.routes[record.route].metrics.attempts.inc();
    let started = Instant::now();
    let exchange = upstream
        .pool
        .exchange(|| outgoing.message(upstream, 1, remaining));
    let result = match tokio::time::timeout(remaining, exchange).await {
        Err(_) => {
            return Forwarded {
                fate: Fate::DeadlineExceeded,
                result: Err(Problem::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "deadline_exceeded",
                    "no answer within the deadline",
                )),
            };
        }
        Ok(result) => result,
    };
    match result {
        Ok((response, link)) => {
            upstream.metrics.ended(
                record.method,
                AttemptEnd::Answered(response.status()),
                started.elapsed(),
            );
            let (finished, _) = classify::answer(response.status(), response.headers());
            let fate = if finished.class.is_none() {
                Fate::Success
            } else {
                Fate::UpstreamError
            };
            Forwarded {
                fate,
                result: Ok(Box::new(Answer {
                    response,
                    link,
                    upstream: index,
                    guard: Guard {},
                })),
            }
        }
        Err(error) => {
            let (_, _kind) = classify::error(&error, outgoing.body().client_failed());
            Forwarded {
                fate: Fate::UpstreamError,
                result: Err(Problem::new(
                    StatusCode::BAD_GATEWAY,
                    "upstream_error",
                    error.to_string(),
                )),
            }
        }
    }
}
