//! The outcome as text, for a terminal.

use std::fmt::{self, Write as _};

use evenkeel_report::{Column, Table};

use super::outcome::{Outcome, PhaseSummary, Run};
use super::{Phase, Recovery, Side};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.complete {
            writeln!(f, "PARTIAL: the drill was broken off; nothing is judged.\n")?;
        }
        writeln!(f, "{}", self.side_by_side())?;
        writeln!(f, "What happened when (seconds from the fault)\n")?;
        writeln!(f, "{}", self.timeline())?;
        if self.complete {
            writeln!(f, "Thresholds\n\n{}", self.judgement())?;
            let verdict = if self.passed { "PASSED" } else { "FAILED" };
            writeln!(f, "{verdict}: {}", self.headline())?;
        }
        Ok(())
    }
}

impl Outcome {
    /// The outcome in one sentence.
    #[must_use]
    pub fn headline(&self) -> String {
        let share = |side| {
            let fault = self.run(side).and_then(|run| run.phase(Phase::Fault));
            fault.map_or_else(
                || "unknown".to_owned(),
                |fault| percent(fault.success_share),
            )
        };
        format!(
            "with recommendations at {:.1} s, {} of the pages were of use without evenkeel and {} \
             with it.",
            super::SLOW.as_secs_f64(),
            share(Side::Unprotected),
            share(Side::Protected)
        )
    }

    fn side_by_side(&self) -> Table {
        let columns = self.runs.iter().map(|run| Column::right(run.side.as_str()));
        let mut table = Table::new([Column::left("")].into_iter().chain(columns));
        for phase in [Phase::Before, Phase::Fault, Phase::After] {
            let seconds = self.story.phases.seconds(phase).len();
            table.heading(format!("{phase} ({seconds} s)"));
            for (name, figure) in PHASE_FIGURES {
                self.figures(&mut table, name, |run| run.phase(phase).map(figure));
            }
        }
        table.heading("the run");
        self.figures(&mut table, "back after the repair", |run| {
            Some(recovery(run))
        });
        self.figures(&mut table, "calls to the slow dependency", |run| {
            run.slow_calls.as_ref().map(|calls| calls.total.to_string())
        });
        self.figures(&mut table, "  per second, mean", |run| {
            run.slow_calls
                .as_ref()
                .map(|calls| format!("{:.2}", calls.mean_per_s))
        });
        self.figures(&mut table, "  in the greatest second", |run| {
            run.slow_calls
                .as_ref()
                .map(|calls| calls.greatest_per_s.to_string())
        });
        self.figures(&mut table, "most connections in use", |run| {
            run.moments
                .iter()
                .map(|moment| moment.pool.in_use)
                .max()
                .map(|most| most.to_string())
        });
        self.figures(&mut table, "load generator lag p99", |run| {
            Some(format!("{:.1} ms", run.pace.lag.p99_ms))
        });
        table
    }

    fn figures(&self, table: &mut Table, name: &str, figure: impl Fn(&Run) -> Option<String>) {
        let cells = self
            .runs
            .iter()
            .map(|run| figure(run).unwrap_or_else(|| "-".to_owned()));
        table.row([format!("  {name}")].into_iter().chain(cells));
    }

    fn timeline(&self) -> String {
        let mut text = String::new();
        for run in &self.runs {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{}", run.side.as_str());
            for event in &run.events {
                let _ = writeln!(text, "  {:>+6.1} s  {}", event.at_s, event.text);
            }
        }
        text
    }

    fn judgement(&self) -> Table {
        let mut table = Table::new([
            Column::left("verdict"),
            Column::left("threshold"),
            Column::left("asks"),
            Column::left("measured"),
        ]);
        for threshold in &self.thresholds {
            table.row([
                threshold.verdict.as_str(),
                threshold.name,
                &threshold.asks,
                &threshold.measured,
            ]);
        }
        table
    }
}

type Figure = fn(&PhaseSummary) -> String;

const PHASE_FIGURES: [(&str, Figure); 11] = [
    ("pages asked for", |phase| {
        phase.summary.counts.offered.to_string()
    }),
    ("of use within 1 s", |phase| percent(phase.success_share)),
    ("  of these degraded", |phase| {
        phase.summary.counts.degraded.to_string()
    }),
    ("too late", |phase| phase.summary.counts.late.to_string()),
    ("status 5xx", |phase| {
        phase.summary.counts.server_errors.to_string()
    }),
    ("other failures", |phase| {
        let counts = &phase.summary.counts;
        (counts.other_status + counts.no_answer + counts.not_sent).to_string()
    }),
    ("p50 corrected", |phase| {
        latency(phase.summary.corrected.p50_ms)
    }),
    ("p99 corrected", |phase| {
        latency(phase.summary.corrected.p99_ms)
    }),
    ("max corrected", |phase| {
        latency(phase.summary.corrected.max_ms)
    }),
    ("p50 uncorrected", |phase| {
        latency(phase.summary.uncorrected.p50_ms)
    }),
    ("p99 uncorrected", |phase| {
        latency(phase.summary.uncorrected.p99_ms)
    }),
];

/// A share as a percentage that never rounds up to a hundred.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

/// Milliseconds, with as many digits as can be read.
pub(super) fn latency(milliseconds: f64) -> String {
    if milliseconds >= 1000.0 {
        format!("{:.2} s", milliseconds / 1000.0)
    } else {
        format!("{milliseconds:.1} ms")
    }
}

pub(super) fn recovery(run: &Run) -> String {
    match run.recovery {
        Recovery::Recovered { seconds } => format!("{seconds} s"),
        Recovery::NotJudged { seconds, held } => format!("{seconds} s (held {held} s)"),
        Recovery::NotSeen => "not seen".to_owned(),
    }
}
