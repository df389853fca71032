//! When an answer is worthless.
//!
//! Timeouts of single steps add up to more than anybody would wait: three attempts of two seconds, behind
//! a gateway that hangs up after one. A **deadline** belongs to the whole call; every step has what is
//! left of it, and what is left is handed on to whoever is called next. It travels as a duration, never
//! as a time of day, since no two machines agree about that.
//!
//! The tighter deadline wins: a caller who brings less time shortens the policy's, a caller who brings
//! more does not lengthen it. Nothing starts that cannot end in time.

use core::time::Duration;

use crate::time::{Instant, nanos};

/// Taken off what is sent on: the answer has to travel back. A round trip within one region, with room to
/// spare.
const NETWORK_MARGIN: Duration = Duration::from_millis(2);

/// The instant by which a call is over, and whose it is.
///
/// ```
/// use evenkeel_core::{deadline::Deadline, time::Instant};
/// use std::time::Duration;
///
/// let now = Instant::ZERO;
/// let own = Deadline::after(now, Duration::from_secs(1));
/// let hurried = own.tightened(Some(now + Duration::from_millis(300)));
/// assert_eq!(hurried.remaining(now), Duration::from_millis(300));
/// assert_eq!(own.tightened(Some(now + Duration::from_secs(9))), own);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    brought: bool,
}

impl Deadline {
    /// The policy's own: `within` from `now`.
    #[must_use]
    pub fn after(now: Instant, within: Duration) -> Self {
        Self::after_nanos(now, nanos(within))
    }

    pub(crate) const fn after_nanos(now: Instant, within: u64) -> Self {
        Self {
            at: now.plus_nanos(within),
            brought: false,
        }
    }

    /// The tighter of this one and the one that a caller brought, if it brought one.
    #[must_use]
    pub fn tightened(self, brought: Option<Instant>) -> Self {
        match brought {
            Some(at) if at < self.at => Self { at, brought: true },
            _ => self,
        }
    }

    /// The instant itself.
    #[must_use]
    pub const fn at(self) -> Instant {
        self.at
    }

    /// Whether it is a caller's, tighter than the policy's own. A dependency is not to blame for missing a
    /// deadline that it was never meant to keep.
    #[must_use]
    pub const fn is_brought(self) -> bool {
        self.brought
    }

    /// What is left; zero once it has passed.
    #[must_use]
    pub const fn remaining(self, now: Instant) -> Duration {
        self.at.since(now)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self, now: Instant) -> bool {
        now >= self.at
    }
}

/// What to tell the next service of `remaining` time: less, by the way back. None: too little to ask at
/// all.
#[must_use]
pub fn to_send(remaining: Duration) -> Option<Duration> {
    remaining
        .checked_sub(NETWORK_MARGIN)
        .filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_on_leaves_time_for_the_way_back() {
        assert_eq!(
            to_send(Duration::from_millis(52)),
            Some(Duration::from_millis(50))
        );
        assert_eq!(to_send(Duration::from_millis(2)), None);
        assert_eq!(to_send(Duration::from_micros(1500)), None);
    }

    #[test]
    fn a_deadline_beyond_the_end_of_time_does_not_wrap() {
        let never = Deadline::after(Instant::from_nanos(5), Duration::MAX);
        assert_eq!(never.at(), Instant::MAX);
        assert!(!never.has_passed(Instant::from_nanos(u64::MAX - 1)));
    }
}
