//! A capacity predicted from points below it.
//!
//! The universal scalability law (Gunther, *Guerrilla capacity planning*, 2007) says what throughput comes
//! of a concurrency `N`: `X(N) = l N / (1 + s (N - 1) + k N (N - 1))`, with a share `s` that is done one
//! after the other and a cost `k` of coherence for each pair. `N / X` is linear in the three, so a least
//! squares fit finds them, and with them the peak, at `sqrt((1 - s) / k)`. The question is how far below
//! the peak one may stop to measure.

use evenkeel_core::entropy::Entropy;

use crate::law::unit;
use crate::math::normal_quantile;

/// A system that follows the law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Law {
    /// The throughput of one.
    pub lambda: f64,
    /// The share that is done one after the other.
    pub sigma: f64,
    /// The cost of coherence.
    pub kappa: f64,
}

impl Law {
    /// The throughput at a concurrency.
    #[must_use]
    pub fn throughput(&self, n: f64) -> f64 {
        self.lambda * n / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    /// The concurrency with the highest throughput; none: it has no peak.
    #[must_use]
    pub fn peak(&self) -> Option<f64> {
        (self.kappa > 0.0 && self.sigma < 1.0).then(|| ((1.0 - self.sigma) / self.kappa).sqrt())
    }

    /// The law that fits the points best, by least squares on `N / X`; none: they show no peak.
    #[must_use]
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        // Normal equations of `y = a + b (n - 1) + c n (n - 1)`.
        let mut rows = [[0.0_f64; 4]; 3];
        for (n, x) in points {
            let terms = [1.0, n - 1.0, n * (n - 1.0)];
            for (row, first) in rows.iter_mut().zip(terms) {
                for (cell, second) in row.iter_mut().zip(terms) {
                    *cell += first * second;
                }
                row[3] += first * n / x;
            }
        }
        let [a, b, c] = solve(rows)?;
        let law = Self {
            lambda: 1.0 / a,
            sigma: b / a,
            kappa: c / a,
        };
        (a > 0.0 && law.peak().is_some()).then_some(law)
    }
}

/// Gaussian elimination with pivots.
fn solve(mut rows: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    let size = |x: f64| if x < 0.0 { -x } else { x };
    for column in 0..3 {
        let pivot =
            (column..3).max_by(|a, b| size(rows[*a][column]).total_cmp(&size(rows[*b][column])))?;
        if size(rows[pivot][column]) < 1e-300 {
            return None;
        }
        rows.swap(column, pivot);
        let lead = rows[column];
        for (place, row) in rows.iter_mut().enumerate() {
            if place != column {
                let factor = row[column] / lead[column];
                for (cell, above) in row.iter_mut().zip(lead) {
                    *cell -= factor * above;
                }
            }
        }
    }
    Some([0, 1, 2].map(|place| rows[place][3] / rows[place][place]))
}

/// How well peaks were predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// The share of fits that showed no peak.
    pub failed: f64,
    /// Relative errors of the peak's concurrency, ascending.
    pub peak_errors: Vec<f64>,
    /// Relative errors of the throughput there, ascending.
    pub throughput_errors: Vec<f64>,
}

/// Measures `points` with noise and predicts the peak, `repetitions` times.
#[must_use]
pub fn run(law: Law, points: &[u32], noise: f64, repetitions: u32, seed: u64) -> Predicted {
    let mut dice = Entropy::new(seed).split("usl");
    let mut predicted = Predicted {
        failed: 0.0,
        peak_errors: Vec::new(),
        throughput_errors: Vec::new(),
    };
    let Some(peak) = law.peak() else {
        return predicted;
    };
    let apart = |found: f64, true_value: f64| {
        let error = found / true_value - 1.0;
        if error < 0.0 { -error } else { error }
    };
    for _ in 0..repetitions {
        let measure = |n: &u32| {
            let n = f64::from(*n);
            let disturbed = 1.0 + noise * normal_quantile(unit(dice.next_u64()));
            (n, law.throughput(n) * disturbed)
        };
        let measured: Vec<_> = points.iter().map(measure).collect();
        let Some(fitted) = Law::fit(&measured) else {
            predicted.failed += 1.0 / f64::from(repetitions);
            continue;
        };
        let found = fitted.peak().unwrap_or_default();
        predicted.peak_errors.push(apart(found, peak));
        predicted
            .throughput_errors
            .push(apart(fitted.throughput(found), law.throughput(peak)));
    }
    predicted.peak_errors.sort_by(f64::total_cmp);
    predicted.throughput_errors.sort_by(f64::total_cmp);
    predicted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_without_noise_give_back_the_law() {
        let law = Law {
            lambda: 40.0,
            sigma: 0.03,
            kappa: 0.0005,
        };
        let points: Vec<_> = [1.0, 2.0, 4.0, 8.0, 16.0]
            .into_iter()
            .map(|n| (n, law.throughput(n)))
            .collect();
        let fitted = Law::fit(&points).unwrap();
        assert!((fitted.peak().unwrap() - 44.045).abs() < 0.01, "{fitted:?}");
        assert!((fitted.lambda - 40.0).abs() < 1e-6);
    }

    #[test]
    fn a_line_has_no_peak() {
        let points: Vec<_> = [1.0, 2.0, 4.0].map(|n| (n, 10.0 * n)).to_vec();
        assert!(Law::fit(&points).is_none_or(|law| law.peak().is_some_and(|peak| peak > 1e5)));
        assert!(Law::fit(&[]).is_none());
    }
}
