//! How many more attempts a request may cause, however many services it passes.
//!
//! Each service keeps to its own three attempts, and the database behind five of them sees 243. What
//! [multiplies](crate::amplification) along a chain is bounded only by something that travels along it. A
//! **grant** does: the outermost caller says how many extra attempts the request may cause altogether, each
//! service on the way takes its own from that and passes the rest on, and its answer says what is left, so
//! that no attempt is granted twice. A service that answers "none left" says by that: do not try again.
//!
//! What is not told is lost on the safe side: a grant can only be narrowed, by a service's own limit, by its
//! calls, by what an answer tells. A service that knows nothing of grants hands none on, and the services
//! behind it are the outermost again.
//!
//! A request that is itself a retry of its caller's (its attempt number is above one) is retried no further,
//! but for what was never sent: the caller is counting already.
//!
//! For a request that asks many at once there is [`Grant::split`]: thirty-two shards with two extra attempts
//! between them are retried twice, not sixty-four times.
//!
//! Source: Finagle's and Envoy's budgets bound one hop each; that they multiply is Google's SRE book,
//! chapter 21, which advises a budget per request as here.

use core::fmt;

/// The name of the field that carries a grant, on requests and on answers.
pub const FIELD: &str = "x-evenkeel-retry-grant";

/// A chain is not longer than this: beyond, something goes round in a circle, and nothing is granted.
const MAX_DEPTH: u8 = 32;

/// How many extra attempts a request may still cause.
///
/// ```
/// use evenkeel_core::grant::Grant;
///
/// let received = Grant::parse("attempts_left=2; depth=1").unwrap();
/// let own = received.at_most(5);
/// let after_a_retry = own.take().unwrap();
/// assert_eq!(after_a_retry.next_hop().to_string(), "attempts_left=1; depth=2");
/// assert_eq!(after_a_retry.take().unwrap().take(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    attempts_left: u16,
    depth: u8,
}

impl Grant {
    /// What the outermost caller grants: `attempts` extra ones for the whole tree of calls.
    #[must_use]
    pub fn outermost(attempts: u32) -> Self {
        Self {
            attempts_left: u16::try_from(attempts).unwrap_or(u16::MAX),
            depth: 0,
        }
    }

    /// Extra attempts that are left.
    #[must_use]
    pub const fn attempts_left(self) -> u32 {
        self.attempts_left as u32
    }

    /// Services that the request has passed.
    #[must_use]
    pub const fn depth(self) -> u8 {
        self.depth
    }

    /// The same, narrowed to `attempts`.
    #[must_use]
    pub fn at_most(self, attempts: u32) -> Self {
        let attempts = u16::try_from(attempts).unwrap_or(u16::MAX);
        Self {
            attempts_left: self.attempts_left.min(attempts),
            ..self
        }
    }

    /// The rest after one extra attempt; none if none is left.
    #[must_use]
    pub fn take(self) -> Option<Self> {
        Some(Self {
            attempts_left: self.attempts_left.checked_sub(1)?,
            ..self
        })
    }

    /// What to send with a call that the request causes: the rest, one service further. In a chain that is
    /// too long to be one, nothing is left.
    #[must_use]
    pub const fn next_hop(self) -> Self {
        if self.depth >= MAX_DEPTH {
            return Self {
                attempts_left: 0,
                depth: MAX_DEPTH,
            };
        }
        Self {
            depth: self.depth + 1,
            ..self
        }
    }

    /// The same for each of `calls` calls that are made at once: what is left, dealt out, so that all of them
    /// together have no more than it.
    pub fn split(self, calls: u16) -> impl Iterator<Item = Self> {
        let (each, more) = (
            self.attempts_left.checked_div(calls).unwrap_or(0),
            self.attempts_left.checked_rem(calls).unwrap_or(0),
        );
        (0..calls).map(move |call| Self {
            attempts_left: each + u16::from(call < more),
            ..self
        })
    }

    /// Reads the field: `attempts_left=2; depth=1`, in either order; what else is in it is for later versions.
    /// None: it is no grant, and counts as absent.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (mut attempts_left, mut depth) = (None, None);
        for part in value.split(';') {
            let (key, number) = part.split_once('=')?;
            let number = number.trim_matches([' ', '\t']);
            let read = || {
                let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                // More digits than fit are many, not garbage.
                digits.then(|| number.parse().unwrap_or(u32::MAX))
            };
            let place = match key.trim_matches([' ', '\t']) {
                "attempts_left" => &mut attempts_left,
                "depth" => &mut depth,
                _ => continue,
            };
            if place.replace(read()?).is_some() {
                return None;
            }
        }
        let depth = u8::try_from(depth?).unwrap_or(u8::MAX).min(MAX_DEPTH);
        Some(Self {
            depth,
            ..Self::outermost(attempts_left?)
        })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attempts_left={}; depth={}",
            self.attempts_left, self.depth
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_grants_are_read() {
        let read = |text| Grant::parse(text).map(|grant| grant.to_string());
        assert_eq!(
            read(" depth=0 ;attempts_left = 3; later=x").as_deref(),
            Some("attempts_left=3; depth=0")
        );
        assert_eq!(
            read("attempts_left=99999999999; depth=999").as_deref(),
            Some("attempts_left=65535; depth=32")
        );
        for garbage in [
            "",
            "attempts_left=2",
            "depth=1",
            "attempts_left=-1; depth=0",
            "attempts_left=+1; depth=0",
            "attempts_left=; depth=0",
            "attempts_left=2, depth=1",
            "attempts_left=2; attempts_left=2; depth=1",
            "2; 1",
        ] {
            assert_eq!(read(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn what_goes_round_in_a_circle_is_granted_nothing_in_the_end() {
        let mut grant = Grant::outermost(7);
        for _ in 0..32 {
            assert_eq!(grant.attempts_left(), 7);
            grant = grant.next_hop();
        }
        let beyond = grant.next_hop();
        assert_eq!((beyond.attempts_left(), beyond.depth()), (0, 32));
    }

    #[test]
    fn nothing_is_dealt_out_to_nobody() {
        assert_eq!(Grant::outermost(7).split(0).count(), 0);
    }

    /// A chain of services that all retry whenever they may and whose last one always fails: how many calls
    /// reach it, and what its answer says is left.
    fn chain(services: u32, grant: Grant) -> (u64, Grant) {
        if services == 0 {
            return (1, grant);
        }
        let (mut calls, mut left) = (0, grant);
        loop {
            let (below, told) = chain(services - 1, left.next_hop());
            calls += below;
            left = left.at_most(told.attempts_left());
            match left.take() {
                Some(rest) => left = rest,
                None => return (calls, left),
            }
        }
    }

    #[test]
    fn a_chain_adds_no_more_than_was_granted_however_long_it_is() {
        for services in 1..10 {
            for attempts in 0..6 {
                let (calls, left) = chain(services, Grant::outermost(attempts));
                assert_eq!(calls, u64::from(attempts) + 1);
                assert_eq!(left.attempts_left(), 0);
            }
        }
        // What five services do that each know of their own three attempts alone.
        assert_eq!(crate::amplification::worst_case(5, 3), 243);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(attempts in any::<u16>(), calls in 1..500_u16) {
            let grant = Grant::outermost(attempts.into());
            let parts: Vec<u32> = grant.split(calls).map(Grant::attempts_left).collect();
            prop_assert_eq!(parts.len(), usize::from(calls));
            prop_assert_eq!(parts.iter().sum::<u32>(), u32::from(attempts));
            let most = parts.iter().max().unwrap() - parts.iter().min().unwrap();
            prop_assert!(most <= 1, "dealt out evenly");
        }

        #[test]
        fn what_is_written_is_read(attempts in any::<u16>(), hops in 0..32_u8) {
            let grant = (0..hops).fold(Grant::outermost(attempts.into()), |grant, _| grant.next_hop());
            prop_assert_eq!(Grant::parse(&grant.to_string()), Some(grant));
        }

        #[test]
        fn no_text_panics(value in ".{0,40}") {
            let _either = Grant::parse(&value);
        }
    }
}
