//! A Prometheus server: the last half hour of a service's metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::http::{Client, FetchError};
use crate::note::{Note, Parsed};
use crate::prometheus::{Metrics, Series};

/// Seconds asked for.
const SPAN: u64 = 30 * 60;
/// Seconds between two points.
const STEP: u64 = 15;

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// Asks the server at `base` for the last half hour, up to `now` in Unix seconds, of every series that
/// `selector` matches; returns its answer as it is, for [`read_answer`] or for a capture.
///
/// # Errors
/// The server does not answer, or refuses the selector.
pub fn query_server(base: &str, selector: &str, now: u64) -> Result<Vec<u8>, FetchError> {
    let url = format!(
        "{}/api/v1/query_range?query={}&start={}&end={now}&step={STEP}",
        base.trim_end_matches('/'),
        encode(selector),
        now.saturating_sub(SPAN)
    );
    Client::default().get(&url)
}

/// Reads the server's answer to a range query.
pub fn read_answer(body: &[u8]) -> Parsed<Metrics> {
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => {
            return (
                Metrics::default(),
                vec![Note::new(
                    "prometheus",
                    format!("answered something else: {error}"),
                )],
            );
        }
    };
    let mut metrics = Metrics::default();
    for mut found in answer.data.result {
        let name = found.metric.remove("__name__").unwrap_or_default();
        // Where the server found it is no property of the service.
        found
            .metric
            .retain(|label, _| !matches!(label.as_str(), "instance" | "job"));
        let labels: Vec<String> = found
            .metric
            .iter()
            .map(|(label, value)| format!("{label}={value:?}"))
            .collect();
        let points: Vec<(f64, f64)> = found
            .values
            .iter()
            .filter_map(|(at, value)| Some((*at, value.parse::<f64>().ok()?)))
            .filter(|(at, value)| at.is_finite() && value.is_finite())
            .collect();
        if points.len() > metrics.scrapes.len() {
            metrics.scrapes = points.iter().map(|point| point.0).collect();
        }
        metrics.series.push(Series {
            name,
            labels: labels.join(","),
            points,
        });
    }
    let notes = if metrics.series.is_empty() {
        vec![Note::new(
            "prometheus",
            "has no series that the selector matches",
        )]
    } else {
        Vec::new()
    };
    (metrics, notes)
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_becomes_series() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"go_goroutines","job":"shop","instance":"a:1"},
             "values":[[1000,"5"],[1015,"20"],[1030,"35"]]}]}}"#;
        let (metrics, notes) = read_answer(body);
        assert_eq!(notes, []);
        let series = metrics.get("go_goroutines").unwrap();
        assert!((series.rate() - 1.0).abs() < 1e-9);
        assert_eq!(series.labels, "");
        assert!((metrics.span() - 30.0).abs() < 1e-9);
    }

    #[test]
    fn another_answer_gives_a_note() {
        assert_eq!(read_answer(b"<html>").1.len(), 1);
    }

    #[test]
    fn a_selector_is_encoded_whole() {
        assert_eq!(encode("{job=\"a b\"}"), "%7Bjob%3D%22a%20b%22%7D");
    }
}
