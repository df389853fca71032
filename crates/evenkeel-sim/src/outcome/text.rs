//! The outcome for a terminal: a table with every cell, sparklines, and what does not hold.

use core::fmt;

use evenkeel_report::{Column, Table};

use super::{CellOutcome, Outcome};
use crate::scenario::short;

/// Cells whose checks are all listed; of more, only what does not hold.
const LISTED: usize = 12;
/// Characters of a sparkline.
const WIDTH: usize = 40;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        let headline = self.headline();
        let mut columns = vec![Column::left("")];
        columns.extend(headline.iter().map(|metric| Column::right(metric.clone())));
        let timeline = self.cells.iter().any(|cell| cell.story.is_some());
        if timeline {
            columns.push(Column::left("served in time, over the run"));
        }
        let mut table = Table::new(columns);
        for cell in &self.cells {
            let mut row = vec![cell.name()];
            for metric in &headline {
                row.push(cell.mean(metric).map_or_else(|| "-".to_owned(), short));
            }
            if timeline {
                row.push(cell.spark());
            }
            table.row(row);
        }
        writeln!(f, "{table}")?;
        self.write_checks(f)
    }
}

impl Outcome {
    fn write_checks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: usize = self.cells.iter().map(|cell| cell.checks.len()).sum();
        if all == 0 {
            return writeln!(f, "nothing was expected");
        }
        let mut missed = 0;
        for cell in &self.cells {
            for check in &cell.checks {
                missed += usize::from(!check.holds);
                if check.holds && self.cells.len() > LISTED {
                    continue;
                }
                let mark = if check.holds { "holds " } else { "MISSED" };
                let (name, metric) = (cell.name(), &check.metric);
                writeln!(
                    f,
                    "{mark}  {name}: {metric} is {}, expected {}",
                    check.found, check.expected
                )?;
            }
        }
        writeln!(f, "{} of {all} expectations hold", all - missed)
    }

    /// The metrics that the table shows: those that something is expected of, or else the first group's.
    #[must_use]
    pub fn headline(&self) -> Vec<String> {
        const MOST: usize = 6;
        let mut metrics: Vec<String> = Vec::new();
        let expected = self.cells.iter().flat_map(|cell| &cell.checks);
        for check in expected {
            if !metrics.contains(&check.metric) {
                metrics.push(check.metric.clone());
            }
        }
        if metrics.is_empty() {
            const TELLING: [&str; 6] = [
                "goodput",
                "success_pct",
                "p99_ms",
                "amplification",
                "recovery_s",
                "calls_per_client",
            ];
            let known = self.cells.first().map(|cell| cell.figures.keys());
            let telling = |name: &&String| {
                TELLING
                    .iter()
                    .any(|ending| name.rsplit('.').next() == Some(ending))
            };
            metrics.extend(known.into_iter().flatten().filter(telling).cloned());
        }
        metrics.truncate(MOST);
        metrics
    }
}

impl CellOutcome {
    /// What the first group had in time, over the run.
    fn spark(&self) -> String {
        let Some(story) = &self.story else {
            return String::new();
        };
        let (_, measures) = &**story;
        let Some(seconds) = measures.seconds.first() else {
            return String::new();
        };
        let whole = seconds.len().saturating_sub(1);
        let per_sign = whole.div_ceil(WIDTH).max(1);
        let values: Vec<f64> = seconds[..whole]
            .chunks(per_sign)
            .map(|chunk| {
                chunk
                    .iter()
                    .map(|second| f64::from(second.good + second.degraded))
                    .sum()
            })
            .collect();
        sparkline(&values)
    }
}

const SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The course of `values` in one line, from zero to their highest.
fn sparkline(values: &[f64]) -> String {
    let highest = values.iter().copied().fold(0.0, f64::max);
    let sign = |value: &f64| {
        let height = if highest > 0.0 {
            value / highest * 8.0
        } else {
            0.0
        };
        let place = usize::try_from(crate::law::whole(height)).unwrap_or_default();
        if *value > 0.0 {
            SIGNS[place.min(7)]
        } else {
            '·'
        }
    };
    values.iter().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_tells_nothing_from_little() {
        assert_eq!(sparkline(&[0.0, 0.1, 4.0, 8.0]), "·▁▅█");
        assert_eq!(sparkline(&[0.0, 0.0]), "··");
        assert_eq!(sparkline(&[]), "");
    }
}
