//! Where values lie on an axis, and which of them are written beside it.

use super::svg::number;

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Equal differences are equally long; the axis begins at zero.
    Linear,
    /// Equal ratios are equally long. For latencies, where 10 ms and 5 s must both be read.
    Log,
}

/// An axis from `low` to `high`, mapped onto drawing units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    from: f64,
    to: f64,
    spread: Spread,
}

impl Scale {
    pub(super) fn new(spread: Spread, low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self {
            low,
            high,
            from,
            to,
            spread,
        }
    }

    /// The drawing position of a value, clamped to the axis.
    pub(super) fn position(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = match self.spread {
            Spread::Linear => (value - self.low) / (self.high - self.low),
            Spread::Log => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        self.from + share * (self.to - self.from)
    }

    /// The values that are written beside the axis: about `count` of them, round ones.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        match self.spread {
            Spread::Linear => linear_ticks(self.low, self.high, count),
            Spread::Log => decades(self.low, self.high),
        }
    }
}

/// The smallest of 1, 2, 5 times a power of ten that cuts the range into at most `count` parts.
fn round_step(range: f64, count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of ticks")]
    let raw = range / count.max(1) as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= raw * 0.999_999)
        .unwrap_or(10.0);
    factor * power
}

fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let step = round_step(high - low, count);
    let mut ticks = Vec::new();
    let mut tick = (low / step).ceil() * step;
    while tick <= high + step * 1e-6 {
        ticks.push(tick);
        tick += step;
    }
    ticks
}

fn decades(low: f64, high: f64) -> Vec<f64> {
    let mut ticks = Vec::new();
    let mut tick = 10_f64.powf(low.log10().ceil());
    while tick <= high * 1.000_001 {
        ticks.push(tick);
        tick *= 10.0;
    }
    ticks
}

/// The upper end of an axis that has to hold `highest`: a round number at or above it.
pub(super) fn round_up(spread: Spread, highest: f64) -> f64 {
    if !highest.is_finite() || highest <= 0.0 {
        return 1.0;
    }
    match spread {
        Spread::Linear => {
            let step = round_step(highest, 4);
            (highest / step - 1e-6).ceil() * step
        }
        Spread::Log => 10_f64.powf((highest.log10() - 1e-6).ceil()),
    }
}

/// A tick as text: thousands of milliseconds become seconds, other units stay as they are.
pub(super) fn tick_text(value: f64, unit: &str) -> String {
    match unit {
        "ms" if value >= 1000.0 => format!("{} s", number(value / 1000.0)),
        "" => number(value),
        _ => format!("{} {unit}", number(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_stay_on_the_axis() {
        assert_eq!(
            linear_ticks(0.0, 28.0, 6),
            [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
        );
        assert_eq!(linear_ticks(0.0, 120.0, 4), [0.0, 50.0, 100.0]);
        assert_eq!(decades(1.0, 10_000.0), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
    }

    #[test]
    fn the_upper_end_is_round_and_never_below_the_highest_value() {
        assert_eq!(round_up(Spread::Linear, 104.0), 150.0);
        assert_eq!(round_up(Spread::Linear, 100.0), 100.0);
        assert_eq!(round_up(Spread::Log, 5001.0), 10_000.0);
        assert_eq!(round_up(Spread::Linear, 0.0), 1.0);
        assert_eq!(round_up(Spread::Linear, f64::NAN), 1.0);
    }

    #[test]
    fn a_value_off_the_axis_is_drawn_at_its_end() {
        let scale = Scale::new(Spread::Log, 1.0, 1000.0, 100.0, 0.0);
        assert!((scale.position(1.0) - 100.0).abs() < 1e-9);
        assert!((scale.position(1e9) - 0.0).abs() < 1e-9);
        assert!((scale.position(10.0) - 200.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn milliseconds_above_a_thousand_are_written_as_seconds() {
        assert_eq!(tick_text(10_000.0, "ms"), "10 s");
        assert_eq!(tick_text(10.0, "ms"), "10 ms");
        assert_eq!(tick_text(50.0, ""), "50");
    }
}
