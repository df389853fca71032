//! The outcome as one HTML page that needs nothing else: no script, no network, light and dark.

use core::fmt;

use evenkeel_report::chart::STYLE;
use evenkeel_report::{Chart, Series, Tone};
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use super::{Check, Outcome};
use crate::fleet::{FaultKind, Fleet};
use crate::measure::{Measures, SECOND, Second};
use crate::scenario::short;

const TEMPLATE: &str = include_str!("report.html");

/// Cells whose timelines are drawn; a sweep has more than anybody looks at.
const DRAWN: usize = 24;

/// A page could not be made: a defect, and which.
#[derive(Debug)]
pub struct PageError(minijinja::Error);

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the report's template and its values do not fit: {:#}",
            self.0
        )
    }
}

impl std::error::Error for PageError {}

#[derive(Debug, Serialize)]
struct Page<'a> {
    style: &'static str,
    version: &'static str,
    outcome: &'a Outcome,
    missed: usize,
    expected: usize,
    columns: Vec<String>,
    rows: Vec<Row>,
    checks: Vec<(String, &'a Check)>,
    stories: Vec<Story>,
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    holds: bool,
    judged: bool,
    values: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Story {
    name: String,
    charts: Vec<String>,
}

impl Outcome {
    /// The report, as the text of one HTML file.
    ///
    /// # Errors
    /// If the template and its values do not fit: a defect.
    pub fn html(&self) -> Result<String, PageError> {
        let mut templates = Environment::new();
        templates
            .add_template("report.html", TEMPLATE)
            .map_err(PageError)?;
        let template = templates.get_template("report.html").map_err(PageError)?;
        let columns = self.headline();
        let checks: Vec<_> = self
            .cells
            .iter()
            .flat_map(|cell| cell.checks.iter().map(|check| (cell.name(), check)))
            .collect();
        let rows = self.cells.iter().map(|cell| Row {
            name: cell.name(),
            holds: cell.holds(),
            judged: !cell.checks.is_empty(),
            values: columns
                .iter()
                .map(|metric| {
                    let within = cell.figures.get(metric).and_then(|figure| figure.within);
                    let mean = cell.mean(metric).map_or_else(|| "–".to_owned(), short);
                    match within.filter(|within| *within > 0.0) {
                        Some(within) => format!("{mean} ± {}", short(within)),
                        None => mean,
                    }
                })
                .collect(),
        });
        let told = self
            .cells
            .iter()
            .filter_map(|cell| Some((cell.name(), cell.story.as_ref()?)));
        let stories: Vec<Story> = told
            .take(DRAWN)
            .map(|(name, story)| Story {
                name,
                charts: charts(&story.0, &story.1),
            })
            .collect();
        let page = Page {
            style: STYLE,
            version: env!("CARGO_PKG_VERSION"),
            outcome: self,
            missed: checks.iter().filter(|(_, check)| !check.holds).count(),
            expected: checks.len(),
            rows: rows.collect(),
            checks,
            left_out: self.cells.len() - stories.len(),
            stories,
            columns,
        };
        template.render(Serde(page)).map_err(PageError)
    }
}

/// The timelines of one run: each group, then each service that queues or is called.
fn charts(fleet: &Fleet, measures: &Measures) -> Vec<String> {
    let ends = fleet.ends as f64 / SECOND as f64;
    let chart = |title: String| {
        let mut chart = Chart::new(title, "s", 0.0, ends);
        for fault in &fleet.faults {
            let (from, to) = (
                fault.from as f64 / SECOND as f64,
                fault.to as f64 / SECOND as f64,
            );
            chart = chart.span(from, to, label(&fault.kind));
        }
        chart
    };
    let mut charts = Vec::new();
    for (group, seconds) in fleet.groups.iter().zip(&measures.seconds) {
        let whole = &seconds[..seconds.len().saturating_sub(1)];
        let step = whole.len().div_ceil(240).max(1);
        let series = |value: &dyn Fn(&Second) -> f64| -> Vec<(f64, f64)> {
            whole
                .chunks(step)
                .enumerate()
                .map(|(at, chunk)| {
                    let mean = chunk.iter().map(value).sum::<f64>() / chunk.len() as f64;
                    ((at * step) as f64, mean)
                })
                .collect()
        };
        let failed = |second: &Second| {
            f64::from(second.offered.saturating_sub(second.good + second.degraded))
        };
        charts.push(
            chart(format!(
                "{}: requests per second, by how they ended",
                group.name
            ))
            .series(Series::area(
                "in time",
                Tone::Good,
                series(&|one| f64::from(one.good)),
            ))
            .series(Series::area(
                "degraded",
                Tone::Degraded,
                series(&|one| f64::from(one.degraded)),
            ))
            .series(Series::area("failed or late", Tone::Bad, series(&failed)))
            .series(Series::line(
                "attempts",
                Tone::Second,
                series(&|one| f64::from(one.attempts)),
            ))
            .svg(),
        );
    }
    for (service, looks) in fleet.services.iter().zip(&measures.looks) {
        let whole = &looks[..looks.len().saturating_sub(1)];
        let step = whole.len().div_ceil(240).max(1);
        let series = |value: &dyn Fn(&crate::measure::Look) -> f64| -> Vec<(f64, f64)> {
            whole
                .chunks(step)
                .enumerate()
                .map(|(at, chunk)| {
                    let mean = chunk.iter().map(value).sum::<f64>() / chunk.len() as f64;
                    ((at * step) as f64, mean)
                })
                .collect()
        };
        let waiting = series(&|look| f64::from(look.waiting));
        let arrived = series(&|look| f64::from(look.arrived));
        let mut drawn = chart(format!(
            "{}: attempts per second, and how many wait",
            service.name
        ))
        .log_from(1.0)
        .series(Series::line("arrive", Tone::Measure, arrived))
        .series(Series::line("wait", Tone::Bad, waiting));
        if whole.iter().any(|look| look.limit.is_some()) {
            let limit = series(&|look| look.limit.map_or(f64::NAN, f64::from));
            drawn = drawn.series(Series::line("limit", Tone::Reference, limit));
        }
        charts.push(drawn.svg());
        if whole.iter().any(|look| look.open > 0.0) {
            let open = series(&|look| 100.0 * f64::from(look.open));
            charts.push(
                chart(format!(
                    "{}: callers whose breaker is not closed",
                    service.name
                ))
                .y_unit("%")
                .y_high(100.0)
                .height(150.0)
                .series(Series::area("not closed", Tone::Degraded, open))
                .svg(),
            );
        }
    }
    charts
}

fn label(kind: &FaultKind) -> String {
    match kind {
        FaultKind::Slow(factor) => format!("{} times as slow", short(*factor)),
        FaultKind::Law(_) => "slow".to_owned(),
        FaultKind::Stall => "stalled".to_owned(),
        FaultKind::Error(_) => "errors".to_owned(),
        FaultKind::Workers(left) => format!("{left} workers left"),
        FaultKind::Crash => "down".to_owned(),
        FaultKind::Partition => "cut off".to_owned(),
        FaultKind::Clock(_) => "clock off".to_owned(),
    }
}
