//! The outcome as one HTML page that needs nothing else: no script, no network, light and dark.

use evenkeel_report::chart::{Band, STYLE};
use evenkeel_report::{Bands, Chart, Series, Tone};
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use super::figures::{self, latency, percent};
use super::outcome::{Outcome, Run};
use super::{Breaker, Phase, Side, Verdict};
use crate::DrillError;
use crate::load::Counts;

const TEMPLATE: &str = include_str!("report.html");

/// What the page shows.
#[derive(Debug, Serialize)]
struct Report<'a> {
    style: &'static str,
    version: &'static str,
    outcome: &'a Outcome,
    verdict: Option<Verdict>,
    not_held: usize,
    doubt: Option<&'static str>,
    slow_s: String,
    carries: String,
    views: Vec<View>,
    figures: Vec<figures::Group>,
    policy: Option<&'a str>,
}

/// What the page shows of one run.
#[derive(Debug, Serialize)]
struct View {
    title: &'static str,
    path: &'static str,
    collapsed: bool,
    share: String,
    facts: Vec<Fact>,
    pages: String,
    breaker: Option<String>,
    latency: String,
    pool: String,
    inventory: String,
    calls: String,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: &'static str,
    value: String,
}

impl Outcome {
    /// The report, as the text of one HTML file.
    ///
    /// # Errors
    /// [`DrillError::Report`] if the template and its values do not fit: a defect.
    pub fn html(&self) -> Result<String, DrillError> {
        let mut templates = Environment::new();
        let fail = |error: minijinja::Error| DrillError::Report {
            reason: format!("{error:#}"),
        };
        templates
            .add_template("report.html", TEMPLATE)
            .map_err(fail)?;
        let template = templates.get_template("report.html").map_err(fail)?;
        let axes = Axes::of(self);
        let not_held = self
            .thresholds
            .iter()
            .filter(|one| one.verdict != Verdict::Pass)
            .count();
        let report = Report {
            style: STYLE,
            version: env!("CARGO_PKG_VERSION"),
            outcome: self,
            verdict: self.verdict(),
            not_held,
            doubt: self.doubt(),
            slow_s: format!("{:.1}", super::SLOW.as_secs_f64()),
            carries: format!("{:.1}", self.story.pool_carries_while_slow),
            views: self.runs.iter().map(|run| self.view(run, &axes)).collect(),
            figures: figures::of(self),
            policy: self
                .run(Side::Protected)
                .and_then(|run| run.policy.as_deref()),
        };
        template.render(Serde(report)).map_err(fail)
    }

    fn view(&self, run: &Run, axes: &Axes) -> View {
        let fault = run.phase(Phase::Fault);
        let counts = fault.map_or_else(Counts::default, |fault| fault.summary.counts);
        let p99 = fault.map_or(0.0, |fault| fault.summary.corrected.p99_ms);
        let (title, path) = match run.side {
            Side::Unprotected => ("Without evenkeel", "page → dependencies"),
            Side::Protected => ("With evenkeel", "page → evenkeel proxy → dependencies"),
        };
        let facts = [
            ("p99 of the page", latency(p99)),
            ("errors (5xx)", counts.server_errors.to_string()),
            ("too late", counts.late.to_string()),
            ("degraded, and saying so", counts.degraded.to_string()),
        ];
        View {
            title,
            path,
            collapsed: counts.success_share() < 0.5,
            share: percent(counts.success_share()),
            facts: facts.map(|(name, value)| Fact { name, value }).into(),
            pages: axes.pages(run),
            breaker: axes.breaker(run),
            latency: axes.latency(run),
            pool: axes.pool(run),
            inventory: axes.inventory(run),
            calls: axes.calls(run),
        }
    }
}

/// What the charts of both runs share, so that they can be compared by eye.
struct Axes {
    injection: f64,
    repair: f64,
    low: f64,
    high: f64,
    rate: f64,
    waiting: f64,
    calls: f64,
    pool_size: f64,
    page_timeout: f64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^53"
)]
fn float(count: u64) -> f64 {
    count as f64
}

impl Axes {
    fn of(outcome: &Outcome) -> Self {
        let phases = &outcome.story.phases;
        let injection = f64::from(phases.injection());
        let moments = || outcome.runs.iter().flat_map(|run| &run.moments);
        let waiting = moments()
            .map(|moment| moment.pool.waiting)
            .max()
            .unwrap_or_default();
        let calls = outcome
            .runs
            .iter()
            .filter_map(|run| run.slow_calls.as_ref());
        let calls = calls
            .map(|calls| calls.greatest_per_s)
            .max()
            .unwrap_or_default();
        Self {
            injection,
            repair: f64::from(phases.repair()) - injection,
            low: -injection,
            high: f64::from(phases.total()) - injection,
            rate: f64::from(outcome.story.rate),
            waiting: float(waiting),
            calls: float(calls),
            pool_size: float(outcome.story.pool as u64),
            page_timeout: float(outcome.story.page_timeout_ms),
        }
    }

    fn chart(&self, title: &str) -> Chart {
        Chart::new(title, "s", self.low, self.high).span(0.0, self.repair, "recommendations slow")
    }

    /// A value for each second of the run.
    fn seconds(&self, run: &Run, value: impl Fn(&crate::load::Second) -> f64) -> Vec<(f64, f64)> {
        let seconds = run.seconds.iter().enumerate();
        seconds
            .map(|(at, second)| (float(at as u64) - self.injection, value(second)))
            .collect()
    }

    /// A value for each look at pool and breaker.
    fn moments(&self, run: &Run, value: impl Fn(&super::Moment) -> f64) -> Vec<(f64, f64)> {
        let moments = run.moments.iter();
        moments
            .map(|moment| (moment.at_s - self.injection, value(moment)))
            .collect()
    }

    fn pages(&self, run: &Run) -> String {
        let full = self.seconds(run, |second| float(second.counts.full));
        let degraded = self.seconds(run, |second| float(second.counts.degraded));
        let failed = self.seconds(run, |second| float(second.counts.failed()));
        self.chart("Pages per second, by how they ended")
            .height(250.0)
            .y_high(self.rate)
            .series(Series::area("of use", Tone::Good, full))
            .series(Series::area(
                "of use, without recommendations",
                Tone::Degraded,
                degraded,
            ))
            .series(Series::area("failed or too late", Tone::Bad, failed))
            .svg()
    }

    fn latency(&self, run: &Run) -> String {
        // Drawn at the middle of the second it was measured over.
        let p99 = self.seconds(run, |second| second.p99_ms);
        let p99 = p99
            .into_iter()
            .map(|(at, value)| (at + 0.5, value))
            .collect();
        self.chart("99th percentile of the page's latency, per second, corrected")
            .y_unit("ms")
            .log_from(1.0)
            .y_high(10_000.0)
            .limit(1000.0, "of no use above")
            .series(Series::line("p99 of the page", Tone::Measure, p99))
            .svg()
    }

    fn pool(&self, run: &Run) -> String {
        let in_use = self.moments(run, |moment| float(moment.pool.in_use));
        let waiting = self.moments(run, |moment| float(moment.pool.waiting));
        self.chart("Connections of the page")
            .log_from(1.0)
            .y_high(10_f64.powf(self.waiting.max(1000.0).log10().ceil()))
            .limit(self.pool_size, "all there are")
            .series(Series::line("in use", Tone::Measure, in_use))
            .series(Series::line(
                "calls that wait for one",
                Tone::Second,
                waiting,
            ))
            .svg()
    }

    fn inventory(&self, run: &Run) -> String {
        let p99 = self.moments(run, |moment| match moment.pool.inventory_p99_ms {
            none if none <= 0.0 => f64::NAN,
            p99 => p99,
        });
        self.chart("Calls to the healthy inventory, as the page sees them")
            .y_unit("ms")
            .log_from(1.0)
            .y_high(10_000.0)
            .limit(self.page_timeout, "client timeout")
            .series(Series::line("p99 of inventory calls", Tone::Measure, p99))
            .svg()
    }

    fn calls(&self, run: &Run) -> String {
        let calls = run
            .slow_calls
            .as_ref()
            .map_or(&[][..], |calls| &calls.by_second);
        let mut at = -1.0;
        let mut points: Vec<(f64, f64)> = calls
            .iter()
            .map(|calls| {
                at += 1.0;
                (at, float(*calls))
            })
            .collect();
        // The last second ends with the fault, not with the chart.
        points.push((self.repair, 0.0));
        self.chart("Calls per second that reach the slow dependency")
            .y_high(self.calls.max(10.0))
            .series(Series::area(
                "calls to slow recommendations",
                Tone::Second,
                points,
            ))
            .svg()
    }

    fn breaker(&self, run: &Run) -> Option<String> {
        let states: Vec<(f64, Breaker)> = run
            .moments
            .iter()
            .filter_map(|moment| Some((moment.at_s - self.injection, moment.breaker?)))
            .collect();
        let (first, last) = (states.first()?, states.last()?);
        let mut bands = Vec::new();
        let (mut since, mut state) = *first;
        for (at, next) in states
            .iter()
            .copied()
            .chain([(self.high.max(last.0), last.1)])
        {
            if next != state || at >= self.high {
                bands.push(Band::new(since, at, tone(state), state.as_str()));
                (since, state) = (at, next);
            }
        }
        Some(
            Bands::new("State of the breaker", "s", self.low, self.high)
                .row("breaker", bands)
                .svg(),
        )
    }
}

fn tone(state: Breaker) -> Tone {
    match state {
        Breaker::Closed => Tone::Good,
        Breaker::HalfOpen => Tone::Measure,
        Breaker::Open => Tone::Degraded,
    }
}
