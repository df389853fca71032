//! What came of a drill, as it is promised to whoever reads the JSON.
//!
//! `schemas/drill-cascade.schema.json` describes it; a test keeps the two equal. A field may be
//! added without a new schema version; removing one, or changing what one means, raises it.

use std::ops::Range;

use serde::Serialize;

use super::event::{self, Event};
use super::judge::{self, Threshold, Verdict};
use super::phases::{Phase, Phases};
use super::proxy::Breaker;
use super::recovery::Recovery;
use super::{GOOD_WITHIN, MEDIAN, PAGE_TIMEOUT, POOL, SIGMA, SLOW, Settings, Side};
use crate::load::{Pace, Record, Second, Summary};
use crate::role::dependency::Calls;
use crate::role::page::Pool;

/// The version of the JSON form of [`Outcome`].
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that makes the two runs equal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Story {
    /// The seed of arrivals and latencies.
    pub seed: u64,
    /// Pages asked for per second.
    pub rate: u32,
    /// The phases of each run.
    pub phases: Phases,
    /// Connections of the page in use at once.
    pub pool: usize,
    /// The client timeout of the page, in milliseconds.
    pub page_timeout_ms: u64,
    /// The median latency of a healthy dependency, in milliseconds.
    pub median_ms: u64,
    /// The sigma of the logarithm of that latency.
    pub sigma: f64,
    /// How long recommendations take while slow, in milliseconds.
    pub slow_ms: u64,
    /// A page is of use if it is complete within this many milliseconds of when it was due.
    pub good_within_ms: u64,
    /// Calls per second the page's pool carries while every call takes `slow_ms` (Little's law).
    pub pool_carries_while_slow: f64,
}

impl Story {
    pub(super) fn new(settings: &Settings) -> Self {
        let milliseconds =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "a hundred connections")]
        let pool_carries_while_slow = POOL as f64 / SLOW.as_secs_f64();
        Self {
            seed: settings.seed,
            rate: settings.rate,
            phases: Phases::of(settings.duration),
            pool: POOL,
            page_timeout_ms: milliseconds(PAGE_TIMEOUT),
            median_ms: milliseconds(MEDIAN),
            sigma: SIGMA,
            slow_ms: milliseconds(SLOW),
            good_within_ms: milliseconds(GOOD_WITHIN),
            pool_carries_while_slow,
        }
    }
}

/// One look at the page's pool and at the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Moment {
    /// Seconds from the start of the run.
    pub at_s: f64,
    /// The pool of the page.
    #[serde(flatten)]
    pub pool: Pool,
    /// The breaker of the recommendations, where there is a proxy.
    pub breaker: Option<Breaker>,
}

/// What was seen of a run beside its load.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) moments: Vec<Moment>,
    pub(super) injected_at_s: Option<f64>,
    pub(super) repaired_at_s: Option<f64>,
    pub(super) calls: Option<Calls>,
}

/// One phase of one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PhaseSummary {
    /// Which phase.
    pub phase: Phase,
    /// The share of its pages that were of use, 0 to 1.
    pub success_share: f64,
    /// Counts and latencies.
    #[serde(flatten)]
    pub summary: Summary,
}

/// The calls that reached the recommendations while they were slow, counted by themselves.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SlowCalls {
    /// All of them.
    pub total: u64,
    /// Per second, on average over the fault.
    pub mean_per_s: f64,
    /// In the greatest second.
    pub greatest_per_s: u64,
    /// In each second of the fault.
    pub by_second: Vec<u64>,
}

impl SlowCalls {
    fn of(calls: &Calls, fault_seconds: u32) -> Self {
        let total = calls.slow();
        #[expect(clippy::cast_precision_loss, reason = "a count of calls in a run")]
        let mean_per_s = total as f64 / f64::from(fault_seconds);
        Self {
            total,
            mean_per_s,
            greatest_per_s: calls
                .slow_by_second
                .iter()
                .copied()
                .max()
                .unwrap_or_default(),
            by_second: calls.slow_by_second.clone(),
        }
    }
}

/// One run of a drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// Which.
    pub side: Side,
    /// Whether it was played to its end.
    pub complete: bool,
    /// Its phases, in order.
    pub phases: Vec<PhaseSummary>,
    /// Its seconds, in order. A page belongs to the second in which it was due.
    pub seconds: Vec<Second>,
    /// When undegraded pages came back.
    pub recovery: Recovery,
    /// The calls that reached the slow dependency; absent if the run was broken off.
    pub slow_calls: Option<SlowCalls>,
    /// Whether the load generator kept up.
    pub pace: Pace,
    /// When the fault took effect, in seconds from the start of the run.
    pub injected_at_s: Option<f64>,
    /// When the repair took effect.
    pub repaired_at_s: Option<f64>,
    /// What happened when.
    pub events: Vec<Event>,
    /// Pool and breaker over time.
    pub moments: Vec<Moment>,
    /// The policy file of the proxy, where there is one.
    pub policy: Option<String>,
}

impl Run {
    pub(super) fn of(
        side: Side,
        complete: bool,
        story: &Story,
        record: &Record,
        seen: Observed,
        policy: Option<String>,
    ) -> Self {
        let phases = Phase::ALL.into_iter().enumerate().map(|(index, phase)| {
            let summary = record.phase(index);
            PhaseSummary {
                phase,
                success_share: summary.counts.success_share(),
                summary,
            }
        });
        let seconds = record.seconds();
        let undegraded: Vec<u64> = seconds.iter().map(|second| second.counts.full).collect();
        let before = index_range(&story.phases.seconds(Phase::Before));
        let recovery = Recovery::of(&undegraded, before, story.phases.repair() as usize);
        let slow_calls = seen
            .calls
            .map(|calls| SlowCalls::of(&calls, story.phases.fault));
        let mut run = Self {
            side,
            complete,
            phases: phases.collect(),
            seconds,
            recovery,
            slow_calls,
            pace: record.pace(),
            injected_at_s: seen.injected_at_s,
            repaired_at_s: seen.repaired_at_s,
            events: Vec::new(),
            moments: seen.moments,
            policy,
        };
        run.events = event::of(story, &run);
        run
    }

    /// A run that was broken off before its first page.
    pub(super) fn not_begun(side: Side) -> Self {
        Self {
            side,
            complete: false,
            phases: Vec::new(),
            seconds: Vec::new(),
            recovery: Recovery::NotSeen { watched: 0 },
            slow_calls: None,
            pace: Record::new(&[], GOOD_WITHIN).pace(),
            injected_at_s: None,
            repaired_at_s: None,
            events: Vec::new(),
            moments: Vec::new(),
            policy: None,
        }
    }

    /// One phase of the run; nothing if it was broken off before its first page.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> Option<&PhaseSummary> {
        self.phases.iter().find(|summary| summary.phase == phase)
    }
}

fn index_range(seconds: &Range<u32>) -> Range<usize> {
    seconds.start as usize..seconds.end as usize
}

/// What came of a drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Outcome {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Which drill: `cascade`.
    pub drill: &'static str,
    /// Whether both runs were played to their end. If not, everything else is partial.
    pub complete: bool,
    /// Whether the drill is complete and every threshold held.
    pub passed: bool,
    /// What the two runs have in common.
    pub story: Story,
    /// The runs, unprotected first.
    pub runs: Vec<Run>,
    /// The judgement; empty if the drill is not complete.
    pub thresholds: Vec<Threshold>,
}

impl Outcome {
    pub(super) fn of(story: Story, runs: Vec<Run>) -> Self {
        let complete = runs.len() == 2 && runs.iter().all(|run| run.complete);
        let thresholds = if complete {
            judge::thresholds(&runs)
        } else {
            Vec::new()
        };
        let held = thresholds
            .iter()
            .all(|threshold| threshold.verdict == Verdict::Pass);
        Self {
            schema_version: SCHEMA_VERSION,
            drill: "cascade",
            complete,
            passed: complete && held,
            story,
            runs,
            thresholds,
        }
    }

    /// The judgement in one word: failed if a threshold failed, and not judged if none did and one
    /// could not be judged. Nothing if the drill is not complete.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let of = |verdict| self.thresholds.iter().any(|one| one.verdict == verdict);
        let worst = [Verdict::Fail, Verdict::NotJudged]
            .into_iter()
            .find(|one| of(*one));
        self.complete.then_some(worst.unwrap_or(Verdict::Pass))
    }

    /// The run of one side, if it was begun.
    #[must_use]
    pub fn run(&self, side: Side) -> Option<&Run> {
        self.runs.iter().find(|run| run.side == side)
    }
}
