//! When is a service back?
//!
//! Not at its first good second: a service that comes back and falls over again is not back.
//! Recovery is the first second from which goodput is at least 95 % of its mean before the fault,
//! for ten seconds. Where answers can be degraded, undegraded ones are counted: a page without
//! recommendations is a good answer during the fault and no recovery after it.

use std::ops::Range;

use serde::Serialize;

/// The share of the goodput before the fault that counts as being back, in percent.
const SHARE_PERCENT: u64 = 95;

/// How many seconds in a row it must hold.
const HOLD: usize = 10;

/// Whether and when goodput came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Recovery {
    /// It came back and held for ten seconds.
    Recovered {
        /// Whole seconds between the repair and the first good second: 0 if the second that
        /// begins with the repair is the first.
        seconds: u32,
    },
    /// It came back, and the run ended before ten seconds had passed.
    NotJudged {
        /// Whole seconds between the repair and the first good second of the last stretch.
        seconds: u32,
        /// How many seconds it held until the end.
        held: u32,
    },
    /// At the end of the run it was not back.
    NotSeen {
        /// How many seconds of the run came after the repair.
        watched: u32,
    },
}

impl Recovery {
    /// Reads recovery from undegraded good answers per second of a run.
    #[must_use]
    pub fn of(goodput: &[u64], before: Range<usize>, repair: usize) -> Self {
        let before = goodput.get(before).unwrap_or_default();
        let count = before.len() as u64;
        let sum: u64 = before.iter().sum();
        // Kept as products of whole numbers: goodput / 1 >= 0.95 * sum / count.
        let back: Vec<bool> = goodput
            .get(repair..)
            .unwrap_or_default()
            .iter()
            .map(|good| sum > 0 && good * 100 * count >= SHARE_PERCENT * sum)
            .collect();
        let whole = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        if let Some(first) = back
            .windows(HOLD)
            .position(|window| window.iter().all(|back| *back))
        {
            return Self::Recovered {
                seconds: whole(first),
            };
        }
        let held = back.iter().rev().take_while(|back| **back).count();
        if held == 0 {
            let watched = whole(back.len());
            return Self::NotSeen { watched };
        }
        Self::NotJudged {
            seconds: whole(back.len() - held),
            held: whole(held),
        }
    }

    /// The first second after the repair from which ten good ones were seen or may yet have come
    /// after the end of the run: with what was seen, it cannot have been earlier.
    pub(super) fn earliest(self) -> u32 {
        match self {
            Self::Recovered { seconds } | Self::NotJudged { seconds, .. } => seconds,
            Self::NotSeen { watched } => watched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four seconds at 100 before, a fault of three at `during`, then `after`.
    fn recovery(during: u64, after: &[u64]) -> Recovery {
        let goodput = [&[100; 4][..], &[during; 3], after].concat();
        Recovery::of(&goodput, 0..4, 7)
    }

    #[test]
    fn recovery_is_the_first_second_of_ten_good_ones() {
        let after = [0, 40, 96, 100, 100, 100, 95, 100, 100, 100, 100, 100, 100];
        assert_eq!(recovery(0, &after), Recovery::Recovered { seconds: 2 });
    }

    #[test]
    fn a_relapse_within_ten_seconds_starts_the_count_again() {
        let mut after = vec![100; 20];
        after[5] = 94;
        assert_eq!(recovery(0, &after), Recovery::Recovered { seconds: 6 });
    }

    #[test]
    fn ninety_five_percent_is_enough_and_less_is_not() {
        assert_eq!(recovery(0, &[95; 10]), Recovery::Recovered { seconds: 0 });
        assert_eq!(recovery(0, &[94; 10]), Recovery::NotSeen { watched: 10 });
    }

    #[test]
    fn a_run_that_ends_before_ten_good_seconds_is_not_judged() {
        let after = [0, 0, 100, 100, 100];
        assert_eq!(
            recovery(0, &after),
            Recovery::NotJudged {
                seconds: 2,
                held: 3
            }
        );
    }

    #[test]
    fn a_good_fault_does_not_count_as_recovery_before_the_repair() {
        assert_eq!(recovery(100, &[0; 12]), Recovery::NotSeen { watched: 12 });
    }

    #[test]
    fn without_goodput_before_the_fault_there_is_nothing_to_come_back_to() {
        let watched = 13;
        assert_eq!(
            Recovery::of(&[0; 20], 0..4, 7),
            Recovery::NotSeen { watched }
        );
        assert_eq!(Recovery::of(&[], 0..4, 7), Recovery::NotSeen { watched: 0 });
    }

    #[test]
    fn no_continuation_of_a_run_recovers_before_its_earliest_and_one_does_just_then() {
        // Every run of up to twelve seconds after the repair.
        for length in 0..=12 {
            for bits in 0..1_u32 << length {
                let seen: Vec<u64> = (0..length)
                    .map(|at| u64::from(bits >> at & 1) * 100)
                    .collect();
                let earliest = recovery(0, &seen).earliest();
                // The kindest continuation: good for ever.
                let continued = [seen, vec![100; 10]].concat();
                let seconds = earliest;
                assert_eq!(recovery(0, &continued), Recovery::Recovered { seconds });
            }
        }
    }
}
