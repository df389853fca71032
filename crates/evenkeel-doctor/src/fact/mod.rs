//! What several moments say together.
//!
//! A dump is a photograph; a failure shape is a movement. Facts are derived once from a capture and
//! read by every check: who waits where and for how long, who is new and who never left, what is
//! tried and what succeeds, and how badly the processors are wanted.

mod actors;
mod counters;
mod family;
mod growth;
mod heat;
mod role;
mod runtime;

pub(crate) use actors::{loop_holder, outbound_callers};
pub(crate) use counters::{Counters, Pair};
pub(crate) use family::{Families, Family, Track};
pub(crate) use growth::{Growth, growth};
pub(crate) use heat::Heat;
pub(crate) use role::{Role, is_outbound_call};
pub(crate) use runtime::{Tasks, Threads};

use crate::capture::Capture;

/// Everything the checks look at.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) capture: &'a Capture,
    pub(crate) families: Families,
    pub(crate) counters: Counters,
    pub(crate) heat: Heat,
    pub(crate) tasks: Option<Tasks>,
    pub(crate) threads: Option<Threads>,
    /// Goroutines in the process over time.
    pub(crate) population: Vec<(f64, f64)>,
}

/// Whether a wait ends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It does: somebody is served, if slowly.
    Yes,
    /// It does not.
    No,
    /// The capture does not tell.
    Unknown,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(capture: &'a Capture) -> Self {
        let counters = Counters::of(capture);
        let heat = Heat::of(capture);
        let times = moment_times(capture);
        Self {
            families: Families::of(capture, &times),
            tasks: Tasks::of(capture, &counters),
            threads: Threads::of(capture),
            population: population(capture, &times),
            counters,
            heat,
            capture,
        }
    }

    /// Dumps in the capture.
    pub(crate) fn dumps(&self) -> usize {
        self.capture.dumps().count()
    }

    /// Waits at this place that have ended, as far as the block profile saw them; `None` when the
    /// profile is off.
    pub(crate) fn ended_waits(&self, track: &Track) -> Option<u64> {
        let block = self.capture.block.as_ref()?;
        if block.samples.is_empty() {
            return None;
        }
        Some(
            block
                .samples
                .iter()
                .filter(|sample| {
                    sample.stack.0.iter().any(|frame| {
                        frame.function == track.culprit.function && frame.line == track.culprit.line
                    })
                })
                .filter_map(|sample| sample.values.first())
                .filter_map(|count| u64::try_from(*count).ok())
                .fold(0, u64::saturating_add),
        )
    }

    /// Whether the waits of this track end. Asked in the order of how directly each source saw it.
    pub(crate) fn progress(&self, track: &Track) -> Progress {
        let waiting = track.last() as f64;
        if track.state == crate::goroutine::WaitState::Lock
            && let Some(rate) = self.counters.lock_wait_late
        {
            // Waiters that get through add their waits to the total; one percent of what the
            // present crowd would add is noise from other locks.
            return if rate >= 0.01 * waiting {
                Progress::Yes
            } else {
                Progress::No
            };
        }
        if let Some(ended) = self.ended_waits(track) {
            // A few ended waits may date from before it got stuck, but only where time passed since:
            // a queue in front of something slow ends few as well.
            if ended >= 3 {
                return Progress::Yes;
            }
            if ended == 0 && self.dumps() >= 2 {
                return Progress::No;
            }
        }
        if track.turnover.is_some_and(|share| share > 0.0) {
            return Progress::Yes;
        }
        match self.counters.completions_late {
            Some(rate) if rate >= 0.2 && track.role == Role::Request => Progress::Yes,
            Some(rate) if rate < 0.05 && self.counters.span >= 4.0 => Progress::No,
            _ => Progress::Unknown,
        }
    }
}

/// Seconds of each moment: recorded, or spread over the scrapes, or a second apart.
fn moment_times(capture: &Capture) -> Vec<f64> {
    let count = capture.moments.len();
    if capture.moments.iter().all(|moment| moment.at.is_some()) {
        return capture
            .moments
            .iter()
            .filter_map(|moment| moment.at)
            .collect();
    }
    let span = capture
        .metrics
        .as_ref()
        .map_or(0.0, super::prometheus::Metrics::span);
    let step = if count > 1 && span > 0.0 {
        // The first moment is taken a little after the first scrape.
        span * 0.85 / (count - 1) as f64
    } else {
        1.0
    };
    (0..count).map(|index| index as f64 * step).collect()
}

fn population(capture: &Capture, times: &[f64]) -> Vec<(f64, f64)> {
    if let Some(series) = capture
        .metrics
        .as_ref()
        .and_then(|metrics| metrics.get("go_goroutines"))
        .filter(|series| series.points.len() >= 3)
    {
        return series.points.clone();
    }
    capture
        .moments
        .iter()
        .zip(times)
        .filter_map(|(moment, at)| Some((*at, moment.goroutines.as_ref()?.total() as f64)))
        .collect()
}
