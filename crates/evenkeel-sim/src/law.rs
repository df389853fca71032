//! How long things take: the laws that durations are drawn from.
//!
//! Every draw inverts the law's distribution function, so one uniform number gives one duration, a higher
//! number never a shorter one. That keeps comparisons fair: the same call, under two policies, needs the
//! same work. Logarithms and the like come from [`crate::math`], which is equal on every build.

use evenkeel_core::entropy::Entropy;

use crate::math::{exp, ln, normal_quantile, normal_share};

/// A law of durations, in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Law {
    /// Always the same.
    Constant(u64),
    /// Memoryless, with this mean.
    Exponential {
        /// The mean.
        mean: u64,
    },
    /// The exponential of a normal variable.
    LogNormal {
        /// Half of the draws are shorter.
        median: u64,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
    /// A heavy tail: `P(T > t) = (least / t)^alpha`.
    Pareto {
        /// The shortest draw.
        least: u64,
        /// The smaller, the heavier the tail. At most 1: without a mean.
        alpha: f64,
    },
    /// Every duration from `low` to `high` alike.
    Uniform {
        /// The shortest draw.
        low: u64,
        /// The longest draw.
        high: u64,
    },
    /// One of two laws.
    Mixture {
        /// What `share` of the draws come from.
        first: Box<Law>,
        /// What the others come from.
        second: Box<Law>,
        /// The share of `first`.
        share: f64,
    },
    /// A law some of whose draws take a multiple of the time.
    Stragglers {
        /// The law.
        law: Box<Law>,
        /// The share of the stragglers.
        share: f64,
        /// How many times longer they take.
        factor: f64,
    },
    /// What was measured, each value as likely as the others; in ascending order.
    Empirical(Vec<u64>),
}

/// A number from 0 (never reached) to 1 from 64 random bits.
#[inline]
#[must_use]
pub fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
}

/// A draw from the exponential law of mean 1.
#[inline]
#[must_use]
pub fn exponential(dice: &mut Entropy) -> f64 {
    -ln(unit(dice.next_u64()))
}

/// Whole nanoseconds; at most what 64 bits hold.
#[inline]
pub(crate) fn whole(nanos: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates at both ends"
    )]
    let whole = nanos as u64;
    whole
}

impl Law {
    /// One duration, in nanoseconds.
    #[inline]
    #[must_use]
    pub fn draw(&self, dice: &mut Entropy) -> u64 {
        match self {
            Self::Constant(nanos) => *nanos,
            Self::Exponential { mean } => whole(*mean as f64 * exponential(dice)),
            _ => self.draw_other(dice),
        }
    }

    fn draw_other(&self, dice: &mut Entropy) -> u64 {
        match self {
            Self::Constant(_) | Self::Exponential { .. } => self.draw(dice),
            Self::LogNormal { median, sigma } => {
                let normal = normal_quantile(unit(dice.next_u64()));
                whole(*median as f64 * exp(sigma * normal))
            }
            Self::Pareto { least, alpha } => whole(*least as f64 * exp(exponential(dice) / alpha)),
            Self::Uniform { low, high } => dice.between(*low, *high),
            Self::Mixture {
                first,
                second,
                share,
            } => {
                if unit(dice.next_u64()) < *share {
                    first.draw(dice)
                } else {
                    second.draw(dice)
                }
            }
            Self::Stragglers { law, share, factor } => {
                let straggles = unit(dice.next_u64()) < *share;
                let drawn = law.draw(dice);
                if straggles {
                    whole(drawn as f64 * factor)
                } else {
                    drawn
                }
            }
            Self::Empirical(values) => {
                let last = values.len().saturating_sub(1) as u64;
                let place = usize::try_from(dice.between(0, last)).unwrap_or_default();
                values.get(place).copied().unwrap_or_default()
            }
        }
    }

    /// The mean, in nanoseconds; infinite where there is none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant(nanos) | Self::Exponential { mean: nanos } => *nanos as f64,
            Self::LogNormal { median, sigma } => *median as f64 * exp(sigma * sigma / 2.0),
            Self::Pareto { alpha, .. } if *alpha <= 1.0 => f64::INFINITY,
            Self::Pareto { least, alpha } => *least as f64 * alpha / (alpha - 1.0),
            Self::Uniform { low, high } => f64::midpoint(*low as f64, *high as f64),
            Self::Mixture {
                first,
                second,
                share,
            } => share * first.mean() + (1.0 - share) * second.mean(),
            Self::Stragglers { law, share, factor } => law.mean() * (1.0 - share + share * factor),
            Self::Empirical(values) => {
                let sum: f64 = values.iter().map(|value| *value as f64).sum();
                sum / values.len().max(1) as f64
            }
        }
    }

    /// The share of durations that are longer than `nanos`.
    #[must_use]
    pub fn longer_than(&self, nanos: f64) -> f64 {
        if nanos <= 0.0 {
            return 1.0;
        }
        match self {
            Self::Constant(value) => f64::from(u8::from(*value as f64 > nanos)),
            Self::Exponential { mean } => exp(-nanos / *mean as f64),
            Self::LogNormal { median, sigma } => normal_share(-ln(nanos / *median as f64) / sigma),
            Self::Pareto { least, alpha } => {
                let least = *least as f64;
                if nanos <= least {
                    1.0
                } else {
                    exp(alpha * ln(least / nanos))
                }
            }
            Self::Uniform { low, high } => {
                let (low, high) = (*low as f64, *high as f64);
                if nanos < low {
                    1.0
                } else if nanos >= high {
                    0.0
                } else {
                    (high - nanos) / (high - low)
                }
            }
            Self::Mixture {
                first,
                second,
                share,
            } => share * first.longer_than(nanos) + (1.0 - share) * second.longer_than(nanos),
            Self::Stragglers { law, share, factor } => {
                (1.0 - share) * law.longer_than(nanos) + share * law.longer_than(nanos / factor)
            }
            Self::Empirical(values) => {
                let longer = values.len() - values.partition_point(|value| *value as f64 <= nanos);
                longer as f64 / values.len().max(1) as f64
            }
        }
    }

    /// The same law with every duration `factor` times as long.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let times = |nanos: &u64| whole(*nanos as f64 * factor + 0.5);
        match self {
            Self::Constant(nanos) => Self::Constant(times(nanos)),
            Self::Exponential { mean } => Self::Exponential { mean: times(mean) },
            Self::LogNormal { median, sigma } => Self::LogNormal {
                median: times(median),
                sigma: *sigma,
            },
            Self::Pareto { least, alpha } => Self::Pareto {
                least: times(least),
                alpha: *alpha,
            },
            Self::Uniform { low, high } => Self::Uniform {
                low: times(low),
                high: times(high),
            },
            Self::Mixture {
                first,
                second,
                share,
            } => Self::Mixture {
                first: Box::new(first.scaled(factor)),
                second: Box::new(second.scaled(factor)),
                share: *share,
            },
            Self::Stragglers {
                law,
                share,
                factor: longer,
            } => Self::Stragglers {
                law: Box::new(law.scaled(factor)),
                share: *share,
                factor: *longer,
            },
            Self::Empirical(values) => Self::Empirical(values.iter().map(times).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn draws_have_the_mean_and_the_tail_that_the_law_says() {
        let lognormal = Law::LogNormal {
            median: 10 * MS,
            sigma: 0.5,
        };
        let laws = [
            Law::Constant(10 * MS),
            Law::Exponential { mean: 10 * MS },
            lognormal.clone(),
            Law::Pareto {
                least: 5 * MS,
                alpha: 2.5,
            },
            Law::Uniform {
                low: 5 * MS,
                high: 15 * MS,
            },
            Law::Mixture {
                first: Box::new(Law::Constant(2 * MS)),
                second: Box::new(Law::Exponential { mean: 50 * MS }),
                share: 0.9,
            },
            Law::Stragglers {
                law: Box::new(lognormal),
                share: 0.01,
                factor: 20.0,
            },
            Law::Empirical(vec![MS, 2 * MS, 30 * MS]),
        ];
        for law in laws {
            let mut dice = Entropy::new(1).split("draws");
            let drawn: Vec<_> = (0..100_000).map(|_| law.draw(&mut dice)).collect();
            let mean = drawn.iter().sum::<u64>() as f64 / 100_000.0;
            assert!(
                (mean / law.mean() - 1.0).abs() < 0.02,
                "{law:?}: {mean} {}",
                law.mean()
            );
            let beyond = 12.0 * MS as f64;
            let longer = drawn.iter().filter(|nanos| **nanos as f64 > beyond).count();
            let share = longer as f64 / 100_000.0;
            assert!(
                (share - law.longer_than(beyond)).abs() < 0.006,
                "{law:?}: {share}"
            );
            let scaled = law.scaled(4.0);
            assert!((scaled.mean() / law.mean() - 4.0).abs() < 1e-6);
        }
    }
}
