//! The view of a service under watch: a few lines, redrawn every few seconds.

use std::fmt::Write as _;

use crate::finding::{Diagnosis, Verdict};
use crate::watch::Watch;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Points shown.
const WIDTH: usize = 60;

/// Renders the verdict and the sparklines.
pub fn to_live(watch: &Watch, diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", super::text::first_line(diagnosis));
    if let Some(was) = watch.recovered_from() {
        let _ = writeln!(
            out,
            "recovered: {was} is gone since the last {} looks",
            Watch::LOOKS_TO_RECOVER
        );
    } else if diagnosis.verdict != Verdict::Healthy {
        for line in diagnosis
            .findings
            .iter()
            .take(1)
            .flat_map(|finding| &finding.evidence)
            .take(3)
        {
            let _ = writeln!(out, "  - {line}");
        }
    }
    for (name, values) in watch.lines() {
        let last = values.last().copied().unwrap_or(0.0);
        let _ = writeln!(out, "{name:<24} {} {last:.1}", sparkline(values));
    }
    out
}

/// Bars from the smallest to the largest value shown.
fn sparkline(values: &[f64]) -> String {
    let shown = &values[values.len().saturating_sub(WIDTH)..];
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let high = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    shown
        .iter()
        .map(|value| {
            let share = if high > low {
                (value - low) / (high - low)
            } else {
                0.0
            };
            let step = (0..BARS.len() - 1).find(|step| share * 8.0 < *step as f64 + 1.0);
            BARS[step.unwrap_or(BARS.len() - 1)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_climb_looks_like_one_and_a_plain_stays_low() {
        assert_eq!(
            sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
            "▁▂▃▄▅▆▇█"
        );
        assert_eq!(sparkline(&[5.0, 5.0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }
}
