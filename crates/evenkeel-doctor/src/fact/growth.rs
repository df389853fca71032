//! Growth that is not warm-up.

/// A steady climb.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Growth {
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) per_second: f64,
    pub(crate) seconds: f64,
}

/// Fewer newcomers than this are noise whatever the share.
const LEAST_RISE: f64 = 15.0;

/// Judges a series of `(seconds, count)`: it must rise by two fifths and by fifteen, hardly ever
/// fall, and still rise at the end at a quarter of its first pace; a pool that fills up does not.
pub(crate) fn growth(points: &[(f64, f64)]) -> Option<Growth> {
    let (first, last) = (points.first()?, points.last()?);
    let seconds = last.0 - first.0;
    let rise = last.1 - first.1;
    if seconds <= 0.0 || rise < LEAST_RISE || last.1 < 1.4 * first.1 {
        return None;
    }
    let steps = points.windows(2);
    let rising = steps.clone().filter(|pair| pair[1].1 >= pair[0].1).count();
    if (rising as f64) < 0.7 * steps.len() as f64 {
        return None;
    }
    if points.len() >= 3 {
        let third = (points.len() / 3).max(1);
        let slope = |from: (f64, f64), to: (f64, f64)| (to.1 - from.1) / (to.0 - from.0).max(1e-9);
        let early = slope(points[0], points[third]);
        let late = slope(points[points.len() - 1 - third], points[points.len() - 1]);
        if late < 0.25 * early {
            return None;
        }
    }
    Some(Growth {
        first: first.1,
        last: last.1,
        per_second: rise / seconds,
        seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Vec<(f64, f64)> {
        values
            .iter()
            .enumerate()
            .map(|(at, value)| (at as f64, *value))
            .collect()
    }

    #[test]
    fn a_steady_climb_is_growth() {
        let climb = growth(&series(&[62.0, 94.0, 123.0, 152.0, 178.0, 208.0, 237.0])).unwrap();
        assert!((climb.per_second - 29.0).abs() < 1.0);
    }

    #[test]
    fn a_pool_that_fills_up_is_not() {
        assert_eq!(
            growth(&series(&[
                9.0, 91.0, 173.0, 257.0, 304.0, 304.0, 304.0, 304.0, 304.0
            ])),
            None
        );
    }

    #[test]
    fn a_sawtooth_is_not() {
        assert_eq!(
            growth(&series(&[50.0, 90.0, 40.0, 95.0, 45.0, 100.0])),
            None
        );
    }

    #[test]
    fn three_moments_are_enough() {
        assert!(growth(&series(&[59.0, 179.0, 291.0])).is_some());
        assert!(growth(&series(&[173.0, 304.0, 304.0])).is_none());
    }
}
