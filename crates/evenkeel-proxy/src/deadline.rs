//! How long a request may take: the tightest of what its route allows and its caller says.
//!
//! No RFC carries a deadline over HTTP, so callers use what their framework invented. All the
//! forms recognised here carry the *remaining* time, because an instant would need clocks that
//! agree. A caller can only shorten what the route allows; a value that does not parse is ignored
//! and counted, since refusing the request would punish the user for a middlebox; a value of zero
//! or less is answered 504 without calling anyone: whoever asked has already given up.
//!
//! What is sent on is the remainder less the way back ([`to_send`]), so that the next hop gives up before
//! we do and its answer still reaches us.

use evenkeel::core::deadline::to_send;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use std::time::Duration;

/// Our own field, in milliseconds.
pub(crate) const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");
/// Written by Envoy for what stands behind it, in milliseconds.
const ENVOY_EXPECTED_MS: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
/// gRPC's: one to eight digits and a unit.
const GRPC: HeaderName = HeaderName::from_static("grpc-timeout");

/// What the recognised fields of a request said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The tightest value found; `Some(0)` when the caller's time is already over.
    pub(crate) remaining: Option<Duration>,
    /// Fields that were present and did not parse.
    pub(crate) malformed: u32,
}

/// Reads every recognised deadline field.
pub(crate) fn asked(headers: &HeaderMap) -> Asked {
    let mut asked = Asked::default();
    for (name, parse) in [
        (&TIMEOUT_MS, milliseconds as fn(&str) -> Option<Duration>),
        (&ENVOY_EXPECTED_MS, milliseconds),
        (&GRPC, grpc),
    ] {
        for value in headers.get_all(name) {
            match value.to_str().ok().and_then(parse) {
                Some(time) => {
                    asked.remaining = Some(asked.remaining.map_or(time, |least| least.min(time)));
                }
                None => asked.malformed += 1,
            }
        }
    }
    asked
}

/// Writes what is left onto an attempt: our own field always, and each other recognised field
/// that the caller used, so that a hop that knows only that one is not misled by its old value.
pub(crate) fn write(headers: &mut HeaderMap, remaining: Duration) {
    // Never zero: that would refuse the attempt.
    let millis = to_send(remaining).unwrap_or_default().as_millis().max(1);
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    headers.insert(TIMEOUT_MS, HeaderValue::from(millis));
    if headers.contains_key(&ENVOY_EXPECTED_MS) {
        headers.insert(ENVOY_EXPECTED_MS, HeaderValue::from(millis));
    }
    if headers.contains_key(&GRPC) {
        // Eight digits of milliseconds are 27 hours; beyond that seconds fit for three years.
        let text = if millis <= 99_999_999 {
            format!("{millis}m")
        } else {
            format!("{}S", (millis / 1000).min(99_999_999))
        };
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(GRPC, value);
        }
    }
}

/// A decimal number of milliseconds. A negative one means the time is over; a fraction, a unit or
/// more than ten digits is not a form anyone sends.
fn milliseconds(text: &str) -> Option<Duration> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: u64 = digits.parse().ok()?;
    Some(if negative {
        Duration::ZERO
    } else {
        Duration::from_millis(millis)
    })
}

/// `1*8DIGIT ("H" / "M" / "S" / "m" / "u" / "n")`, as in gRPC over HTTP/2.
fn grpc(text: &str) -> Option<Duration> {
    let split = text.len().checked_sub(1)?;
    let (digits, unit) = (text.get(..split)?, text.get(split..)?);
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
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
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn the_tightest_recognised_field_wins() {
        let asked = asked(&headers(&[
            ("x-request-timeout-ms", "900"),
            ("grpc-timeout", "2S"),
            ("x-envoy-expected-rq-timeout-ms", "1500"),
        ]));
        assert_eq!(
            asked,
            Asked {
                remaining: Some(Duration::from_millis(900)),
                malformed: 0
            }
        );
    }

    #[test]
    fn a_malformed_field_is_ignored_and_counted() {
        for bad in ["", "1.5", "1s", "abc", "12345678901", "1 000", "+5"] {
            let found = asked(&headers(&[
                ("x-request-timeout-ms", bad),
                ("grpc-timeout", "3S"),
            ]));
            assert_eq!(
                found,
                Asked {
                    remaining: Some(Duration::from_secs(3)),
                    malformed: 1
                },
                "{bad:?}"
            );
        }
        for bad in ["", "S", "123456789S", "5s", "-1S", "1.0S", "10", "5\u{b5}"] {
            let mut map = HeaderMap::new();
            map.insert(GRPC, HeaderValue::from_bytes(bad.as_bytes()).unwrap());
            assert_eq!(
                asked(&map),
                Asked {
                    remaining: None,
                    malformed: 1
                },
                "{bad:?}"
            );
        }
    }

    #[test]
    fn zero_and_less_mean_the_time_is_over() {
        for over in ["0", "-1", "-300"] {
            let found = asked(&headers(&[("x-request-timeout-ms", over)]));
            assert_eq!(found.remaining, Some(Duration::ZERO), "{over}");
        }
    }

    #[test]
    fn every_unit_of_grpc_is_read() {
        for (text, nanos) in [
            ("1H", 3_600_000_000_000u128),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("4m", 4_000_000),
            ("5u", 5_000),
            ("6n", 6),
            ("99999999H", 99_999_999 * 3_600_000_000_000),
        ] {
            assert_eq!(grpc(text).unwrap().as_nanos(), nanos, "{text}");
        }
    }

    #[test]
    fn the_remainder_less_the_margin_is_sent_on_in_every_form_the_caller_used() {
        let mut map = headers(&[("grpc-timeout", "9S"), ("x-request-timeout-ms", "9000")]);
        write(&mut map, Duration::from_millis(502));
        assert_eq!(map["x-request-timeout-ms"], "500");
        assert_eq!(map["grpc-timeout"], "500m");
        assert!(!map.contains_key("x-envoy-expected-rq-timeout-ms"));
        write(&mut map, Duration::from_millis(1));
        assert_eq!(
            map["x-request-timeout-ms"], "1",
            "never zero: that would refuse the attempt"
        );
    }
}
