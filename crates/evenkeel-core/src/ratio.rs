//! Shares with three decimals.
//!
//! Floating point sums differ with the order in which they are made, and integer costs turn a ratio of
//! 0.3 into 33 % and one of 0.6 into 100 %. A [`Ratio`] counts thousandths, so that every ratio a person
//! writes with three decimals is held exactly, and nothing finer can be written.

use core::fmt;

/// A share in thousandths: `0.2` is 200 of them. May exceed one (a multiplier of 1.5 is 1500).
///
/// ```
/// use evenkeel_core::ratio::Ratio;
///
/// let fifth = Ratio::from_permille(200);
/// assert_eq!(fifth.of(7), 1, "a fifth of seven, rounded down");
/// assert_eq!(fifth.to_string(), "0.2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The whole.
    pub const ONE: Self = Self(1000);

    /// A ratio of `permille` thousandths.
    #[must_use]
    pub const fn from_permille(permille: u32) -> Self {
        Self(permille)
    }

    /// The ratio in thousandths.
    #[must_use]
    pub const fn permille(self) -> u32 {
        self.0
    }

    /// This share of `whole`, rounded down; holds at `u64::MAX`.
    #[must_use]
    pub const fn of(self, whole: u64) -> u64 {
        let share = whole as u128 * self.0 as u128 / 1000;
        if share > u64::MAX as u128 {
            u64::MAX
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "held below u64::MAX by the branch"
            )]
            let share = share as u64;
            share
        }
    }

    /// Whether `part` is at least this share of `whole`. Exact: no division.
    #[must_use]
    pub const fn reached_by(self, part: u64, whole: u64) -> bool {
        part as u128 * 1000 >= whole as u128 * self.0 as u128
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1000, self.0 % 1000);
        if thousandths == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{thousandths:03}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_reads_as_it_was_written() {
        let shown = [1, 10, 200, 250, 1000, 1500].map(|p| Ratio::from_permille(p).to_string());
        assert_eq!(shown, ["0.001", "0.01", "0.2", "0.25", "1", "1.5"]);
    }

    #[test]
    fn reaching_a_share_is_exact_at_its_edge() {
        let half = Ratio::from_permille(500);
        assert!(half.reached_by(10, 20));
        assert!(!half.reached_by(10, 21));
    }
}
