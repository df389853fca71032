//! The Prometheus text format, one scrape or many in a row.
//!
//! Counters only speak through their change, so a single scrape answers little: several are kept
//! as series, each point with its time.

use std::collections::BTreeMap;

use crate::note::{Note, Parsed};

/// One metric with its labels over time.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Metric name without labels.
    pub name: String,
    /// Labels as written, without braces; empty when there are none.
    pub labels: String,
    /// `(seconds, value)`, oldest first.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// Seconds covered.
    pub fn span(&self) -> f64 {
        match (self.points.first(), self.points.last()) {
            (Some(first), Some(last)) => last.0 - first.0,
            _ => 0.0,
        }
    }

    /// The last value.
    pub fn last(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.1)
    }

    /// The first value.
    pub fn first(&self) -> f64 {
        self.points.first().map_or(0.0, |point| point.1)
    }

    /// Increase of a counter over `points`, restarts counted from zero.
    fn increase(points: &[(f64, f64)]) -> f64 {
        points
            .windows(2)
            .map(|pair| {
                let step = pair[1].1 - pair[0].1;
                if step >= 0.0 { step } else { pair[1].1 }
            })
            .sum()
    }

    /// Increase per second over the whole series; 0 with fewer than two points.
    pub fn rate(&self) -> f64 {
        rate_of(&self.points)
    }

    /// Increase per second over the first and over the second half.
    pub fn rate_halves(&self) -> (f64, f64) {
        let middle = self.points.len() / 2;
        let first = self.points.get(..=middle).unwrap_or(&self.points);
        (
            rate_of(first),
            rate_of(&self.points[middle.min(self.points.len())..]),
        )
    }

    /// Mean over the first and over the second half of a gauge.
    pub fn mean_halves(&self) -> (f64, f64) {
        let (first, second) = self.points.split_at(self.points.len() / 2);
        let mean = |part: &[(f64, f64)]| {
            if part.is_empty() {
                0.0
            } else {
                part.iter().map(|point| point.1).sum::<f64>() / part.len() as f64
            }
        };
        (mean(first), mean(second))
    }
}

fn rate_of(points: &[(f64, f64)]) -> f64 {
    match (points.first(), points.last()) {
        (Some(first), Some(last)) if last.0 > first.0 => {
            Series::increase(points) / (last.0 - first.0)
        }
        _ => 0.0,
    }
}

/// Every metric of one or more scrapes.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// The series, in the order of name and labels.
    pub series: Vec<Series>,
    /// Times of the scrapes, in seconds.
    pub scrapes: Vec<f64>,
}

impl Metrics {
    /// The one series of that name without labels, or the first with labels.
    pub fn get(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// All series of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |series| series.name == name)
    }

    /// Seconds between the first and the last scrape.
    pub fn span(&self) -> f64 {
        match (self.scrapes.first(), self.scrapes.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0.0,
        }
    }

    /// Appends a later scrape.
    pub fn append(&mut self, later: Self) {
        self.scrapes.extend(later.scrapes);
        for series in later.series {
            match self
                .series
                .iter_mut()
                .find(|known| known.name == series.name && known.labels == series.labels)
            {
                Some(known) => known.points.extend(series.points),
                None => self.series.push(series),
            }
        }
    }
}

/// Reads the text format. A line `# scrape_t_ms N` starts the scrape taken at N milliseconds;
/// text without such lines is one scrape at `at` seconds.
pub fn read_prometheus(bytes: &[u8], at: f64) -> Parsed<Metrics> {
    let text = String::from_utf8_lossy(bytes);
    let mut found: BTreeMap<(&str, &str), Vec<(f64, f64)>> = BTreeMap::new();
    let mut scrapes = Vec::new();
    let mut now = at;
    let mut broken = 0_u64;
    for line in text.lines() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if let Some(ms) = comment.trim().strip_prefix("scrape_t_ms ") {
                match ms.trim().parse::<f64>() {
                    Ok(ms) if ms.is_finite() => {
                        now = ms / 1_000.0;
                        scrapes.push(now);
                    }
                    _ => broken += 1,
                }
            }
        } else if !line.is_empty() {
            match read_sample(line) {
                Some((name, labels, value)) => {
                    if scrapes.is_empty() {
                        scrapes.push(now);
                    }
                    found.entry((name, labels)).or_default().push((now, value));
                }
                None => broken += 1,
            }
        }
    }
    let mut notes = Vec::new();
    if found.is_empty() {
        notes.push(Note::new("metrics", "hold no sample"));
    } else if broken > 0 {
        notes.push(Note::new(
            "metrics",
            format!("{broken} lines are no samples"),
        ));
    }
    let series = found
        .into_iter()
        .map(|((name, labels), points)| Series {
            name: name.to_owned(),
            labels: labels.to_owned(),
            points,
        })
        .collect();
    (Metrics { series, scrapes }, notes)
}

/// `name{labels} value [timestamp]`; label values may hold any byte, so the closing brace is the
/// last one outside quotes.
fn read_sample(line: &str) -> Option<(&str, &str, f64)> {
    let (name, labels, rest) = match line.find('{') {
        Some(open) => {
            let close = closing_brace(&line[open..])? + open;
            (&line[..open], &line[open + 1..close], &line[close + 1..])
        }
        None => {
            let gap = line.find(char::is_whitespace)?;
            (&line[..gap], "", &line[gap..])
        }
    };
    let name = name.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    if name.is_empty() || !name.bytes().all(plain) {
        return None;
    }
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((name, labels, value))
}

fn closing_brace(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_scrapes_become_series_with_rates() {
        let text = "# scrape_t_ms 0\na_total 1\n# scrape_t_ms 2000\na_total 21\n";
        let (metrics, notes) = read_prometheus(text.as_bytes(), 0.0);
        assert_eq!(metrics.scrapes, [0.0, 2.0]);
        assert!((metrics.get("a_total").unwrap().rate() - 10.0).abs() < 1e-9);
        assert_eq!(notes, []);
    }

    #[test]
    fn braces_inside_label_values_do_not_end_the_labels() {
        let (metrics, _) = read_prometheus(b"a{path=\"/x/{id}\",m=\"\\\"}\"} 3 1700000000\n", 0.0);
        assert_eq!(metrics.series[0].labels, "path=\"/x/{id}\",m=\"\\\"}\"");
    }

    #[test]
    fn a_restart_counts_from_zero() {
        let text = "# scrape_t_ms 0\na 100\n# scrape_t_ms 1000\na 5\n# scrape_t_ms 2000\na 15\n";
        let (metrics, _) = read_prometheus(text.as_bytes(), 0.0);
        assert!((metrics.get("a").unwrap().rate() - 7.5).abs() < 1e-9);
    }

    #[test]
    fn markup_is_no_metric() {
        let (metrics, notes) = read_prometheus(b"<html>\n<body>404</body>\n", 0.0);
        assert!(metrics.series.is_empty());
        assert_eq!(notes[0].text, "hold no sample");
    }
}
