//! Time as an argument.
//!
//! A wall clock may step backwards in the middle of an outage, and a policy that reads a clock of its
//! own can be neither simulated nor replayed. So nothing here reads a clock: every decision takes `now`,
//! an [`Instant`] counted in nanoseconds from an origin that its driver chose. All arithmetic saturates:
//! a bound that would lie beyond the end of time lies at the end of time.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point in time: nanoseconds since an origin that the driver chose.
///
/// Instants of one driver compare; instants of two drivers mean nothing to each other. 64 bits of
/// nanoseconds last 584 years.
///
/// ```
/// use evenkeel_core::time::Instant;
/// use std::time::Duration;
///
/// let start = Instant::ZERO + Duration::from_millis(3);
/// assert_eq!(start.as_nanos(), 3_000_000);
/// assert_eq!(Instant::ZERO.since(start), Duration::ZERO, "time that has not passed is zero, never a panic");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The driver's origin.
    pub const ZERO: Self = Self(0);

    /// The end of time: nothing is ever after it.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long before `self` was `earlier`; zero if it was not before.
    ///
    /// The clocks of two threads disagree by a little, so "not before" is an ordinary answer.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The instant `nanos` nanoseconds later.
    pub(crate) const fn plus_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// [`Instant::since`] in nanoseconds.
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `by` earlier, or the origin if that comes first.
    #[must_use]
    pub const fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

/// Seconds since the origin, to the microsecond: `12.003500s`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}s",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000 / 1_000
        )
    }
}

/// A duration in whole nanoseconds, held at `u64::MAX` (584 years) when it is longer.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "held below u64::MAX by the branch"
        )]
        let nanos = nanos as u64;
        nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_beyond_the_end_of_time_lies_at_the_end_of_time() {
        assert_eq!(Instant::from_nanos(1) + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::from_nanos(1).before(Duration::MAX), Instant::ZERO);
    }

    #[test]
    fn an_instant_reads_as_seconds() {
        assert_eq!(
            (Instant::ZERO + Duration::from_micros(12_003_500)).to_string(),
            "12.003500s"
        );
    }
}
