//! One request and its upstream: attempts under the dependency's policy, one answer.
//!
//! The library decides and drives: whether an attempt may start, when it has taken too long,
//! whether there is another. What is told here is what an attempt is, what its end means, and what
//! the outcome of the whole means for the client. An answer that says 503 is still an answer: if
//! no further attempt is made, it is the upstream's own words that are passed on.

use crate::body::BodyError;
use crate::classify::{self, Kind};
use crate::client::Client;
use crate::fate::Fate;
use crate::metrics::{AttemptEnd, MethodLabel};
use crate::outgoing::Outgoing;
use crate::problem::Problem;
use crate::proxy::Upstream;
use crate::record::Record;
use crate::remaining;
use crate::replay::RequestBody;
use crate::retry;
use crate::stall;
use crate::upstream::{ExchangeError, Link};
use evenkeel::core::call::{self, StopReason};
use evenkeel::core::outcome::{Finished, Outcome};
use evenkeel::core::rejection::{Reason, Rejection};
use evenkeel::{Attempt, CallError, CallOptions, OpenAttempt, Opened};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What came of a request.
pub(crate) struct Forwarded {
    /// How it ends, if the rest of its answer arrives.
    pub(crate) fate: Fate,
    /// The upstream's answer, or ours.
    pub(crate) result: Result<Answer, Problem>,
}

/// An upstream's answer whose head is here.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
    /// Holds the attempt's slot until the body has ended, whatever the verdict on its head.
    pub(crate) open: Option<Open>,
}

impl Answer {
    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its fields.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Its fields.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        self.response.headers_mut()
    }

    /// The length of its body, if it says so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.body().size_hint().exact()
    }

    /// Whether it says that the server failed, in a way an old answer may stand in for
    /// (RFC 5861, 4).
    pub(crate) fn is_server_failure(&self) -> bool {
        matches!(self.status().as_u16(), 500 | 502 | 503 | 504)
    }
}

/// A connection in use. Dropped, it goes back to its pool if its exchange is complete, and is
/// closed if it is not.
pub(crate) struct Lease {
    link: Option<Box<Link>>,
    client: Arc<Client>,
    upstream: usize,
}

impl Lease {
    /// Moves bytes.
    pub(crate) fn drive(&mut self, cx: &mut std::task::Context<'_>) {
        if let Some(link) = &mut self.link {
            link.drive(cx);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            self.client.proxy.upstreams[self.upstream]
                .pool
                .give_back(link);
        }
    }
}

/// An attempt whose answer is still arriving. Dropped, it says nothing about the dependency: its
/// head had come in time, and it was the client who left.
pub(crate) struct Open {
    attempt: Option<OpenAttempt>,
}

impl Open {
    /// The body has ended as it should.
    pub(crate) fn ended_well(self) {
        self.finish(Outcome::Success);
    }

    /// It has not.
    pub(crate) fn broke(self, error: &BodyError) {
        self.finish(match error {
            BodyError::Upstream(_) => Outcome::Failure,
            BodyError::Deadline => Outcome::Overload,
        });
    }

    fn finish(mut self, outcome: Outcome) {
        if let Some(attempt) = self.attempt.take() {
            attempt.finish(outcome);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.finish(Outcome::Ignored);
        }
    }
}

/// Why an attempt failed.
enum AttemptError {
    /// With an answer, which is passed on if it stays the last.
    Answered(Response<Incoming>, Lease, Finished),
    /// Without one.
    Failed(ExchangeError, Finished),
}

/// Makes attempts until there is an answer or no more attempt.
///
/// # Cancel safety
/// Dropping the future abandons the attempt in flight: its connection is closed and its slot free.
pub(crate) async fn forward(
    client: &Arc<Client>,
    record: &Record,
    outgoing: &Outgoing,
    deadline: Instant,
) -> Forwarded {
    let proxy = &client.proxy;
    let route = &proxy.routes[record.route];
    let index = route.config.upstream;
    let upstream = &proxy.upstreams[index];
    let mut options = CallOptions::default();
    options.idempotent = outgoing.is_idempotent();
    options.within = Some(remaining(deadline));
    let caller = outgoing.caller();
    (options.grant, options.caller_retries) = (caller.grant, caller.retries);
    // A body that is streamed has one reader at a time.
    options.sequential = outgoing.body().is_streamed();
    let operation = |attempt: Attempt| {
        route.metrics.attempts.inc();
        let watch = Watch::new(
            upstream,
            record.method,
            attempt.remaining(),
            outgoing.body(),
        );
        async move {
            let exchange = upstream
                .pool
                .exchange(|| outgoing.message(upstream, &attempt, remaining(deadline)));
            let exchanged = if outgoing.body().is_streamed() {
                stall::unless_stalled(exchange, outgoing.body(), attempt.remaining()).await
            } else {
                exchange.await
            };
            match exchanged {
                Ok((response, link)) => {
                    let lease = Lease {
                        link: Some(link),
                        client: Arc::clone(client),
                        upstream: index,
                    };
                    let (finished, kind) = classify::answer(response.status(), response.headers());
                    let finished = match retry::told_grant(response.headers()) {
                        Some(left) => finished.grant_left(left.attempts_left()),
                        None => finished,
                    };
                    watch.end(AttemptEnd::Answered(response.status()), kind);
                    match finished.class {
                        None => Ok((response, lease)),
                        Some(_) => {
                            let finished = outgoing.allowing(finished);
                            Err(AttemptError::Answered(response, lease, finished))
                        }
                    }
                }
                Err(error) => {
                    let (finished, kind) = classify::error(&error, outgoing.body().client_failed());
                    if let Some(kind) = kind {
                        watch.end(AttemptEnd::Failed(kind), Some(kind));
                    }
                    Err(AttemptError::Failed(error, outgoing.allowing(finished)))
                }
            }
        }
    };
    let judge = |result: &Result<_, AttemptError>| match result {
        Ok(_) => Finished::success(),
        Err(AttemptError::Answered(_, _, finished) | AttemptError::Failed(_, finished)) => {
            *finished
        }
    };
    let Opened { result, open } = upstream
        .dependency
        .call_open(options, judge, operation)
        .await;
    let answered = open.as_ref().map(OpenAttempt::kind);
    let open = open.map(|attempt| Open {
        attempt: Some(attempt),
    });
    match result {
        Ok((response, lease)) => Forwarded {
            fate: match answered {
                Some(call::Kind::Hedge) => Fate::SuccessHedge,
                Some(call::Kind::Retry) => Fate::SuccessAfterRetry,
                Some(call::Kind::First) | None => Fate::Success,
            },
            result: Ok(Answer {
                response,
                lease,
                open,
            }),
        },
        Err(error) => failed(error, open, outgoing),
    }
}

fn failed(error: CallError<AttemptError>, open: Option<Open>, outgoing: &Outgoing) -> Forwarded {
    let said = error.to_string();
    let fate = fate(error.report().stop_reason(), outgoing);
    outgoing.keep_grant_left(error.report().grant());
    match error {
        CallError::Operation {
            error: AttemptError::Answered(response, lease, _),
            ..
        } => Forwarded {
            fate,
            result: Ok(Answer {
                response,
                lease,
                open,
            }),
        },
        CallError::Operation {
            error: AttemptError::Failed(error, _),
            ..
        } => {
            if matches!(error, ExchangeError::ClientStalled) {
                let problem = Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "body_timeout",
                    error.to_string(),
                );
                return Forwarded {
                    fate: Fate::CancelledByClient,
                    result: Err(problem),
                };
            }
            if outgoing.body().client_failed() {
                let detail = "the request body broke off, or is malformed";
                let problem = Problem::new(StatusCode::BAD_REQUEST, "bad_body", detail);
                return Forwarded {
                    fate: Fate::CancelledByClient,
                    result: Err(problem),
                };
            }
            let detail = format!("{said}: {error}");
            let problem = Problem::new(StatusCode::BAD_GATEWAY, fate.label(), detail);
            Forwarded {
                fate,
                result: Err(problem),
            }
        }
        CallError::Rejected { rejection, .. } => refused(rejection, said),
        CallError::AttemptTimedOut { .. } => {
            let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, fate.label(), said);
            Forwarded {
                fate,
                result: Err(problem),
            }
        }
        _ => deadline_exceeded(said),
    }
}

/// How a request ends that failed, by what kept it from another attempt.
fn fate(stop: Option<StopReason>, outgoing: &Outgoing) -> Fate {
    match stop {
        Some(StopReason::NotIdempotent) => Fate::NotRetryable,
        Some(StopReason::Unreplayable) => Fate::UnreplayableBody,
        // We forbid it ourselves when the body has gone.
        Some(StopReason::Forbidden) if !outgoing.body().is_replayable() => Fate::UnreplayableBody,
        Some(StopReason::BudgetExhausted) => Fate::RetryBudgetExhausted,
        Some(
            StopReason::AttemptsExhausted
            | StopReason::DeadlineTooClose
            | StopReason::MaxElapsed
            | StopReason::GrantExhausted
            | StopReason::CallerRetries
            | StopReason::Refused(_),
        ) => Fate::RetriesExhausted,
        _ => Fate::UpstreamError,
    }
}

fn refused(rejection: Rejection, detail: String) -> Forwarded {
    let fate = match rejection.reason {
        Reason::BreakerOpen => Fate::BreakerOpen,
        Reason::DeadlineTooClose => return deadline_exceeded(detail),
        Reason::RateLimited => Fate::RateLimited,
        Reason::Throttled => Fate::Shed,
        _ => Fate::BulkheadFull,
    };
    // A quota is the client's to keep; everything else is about the upstream's state.
    let status = match fate {
        Fate::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut problem = Problem::new(status, fate.label(), detail);
    problem.retry_after = Some(rejection.retry_after.unwrap_or(Duration::from_secs(1)));
    problem.overload = matches!(fate, Fate::BulkheadFull | Fate::Shed);
    Forwarded {
        fate,
        result: Err(problem),
    }
}

fn deadline_exceeded(detail: impl Into<String>) -> Forwarded {
    let fate = Fate::DeadlineExceeded;
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, fate.label(), detail);
    Forwarded {
        fate,
        result: Err(problem),
    }
}

/// Counts the end of an attempt, also of one that is dropped.
struct Watch<'a> {
    upstream: &'a Upstream,
    body: &'a RequestBody,
    method: MethodLabel,
    started: Instant,
    allowed: Duration,
    ended: bool,
}

impl<'a> Watch<'a> {
    fn new(
        upstream: &'a Upstream,
        method: MethodLabel,
        allowed: Duration,
        body: &'a RequestBody,
    ) -> Watch<'a> {
        Watch {
            upstream,
            body,
            method,
            started: Instant::now(),
            allowed,
            ended: false,
        }
    }

    fn end(mut self, end: AttemptEnd, kind: Option<Kind>) {
        self.ended = true;
        self.count(end, self.started.elapsed(), kind);
    }

    fn count(&self, end: AttemptEnd, taken: Duration, kind: Option<Kind>) {
        if let Some(kind) = kind {
            self.upstream.metrics.failed(kind);
        }
        self.upstream.metrics.ended(self.method, end, taken);
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let taken = self.started.elapsed();
        // Dropped before its time was up, or while the client owed it a body, it was the client
        // who left: no failure of anybody.
        if !self.ended && taken >= self.allowed && !self.body.awaits_client() {
            self.count(
                AttemptEnd::Failed(Kind::Timeout),
                taken,
                Some(Kind::Timeout),
            );
        }
    }
}
