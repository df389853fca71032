//! A request as it goes to its upstream, once for each attempt.

use crate::config::RouteConfig;
use crate::deadline;
use crate::expect::{self, Gate};
use crate::hygiene::ATTEMPT_COUNT;
use crate::proxy::{Proxy, Upstream};
use crate::replay::{AttemptBody, RequestBody};
use crate::retry;
use crate::upstream::ExchangeError;
use evenkeel::Attempt;
use evenkeel::core::grant::Grant;
use evenkeel::core::outcome::Finished;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Version};
use http_body::Body;
use hyper::body::Incoming;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Everything an attempt needs, and its successor again.
pub(crate) struct Outgoing {
    method: Method,
    uri: Uri,
    /// Copied for each attempt but the last; taken where there can only be one.
    headers: Mutex<HeaderMap>,
    body: RequestBody,
    idempotent: bool,
    repeatable: bool,
    expects_continue: bool,
    caller: retry::Caller,
    /// What is left of the caller's grant, once the call has failed.
    grant_left: Mutex<Option<Grant>>,
}

impl Outgoing {
    /// `headers` are clean already.
    pub(crate) fn new(
        proxy: &Proxy,
        route: &RouteConfig,
        method: Method,
        path: PathAndQuery,
        mut headers: HeaderMap,
        body: Incoming,
    ) -> Outgoing {
        let caller = retry::Caller::take(&mut headers);
        let idempotent = route.idempotent || retry::is_idempotent(&method, &headers);
        // Whatever the method: a refusal that did nothing may always be followed by another attempt.
        let repeatable = proxy.upstreams[route.upstream].may_retry();
        let expects_continue = !body.is_end_stream() && expect::is_expected(&headers);
        Outgoing {
            body: RequestBody::new(body, repeatable, &proxy.replay),
            uri: Uri::from(path),
            method,
            headers: Mutex::new(headers),
            idempotent,
            repeatable,
            expects_continue,
            caller,
            grant_left: Mutex::default(),
        }
    }

    /// Who asked, where that decides how it is retried.
    pub(crate) fn caller(&self) -> retry::Caller {
        self.caller
    }

    /// Keeps what is left of the caller's grant, for the answer.
    pub(crate) fn keep_grant_left(&self, left: Option<Grant>) {
        let kept = left.filter(|_| self.caller.grant.is_some());
        *self
            .grant_left
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// What is left of the caller's grant, where it gave one and the call failed.
    pub(crate) fn grant_left(&self) -> Option<Grant> {
        *self
            .grant_left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Its method.
    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// Whether it may be done twice.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// What the end of an attempt allows, when the body is counted in.
    pub(crate) fn allowing(&self, finished: Finished) -> Finished {
        if self.body.is_replayable() {
            finished
        } else {
            finished.no_retry()
        }
    }

    /// Its body.
    pub(crate) fn body(&self) -> &RequestBody {
        &self.body
    }

    /// The message for `attempt`, of which the upstream may make `remaining`.
    ///
    /// # Errors
    /// When the body can no longer be sent from its beginning.
    pub(crate) fn message(
        &self,
        upstream: &Upstream,
        attempt: &Attempt,
        remaining: Duration,
    ) -> Result<Request<AttemptBody>, ExchangeError> {
        let gate = self.expects_continue.then(|| Arc::new(Gate::new()));
        let body = self
            .body
            .attempt(gate.clone())
            .ok_or(ExchangeError::BodyGone)?;
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut headers = if self.repeatable {
            headers.clone()
        } else {
            std::mem::take(&mut *headers)
        };
        deadline::write(&mut headers, remaining);
        if let Some(grant) = attempt.grant() {
            retry::write_grant(&mut headers, grant);
        }
        if attempt.number() > 1 {
            headers.insert(ATTEMPT_COUNT, HeaderValue::from(attempt.number()));
        }
        if !headers.contains_key(header::HOST) {
            headers.insert(header::HOST, upstream.host.clone());
        }
        // hyper takes a GET without a length for one without a body, unless it is told otherwise.
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            headers.insert(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            );
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        if let Some(gate) = gate {
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == http::StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        Ok(request)
    }
}
