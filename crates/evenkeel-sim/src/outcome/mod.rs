//! Running a scenario, and what came of it.
//!
//! Each cell (a variant at a point of the sweep) is run once for each seed, all cells with the same
//! seeds: the same clients ask at the same instants for the same work, so that what differs is the
//! policy. What is reported of a metric is its mean over the seeds and the range in which the true mean
//! lies with 95 % confidence (Student's t).

mod html;
mod metric;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::measure::Measures;
use crate::model::{contention, usl};
use crate::scenario::{Cell, Scenario, Story};
use crate::world::World;

pub use html::PageError;
pub use metric::Figures;

/// What came of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The version of this format.
    pub schema_version: u32,
    /// The story in one line.
    pub title: String,
    /// What it shows.
    pub about: Option<String>,
    /// The seeds that were run.
    pub seeds: Vec<u64>,
    /// What came of each cell.
    pub cells: Vec<CellOutcome>,
    /// Whether every expectation holds.
    pub holds: bool,
}

/// What came of one cell.
#[derive(Debug, Clone, Serialize)]
pub struct CellOutcome {
    /// The variant; empty if there are none.
    pub variant: String,
    /// The point of the sweep; empty if there are none.
    pub point: String,
    /// By metric.
    pub figures: BTreeMap<String, Estimate>,
    /// What was expected.
    pub checks: Vec<Check>,
    /// Events that happened in all runs together.
    pub events: u64,
    /// What happened, by seed, in one number each: equal for equal runs.
    pub hashes: Vec<String>,
    /// The first seed's run, second by second.
    #[serde(skip)]
    pub story: Option<Box<(crate::fleet::Fleet, Measures)>>,
}

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean; none: in some run it was infinite.
    pub mean: Option<f64>,
    /// How far the true mean may lie from it, with 95 % confidence; none with a single seed.
    pub within: Option<f64>,
    /// The smallest.
    pub least: Option<f64>,
    /// The greatest.
    pub most: Option<f64>,
}

/// An expectation, and whether it holds.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Of which metric.
    pub metric: String,
    /// The range.
    pub expected: String,
    /// The mean that was found.
    pub found: String,
    /// Whether it is within.
    pub holds: bool,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The variant that is run.
    pub variant: &'a str,
    /// The point that is run.
    pub point: &'a str,
    /// Runs that are done.
    pub done: usize,
    /// Runs there are.
    pub all: usize,
}

/// Runs the cells; `progress` is told before each run, and by answering false ends it all.
pub fn run(
    scenario: &Scenario,
    cells: &[Cell],
    seeds: &[u64],
    progress: &mut dyn FnMut(Progress<'_>) -> bool,
) -> Option<Outcome> {
    let mut outcomes = Vec::new();
    let all = cells.len() * seeds.len();
    for cell in cells {
        let mut runs = Vec::new();
        let mut story = None;
        let mut hashes = Vec::new();
        for seed in seeds {
            let done = outcomes.len() * seeds.len() + runs.len();
            let (variant, point) = (cell.variant.as_str(), cell.point.as_str());
            if !progress(Progress {
                variant,
                point,
                done,
                all,
            }) {
                return None;
            }
            let (figures, measures) = run_once(&cell.story, *seed);
            runs.push(figures);
            if let (Some(measures), Story::Fleet(fleet)) = (measures, &cell.story) {
                hashes.push(format!("{:016x}", measures.hash));
                story.get_or_insert_with(|| Box::new(((**fleet).clone(), measures)));
            }
        }
        outcomes.push(judge(cell, &runs, hashes, story));
    }
    let holds = outcomes
        .iter()
        .flat_map(|cell| &cell.checks)
        .all(|check| check.holds);
    Some(Outcome {
        schema_version: 1,
        title: scenario.title.clone(),
        about: scenario.about.clone(),
        seeds: seeds.to_vec(),
        cells: outcomes,
        holds,
    })
}

fn run_once(story: &Story, seed: u64) -> (Figures, Option<Measures>) {
    match story {
        Story::Fleet(fleet) => {
            let measures = World::new(fleet, seed).run();
            (metric::of_fleet(fleet, &measures), Some(measures))
        }
        Story::Contention {
            clients,
            repetitions,
            strategy,
        } => {
            let runs: Vec<_> = (0..u64::from(*repetitions))
                .map(|nth| contention::run(*clients, strategy, seed ^ nth << 32))
                .collect();
            (metric::of_contention(&runs, *clients), None)
        }
        Story::Usl {
            law,
            points,
            noise,
            repetitions,
        } => (
            metric::of_usl(&usl::run(*law, points, *noise, *repetitions, seed)),
            None,
        ),
        Story::Tail(hedged) => (metric::of_tail(hedged), None),
    }
}

fn judge(
    cell: &Cell,
    runs: &[Figures],
    hashes: Vec<String>,
    story: Option<Box<(crate::fleet::Fleet, Measures)>>,
) -> CellOutcome {
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in runs.iter().flatten() {
        values.entry(name).or_default().push(*value);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let checks = cell.expect.iter().map(|expectation| {
        let found = values
            .get(expectation.metric.as_str())
            .map(|values| mean(values));
        Check {
            metric: expectation.metric.clone(),
            expected: expectation.bound.to_string(),
            found: found.map_or_else(|| "not measured".to_owned(), crate::scenario::short),
            holds: found.is_some_and(|found| expectation.bound.holds(found)),
        }
    });
    let events = values
        .get("events")
        .map_or(0.0, |events| events.iter().sum());
    CellOutcome {
        variant: cell.variant.clone(),
        point: cell.point.clone(),
        checks: checks.collect(),
        figures: values
            .iter()
            .map(|(name, values)| ((*name).to_owned(), Estimate::of(values)))
            .collect(),
        events: crate::law::whole(events),
        hashes,
        story,
    }
}

/// The 97.5 % quantile of Student's t, by degrees of freedom from 1.
const STUDENT: [f64; 10] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
];

impl Estimate {
    /// The estimate that these values make.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum();
        let freedom = values.len().saturating_sub(1);
        let student = STUDENT
            .get(freedom.wrapping_sub(1))
            .copied()
            .unwrap_or(1.96);
        let within = student * (squares / freedom.max(1) as f64 / count).sqrt();
        let finite = |value: f64| value.is_finite().then_some(value);
        Self {
            mean: finite(mean),
            within: finite(within).filter(|_| freedom > 0),
            least: finite(values.iter().copied().fold(f64::INFINITY, f64::min)),
            most: finite(values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        }
    }
}

impl CellOutcome {
    /// Whether everything that was expected of it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// The mean of a metric; infinite where some run's was, none where it is not measured.
    #[must_use]
    pub fn mean(&self, metric: &str) -> Option<f64> {
        let estimate = self.figures.get(metric)?;
        Some(estimate.mean.unwrap_or(f64::INFINITY))
    }

    /// Its name: the variant and the point.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.variant.as_str(), self.point.as_str()) {
            ("", "") => "as written".to_owned(),
            (variant, "") => variant.to_owned(),
            ("", point) => point.to_owned(),
            (variant, point) => format!("{variant} at {point}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_says_how_sure_it_is() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0]);
        assert_eq!(estimate.mean, Some(2.0));
        assert!((estimate.within.unwrap() - 2.484).abs() < 0.001);
        assert_eq!(Estimate::of(&[1.0]).within, None);
        assert_eq!(Estimate::of(&[1.0, f64::INFINITY]).mean, None);
    }
}
