//! The figures of both runs side by side, the same in every format.

use serde::Serialize;

use super::outcome::{Outcome, PhaseSummary, Run};
use super::{Phase, Recovery, Side};

/// Rows that belong together.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// One figure of every run, in the order of the runs.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) cells: Vec<String>,
}

type OfPhase = fn(&PhaseSummary) -> String;
type OfRun = fn(&Run) -> Option<String>;

const OF_PHASE: [(&str, OfPhase); 11] = [
    ("pages asked for", |phase| {
        phase.summary.counts.offered.to_string()
    }),
    ("of use within 1 s", |phase| percent(phase.success_share)),
    ("of these degraded", |phase| {
        phase.summary.counts.degraded.to_string()
    }),
    ("200, but too late", |phase| {
        phase.summary.counts.late.to_string()
    }),
    ("status 5xx", |phase| {
        phase.summary.counts.server_errors.to_string()
    }),
    ("other failures", |phase| {
        let counts = &phase.summary.counts;
        (counts.other_status + counts.no_answer + counts.not_sent).to_string()
    }),
    ("p50, corrected", |phase| {
        latency(phase.summary.corrected.p50_ms)
    }),
    ("p99, corrected", |phase| {
        latency(phase.summary.corrected.p99_ms)
    }),
    ("greatest, corrected", |phase| {
        latency(phase.summary.corrected.max_ms)
    }),
    ("p50, uncorrected", |phase| {
        latency(phase.summary.uncorrected.p50_ms)
    }),
    ("p99, uncorrected", |phase| {
        latency(phase.summary.uncorrected.p99_ms)
    }),
];

const OF_RUN: [(&str, OfRun); 6] = [
    ("undegraded pages back after the repair", |run| {
        Some(recovery(run))
    }),
    ("calls that reached slow recommendations", |run| {
        run.slow_calls.as_ref().map(|calls| calls.total.to_string())
    }),
    ("the same per second, mean over the fault", |run| {
        run.slow_calls
            .as_ref()
            .map(|calls| format!("{:.2}", calls.mean_per_s))
    }),
    ("the same in the greatest second", |run| {
        run.slow_calls
            .as_ref()
            .map(|calls| calls.greatest_per_s.to_string())
    }),
    ("most connections of the page in use", |run| {
        run.moments
            .iter()
            .map(|moment| moment.pool.in_use)
            .max()
            .map(|most| most.to_string())
    }),
    ("lag of the load generator, p99", |run| {
        Some(latency(run.pace.lag.p99_ms))
    }),
];

/// Every figure that is shown.
pub(super) fn of(outcome: &Outcome) -> Vec<Group> {
    let cells = |figure: &dyn Fn(&Run) -> Option<String>| {
        let absent = || "-".to_owned();
        outcome
            .runs
            .iter()
            .map(|run| figure(run).unwrap_or_else(absent))
            .collect()
    };
    let phases = [Phase::Before, Phase::Fault, Phase::After].map(|phase| Group {
        title: format!("{phase}, {} s", outcome.story.phases.seconds(phase).len()),
        rows: OF_PHASE
            .iter()
            .map(|(name, figure)| Row {
                name,
                cells: cells(&|run: &Run| run.phase(phase).map(figure)),
            })
            .collect(),
    });
    let rows = OF_RUN.iter().map(|(name, figure)| Row {
        name,
        cells: cells(figure),
    });
    let run = Group {
        title: "the whole run".to_owned(),
        rows: rows.collect(),
    };
    phases.into_iter().chain([run]).collect()
}

/// A share as a percentage that never rounds up: 100 % is said of all only.
pub(super) fn percent(share: f64) -> String {
    let hundredths = (share * 10_000.0 + 1e-6).floor() / 100.0;
    if hundredths >= 100.0 {
        "100 %".to_owned()
    } else {
        format!("{hundredths:.2} %")
    }
}

/// Milliseconds, with as many digits as can be read.
pub(super) fn latency(milliseconds: f64) -> String {
    if milliseconds >= 1000.0 {
        format!("{:.2} s", milliseconds / 1000.0)
    } else {
        format!("{milliseconds:.1} ms")
    }
}

fn recovery(run: &Run) -> String {
    match run.recovery {
        Recovery::Recovered { seconds } => format!("{seconds} s"),
        Recovery::NotJudged { seconds, held } => format!("{seconds} s, held {held} s"),
        Recovery::NotSeen { watched } => format!("not within {watched} s"),
    }
}

/// The share of useful pages during the fault, as text.
pub(super) fn share_during_fault(outcome: &Outcome, side: Side) -> String {
    let fault = outcome.run(side).and_then(|run| run.phase(Phase::Fault));
    fault.map_or_else(
        || "unknown".to_owned(),
        |fault| percent(fault.success_share),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_failure_is_never_rounded_away() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.999_999), "99.99 %");
        assert_eq!(percent(0.999), "99.90 %");
        assert_eq!(percent(0.0), "0.00 %");
    }

    #[test]
    fn latencies_above_a_second_are_written_in_seconds() {
        assert_eq!(latency(57.94), "57.9 ms");
        assert_eq!(latency(4812.0), "4.81 s");
    }
}
