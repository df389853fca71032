//! Which requests may be sent twice, and what an upstream says about when.
//!
//! RFC 9110 (9.2.2) forbids a proxy to repeat a request that is not idempotent, and the
//! best-documented grievance against meshes is that they did. So a method is repeated if its
//! definition allows it, or if the request carries an `Idempotency-Key`, which is its author's
//! word that the upstream knows how to tell the second from the first.

use crate::hygiene::ATTEMPT_COUNT;
use evenkeel::core::grant::{self, Grant};
use evenkeel::core::retry_after;
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, SystemTime};

/// What a request may still cause; on answers, what is left of that.
pub(crate) const GRANT: HeaderName = HeaderName::from_static(grant::FIELD);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether a request may be repeated when nobody knows what became of it.
pub(crate) fn is_idempotent(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
        || matches!(*method, Method::PUT | Method::DELETE)
        // RFC 10008: safe and idempotent, with a body.
        || method.as_str() == "QUERY"
        || has_idempotency_key(headers)
}

/// A key is a structured-field string or, as most of the world sends it, a bare value.
fn has_idempotency_key(headers: &HeaderMap) -> bool {
    headers.get(IDEMPOTENCY_KEY).is_some_and(|value| {
        let key = value.as_bytes().trim_ascii();
        let inner = key
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""))
            .unwrap_or(key);
        !inner.is_empty() && inner.len() <= 255
    })
}

/// What a request may still cause, and who retries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The extra attempts that the caller grants, if it counts them.
    pub(crate) grant: Option<Grant>,
    /// Whether this request is a retry of the caller's own.
    pub(crate) retries: bool,
}

impl Caller {
    /// Reads the fields of a request and takes the grant out, which is not the upstream's. Both can only
    /// make us retry less, so they are believed of anybody.
    pub(crate) fn take(headers: &mut HeaderMap) -> Caller {
        let count = headers
            .get(ATTEMPT_COUNT)
            .and_then(|count| count.to_str().ok());
        let caller = Caller {
            retries: count.and_then(|count| count.trim().parse().ok()) > Some(1_u32),
            grant: told_grant(headers),
        };
        headers.remove(GRANT);
        caller
    }
}

/// What an answer tells of the grant that its request carried.
pub(crate) fn told_grant(headers: &HeaderMap) -> Option<Grant> {
    Grant::parse(headers.get(GRANT)?.to_str().ok()?)
}

/// Writes a grant over whatever stands there.
pub(crate) fn write_grant(headers: &mut HeaderMap, grant: Grant) {
    if let Ok(value) = HeaderValue::try_from(grant.to_string()) {
        headers.insert(GRANT, value);
    }
}

/// How long `Retry-After` asks to wait, by the core's one rule. A field that is no text counts as one that
/// says nothing.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let mut fields = headers.get_all(header::RETRY_AFTER).iter().peekable();
    fields.peek()?;
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let fields: Vec<String> = fields.map(text).collect();
    let date = headers.get(header::DATE).map(text);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    retry_after::of_response(fields.iter().map(String::as_str), date.as_deref(), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn a_method_is_repeated_by_definition_or_by_key() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert!(is_idempotent(&method, &HeaderMap::new()), "{method}");
        }
        for method in ["POST", "PATCH", "get", "LOCK"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert!(!is_idempotent(&method, &HeaderMap::new()), "{method}");
            for (key, counts) in [
                ("\"8e03978e\"", true),
                ("8e03978e", true),
                ("", false),
                ("\"\"", false),
            ] {
                let keyed = headers(&[("idempotency-key", key)]);
                assert_eq!(is_idempotent(&method, &keyed), counts, "{method} {key}");
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_senders_own_clock() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (after, expected) in [
            ("3", Some(3)),
            ("0", Some(0)),
            ("99999999999999999999", Some(u64::from(u32::MAX))),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:50:37 1994", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("-1", None),
            ("\u{e9}", None),
            ("soon", None),
            ("1.5", None),
            ("", None),
        ] {
            let map = headers(&[("retry-after", after), ("date", date)]);
            assert_eq!(
                retry_after(&map),
                expected.map(Duration::from_secs),
                "{after}"
            );
        }
    }
}
