//! Timeline bands: which state held when, one row per thing that has states.

use super::scale::{Scale, Spread, tick_text};
use super::svg::{Anchor, Canvas};
use super::{LEFT, RIGHT, Tone, WIDTH};

const ROW: f64 = 26.0;
const BAR: f64 = 18.0;
const AXIS: f64 = 26.0;
/// A band narrower than this has no room for its label.
const LABELLED: f64 = 44.0;

/// One state from one moment to another.
#[derive(Debug, Clone)]
pub struct Band {
    from: f64,
    to: f64,
    tone: Tone,
    label: String,
}

impl Band {
    /// A state named `label` that held from `from` to `to`.
    #[must_use]
    pub fn new(from: f64, to: f64, tone: Tone, label: impl Into<String>) -> Self {
        Self {
            from,
            to,
            tone,
            label: label.into(),
        }
    }
}

/// Rows of bands over one time axis.
///
/// ```
/// use evenkeel_report::{Bands, Tone, chart::Band};
///
/// let svg = Bands::new("breaker", "s", 0.0, 10.0)
///     .row("state", vec![Band::new(0.0, 4.0, Tone::Good, "closed")])
///     .svg();
/// assert!(svg.contains("closed"));
/// ```
#[derive(Debug, Clone)]
pub struct Bands {
    title: String,
    unit: String,
    low: f64,
    high: f64,
    rows: Vec<(String, Vec<Band>)>,
}

impl Bands {
    /// No rows yet, over `low..=high` in `unit`.
    #[must_use]
    pub fn new(title: impl Into<String>, unit: impl Into<String>, low: f64, high: f64) -> Self {
        Self {
            title: title.into(),
            unit: unit.into(),
            low,
            high,
            rows: Vec::new(),
        }
    }

    /// Adds a row. The name stands left of it and should be a word.
    #[must_use]
    pub fn row(mut self, name: impl Into<String>, bands: Vec<Band>) -> Self {
        self.rows.push((name.into(), bands));
        self
    }

    /// The bands as one `<svg>` element.
    #[must_use]
    pub fn svg(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a handful of rows")]
        let bottom = self.rows.len() as f64 * ROW + 4.0;
        let x = Scale::new(Spread::Linear, self.low, self.high, LEFT, WIDTH - RIGHT);
        let mut canvas = Canvas::open(WIDTH, bottom + AXIS, &self.title);
        let mut top = 4.0;
        for (name, bands) in &self.rows {
            canvas.text("ek-tick", LEFT - 6.0, top + 13.0, Anchor::End, name);
            for band in bands {
                let (from, to) = (x.position(band.from), x.position(band.to));
                canvas.rect(
                    &format!("ek-band {}", band.tone.class()),
                    from,
                    top,
                    to - from,
                    BAR,
                );
                if to - from >= LABELLED {
                    let middle = f64::midpoint(from, to);
                    canvas.text(
                        "ek-band-label",
                        middle,
                        top + 13.0,
                        Anchor::Middle,
                        &band.label,
                    );
                }
            }
            top += ROW;
        }
        canvas.line("ek-axis", LEFT, bottom, WIDTH - RIGHT, bottom);
        for tick in x.ticks(8) {
            let at = x.position(tick);
            canvas.line("ek-axis", at, bottom, at, bottom + 4.0);
            let text = tick_text(tick, &self.unit);
            canvas.text("ek-tick", at, bottom + 18.0, Anchor::Middle, &text);
        }
        canvas.close()
    }
}
