//! When clients ask.
//!
//! An open-loop client asks at times of its own, however slow the answers; a closed-loop one thinks, asks,
//! and waits for the answer before it thinks again. The first kind is what overloads a service, and the
//! second kind is what most load generators are, which is why they see no overload.
//!
//! Load that changes over time (bursts, load steps) is a rate that is integrated, not a gap that is
//! stretched: a client in the middle of a long gap notices that its rate rose.

use evenkeel_core::entropy::Entropy;

use crate::law::{Law, exponential, whole};

/// The arrival process of one group of clients.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrivals {
    /// Memoryless, at this many a second over all clients of the group.
    Poisson {
        /// Per second, of the whole group.
        rate: f64,
    },
    /// Evenly spaced, each client at a phase of its own.
    Regular {
        /// Per second, of the whole group.
        rate: f64,
    },
    /// Memoryless, at a rate that is `factor` times as high for `burst` of every `period`, and lower in
    /// between, so that the mean is `rate`.
    Bursty {
        /// Per second, of the whole group, on average.
        rate: f64,
        /// How many times the mean rate a burst is.
        factor: f64,
        /// How long a burst lasts, in nanoseconds.
        burst: u64,
        /// From the beginning of one burst to that of the next, in nanoseconds.
        period: u64,
    },
    /// Recorded instants, in ascending order; client `k` of `n` takes every `n`-th from the `k`-th on.
    Recorded(Vec<u64>),
    /// The answer, then a time for thought, then the next question.
    Closed {
        /// The time for thought.
        think: Law,
    },
    /// Once each, at the beginning.
    Once,
}

/// A change of the rate: from `at` on it is `factor` times what the process says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadStep {
    /// From when on, in nanoseconds.
    pub at: u64,
    /// How many times the rate.
    pub factor: f64,
}

const SECOND: f64 = 1e9;

impl Arrivals {
    /// When client `place` of `clients` asks for the `nth` time (from 0), given that it asked at `last`;
    /// none: never again by itself.
    #[must_use]
    pub fn next(
        &self,
        steps: &[LoadStep],
        (place, clients): (u32, u32),
        (nth, last): (u64, u64),
        dice: &mut Entropy,
    ) -> Option<u64> {
        let each = |rate: f64| rate / f64::from(clients.max(1)) / SECOND;
        match self {
            Self::Poisson { rate } => {
                let amount = exponential(dice);
                Some(reach(last, amount, each(*rate), steps, None))
            }
            Self::Regular { rate } => {
                let phase = (f64::from(place) + 0.5) / f64::from(clients.max(1));
                let amount = if nth == 0 { phase } else { 1.0 };
                Some(reach(last, amount, each(*rate), steps, None))
            }
            Self::Bursty {
                rate,
                factor,
                burst,
                period,
            } => {
                let amount = exponential(dice);
                let on = *burst as f64 / *period as f64;
                let rest = ((1.0 - factor * on) / (1.0 - on)).max(0.0);
                let wave = Wave {
                    factor: *factor,
                    rest,
                    burst: *burst,
                    period: *period,
                };
                Some(reach(last, amount, each(*rate), steps, Some(&wave)))
            }
            Self::Recorded(instants) => {
                let at = nth * u64::from(clients) + u64::from(place);
                instants.get(usize::try_from(at).ok()?).copied()
            }
            Self::Closed { think } => (nth == 0).then(|| last + think.draw(dice)),
            Self::Once => (nth == 0).then_some(last),
        }
    }

    /// How many arrivals a second the group makes on average; none where answers decide.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        match self {
            Self::Poisson { rate } | Self::Regular { rate } | Self::Bursty { rate, .. } => {
                Some(*rate)
            }
            Self::Recorded(_) | Self::Closed { .. } | Self::Once => None,
        }
    }
}

struct Wave {
    factor: f64,
    rest: f64,
    burst: u64,
    period: u64,
}

impl Wave {
    /// The factor at `now`, and until when it holds.
    fn at(&self, now: u64) -> (f64, u64) {
        let phase = now % self.period;
        let begun = now - phase;
        if phase < self.burst {
            (self.factor, begun + self.burst)
        } else {
            (self.rest, begun + self.period)
        }
    }
}

/// When `amount` of arrivals has come together from `from` on, at `rate` per nanosecond.
fn reach(from: u64, amount: f64, rate: f64, steps: &[LoadStep], wave: Option<&Wave>) -> u64 {
    if steps.is_empty() && wave.is_none() {
        return from.saturating_add(whole(amount / rate));
    }
    let (mut now, mut left) = (from, amount);
    // A process that never comes back ends here, not in an endless loop.
    for _ in 0..10_000_000 {
        let after = steps.partition_point(|step| step.at <= now);
        let factor = after.checked_sub(1).map_or(1.0, |at| steps[at].factor);
        let mut until = steps.get(after).map_or(u64::MAX, |step| step.at);
        let (beat, beat_until) = wave.map_or((1.0, u64::MAX), |wave| wave.at(now));
        until = until.min(beat_until);
        let speed = rate * factor * beat;
        let possible = (until - now) as f64 * speed;
        if possible >= left && speed > 0.0 {
            return now.saturating_add(whole(left / speed));
        }
        if until == u64::MAX {
            break;
        }
        left -= possible;
        now = until;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn count(arrivals: &Arrivals, steps: &[LoadStep], from: u64, to: u64) -> usize {
        let mut dice = Entropy::new(3);
        let (mut last, mut nth, mut seen) = (0, 0, 0);
        while let Some(at) = arrivals.next(steps, (0, 1), (nth, last), &mut dice) {
            if at >= to {
                break;
            }
            seen += usize::from(at >= from);
            (last, nth) = (at, nth + 1);
        }
        seen
    }

    #[test]
    fn a_rate_is_kept_on_average_and_through_load_steps() {
        let poisson = Arrivals::Poisson { rate: 100.0 };
        let seen = count(&poisson, &[], 0, 100 * S);
        assert!((9_700..10_300).contains(&seen), "{seen}");
        let steps = [
            LoadStep {
                at: 10 * S,
                factor: 20.0,
            },
            LoadStep {
                at: 20 * S,
                factor: 0.0,
            },
        ];
        let seen = count(&poisson, &steps, 10 * S, 20 * S);
        assert!((19_500..20_500).contains(&seen), "{seen}");
        assert_eq!(
            count(&poisson, &steps, 20 * S, 100 * S),
            0,
            "a rate of nothing"
        );
    }

    #[test]
    fn bursts_keep_the_mean() {
        let (burst, period) = (S / 5, S);
        let bursty = Arrivals::Bursty {
            rate: 100.0,
            factor: 3.0,
            burst,
            period,
        };
        let seen = count(&bursty, &[], 0, 100 * S);
        assert!((9_600..10_400).contains(&seen), "{seen}");
    }

    #[test]
    fn a_client_in_a_long_gap_notices_that_its_rate_rose() {
        let slow = Arrivals::Poisson { rate: 0.001 };
        let steps = [LoadStep { at: S, factor: 1e6 }];
        assert!(count(&slow, &steps, S, 2 * S) > 900);
    }

    #[test]
    fn recorded_instants_are_dealt_out_among_the_clients() {
        let recorded = Arrivals::Recorded(vec![1, 2, 3, 4, 5]);
        let mut dice = Entropy::new(1);
        let mut of = |place, nth| recorded.next(&[], (place, 2), (nth, 0), &mut dice);
        assert_eq!(
            [of(0, 0), of(1, 0), of(0, 1), of(0, 2)],
            [Some(1), Some(2), Some(3), Some(5)]
        );
        assert_eq!(of(1, 2), None);
    }
}
