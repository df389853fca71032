//! Reading values of a known shape, and saying where they have another.

use core::fmt::Display;
use core::num::NonZeroU32;
use core::time::Duration;

use anyhow::{Result, anyhow};
use evenkeel_core::ratio::Ratio;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// An error that says where a file has another shape than it should.
pub(crate) fn unknown(what: impl Display) -> anyhow::Error {
    anyhow!("unknown shape: {what}")
}

/// A value as rows of one type; a field too many or too few is another shape.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).map_err(unknown)
}

pub(crate) fn sections(value: &Value) -> Result<&Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| unknown("not an object of sections"))
}

/// How many rows a section has that is not read any further.
pub(crate) fn rows(value: &Value) -> usize {
    match value {
        Value::Array(rows) => rows.len(),
        Value::Object(fields) => {
            let rows = fields.values().filter_map(Value::as_array).map(Vec::len);
            rows.sum::<usize>().max(1)
        }
        _ => 1,
    }
}

/// A number as a ratio, which has three decimals.
pub(crate) fn ratio(what: &str, number: f64) -> Result<Ratio> {
    let permille = (number * 1000.0).round();
    let is_exact = (permille - number * 1000.0).abs() < 1e-6;
    if !is_exact || !(0.0..=f64::from(u32::MAX)).contains(&permille) {
        return Err(unknown(format!(
            "{what} is {number}, and a ratio has three decimals"
        )));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the range by the branch above"
    )]
    let permille = permille as u32;
    Ok(Ratio::from_permille(permille))
}

/// A number of seconds.
pub(crate) fn seconds(what: &str, number: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(number)
        .map_err(|_| unknown(format!("{what} is {number}, which is no duration")))
}

pub(crate) fn positive(what: &str, number: u32) -> Result<NonZeroU32> {
    NonZeroU32::new(number).ok_or_else(|| unknown(format!("{what} is zero")))
}

/// Nanoseconds, as a number to compare.
pub(crate) const fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}
