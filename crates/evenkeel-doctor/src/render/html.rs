//! One HTML page that needs nothing else: findings, timelines and a flame graph.

use evenkeel_report::chart::STYLE;
use evenkeel_report::{Chart, Series, Tone};
use minijinja::value::Serde;
use minijinja::{Environment, context};

use super::flame::flame_graph;
use super::text::first_line;
use crate::capture::Capture;
use crate::finding::Diagnosis;

const TEMPLATE: &str = include_str!("report.html");

/// Renders the page.
///
/// # Errors
/// The template does not fit its values: a defect of this crate.
pub fn to_html(diagnosis: &Diagnosis, capture: &Capture) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // The name's ending makes every value escaped.
    environment.add_template("report.html", TEMPLATE)?;
    let flame = flame_graph(capture);
    let headlines: Vec<String> = diagnosis
        .findings
        .iter()
        .map(crate::finding::Finding::headline)
        .collect();
    environment.get_template("report.html")?.render(context! {
        title => first_line(diagnosis),
        style => STYLE,
        diagnosis => Serde(diagnosis),
        headlines => headlines,
        charts => charts(capture),
        flame_title => flame.as_ref().map(|(title, _)| *title),
        flame => flame.as_ref().map(|(_, svg)| svg),
    })
}

/// Timelines of what the checks looked at, each with its heading.
fn charts(capture: &Capture) -> Vec<(String, String)> {
    let mut charts = Vec::new();
    if let Some(trace) = &capture.schedtrace {
        let points = trace
            .lines
            .iter()
            .map(|line| (line.at_ms as f64 / 1_000.0, line.backlog as f64))
            .collect();
        charts.push(chart(
            "Run queue",
            "goroutines",
            vec![("waiting for a processor", points)],
        ));
    }
    if let Some(metrics) = &capture.metrics {
        for (title, unit, names) in [
            ("Goroutines", "goroutines", ["go_goroutines"].as_slice()),
            (
                "Tasks",
                "tasks",
                &["tokio_alive_tasks", "tokio_global_queue_depth"],
            ),
        ] {
            let series: Vec<_> = names
                .iter()
                .filter_map(|name| Some((*name, metrics.get(name)?.points.clone())))
                .collect();
            if !series.is_empty() {
                charts.push(chart(title, unit, series));
            }
        }
        let rates: Vec<(&str, Vec<(f64, f64)>)> = metrics
            .series
            .iter()
            .filter(|series| {
                series.points.len() >= 3
                    && series.name.ends_with("_total")
                    && [
                        "attempt",
                        "success",
                        "responses",
                        "acked",
                        "finished",
                        "done",
                    ]
                    .iter()
                    .any(|word| series.name.contains(word))
            })
            .take(4)
            .map(|series| (series.name.as_str(), per_second(&series.points)))
            .collect();
        if !rates.is_empty() {
            charts.push(chart("Tried and done", "operations per second", rates));
        }
    }
    charts
}

/// The unit stands in the heading: beside an axis there is room for numbers only, and for short ones.
fn chart(title: &str, unit: &str, mut series: Vec<(&str, Vec<(f64, f64)>)>) -> (String, String) {
    let highest = series
        .iter()
        .flat_map(|(_, points)| points.iter().map(|point| point.1))
        .fold(0.0, f64::max);
    let (scale, prefix) = match highest {
        1e7.. => (1e6, "millions of "),
        1e4.. => (1e3, "thousands of "),
        _ => (1.0, ""),
    };
    for (_, points) in &mut series {
        points.iter_mut().for_each(|point| point.1 /= scale);
    }
    let heading = format!("{title} ({prefix}{unit})");
    let span = |pick: fn(f64, f64) -> f64, start: f64| {
        series
            .iter()
            .flat_map(|(_, points)| points.iter().map(|point| point.0))
            .fold(start, pick)
    };
    let (low, high) = (
        span(f64::min, f64::INFINITY),
        span(f64::max, f64::NEG_INFINITY),
    );
    let mut chart = Chart::new(&heading, "s", low, high);
    let tones = [Tone::Measure, Tone::Second, Tone::Good, Tone::Reference];
    for ((name, points), tone) in series.into_iter().zip(tones) {
        chart = chart.series(Series::line(name, tone, points));
    }
    let drawn = chart.svg();
    (heading, drawn)
}

fn per_second(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points
        .windows(2)
        .filter(|pair| pair[1].0 > pair[0].0)
        .map(|pair| {
            let rate = (pair[1].1 - pair[0].1).max(0.0) / (pair[1].0 - pair[0].0);
            (pair[1].0, rate)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_stands_alone_and_escapes_what_it_shows() {
        let mut capture = Capture {
            origin: "<script>alert(1)</script>".into(),
            ..Capture::default()
        };
        let text = "goroutine 7 [chan send, 9 minutes]:\nmain.<evil>()\n\tf.go:1 +0x1\n";
        capture.moment(0).goroutines = Some(crate::goroutine::read_text(text.as_bytes()).0);
        let page = to_html(&crate::diagnose(&capture), &capture).unwrap();
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("http://") || !page.contains("src="));
        assert!(page.contains("leak at main."));
        assert!(page.contains("<svg"));
    }
}
