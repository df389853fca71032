//! The state of a circuit, whole, in one word.
//!
//! ```text
//!  63                          31 30        19 18         7 6        3 2    0
//! +------------------------------+------------+------------+----------+------+
//! | since: milliseconds, 33 bits | tally, 12  | generation | reopens  | kind |
//! +------------------------------+------------+------------+----------+------+
//! ```
//!
//! One word, because a transition must have one winner who saw everything it rests on. `tally` holds the
//! failures in a row while closed; while half-open, three counts of four bits: probes under way,
//! successes, failures. `since` is when the state began, while half-open when the last probe was let
//! through. It wraps after 99 days: an open circuit that nobody calls for just that long stays open
//! for one more interval, and a ramp may be walked twice; nothing else depends on it.

use crate::time::Instant;

const REOPENS_SHIFT: u32 = 3;
const GENERATION_SHIFT: u32 = 7;
const TALLY_SHIFT: u32 = 19;
const SINCE_SHIFT: u32 = 31;

const KIND_MASK: u64 = 7;
const REOPENS_MASK: u64 = 0xF;
const GENERATION_MASK: u16 = (1 << 12) - 1;
const HALF_WAY_ROUND: u16 = 1 << 11;
const TALLY_MASK: u64 = MAX_CONSECUTIVE as u64;
const NIBBLE: u64 = 0xF;
const SINCE_MASK: u64 = (1 << 33) - 1;

/// The most failures in a row that a tally can count.
pub(super) const MAX_CONSECUTIVE: u32 = (1 << 12) - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Closed,
    Open,
    HalfOpen,
    /// Closed, and admitting a share that grows.
    Ramping,
    /// Open by hand, until told otherwise.
    Forced,
    /// Off by hand: everything passes and nothing counts.
    Disabled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    /// Closed since the origin of time, with nothing held against it.
    pub(super) const BORN: Self = Self(0);

    pub(super) const fn kind(self) -> Kind {
        match self.0 & KIND_MASK {
            0 => Kind::Closed,
            1 => Kind::Open,
            2 => Kind::HalfOpen,
            3 => Kind::Ramping,
            4 => Kind::Forced,
            _ => Kind::Disabled,
        }
    }

    pub(super) const fn reopens(self) -> u32 {
        ((self.0 >> REOPENS_SHIFT) & REOPENS_MASK) as u32
    }

    pub(super) const fn generation(self) -> Generation {
        let generation = self.0 >> GENERATION_SHIFT;
        Generation((generation & 0xFFFF) as u16 & GENERATION_MASK)
    }

    /// Failures in a row, while closed or ramping.
    pub(super) const fn consecutive(self) -> u32 {
        ((self.0 >> TALLY_SHIFT) & TALLY_MASK) as u32
    }

    pub(super) const fn probes(self) -> ProbeTally {
        let tally = self.0 >> TALLY_SHIFT;
        ProbeTally {
            under_way: (tally & NIBBLE) as u8,
            successes: ((tally >> 4) & NIBBLE) as u8,
            failures: ((tally >> 8) & NIBBLE) as u8,
        }
    }

    /// Milliseconds from `since` to `now`; zero for a clock that lags a little behind.
    pub(super) const fn elapsed_millis(self, now: Instant) -> u64 {
        /// Clocks of two threads differ by less than a quarter of an hour.
        const LAG: u64 = 1 << 20;
        let elapsed = millis(now).wrapping_sub(self.0 >> SINCE_SHIFT) & SINCE_MASK;
        if elapsed > SINCE_MASK - LAG {
            0
        } else {
            elapsed
        }
    }

    /// The state that follows this one: a new generation with an empty tally.
    pub(super) const fn next(self, kind: Kind, reopens: u32, now: Instant) -> Self {
        let generation = self.generation().next().0 as u64;
        let reopens = if reopens as u64 > REOPENS_MASK {
            REOPENS_MASK
        } else {
            reopens as u64
        };
        Self(
            kind as u64
                | reopens << REOPENS_SHIFT
                | generation << GENERATION_SHIFT
                | (millis(now) & SINCE_MASK) << SINCE_SHIFT,
        )
    }

    /// The ramp is over: closed, in the same generation, so that what was admitted on the ramp counts.
    pub(super) const fn ramped_up(self) -> Self {
        let kept = self.0 & !(KIND_MASK | REOPENS_MASK << REOPENS_SHIFT);
        Self(kept | Kind::Closed as u64)
    }

    pub(super) const fn with_consecutive(self, count: u32) -> Self {
        let count = if count > MAX_CONSECUTIVE {
            MAX_CONSECUTIVE
        } else {
            count
        };
        Self(self.0 & !(TALLY_MASK << TALLY_SHIFT) | (count as u64) << TALLY_SHIFT)
    }

    pub(super) const fn with_probes(self, probes: ProbeTally) -> Self {
        let tally = probes.under_way as u64
            | (probes.successes as u64) << 4
            | (probes.failures as u64) << 8;
        Self(self.0 & !(TALLY_MASK << TALLY_SHIFT) | tally << TALLY_SHIFT)
    }

    pub(super) const fn probed_at(self, now: Instant) -> Self {
        Self(self.0 & !(SINCE_MASK << SINCE_SHIFT) | (millis(now) & SINCE_MASK) << SINCE_SHIFT)
    }
}

/// Counts the states a circuit has been in, modulo 4096: a permit of another one has no say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(pub(super) u16);

impl Generation {
    const fn next(self) -> Self {
        Self((self.0 + 1) & GENERATION_MASK)
    }

    /// One that no live permit carries: whoever reports with it has no say.
    pub(super) const fn of_nobody(self) -> Self {
        Self(self.0 ^ HALF_WAY_ROUND)
    }

    /// Whether this generation came before `other`, counting on the shorter way round.
    pub(super) const fn is_before(self, other: Self) -> bool {
        let ahead = other.0.wrapping_sub(self.0) & GENERATION_MASK;
        ahead != 0 && ahead <= GENERATION_MASK / 2
    }
}

/// What half-open probes have come to so far; each count below sixteen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ProbeTally {
    pub(super) under_way: u8,
    pub(super) successes: u8,
    pub(super) failures: u8,
}

/// Whole milliseconds since the origin.
pub(super) const fn millis(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use core::time::Duration;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn every_field_keeps_to_itself() {
        let full = ProbeTally {
            under_way: 10,
            successes: 15,
            failures: 14,
        };
        let word = Word::BORN
            .next(Kind::HalfOpen, 99, at(SINCE_MASK))
            .with_probes(full);
        assert_eq!(word.kind(), Kind::HalfOpen);
        assert_eq!(word.reopens(), 15, "held at the most it can count");
        assert_eq!(word.generation(), Generation(1));
        assert_eq!(word.probes(), full);
        assert_eq!(word.elapsed_millis(at(SINCE_MASK)), 0);
        assert_eq!(
            word.elapsed_millis(at(SINCE_MASK + 7)),
            7,
            "the clock wraps, the elapsed time does not"
        );
        assert_eq!(
            word.with_consecutive(u32::MAX).consecutive(),
            MAX_CONSECUTIVE
        );
    }

    #[test]
    fn a_clock_that_lags_has_seen_no_time_pass() {
        assert_eq!(
            Word::BORN
                .next(Kind::Open, 0, at(500))
                .elapsed_millis(at(499)),
            0
        );
    }

    #[test]
    fn generations_are_ordered_across_their_wrap() {
        assert!(Generation(4095).is_before(Generation(4095).next()));
        assert!(!Generation(0).is_before(Generation(4095)));
        assert!(!Generation(5).is_before(Generation(5)));
    }
}
