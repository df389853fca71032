//! A tail cut by hedges, exactly.
//!
//! Where nothing queues, an attempt takes longer than `t` with a probability `S(t)` that its law gives.
//! A call that sends a second attempt after `d`, with probability `q`, takes longer with
//! `S(t) (1 - q + q S(t - d))`, and makes `q S(d)` extra attempts. That is the most a hedge can win; with
//! queues it wins less, which the fleet shows.

use crate::law::Law;

/// When a call is hedged.
#[derive(Debug, Clone, PartialEq)]
pub struct Hedged {
    /// How long an attempt takes.
    pub law: Law,
    /// After how long, in nanoseconds; infinite: never.
    pub after: f64,
    /// The share of the calls that are.
    pub share: f64,
}

/// Beyond any duration that matters, in nanoseconds: a day.
const FAR: f64 = 86_400e9;

impl Hedged {
    /// The share of the calls that take longer than `nanos`.
    #[must_use]
    pub fn longer_than(&self, nanos: f64) -> f64 {
        let alone = self.law.longer_than(nanos);
        if nanos < self.after {
            return alone;
        }
        alone * (1.0 - self.share + self.share * self.law.longer_than(nanos - self.after))
    }

    /// Extra attempts for each call.
    #[must_use]
    pub fn extra_load(&self) -> f64 {
        if self.after < FAR {
            self.share * self.law.longer_than(self.after)
        } else {
            0.0
        }
    }

    /// The duration that this share of the calls does not exceed, in nanoseconds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(|nanos| self.longer_than(nanos), share)
    }
}

/// The duration that `longer_than` exceeds with probability `1 - share`.
#[must_use]
pub fn quantile(longer_than: impl Fn(f64) -> f64, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, FAR);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if longer_than(middle) > 1.0 - share {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e6;

    #[test]
    fn two_at_once_square_the_tail() {
        let law = Law::Exponential { mean: 10_000_000 };
        let doubled = Hedged {
            law: law.clone(),
            after: 0.0,
            share: 1.0,
        };
        let alone = Hedged {
            law,
            after: f64::INFINITY,
            share: 1.0,
        };
        assert!((doubled.quantile(0.99) / alone.quantile(0.99) - 0.5).abs() < 1e-9);
        assert!((alone.quantile(0.5) - 6.931_47 * MS).abs() < 0.001 * MS);
        assert_eq!((doubled.extra_load(), alone.extra_load()), (1.0, 0.0));
    }
}
