//! A context on the wire.
//!
//! No RFC carries a deadline over HTTP, so callers use what their framework invented. The forms read here
//! all carry the time that *remains*, since an instant would need clocks that agree:
//!
//! | field | form | from |
//! |---|---|---|
//! | `x-request-timeout-ms` | milliseconds | evenkeel, and services' own |
//! | `x-envoy-expected-rq-timeout-ms` | milliseconds | Envoy, Istio |
//! | `grpc-timeout` | up to eight digits and `H M S m u n` | gRPC |
//! | `connect-timeout-ms` | milliseconds, up to ten digits | Connect |
//!
//! The tightest counts, since a caller can only shorten; what does not parse is ignored and counted,
//! because refusing the request would punish the user for a middlebox. Zero or less: whoever asked has
//! given up, and the context that comes of it has [ended](super::Context::check) already.
//!
//! What is sent on is the remainder less the way back, so that the next hop gives up before we do and its
//! answer still reaches us.
//!
//! Beside the time travel `x-request-id`, `x-envoy-attempt-count`, `x-evenkeel-tenant` and
//! `x-evenkeel-criticality`. The last three are believed only of callers inside: see [`Origin`].

use std::time::Duration;

use evenkeel_core::criticality::Criticality;
use evenkeel_core::deadline;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Context, Ended};

/// The time that is left, in milliseconds.
pub const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");
/// The name of a request in logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Which attempt this is; 1 is the first.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
/// On whose behalf a request is made.
pub const TENANT: HeaderName = HeaderName::from_static("x-evenkeel-tenant");
/// How much a request matters.
pub const CRITICALITY: HeaderName = HeaderName::from_static("x-evenkeel-criticality");

const ENVOY_EXPECTED_MS: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const GRPC: HeaderName = HeaderName::from_static("grpc-timeout");
const CONNECT_MS: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// Bytes of a request's or a tenant's name that are kept. Longer ones are somebody's mistake or attack,
/// and end up in every log line.
const LONGEST_NAME: usize = 255;

/// Where a request comes from, and so what is believed of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a service of ours: everything.
    Inside,
    /// From anybody: its deadline, which can only shorten, and its name. Who the tenant is, how much the
    /// request matters and which attempt it is are for us to say.
    Outside,
}

/// What the fields of a request said.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Received {
    /// The context to work in.
    pub context: Context,
    /// Fields that were there and did not parse. Count them: some hop writes what nobody can read.
    pub malformed: u32,
}

/// Reads a context from the fields of a request.
///
/// ```
/// use evenkeel::context::wire::{self, Origin};
/// use http::HeaderMap;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut fields = HeaderMap::new();
/// fields.insert("grpc-timeout", "2S".parse().unwrap());
/// fields.insert("x-request-timeout-ms", "900".parse().unwrap());
/// let received = wire::read(&fields, Origin::Outside);
/// assert_eq!(received.context.remaining(), Some(Duration::from_millis(900)));
/// # }
/// ```
#[must_use]
pub fn read(fields: &HeaderMap, origin: Origin) -> Received {
    let asked = asked(fields);
    let mut malformed = asked.malformed;
    let mut context = Context::new();
    if let Some(remaining) = asked.remaining {
        context = context.with_timeout(remaining);
    }
    let mut name = |field: &HeaderName| {
        let value = fields.get(field)?;
        let text = value.to_str().ok().map(str::trim);
        let text = text.filter(|text| !text.is_empty() && text.len() <= LONGEST_NAME);
        malformed += u32::from(text.is_none());
        text
    };
    if let Some(id) = name(&REQUEST_ID) {
        context = context.with_request_id(id);
    }
    if origin == Origin::Inside {
        if let Some(tenant) = name(&TENANT) {
            context = context.with_tenant(tenant);
        }
        if let Some(word) = name(&CRITICALITY) {
            match Criticality::parse(word) {
                Some(criticality) => context = context.with_criticality(criticality),
                None => malformed += 1,
            }
        }
        if let Some(value) = fields.get(&ATTEMPT) {
            match value.to_str().ok().and_then(|text| text.parse().ok()) {
                Some(attempt) if attempt > 0 => context = context.with_attempt(attempt),
                _ => malformed += 1,
            }
        }
    }
    Received { context, malformed }
}

/// Writes a context onto the fields of a request that is about to be sent: the time in our own field
/// always, and in each other recognised one that stands there already, so that a hop which knows only
/// that one is not misled by its old value.
///
/// # Errors
/// The context has ended, or so little is left of it that no answer could come back in time: do not send.
pub fn write(context: &Context, fields: &mut HeaderMap) -> Result<(), Ended> {
    context.check()?;
    if let Some(remaining) = context.remaining() {
        let left = deadline::to_send(remaining).ok_or(Ended::DeadlineExceeded)?;
        write_remaining(left, fields)?;
    }
    let mut set = |field: HeaderName, value: Option<&str>| {
        // A name that cannot stand in a field was not read from one either: it stays at home.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            fields.insert(field, value);
        }
    };
    set(REQUEST_ID, context.request_id());
    set(TENANT, context.tenant());
    set(CRITICALITY, Some(context.criticality().as_str()));
    fields.insert(ATTEMPT, HeaderValue::from(context.attempt()));
    Ok(())
}

fn write_remaining(left: Duration, fields: &mut HeaderMap) -> Result<(), Ended> {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return Err(Ended::DeadlineExceeded);
    }
    fields.insert(TIMEOUT_MS, HeaderValue::from(millis));
    for field in [ENVOY_EXPECTED_MS, CONNECT_MS] {
        if fields.contains_key(&field) {
            fields.insert(field, HeaderValue::from(millis.min(9_999_999_999)));
        }
    }
    if fields.contains_key(&GRPC) {
        // Eight digits of milliseconds are 27 hours; beyond that seconds fit for three years.
        let text = if millis <= 99_999_999 {
            format!("{millis}m")
        } else {
            format!("{}S", (millis / 1000).min(99_999_999))
        };
        if let Ok(value) = HeaderValue::try_from(text) {
            fields.insert(GRPC, value);
        }
    }
    Ok(())
}

/// What the deadline fields of a request said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Asked {
    /// The tightest; zero when the caller's time is over.
    remaining: Option<Duration>,
    malformed: u32,
}

fn asked(fields: &HeaderMap) -> Asked {
    let mut asked = Asked::default();
    for (name, parse) in [
        (&TIMEOUT_MS, milliseconds as fn(&str) -> Option<Duration>),
        (&ENVOY_EXPECTED_MS, milliseconds),
        (&CONNECT_MS, milliseconds),
        (&GRPC, grpc),
    ] {
        for value in fields.get_all(name) {
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

/// A decimal number of milliseconds. A negative one means the time is over; a fraction, a unit or more
/// than ten digits is not a form anyone sends.
fn milliseconds(text: &str) -> Option<Duration> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let millis = number(digits, 10)?;
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
    let number = number(digits, 8)?;
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

fn number(digits: &str, longest: usize) -> Option<u64> {
    let well_formed = (1..=longest).contains(&digits.len());
    let well_formed = well_formed && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| well_formed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_is_read_again_less_the_way_back() {
        let sent = Context::within(Duration::from_millis(502))
            .with_tenant("acme")
            .with_request_id("r-7")
            .with_criticality(Criticality::High)
            .with_attempt(2);
        let mut map = HeaderMap::new();
        write(&sent, &mut map).unwrap();
        let Received { context, malformed } = read(&map, Origin::Inside);
        assert_eq!(malformed, 0);
        assert_eq!(context.remaining(), Some(Duration::from_millis(500)));
        assert_eq!(context.tenant(), Some("acme"));
        assert_eq!(context.request_id(), Some("r-7"));
        assert_eq!(context.criticality(), Criticality::High);
        assert_eq!(context.attempt(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_can_shorten_and_say_its_name_and_no_more() {
        let map = fields(&[
            ("x-request-timeout-ms", "100"),
            ("x-request-id", "theirs"),
            ("x-evenkeel-tenant", "somebody-else"),
            ("x-evenkeel-criticality", "critical"),
            ("x-envoy-attempt-count", "9"),
        ]);
        let context = read(&map, Origin::Outside).context;
        assert_eq!(context.remaining(), Some(Duration::from_millis(100)));
        assert_eq!(context.request_id(), Some("theirs"));
        assert_eq!(context.tenant(), None);
        assert_eq!(context.criticality(), Criticality::Normal);
        assert_eq!(context.attempt(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_tightest_recognised_field_wins_and_the_unreadable_are_counted() {
        let map = fields(&[
            ("x-request-timeout-ms", "soon"),
            ("grpc-timeout", "2S"),
            ("connect-timeout-ms", "1500"),
            ("x-envoy-expected-rq-timeout-ms", "1800"),
        ]);
        let Received { context, malformed } = read(&map, Origin::Outside);
        assert_eq!(context.remaining(), Some(Duration::from_millis(1500)));
        assert_eq!(malformed, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_whose_time_is_over_gets_no_work() {
        for over in ["0", "-1"] {
            let map = fields(&[("x-request-timeout-ms", over)]);
            let context = read(&map, Origin::Outside).context;
            assert_eq!(context.check(), Err(Ended::DeadlineExceeded), "{over}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_that_could_not_be_answered_in_time() {
        let mut map = HeaderMap::new();
        let almost = Context::within(Duration::from_millis(2));
        assert_eq!(write(&almost, &mut map), Err(Ended::DeadlineExceeded));
        assert!(map.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_that_the_caller_used_does_not_keep_its_old_value() {
        let mut map = fields(&[("grpc-timeout", "9S"), ("connect-timeout-ms", "9000")]);
        write(&Context::within(Duration::from_millis(52)), &mut map).unwrap();
        assert_eq!(map["grpc-timeout"], "50m");
        assert_eq!(map["connect-timeout-ms"], "50");
    }

    #[test]
    fn only_forms_that_somebody_sends_are_read() {
        for bad in ["", "1.5", "1s", "12345678901", "1 000", "+5"] {
            assert_eq!(milliseconds(bad), None, "{bad:?}");
        }
        for bad in ["", "S", "123456789S", "5s", "-1S", "10"] {
            assert_eq!(grpc(bad), None, "{bad:?}");
        }
        assert_eq!(grpc("3M"), Some(Duration::from_secs(180)));
        assert_eq!(grpc("7u"), Some(Duration::from_micros(7)));
    }
}
