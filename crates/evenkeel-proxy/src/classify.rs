//! What the end of one attempt means: for the bounds that learn from it, and for the decision
//! whether another attempt is safe.
//!
//! Two questions that are easily confused. Whether the dependency is healthy: a 404 is health, a
//! 503 is not. And what is known to have been done: a refused connection did nothing, a 503 from
//! an application may have been written after the money moved.

use crate::open_files;
use crate::problem;
use crate::retry::retry_after;
use crate::upstream::ExchangeError;
use evenkeel::core::outcome::{Class, Finished, Outcome};
use http::{HeaderMap, StatusCode};

/// The kind of a failed attempt, for the `kind` label of `dependency_errors_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No connection.
    Connect,
    /// The exchange broke off.
    Broken,
    /// An answer that is not HTTP as we speak it.
    Protocol,
    /// The attempt's timeout or the deadline.
    Timeout,
    /// The upstream refused for want of room: 425, 429, 503.
    Refused,
    /// Another 5xx.
    ServerError,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub(crate) const ALL: [Kind; 6] = [
        Kind::Connect,
        Kind::Broken,
        Kind::Protocol,
        Kind::Timeout,
        Kind::Refused,
        Kind::ServerError,
    ];

    /// The label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Connect => "connect",
            Kind::Broken => "broken",
            Kind::Protocol => "protocol",
            Kind::Timeout => "timeout",
            Kind::Refused => "refused",
            Kind::ServerError => "server_error",
        }
    }
}

/// What an answer's head says. Nothing below 500 is the dependency's failure, 425 and 429 apart;
/// of those above, 501 and 505 are about the request.
pub(crate) fn answer(status: StatusCode, headers: &HeaderMap) -> (Finished, Option<Kind>) {
    let finished = match status.as_u16() {
        // Not processed, by their definitions (RFC 6585, RFC 8470): any method may come again.
        429 => Finished::failed(Class::Rejected),
        425 => Finished::failed(Class::Rejected).outcome(Outcome::Ignored),
        // Admission said so; without the mark a 503 is anybody's.
        503 if headers.contains_key(problem::OVERLOAD) => Finished::failed(Class::Rejected),
        503 => Finished::failed(Class::Ambiguous).outcome(Outcome::Overload),
        502 | 504 => Finished::failed(Class::Ambiguous),
        501 | 505 => return (Finished::success(), None),
        500.. => return (Finished::failed(Class::Fatal), Some(Kind::ServerError)),
        _ => return (Finished::success(), None),
    };
    let kind = if matches!(status.as_u16(), 502 | 504) {
        Kind::ServerError
    } else {
        Kind::Refused
    };
    let finished = match retry_after(headers) {
        Some(wait) if kind == Kind::Refused => finished.retry_after(wait),
        _ => finished,
    };
    (finished, Some(kind))
}

/// What an exchange without an answer says. `client_failed` when the client's own upload broke.
pub(crate) fn error(error: &ExchangeError, client_failed: bool) -> (Finished, Option<Kind>) {
    if client_failed {
        return (Finished::callers_fault(), None);
    }
    match error {
        // Our own want of files or ports says nothing of the dependency.
        ExchangeError::Connect(error) if open_files::is_exhaustion(error) => {
            let finished = Finished::failed(Class::NotSent).outcome(Outcome::Ignored);
            (finished, None)
        }
        ExchangeError::Connect(_) | ExchangeError::ConnectTimeout(_) => {
            (Finished::failed(Class::NotSent), Some(Kind::Connect))
        }
        ExchangeError::Broken(error) if error.is_parse() => {
            (Finished::failed(Class::Ambiguous), Some(Kind::Protocol))
        }
        ExchangeError::Broken(_) => (Finished::failed(Class::Ambiguous), Some(Kind::Broken)),
        ExchangeError::Switched => (Finished::failed(Class::Fatal), Some(Kind::Protocol)),
        ExchangeError::BodyGone | ExchangeError::ClientStalled => (Finished::callers_fault(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header};
    use std::io;
    use std::time::Duration;

    fn read(status: u16, pairs: &[(&'static str, &'static str)]) -> Finished {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        answer(StatusCode::from_u16(status).unwrap(), &headers).0
    }

    #[test]
    fn only_a_refusal_that_says_so_is_safe_for_every_method() {
        for (status, pairs, class) in [
            (200, &[][..], None),
            (404, &[], None),
            (408, &[], None),
            (425, &[], Some(Class::Rejected)),
            (429, &[], Some(Class::Rejected)),
            (500, &[], Some(Class::Fatal)),
            (501, &[], None),
            (502, &[], Some(Class::Ambiguous)),
            (503, &[], Some(Class::Ambiguous)),
            (
                503,
                &[("x-evenkeel-overload", "bulkhead_full")],
                Some(Class::Rejected),
            ),
            (504, &[], Some(Class::Ambiguous)),
            (507, &[], Some(Class::Fatal)),
        ] {
            assert_eq!(read(status, pairs).class, class, "{status} {pairs:?}");
        }
    }

    #[test]
    fn client_errors_say_nothing_bad_of_the_dependency() {
        for status in [400, 401, 403, 404, 409, 413, 422, 499, 501, 505] {
            assert_eq!(read(status, &[]).outcome, Outcome::Success, "{status}");
        }
        assert_eq!(read(503, &[]).outcome, Outcome::Overload);
        assert_eq!(read(500, &[]).outcome, Outcome::Failure);
    }

    #[test]
    fn retry_after_counts_on_refusals_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        for (status, expected) in [(503, Some(7)), (429, Some(7)), (502, None), (200, None)] {
            let (finished, _) = answer(StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!(
                finished.retry_after,
                expected.map(Duration::from_secs),
                "{status}"
            );
        }
    }

    #[test]
    fn a_connection_that_was_never_made_sent_nothing() {
        let refused = ExchangeError::Connect(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(error(&refused, false).0.class, Some(Class::NotSent));
        assert_eq!(
            error(&refused, true).0.outcome,
            Outcome::Ignored,
            "the client broke off"
        );
    }
}
