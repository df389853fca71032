//! Charts as inline SVG.
//!
//! A report is opened in an incident, printed, mailed, or read years later without a network. So
//! a chart is a piece of SVG text that stands inside one HTML file: no script, no font, no
//! picture to load. It carries classes instead of colours; [`STYLE`] gives them their colours, in
//! light and in dark, once per page. The colours are those of Okabe and Ito's palette (*Color
//! Universal Design*, 2008), which people with any of the common kinds of colour blindness tell
//! apart; lines differ in their dashes too, areas in their lightness.
//!
//! Every drawing is a pure function of its values: equal values give equal text, to the byte.

mod bands;
mod scale;
mod spark;
mod style;
mod svg;

pub use bands::{Band, Bands};
pub use scale::Spread;
pub use spark::sparkline;
pub use style::STYLE;

use scale::{Scale, round_up, tick_text};
use svg::{Anchor, Canvas, number};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 30.0;
/// Room a legend entry takes beside its words.
const SWATCH: f64 = 16.0;
/// The mean width of a character of legend text.
const CHARACTER: f64 = 6.6;

/// What a series means; the meaning chooses colour and dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Less than promised, on purpose, and labelled as such.
    Degraded,
    /// Not what the user came for.
    Bad,
    /// Something to compare with: what was offered, what is allowed.
    Reference,
    /// A measurement that is neither good nor bad by itself.
    Measure,
    /// A second measurement beside the first.
    Second,
}

impl Tone {
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "ek-good",
            Self::Degraded => "ek-degraded",
            Self::Bad => "ek-bad",
            Self::Reference => "ek-reference",
            Self::Measure => "ek-measure",
            Self::Second => "ek-second",
        }
    }
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Line,
    Area,
}

/// One series of values over time.
#[derive(Debug, Clone)]
pub struct Series {
    name: String,
    tone: Tone,
    shape: Shape,
    points: Vec<(f64, f64)>,
}

impl Series {
    /// A line through `(x, y)` points in ascending `x`. A `y` that is not finite leaves a gap.
    #[must_use]
    pub fn line(name: impl Into<String>, tone: Tone, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            tone,
            shape: Shape::Line,
            points,
        }
    }

    /// An area whose value holds from its `x` until the next one: counts per interval. The areas
    /// of a chart are stacked in the order in which they are given and must share their `x`.
    #[must_use]
    pub fn area(name: impl Into<String>, tone: Tone, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            tone,
            shape: Shape::Area,
            points,
        }
    }
}

/// A stretch of the horizontal axis that is shaded and named.
#[derive(Debug, Clone)]
struct Span {
    from: f64,
    to: f64,
    label: String,
}

/// A line and area chart over time.
///
/// ```
/// use evenkeel_report::{Chart, Series, Tone};
///
/// let svg = Chart::new("pages per second", "s", 0.0, 10.0)
///     .span(3.0, 7.0, "fault")
///     .series(Series::line("offered", Tone::Reference, vec![(0.0, 100.0), (10.0, 100.0)]))
///     .svg();
/// assert!(svg.starts_with("<svg") && svg.contains("offered"));
/// ```
#[derive(Debug, Clone)]
pub struct Chart {
    title: String,
    x_unit: String,
    x_low: f64,
    x_high: f64,
    y_unit: String,
    y_low: f64,
    y_high: Option<f64>,
    spread: Spread,
    height: f64,
    spans: Vec<Span>,
    limits: Vec<(f64, String)>,
    series: Vec<Series>,
}

impl Chart {
    /// An empty chart over `x_low..=x_high`, both in `x_unit`.
    #[must_use]
    pub fn new(
        title: impl Into<String>,
        x_unit: impl Into<String>,
        x_low: f64,
        x_high: f64,
    ) -> Self {
        Self {
            title: title.into(),
            x_unit: x_unit.into(),
            x_low,
            x_high,
            y_unit: String::new(),
            y_low: 0.0,
            y_high: None,
            spread: Spread::Linear,
            height: 220.0,
            spans: Vec::new(),
            limits: Vec::new(),
            series: Vec::new(),
        }
    }

    /// The unit written beside the values of the vertical axis.
    #[must_use]
    pub fn y_unit(mut self, unit: impl Into<String>) -> Self {
        self.y_unit = unit.into();
        self
    }

    /// Fixes the upper end of the vertical axis, so that two charts can be compared by eye.
    #[must_use]
    pub fn y_high(mut self, high: f64) -> Self {
        self.y_high = Some(high);
        self
    }

    /// A logarithmic vertical axis that begins at `low`, which must be above zero.
    #[must_use]
    pub fn log_from(mut self, low: f64) -> Self {
        self.spread = Spread::Log;
        self.y_low = low;
        self
    }

    /// The height in drawing units; the width is 640.
    #[must_use]
    pub fn height(mut self, height: f64) -> Self {
        self.height = height;
        self
    }

    /// Shades a stretch of the horizontal axis and names it.
    #[must_use]
    pub fn span(mut self, from: f64, to: f64, label: impl Into<String>) -> Self {
        self.spans.push(Span {
            from,
            to,
            label: label.into(),
        });
        self
    }

    /// A dashed horizontal line at a value that must not be passed.
    #[must_use]
    pub fn limit(mut self, value: f64, label: impl Into<String>) -> Self {
        self.limits.push((value, label.into()));
        self
    }

    /// Adds a series.
    #[must_use]
    pub fn series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// The chart as one `<svg>` element.
    #[must_use]
    pub fn svg(&self) -> String {
        let bottom = self.height - BOTTOM;
        let x = Scale::new(Spread::Linear, self.x_low, self.x_high, LEFT, WIDTH - RIGHT);
        let high = self
            .y_high
            .unwrap_or_else(|| round_up(self.spread, self.highest()));
        let y = Scale::new(self.spread, self.y_low, high, bottom, TOP);
        let mut canvas = Canvas::open(WIDTH, self.height, &self.title);
        self.draw_spans(&mut canvas, &x, bottom);
        self.draw_axes(&mut canvas, &x, &y, bottom);
        self.draw_series(&mut canvas, &x, &y);
        self.draw_limits(&mut canvas, &y);
        self.draw_legend(&mut canvas);
        canvas.close()
    }

    /// The highest value that has to fit, areas stacked.
    fn highest(&self) -> f64 {
        let areas = self
            .series
            .iter()
            .filter(|series| series.shape == Shape::Area);
        let mut stack: Vec<f64> = Vec::new();
        for series in areas {
            stack.resize(stack.len().max(series.points.len()), 0.0);
            for (sum, (_, value)) in stack.iter_mut().zip(&series.points) {
                *sum += value.max(0.0);
            }
        }
        let lines = self
            .series
            .iter()
            .filter(|series| series.shape == Shape::Line);
        let lines = lines.flat_map(|series| series.points.iter().map(|(_, value)| *value));
        let limits = self.limits.iter().map(|(value, _)| *value);
        stack
            .into_iter()
            .chain(lines)
            .chain(limits)
            .filter(|v| v.is_finite())
            .fold(0.0, f64::max)
    }

    fn draw_spans(&self, canvas: &mut Canvas, x: &Scale, bottom: f64) {
        for span in &self.spans {
            let (from, to) = (x.position(span.from), x.position(span.to));
            canvas.rect("ek-span", from, TOP, to - from, bottom - TOP);
            canvas.text(
                "ek-span-label",
                f64::midpoint(from, to),
                TOP - 5.0,
                Anchor::Middle,
                &span.label,
            );
        }
    }

    fn draw_axes(&self, canvas: &mut Canvas, x: &Scale, y: &Scale, bottom: f64) {
        for tick in y.ticks(4) {
            let at = y.position(tick);
            canvas.line("ek-grid", LEFT, at, WIDTH - RIGHT, at);
            let text = tick_text(tick, &self.y_unit);
            canvas.text("ek-tick", LEFT - 6.0, at + 4.0, Anchor::End, &text);
        }
        canvas.line("ek-axis", LEFT, bottom, WIDTH - RIGHT, bottom);
        for tick in x.ticks(8) {
            let at = x.position(tick);
            canvas.line("ek-axis", at, bottom, at, bottom + 4.0);
            let text = tick_text(tick, &self.x_unit);
            canvas.text("ek-tick", at, bottom + 18.0, Anchor::Middle, &text);
        }
    }

    fn draw_series(&self, canvas: &mut Canvas, x: &Scale, y: &Scale) {
        let mut floor: Vec<f64> = Vec::new();
        for series in self
            .series
            .iter()
            .filter(|series| series.shape == Shape::Area)
        {
            floor.resize(floor.len().max(series.points.len()), 0.0);
            let ceiling: Vec<f64> = floor
                .iter()
                .zip(&series.points)
                .map(|(f, (_, v))| f + v.max(0.0))
                .collect();
            if series.points.iter().any(|(_, value)| *value > 0.0) {
                let path = stepped_area(series, &floor, &ceiling, x, y);
                canvas.path(&format!("ek-area {}", series.tone.class()), &path);
            }
            floor[..ceiling.len()].copy_from_slice(&ceiling);
        }
        for series in self
            .series
            .iter()
            .filter(|series| series.shape == Shape::Line)
        {
            let path = broken_line(series, x, y);
            if !path.is_empty() {
                canvas.path(&format!("ek-line {}", series.tone.class()), &path);
            }
        }
    }

    fn draw_limits(&self, canvas: &mut Canvas, y: &Scale) {
        for (value, label) in &self.limits {
            let at = y.position(*value);
            canvas.line("ek-limit", LEFT, at, WIDTH - RIGHT, at);
            canvas.text(
                "ek-limit-label",
                WIDTH - RIGHT - 4.0,
                at - 4.0,
                Anchor::End,
                label,
            );
        }
    }

    fn draw_legend(&self, canvas: &mut Canvas) {
        let mut at = LEFT;
        for series in &self.series {
            let class = series.tone.class();
            match series.shape {
                Shape::Area => canvas.rect(&format!("ek-area {class}"), at, 12.0, 11.0, 11.0),
                Shape::Line => {
                    canvas.line(&format!("ek-line {class}"), at, 17.5, at + 12.0, 17.5);
                }
            }
            canvas.text("ek-legend", at + SWATCH, 22.0, Anchor::Start, &series.name);
            #[expect(clippy::cast_precision_loss, reason = "a legend is a few words")]
            let words = series.name.chars().count() as f64 * CHARACTER;
            at += SWATCH + words + 16.0;
        }
    }
}

/// The outline of one stacked area: its ceiling from left to right, its floor back.
fn stepped_area(series: &Series, floor: &[f64], ceiling: &[f64], x: &Scale, y: &Scale) -> String {
    let xs: Vec<f64> = series.points.iter().map(|(at, _)| *at).collect();
    let until = |index: usize| xs.get(index + 1).copied().unwrap_or(x.high);
    let mut path = String::new();
    for (index, value) in ceiling.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let (from, to, at) = (
            x.position(xs[index]),
            x.position(until(index)),
            y.position(*value),
        );
        path.push_str(&format!(
            "{command}{} {}H{}",
            number(from),
            number(at),
            number(to)
        ));
    }
    for (index, value) in floor.iter().enumerate().take(ceiling.len()).rev() {
        let (from, to, at) = (
            x.position(xs[index]),
            x.position(until(index)),
            y.position(*value),
        );
        path.push_str(&format!("L{} {}H{}", number(to), number(at), number(from)));
    }
    path.push('Z');
    path
}

/// A line that is lifted wherever a value is not finite.
fn broken_line(series: &Series, x: &Scale, y: &Scale) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for (at, value) in &series.points {
        if value.is_finite() {
            let command = if drawing { 'L' } else { 'M' };
            let (at, value) = (x.position(*at), y.position(*value));
            path.push_str(&format!("{command}{} {}", number(at), number(value)));
        }
        drawing = value.is_finite();
    }
    path
}

#[cfg(test)]
mod tests;
