//! Which header fields go on to the next hop, and which are ours to write.
//!
//! A proxy that copies a message copies its framing, its connection's private talk and its
//! sender's claims with it, and each of the three has been a vulnerability: `Transfer-Encoding`
//! passed on beside our own framing is a smuggled request, `Connection: x-forwarded-for` makes a
//! careless proxy delete the field it just wrote. So the order here is fixed: first everything
//! hop-by-hop goes (RFC 9110, 7.6.1), the named fields and the fields that `Connection` nominates;
//! then framing goes, which the HTTP layer writes anew from the body it really has; only then
//! our own fields are added.
//!
//! Of those, `X-Forwarded-For` and `Via` grow by one entry. `X-Forwarded-Host` and
//! `X-Forwarded-Proto` are kept where they are there already, because what ends TLS in front of us
//! is the only one who knows; whoever faces strangers directly must not believe them.

use crate::problem::{self, Problem};
use crate::retry;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// How many attempts there have been, this one included, as Envoy writes it.
pub(crate) const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// What this proxy is called in `Via`. Drawn anew for each process, because two instances in one
/// chain are no loop.
#[derive(Clone, Debug)]
pub(crate) struct Pseudonym {
    name: String,
    via_http_11: HeaderValue,
    via_http_10: HeaderValue,
}

impl Pseudonym {
    /// `id` tells the instances apart.
    pub(crate) fn new(id: u64) -> Pseudonym {
        let name = format!("evenkeel-{:08x}", id & 0xffff_ffff);
        let field = |version: &str| {
            HeaderValue::try_from(format!("{version} {name}"))
                .unwrap_or(HeaderValue::from_static("1.1 evenkeel"))
        };
        let (via_http_11, via_http_10) = (field("1.1"), field("1.0"));
        Pseudonym {
            name,
            via_http_11,
            via_http_10,
        }
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::VIA).iter().any(|value| {
            value.to_str().is_ok_and(|text| {
                text.split(',')
                    .any(|hop| hop.split_ascii_whitespace().nth(1) == Some(&self.name))
            })
        })
    }
}

/// What the proxy knows of the connection a request came in on.
pub(crate) struct Received<'a> {
    /// The client's address, as it goes into `X-Forwarded-For`.
    pub(crate) client: &'a HeaderValue,
    /// The host the request is for.
    pub(crate) host: Option<&'a HeaderValue>,
    /// The version of the request.
    pub(crate) version: Version,
    /// Whether the request has a body.
    pub(crate) has_body: bool,
}

/// Turns the fields of a request as received into those of the request as sent on.
///
/// # Errors
/// The problem to answer with: a transfer coding we cannot undo (501), or our own name in `Via`
/// (508).
pub(crate) fn clean_request(
    headers: &mut HeaderMap,
    received: &Received<'_>,
    us: &Pseudonym,
) -> Result<(), Problem> {
    if let Some(coding) = headers.get(header::TRANSFER_ENCODING) {
        // `gzip, chunked` would reach the upstream still zipped and no longer saying so.
        if !only_chunked(headers) {
            return Err(Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "unknown_transfer_coding",
                format!("transfer coding {coding:?} is not implemented; only chunked is"),
            ));
        }
    }
    if us.is_in(headers) {
        return Err(Problem::new(
            StatusCode::LOOP_DETECTED,
            "loop_detected",
            "this request has already passed through this proxy",
        ));
    }
    let keep_trailers = te_says_trailers(headers);
    let empty_but_sized = !received.has_body && headers.contains_key(header::CONTENT_LENGTH);
    remove_hop_by_hop(headers);
    remove_framing(headers);
    headers.remove(header::PROXY_AUTHORIZATION);

    if keep_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    if empty_but_sized {
        // An explicit empty body stays explicit: some servers answer 411 to a POST without it.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    match received.host {
        Some(host) => {
            headers.insert(header::HOST, host.clone());
            if !headers.contains_key(&FORWARDED_HOST) {
                headers.insert(FORWARDED_HOST, host.clone());
            }
        }
        None => {
            headers.remove(header::HOST);
        }
    }
    forwarded_for(headers, received.client);
    if !headers.contains_key(&FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    let via = if received.version == Version::HTTP_10 {
        &us.via_http_10
    } else {
        &us.via_http_11
    };
    headers.append(header::VIA, via.clone());
    Ok(())
}

/// Turns the fields of a response as received into those of the response as sent on.
///
/// `keeps_length` is for answers whose `Content-Length` describes a body that is not there: to
/// HEAD, and 304.
///
/// # Errors
/// When the upstream used a transfer coding we cannot undo.
pub(crate) fn clean_response(headers: &mut HeaderMap, keeps_length: bool) -> Result<(), Problem> {
    if headers.contains_key(header::TRANSFER_ENCODING) && !only_chunked(headers) {
        return Err(Problem::new(
            StatusCode::BAD_GATEWAY,
            "upstream_error",
            "the upstream used a transfer coding other than chunked",
        ));
    }
    remove_hop_by_hop(headers);
    headers.remove(header::PROXY_AUTHENTICATE);
    headers.remove(header::TRANSFER_ENCODING);
    if !keeps_length {
        headers.remove(header::CONTENT_LENGTH);
    }
    headers.remove(problem::REASON);
    // What is left is for us to say: we may have spent some of it.
    headers.remove(retry::GRANT);
    Ok(())
}

/// Whether the answer to this request and status has a `Content-Length` without a body.
pub(crate) fn keeps_length(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || status == StatusCode::NOT_MODIFIED
}

fn only_chunked(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = values.next();
    values.next().is_none()
        && first.is_some_and(|value| {
            value
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"chunked")
        })
}

fn te_says_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| {
        value.to_str().is_ok_and(|text| {
            text.split(',')
                .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        })
    })
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|token| {
                !token.eq_ignore_ascii_case("close") && !token.eq_ignore_ascii_case("keep-alive")
            })
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .collect();
        for name in nominated {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    for name in [
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &header::TE,
        &header::UPGRADE,
    ] {
        headers.remove(name);
    }
}

fn remove_framing(headers: &mut HeaderMap) {
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
}

/// Appends to the one line there should be: servers that read only the first of several lines
/// would take the part an outsider wrote for the whole.
fn forwarded_for(headers: &mut HeaderMap, client: &HeaderValue) {
    let mut joined = Vec::new();
    for value in headers.get_all(&FORWARDED_FOR) {
        joined.extend_from_slice(value.as_bytes());
        joined.extend_from_slice(b", ");
    }
    let value = if joined.is_empty() {
        client.clone()
    } else {
        joined.extend_from_slice(client.as_bytes());
        HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)).unwrap_or(client.clone())
    };
    headers.insert(FORWARDED_FOR, value);
}

/// What becomes of `Max-Forwards`, which means something on TRACE and OPTIONS only
/// (RFC 9110, 7.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hops {
    /// Goes on; the field, if any, has been counted down.
    Forward,
    /// The count has run out: this proxy is whom the request is for.
    Answer,
}

/// Counts `Max-Forwards` down.
pub(crate) fn count_down(method: &Method, headers: &mut HeaderMap) -> Hops {
    if method != Method::TRACE && method != Method::OPTIONS {
        return Hops::Forward;
    }
    let left = headers
        .get(header::MAX_FORWARDS)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<u32>().ok());
    match left {
        None => Hops::Forward,
        Some(0) => Hops::Answer,
        Some(left) => {
            headers.insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
            Hops::Forward
        }
    }
}

#[cfg(test)]
mod tests;
