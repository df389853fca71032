//! What a client is told when its request is not done.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

/// Why a request with a key was not done, in the words of `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    Missing,
    Malformed,
    TooLarge { most: usize },
    Unreadable,
    Mismatch,
    InFlight { retry_after: Duration },
    InDoubt,
    AnswerNotKept { status: StatusCode },
    StoreDown,
}

/// A store that does not answer is usually back, or replaced, within seconds.
const STORE_BACK_IN: Duration = Duration::from_secs(5);

impl Problem {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Malformed | Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Mismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InFlight { .. } | Self::InDoubt | Self::AnswerNotKept { .. } => {
                StatusCode::CONFLICT
            }
            Self::StoreDown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Missing => "idempotency_key_missing",
            Self::Malformed => "idempotency_key_malformed",
            Self::TooLarge { .. } => "request_too_large",
            Self::Unreadable => "request_unreadable",
            Self::Mismatch => "idempotency_key_reused",
            Self::InFlight { .. } => "in_flight",
            Self::InDoubt => "in_doubt",
            Self::AnswerNotKept { .. } => "answer_not_kept",
            Self::StoreDown => "idempotency_store_down",
        }
    }

    fn detail(self) -> String {
        match self {
            Self::Missing => "this operation needs a field Idempotency-Key, the same on every attempt".into(),
            Self::Malformed => "one Idempotency-Key of 1 to 255 visible characters, bare or quoted".into(),
            Self::TooLarge { most } => format!("a request with an Idempotency-Key may have {most} bytes"),
            Self::Unreadable => "the request's body did not arrive whole".into(),
            Self::Mismatch => "this Idempotency-Key was used for a different request".into(),
            Self::InFlight { .. } => "the first request with this Idempotency-Key is still being done".into(),
            Self::InDoubt => {
                "a request with this Idempotency-Key was begun, and nobody knows how far it came; it is \
                 not done again by itself"
                    .into()
            }
            Self::AnswerNotKept { status } => format!(
                "it was done, with status {}; its answer was too large to be kept",
                status.as_u16()
            ),
            Self::StoreDown => "whether this was done before cannot be told now; nothing was done".into(),
        }
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::InFlight { retry_after } => Some(retry_after),
            Self::StoreDown => Some(STORE_BACK_IN),
            _ => None,
        }
    }

    pub(super) fn response<B>(self, body: impl FnOnce(Bytes) -> B) -> Response<B> {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or("Error");
        // None of the words holds what JSON would have to escape.
        let text = format!(
            "{{\"title\":\"{title}\",\"status\":{},\"reason\":\"{}\",\"detail\":\"{}\"}}\n",
            status.as_u16(),
            self.reason(),
            self.detail()
        );
        let mut response = Response::new(body(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}
