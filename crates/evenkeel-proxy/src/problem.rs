//! The answers the proxy writes itself.
//!
//! Whoever reads a 503 must see at once who wrote it. Ours are `application/problem+json`
//! (RFC 9457) and carry [`REASON`]; that field is removed from what upstreams send, so its
//! presence means this proxy. (A head that does not parse never becomes a request: the HTTP layer
//! answers it with a bare 400, 414 or 431.)

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use std::time::Duration;

/// Says why the proxy answered in the upstream's place.
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-evenkeel-reason");
/// Says that an answer is a substitute: `static` or `stale`.
pub(crate) const DEGRADED: HeaderName = HeaderName::from_static("x-evenkeel-degraded");
/// On 429 and 503: admission refused it and nothing was done, so any method may be tried again.
pub(crate) const OVERLOAD: HeaderName = HeaderName::from_static("x-evenkeel-overload");

/// One answer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The status code.
    pub(crate) status: StatusCode,
    /// The value of [`REASON`]: a fate's label, or what is wrong with the request itself.
    pub(crate) reason: &'static str,
    /// One sentence for the person who reads it.
    pub(crate) detail: String,
    /// When to come back; sent in whole seconds, rounded up.
    pub(crate) retry_after: Option<Duration>,
    /// Whether nothing was sent anywhere because we are full.
    pub(crate) overload: bool,
}

impl Problem {
    /// A problem without further advice.
    pub(crate) fn new(
        status: StatusCode,
        reason: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem {
            status,
            reason,
            detail: detail.into(),
            retry_after: None,
            overload: false,
        }
    }

    /// The response: head and complete body.
    pub(crate) fn into_response(self) -> Response<Bytes> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = format!(
            "{{\"title\":\"{title}\",\"status\":{},\"reason\":\"{}\",\"detail\":{}}}\n",
            self.status.as_u16(),
            self.reason,
            json_string(&self.detail),
        );
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REASON, HeaderValue::from_static(self.reason));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if self.overload {
            headers.insert(OVERLOAD, HeaderValue::from_static(self.reason));
        }
        response
    }
}

/// `Retry-After` knows whole seconds only; rounding down would invite the caller too early.
fn whole_seconds(after: Duration) -> u64 {
    after
        .as_millis()
        .div_ceil(1000)
        .clamp(1, 86_400)
        .try_into()
        .unwrap_or(86_400)
}

/// A JSON string literal.
fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_who_wrote_it_and_when_to_come_back() {
        let mut problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "breaker_open",
            "dependency \"search\"\tis\nclosed",
        );
        problem.retry_after = Some(Duration::from_millis(1001));
        let response = problem.into_response();
        assert_eq!(response.headers()["retry-after"], "2", "rounded up");
        assert_eq!(response.headers()[REASON], "breaker_open");
        assert!(!response.headers().contains_key(OVERLOAD));
        assert_eq!(
            response.body(),
            &Bytes::from_static(
                b"{\"title\":\"Service Unavailable\",\"status\":503,\"reason\":\"breaker_open\",\
                  \"detail\":\"dependency \\\"search\\\"\\u0009is\\nclosed\"}\n"
            )
        );
    }

    #[test]
    fn a_refusal_for_want_of_room_is_marked_as_not_done() {
        let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "bulkhead_full", "full");
        problem.overload = true;
        assert_eq!(problem.into_response().headers()[OVERLOAD], "bulkhead_full");
    }
}
