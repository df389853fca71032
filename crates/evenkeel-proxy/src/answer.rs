//! One request, from its head to its answer.
//!
//! The order is the promise: what is malformed is refused before it can mean anything, then the
//! route is chosen, then the fields are cleaned, and only then is anything read from them, so that
//! a field nominated away by `Connection` has no effect either. The deadline runs from the head.

use crate::activity::Busy;
use crate::body::{AnswerBody, Ending};
use crate::client::Client;
use crate::config::Fallback;
use crate::deadline;
use crate::fallback::{self, Key};
use crate::fate::Fate;
use crate::forward::{self, Answer, Forwarded};
use crate::hygiene::{self, Hops, Received};
use crate::metrics::MethodLabel;
use crate::outgoing::Outgoing;
use crate::problem::Problem;
use crate::record::Record;
use crate::retry;
use crate::target;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

/// Answers one request. Every request gets an answer; what went wrong is in it.
///
/// # Cancel safety
/// Dropping the future cancels the request: the connection to the upstream is closed, its slot is
/// free, and the request is counted as cancelled by its client.
pub(crate) async fn answer(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let busy = client.begin();
    let (parts, body) = request.into_parts();
    let draining = !client.proxy.drain.is_serving();
    let mut response = match begin(&client, parts, body) {
        Ok(begun) => begun.carry_through(busy).await,
        Err(response) => (*response).map(|bytes| AnswerBody::ours(bytes, None, busy)),
    };
    // Asked again: the drain may have begun while the upstream was thinking.
    if draining || !client.proxy.drain.is_serving() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A request that is valid and has a route.
struct Begun {
    record: Record,
    outgoing: Outgoing,
    deadline: Instant,
    /// The question, if a kept answer may serve it.
    key: Option<Key>,
    /// The request's fields as its upstream saw them, where an answer may have to be found again.
    asked: http::HeaderMap,
}

fn begin(
    client: &Arc<Client>,
    mut parts: Parts,
    body: Incoming,
) -> Result<Begun, Box<Response<Bytes>>> {
    let proxy = &client.proxy;
    let refuse = |problem: Problem| {
        proxy.metrics.invalid(problem.reason);
        Box::new(problem.into_response())
    };
    let started = Instant::now();
    let target =
        target::target(&parts.method, &parts.uri, parts.version, &parts.headers).map_err(refuse)?;
    if hygiene::count_down(&parts.method, &mut parts.headers) == Hops::Answer
        || target.path.as_str() == "*"
    {
        return Err(Box::new(final_recipient(&parts.method)));
    }
    let Some(route) = proxy
        .table
        .find(target.host_name(), target.path.path(), &parts.method)
    else {
        return Err(refuse(Problem::new(
            StatusCode::NOT_FOUND,
            "no_route",
            "no route takes this host, path and method",
        )));
    };
    let received = Received {
        client: &client.address,
        host: target.host.as_ref(),
        version: parts.version,
        has_body: !body.is_end_stream(),
    };
    hygiene::clean_request(&mut parts.headers, &received, &proxy.pseudonym).map_err(refuse)?;

    let config = &proxy.routes[route].config;
    let asked = deadline::asked(&parts.headers);
    if asked.malformed > 0 {
        proxy
            .metrics
            .malformed_deadlines
            .inc_by(u64::from(asked.malformed));
    }
    let time = asked
        .remaining
        .map_or(config.deadline, |time| time.min(config.deadline));
    let record = Record::new(Arc::clone(client), route, MethodLabel::of(&parts.method));
    let (key, kept_fields) = if proxy.routes[route].keeps_last_good {
        let key = Key::of(
            route,
            &parts.method,
            target.host.as_ref(),
            &target.path,
            &parts.headers,
        );
        (key, parts.headers.clone())
    } else {
        (None, http::HeaderMap::new())
    };
    let outgoing = Outgoing::new(
        proxy,
        config,
        parts.method,
        target.path,
        parts.headers,
        body,
    );
    Ok(Begun {
        record,
        outgoing,
        deadline: started + time,
        key,
        asked: kept_fields,
    })
}

impl Begun {
    async fn carry_through(mut self, busy: Busy) -> Response<AnswerBody> {
        let client = Arc::clone(self.record.client());
        let proxy = &client.proxy;
        let config = &proxy.routes[self.record.route].config;
        if config.deadline_covers_body {
            client.activity.set_deadline(self.deadline);
        }
        if self.deadline <= self.record.started {
            // Nobody waits for an answer any more, not for a substitute either.
            let problem = Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                Fate::DeadlineExceeded.label(),
                "the caller's deadline had passed on arrival; nothing was sent",
            );
            return self.ours(problem.into_response(), Fate::DeadlineExceeded, busy);
        }
        let forwarded =
            forward::forward(&client, &self.record, &self.outgoing, self.deadline).await;
        let Forwarded { fate, result } = forwarded;
        let grant_left = self.outgoing.grant_left();
        let mut response = match result {
            Ok(answer) if !answer.is_server_failure() => self.pass_on(answer, fate, busy),
            Ok(answer) => match self.substitute() {
                Some(response) => self.ours(response, Fate::Degraded, busy),
                None => self.pass_on(answer, fate, busy),
            },
            Err(problem) if self.outgoing.body().is_malformed() => {
                // Not HTTP, as it turned out: nobody's failure, and no request.
                proxy.metrics.invalid(problem.reason);
                self.record.withdraw();
                self.ours(problem.into_response(), fate, busy)
            }
            Err(problem) => match self
                .substitute()
                .filter(|_| fate != Fate::CancelledByClient)
            {
                Some(response) => self.ours(response, Fate::Degraded, busy),
                None => self.ours(problem.into_response(), fate, busy),
            },
        };
        if let Some(left) = grant_left {
            retry::write_grant(response.headers_mut(), left);
        }
        response
    }

    /// What to answer in the upstream's place, if the route says so and there is something.
    fn substitute(&self) -> Option<Response<Bytes>> {
        if !fallback::may_stand_in(self.outgoing.method()) {
            return None;
        }
        let proxy = &self.record.client().proxy;
        let fallbacks = &proxy.routes[self.record.route].config.fallbacks;
        fallbacks.iter().find_map(|fallback| match fallback {
            Fallback::LastGood { max_age } => {
                proxy
                    .last_good
                    .answer(self.key.as_ref()?, &self.asked, *max_age, Instant::now())
            }
            fixed => fallback::fixed(fixed),
        })
    }

    fn ours(
        mut self,
        mut response: Response<Bytes>,
        fate: Fate,
        busy: Busy,
    ) -> Response<AnswerBody> {
        if response.status() == StatusCode::REQUEST_TIMEOUT {
            // What would come on this connection next is the rest of the body (RFC 9110, 15.5.9).
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        self.record.answered(response.status());
        self.record.settle(fate);
        let record = self.record;
        response.map(|bytes| AnswerBody::ours(bytes, Some(record), busy))
    }

    fn pass_on(mut self, mut answer: Answer, fate: Fate, busy: Busy) -> Response<AnswerBody> {
        let client = Arc::clone(self.record.client());
        let proxy = &client.proxy;
        let config = &proxy.routes[self.record.route].config;
        let keeps = hygiene::keeps_length(self.outgoing.method(), answer.status());
        if let Err(problem) = hygiene::clean_response(answer.headers_mut(), keeps) {
            return self.ours(problem.into_response(), Fate::UpstreamError, busy);
        }
        let asked_for_all = *self.outgoing.method() == Method::GET;
        let capture = self.key.take().filter(|_| asked_for_all).and_then(|key| {
            let (status, length) = (answer.status(), answer.length());
            proxy
                .last_good
                .capture(key, &self.asked, status, answer.headers(), length)
        });
        let deadline = config.deadline_covers_body.then_some(self.deadline);
        self.record.answered(answer.status());
        AnswerBody::upstream(
            answer,
            Ending {
                fate,
                deadline,
                capture,
                upload: self.outgoing.body().upload(),
            },
            self.record,
            busy,
        )
    }
}

/// TRACE and OPTIONS that were meant for us.
fn final_recipient(method: &Method) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if method != Method::OPTIONS {
        // An echo would hand cookies and credentials to whatever script asked for it.
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY";
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
