//! The curve that throughput follows when actors are added.

use serde::Serialize;

use super::Measurement;

/// Gunther's universal scalability law: throughput with n actors is
/// `alone * n / (1 + contention * (n - 1) + coherency * n * (n - 1))`.
///
/// Source: N. J. Gunther, "Guerrilla Capacity Planning" (Springer, 2007), chapter 4.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Law {
    /// Throughput of one actor alone, per second.
    pub alone: f64,
    /// Share of the work that is serial, 0 to 1: throughput never exceeds `alone / contention`.
    pub contention: f64,
    /// Work each pair of actors makes for each other; above 0, throughput falls beyond its peak.
    pub coherency: f64,
}

impl Law {
    /// Fits the law by least squares, in the form in which it is linear: n divided by throughput.
    /// `None` below four points, or where nothing was done.
    pub fn through(points: &[Measurement]) -> Option<Self> {
        if points.len() < 4 || points.iter().any(|point| point.successes <= 0.0) {
            return None;
        }
        let rows: Vec<([f64; 3], f64)> = points
            .iter()
            .map(|point| {
                let n = f64::from(point.actors);
                // Relative errors weigh the same at every n when the row is scaled by throughput.
                let weight = point.successes / n;
                ([weight, weight * (n - 1.0), weight * n * (n - 1.0)], 1.0)
            })
            .collect();
        // A negative share of work makes no sense: what comes out negative is left out of the fit.
        let sets: [&[usize]; 4] = [&[0, 1, 2], &[0, 1], &[0, 2], &[0]];
        let fitted = sets.iter().find_map(|used| {
            let found = least_squares(&rows, used)?;
            let sound = found[0] > 0.0 && found.iter().all(|value| *value >= 0.0);
            sound.then_some(found)
        })?;
        Some(Self {
            alone: 1.0 / fitted[0],
            contention: (fitted[1] / fitted[0]).min(1.0),
            coherency: fitted[2] / fitted[0],
        })
    }

    /// The number of actors beyond which throughput falls; `None` where it never does.
    pub fn peak(&self) -> Option<f64> {
        (self.coherency > 1e-9).then(|| {
            ((1.0 - self.contention).max(0.0) / self.coherency)
                .sqrt()
                .max(1.0)
        })
    }

    pub(super) fn sentence(&self) -> String {
        let mut text = format!(
            "the curve: {}/s alone, {:.0} % of the work serial",
            super::number(self.alone),
            self.contention * 100.0
        );
        match self.peak() {
            Some(peak) if peak < 10_000.0 => {
                text.push_str(&format!(", most is done with {peak:.0} actors"));
            }
            _ => {}
        }
        text
    }
}

/// Solves the normal equations for the columns `used`; the others are 0.
fn least_squares(rows: &[([f64; 3], f64)], used: &[usize]) -> Option<[f64; 3]> {
    let size = used.len();
    // One row per unknown, the right side last.
    let mut matrix = vec![vec![0.0; size + 1]; size];
    for (row, right) in rows {
        for (i, a) in used.iter().enumerate() {
            for (j, b) in used.iter().enumerate() {
                matrix[i][j] += row[*a] * row[*b];
            }
            matrix[i][size] += row[*a] * right;
        }
    }
    for pivot in 0..size {
        let best = (pivot..size)
            .max_by(|a, b| matrix[*a][pivot].abs().total_cmp(&matrix[*b][pivot].abs()))?;
        matrix.swap(pivot, best);
        let scale = matrix[pivot][pivot];
        if scale.abs() < 1e-12 {
            return None;
        }
        for value in &mut matrix[pivot] {
            *value /= scale;
        }
        let solved = matrix[pivot].clone();
        for (at, row) in matrix.iter_mut().enumerate() {
            if at != pivot {
                let factor = row[pivot];
                for (value, from) in row.iter_mut().zip(&solved) {
                    *value -= factor * from;
                }
            }
        }
    }
    let mut found = [0.0; 3];
    for (at, column) in used.iter().enumerate() {
        found[*column] = matrix[at][size];
    }
    Some(found)
}
