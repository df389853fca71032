//! A line the size of a word, for a figure's course beside the figure.

use super::Tone;
use super::svg::{Canvas, number};

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;
const MARGIN: f64 = 2.0;

/// The course of `values` from zero to their highest, without axes. Values that are not finite
/// count as zero.
///
/// ```
/// use evenkeel_report::{Tone, sparkline};
///
/// assert!(sparkline("calls per second", Tone::Measure, &[0.0, 3.0, 1.0]).contains("<path"));
/// ```
#[must_use]
pub fn sparkline(title: &str, tone: Tone, values: &[f64]) -> String {
    let values: Vec<f64> = values
        .iter()
        .map(|v| if v.is_finite() { v.max(0.0) } else { 0.0 })
        .collect();
    let highest = values
        .iter()
        .copied()
        .fold(0.0, f64::max)
        .max(f64::MIN_POSITIVE);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sparkline has a few hundred points"
    )]
    let step = (WIDTH - 2.0 * MARGIN) / values.len().saturating_sub(1).max(1) as f64;
    let mut canvas = Canvas::open(WIDTH, HEIGHT, title);
    let mut path = String::new();
    let mut at = MARGIN;
    for value in values {
        let command = if path.is_empty() { 'M' } else { 'L' };
        let height = HEIGHT - MARGIN - value / highest * (HEIGHT - 2.0 * MARGIN);
        path.push_str(&format!("{command}{} {}", number(at), number(height)));
        at += step;
    }
    if !path.is_empty() {
        canvas.path(&format!("ek-line {}", tone.class()), &path);
    }
    canvas.close()
}
