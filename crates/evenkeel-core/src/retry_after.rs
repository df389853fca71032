//! The wait that a server asks for.
//!
//! A server that says when to come back knows more than any back-off. But what it says arrives as text,
//! from anybody: a date, a number, a number of years. Taken on trust it stops a client until 2038; cut to
//! what time is left it is no longer what the server said, and the client comes back just when it was asked
//! not to.
//!
//! Reading and heeding are two steps. [`parse`] reads a `Retry-After` header: whole seconds, or a date in
//! any of HTTP's three forms, whose distance is counted from the response's own `Date` where it has one,
//! so that a client's wrong clock does no harm. A [`Config`] says which answers may ask for a wait, how
//! long a wait is heeded and what happens beyond. A heeded wait is a floor: the call's own back-off may be
//! longer, and jitter only adds to it, since those who heard the same answer would otherwise return
//! together.
//!
//! Sources: RFC 9110, sections 5.6.7 and 10.2.3; gRFC A6 for [`parse_pushback`].

mod date;

use core::time::Duration;

pub use date::parse_date;

use crate::ratio::Ratio;
use crate::time::nanos;

/// Which waits are heeded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The answers that may ask for a wait. Default 413, 429 and 503, which RFC 9110 and RFC 6585 name.
    pub statuses: Vec<u16>,
    /// Longer waits than this are not simply waited. Longer suits batches. Default 30 s.
    pub cap: Duration,
    /// What becomes of a longer wait. Default [`Beyond::GiveUp`].
    pub beyond: Beyond,
    /// A wait is lengthened by at most this share. Default 0.5.
    pub jitter: Ratio,
    /// And by at most this much. Default 1 s.
    pub max_jitter: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            statuses: vec![413, 429, 503],
            cap: Duration::from_secs(30),
            beyond: Beyond::GiveUp,
            jitter: Ratio::from_permille(500),
            max_jitter: Duration::from_secs(1),
        }
    }
}

/// What becomes of a wait that is longer than the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beyond {
    /// The call fails, and its caller is told of the wait.
    GiveUp,
    /// The cap is waited instead.
    Shorten,
    /// It is as if the server had asked for nothing.
    Disregard,
}

/// What to do about a wait that a server asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heeded {
    /// Wait at least the one and at most the other, drawn evenly.
    Wait(
        /// The shortest wait.
        Duration,
        /// The longest.
        Duration,
    ),
    /// Do not try again.
    GiveUp,
}

impl Config {
    /// Whether an answer of `status` may ask for a wait.
    #[must_use]
    pub fn applies_to(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    /// What to do when a server asked for `wanted` and the call's own back-off is `own`.
    ///
    /// ```
    /// use evenkeel_core::retry_after::{Config, Heeded};
    /// use std::time::Duration;
    ///
    /// let (config, second) = (Config::default(), Duration::from_secs(1));
    /// assert_eq!(config.heed(second, Duration::ZERO), Heeded::Wait(second, second * 3 / 2));
    /// assert_eq!(config.heed(second, 2 * second), Heeded::Wait(2 * second, 2 * second));
    /// assert_eq!(config.heed(3600 * second, second), Heeded::GiveUp);
    /// ```
    #[must_use]
    pub fn heed(&self, wanted: Duration, own: Duration) -> Heeded {
        let wanted = match self.beyond {
            _ if wanted <= self.cap => wanted,
            Beyond::GiveUp => return Heeded::GiveUp,
            Beyond::Shorten => self.cap,
            Beyond::Disregard => Duration::ZERO,
        };
        if own >= wanted {
            return Heeded::Wait(own, own);
        }
        let reach = Duration::from_nanos(self.jitter.of(nanos(wanted))).min(self.max_jitter);
        Heeded::Wait(wanted, wanted.saturating_add(reach))
    }
}

/// The wait that a `Retry-After` header asks for: whole seconds, or the distance of a date from `now`, in
/// seconds since 1970 by the response's own `Date`, or else by the caller's clock. A date that has passed
/// asks for no wait. None: it is neither, and asks for nothing.
///
/// ```
/// use evenkeel_core::retry_after::{parse, parse_date};
/// use std::time::Duration;
///
/// assert_eq!(parse("120", 0), Some(Duration::from_secs(120)));
/// let now = parse_date("Wed, 21 Oct 2015 07:27:50 GMT", 0).unwrap();
/// assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(10)));
/// assert_eq!(parse("1.5", now), None);
/// ```
#[must_use]
pub fn parse(value: &str, now: u64) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    let seconds = if is_digits(value) {
        // More digits than fit are a long wait, not garbage.
        value.parse().unwrap_or(u64::MAX)
    } else {
        parse_date(value, now)?.saturating_sub(now)
    };
    Some(Duration::from_secs(seconds))
}

/// No wait that is longer, 136 years, is told from this one: what adds to it must not overflow.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// The wait that a response asks for, from all its `Retry-After` fields and its `Date`. `now` is the caller's
/// own clock, in seconds since 1970, for a response without a `Date` that can be read. Two fields contradict
/// one another, even if they are equal, and ask for nothing.
///
/// ```
/// use evenkeel_core::retry_after::of_response;
/// use std::time::Duration;
///
/// let (date, hour_off) = ("Sun, 06 Nov 1994 08:49:37 GMT", 784_115_377);
/// let wait = of_response(["Sun, 06 Nov 1994 08:50:37 GMT"], Some(date), hour_off);
/// assert_eq!(wait, Some(Duration::from_secs(60)));
/// assert_eq!(of_response(["3", "3"], None, 0), None);
/// ```
#[must_use]
pub fn of_response<'v>(
    retry_after: impl IntoIterator<Item = &'v str>,
    date: Option<&str>,
    now: u64,
) -> Option<Duration> {
    let mut fields = retry_after.into_iter();
    let (Some(only), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let now = date.and_then(|date| parse_date(date, now)).unwrap_or(now);
    parse(only, now).map(|wait| wait.min(LONGEST))
}

/// The wait that a header in whole milliseconds asks for. None: it asks for nothing.
#[must_use]
pub fn parse_millis(value: &str) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    let millis = is_digits(value).then(|| value.parse().unwrap_or(u64::MAX));
    millis.map(Duration::from_millis)
}

/// What a gRPC server says in `grpc-retry-pushback-ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushback {
    /// Try again after exactly this; after that, back-off begins anew.
    After(Duration),
    /// Do not try again.
    Never,
}

/// Reads `grpc-retry-pushback-ms`. What is negative, or no 32-bit number, asks not to be tried again.
///
/// ```
/// use evenkeel_core::retry_after::{Pushback, parse_pushback};
///
/// assert_eq!(parse_pushback("1000"), Pushback::After(std::time::Duration::from_secs(1)));
/// assert_eq!(parse_pushback("-1"), Pushback::Never);
/// ```
#[must_use]
pub fn parse_pushback(value: &str) -> Pushback {
    let millis = value
        .parse::<i32>()
        .ok()
        .and_then(|millis| u64::try_from(millis).ok());
    millis.map_or(Pushback::Never, |millis| {
        Pushback::After(Duration::from_millis(millis))
    })
}

fn is_digits(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn seconds_are_digits_and_nothing_else() {
        assert_eq!(parse(" 5 ", 0), Some(5 * SECOND));
        assert_eq!(parse("0", 0), Some(Duration::ZERO));
        assert_eq!(
            parse("99999999999999999999999", 0),
            Some(Duration::from_secs(u64::MAX))
        );
        for garbage in ["", " ", "-1", "+5", "1.5", "2abc", "0x10", "five", "٥"] {
            assert_eq!(parse(garbage, 0), None, "{garbage:?}");
        }
    }

    #[test]
    fn a_date_that_has_passed_asks_for_no_wait() {
        assert_eq!(
            parse("Wed, 21 Oct 2015 07:28:00 GMT", u64::MAX),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn a_server_lengthens_the_wait_and_never_shortens_it() {
        let config = Config::default();
        assert_eq!(
            config.heed(SECOND, 5 * SECOND),
            Heeded::Wait(5 * SECOND, 5 * SECOND)
        );
        let Heeded::Wait(least, most) = config.heed(20 * SECOND, SECOND) else {
            panic!("20 s are below the cap")
        };
        assert_eq!(
            (least, most),
            (20 * SECOND, 21 * SECOND),
            "upwards, by a second at most"
        );
    }

    #[test]
    fn what_lies_beyond_the_cap_is_up_to_the_policy() {
        let heed = |beyond| {
            let config = Config {
                beyond,
                jitter: Ratio::ZERO,
                ..Config::default()
            };
            config.heed(31 * SECOND, SECOND)
        };
        assert_eq!(heed(Beyond::GiveUp), Heeded::GiveUp);
        assert_eq!(
            heed(Beyond::Shorten),
            Heeded::Wait(30 * SECOND, 30 * SECOND)
        );
        assert_eq!(heed(Beyond::Disregard), Heeded::Wait(SECOND, SECOND));
    }

    #[test]
    fn only_answers_that_mean_it_may_ask_for_a_wait() {
        let config = Config::default();
        assert_eq!(
            [429, 503, 413, 500, 200].map(|status| config.applies_to(status)),
            [true, true, true, false, false]
        );
    }

    #[test]
    fn milliseconds_and_pushback_read_alike_and_refuse_differently() {
        assert_eq!(parse_millis("250"), Some(Duration::from_millis(250)));
        assert_eq!(parse_millis("-5"), None);
        assert_eq!(parse_pushback("0"), Pushback::After(Duration::ZERO));
        for never in ["-1", "abc", "", "2147483648", "1.5"] {
            assert_eq!(parse_pushback(never), Pushback::Never, "{never:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(value in ".{0,40}", now in any::<u64>()) {
            let _either = (parse(&value, now), parse_pushback(&value), parse_millis(&value));
        }

        #[test]
        fn a_wait_lies_between_its_floor_and_its_reach(
            wanted in any::<u64>(), own in any::<u64>(), cap in any::<u64>(), permille in any::<u32>(),
        ) {
            let [wanted, own, cap] = [wanted, own, cap].map(Duration::from_nanos);
            let config = Config {
                cap, beyond: Beyond::Shorten, jitter: Ratio::from_permille(permille),
                max_jitter: Duration::MAX, ..Config::default()
            };
            let Heeded::Wait(least, most) = config.heed(wanted, own) else {
                return Err(TestCaseError::fail("shortened, and given up"));
            };
            prop_assert!(least >= own && least >= wanted.min(cap) && most >= least);
        }
    }
}
