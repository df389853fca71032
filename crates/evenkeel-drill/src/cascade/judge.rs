//! The thresholds of the drill, named before it is held.

use serde::Serialize;

use super::figures::{latency, percent};
use super::outcome::{PhaseSummary, Run};
use super::{JUDGES_RECOVERY, Phase, Recovery, Side};
use crate::load::PACE_LIMIT;

/// Protected: the least share of useful pages during the fault.
const PROTECTED_SUCCESS: f64 = 0.999;
/// Protected: the greatest 99th percentile of the page during the fault, in milliseconds.
const PROTECTED_P99_MS: f64 = 80.0;
/// Protected: undegraded pages are back this many seconds after the repair.
const RECOVERY_SECONDS: u32 = 10;
/// Protected: calls per second that may reach the slow dependency, on average over the fault.
const SLOW_CALLS_PER_S: f64 = 5.0;
/// Unprotected: the share of useful pages during the fault from which on it did not collapse.
const COLLAPSE: f64 = 0.10;
/// Both: the least share of useful pages before the fault.
const STEADY: f64 = 0.99;
/// Both: the greatest 99th percentile of the page before the fault, in milliseconds: twice what the
/// latencies of the dependencies make of it where nothing else runs.
const STEADY_P99_MS: f64 = 50.0;

/// Whether a threshold held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It held.
    Pass,
    /// It did not.
    Fail,
    /// The drill was too short to tell. This does not count as passed.
    NotJudged,
}

impl Verdict {
    fn of(held: bool) -> Self {
        if held { Self::Pass } else { Self::Fail }
    }

    /// The word for it in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotJudged => "not judged",
        }
    }
}

/// One threshold and what was measured against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Threshold {
    /// Its stable name.
    pub name: &'static str,
    /// The run it is about.
    pub side: Side,
    /// What it asks for, in words.
    pub asks: String,
    /// What was measured, in words.
    pub measured: String,
    /// Whether it held.
    pub verdict: Verdict,
}

/// The thresholds that judge the machine and not the page: no figure is worth anything if one of
/// them fails.
const OF_THE_MACHINE: [&str; 4] = [
    "unprotected_steady_before",
    "protected_steady_before",
    "unprotected_generator_pace",
    "protected_generator_pace",
];

impl Threshold {
    /// Whether it says that the machine, busy with something else, was what was measured.
    pub(super) fn blames_the_machine(&self) -> bool {
        self.verdict == Verdict::Fail && OF_THE_MACHINE.contains(&self.name)
    }
}

/// Judges complete runs. A phase without pages fails whatever is asked of it.
pub(super) fn thresholds(runs: &[Run]) -> Vec<Threshold> {
    let mut thresholds = Vec::new();
    for run in runs {
        match run.side {
            Side::Unprotected => thresholds.push(collapses(run)),
            Side::Protected => thresholds.extend([
                succeeds(run),
                no_server_errors(run),
                stays_fast(run),
                recovers(run),
                spares_the_dependency(run),
            ]),
        }
        thresholds.extend([
            steady(run),
            fault_took_effect(run),
            generator_kept_pace(run),
        ]);
    }
    thresholds
}

fn phase(run: &Run, phase: Phase) -> PhaseSummary {
    run.phase(phase).copied().unwrap_or(PhaseSummary {
        phase,
        success_share: 0.0,
        summary: crate::load::Summary::default(),
    })
}

fn collapses(run: &Run) -> Threshold {
    let fault = phase(run, Phase::Fault);
    let collapsed = fault.summary.counts.offered > 0 && fault.success_share < COLLAPSE;
    let mut measured = percent(fault.success_share);
    if !collapsed {
        measured.push_str(": it did not collapse, so this drill proves nothing");
    }
    Threshold {
        name: "unprotected_collapses",
        side: run.side,
        asks: format!("pages of use during the fault < {:.0} %", COLLAPSE * 100.0),
        measured,
        verdict: Verdict::of(collapsed),
    }
}

fn succeeds(run: &Run) -> Threshold {
    let fault = phase(run, Phase::Fault);
    Threshold {
        name: "protected_success",
        side: run.side,
        asks: format!(
            "pages of use during the fault >= {:.1} %",
            PROTECTED_SUCCESS * 100.0
        ),
        measured: percent(fault.success_share),
        verdict: Verdict::of(fault.success_share >= PROTECTED_SUCCESS),
    }
}

fn no_server_errors(run: &Run) -> Threshold {
    let errors: u64 = run
        .seconds
        .iter()
        .map(|second| second.counts.server_errors)
        .sum();
    Threshold {
        name: "protected_no_5xx",
        side: run.side,
        asks: "no page with a status of 5xx in the whole run".to_owned(),
        measured: format!("{errors} pages"),
        verdict: Verdict::of(errors == 0),
    }
}

fn stays_fast(run: &Run) -> Threshold {
    let fault = phase(run, Phase::Fault);
    let p99 = fault.summary.corrected.p99_ms;
    let held = fault.summary.corrected.count > 0 && p99 <= PROTECTED_P99_MS;
    Threshold {
        name: "protected_p99",
        side: run.side,
        asks: format!("p99 of the page during the fault <= {PROTECTED_P99_MS:.0} ms"),
        measured: format!("{p99:.1} ms"),
        verdict: Verdict::of(held),
    }
}

fn recovers(run: &Run) -> Threshold {
    let mut measured = match run.recovery {
        Recovery::Recovered { seconds } => format!("{seconds} s"),
        Recovery::NotJudged { seconds, held } => {
            format!("back after {seconds} s, for the {held} s until the run ended")
        }
        Recovery::NotSeen { watched } => format!("not back in the {watched} s watched"),
    };
    // What was seen decides as soon as no continuation could change it: too late is too late, even
    // where the run ended before the page was back.
    let verdict = match (run.recovery, run.recovery.earliest()) {
        (_, earliest) if earliest > RECOVERY_SECONDS => Verdict::Fail,
        (Recovery::Recovered { .. }, _) => Verdict::Pass,
        _ => {
            measured.push_str(&format!(
                ": too short to tell, which takes --duration {}s",
                JUDGES_RECOVERY.as_secs()
            ));
            Verdict::NotJudged
        }
    };
    Threshold {
        name: "protected_recovery",
        side: run.side,
        asks: format!("undegraded pages back within {RECOVERY_SECONDS} s of the repair"),
        measured,
        verdict,
    }
}

fn spares_the_dependency(run: &Run) -> Threshold {
    let (measured, held) = match &run.slow_calls {
        Some(calls) => (
            format!(
                "{:.2}/s, greatest second {}",
                calls.mean_per_s, calls.greatest_per_s
            ),
            calls.mean_per_s <= SLOW_CALLS_PER_S,
        ),
        None => ("not counted".to_owned(), false),
    };
    Threshold {
        name: "protected_slow_calls",
        side: run.side,
        asks: format!("calls that reach the slow dependency <= {SLOW_CALLS_PER_S:.0}/s on average"),
        measured,
        verdict: Verdict::of(held),
    }
}

fn steady(run: &Run) -> Threshold {
    let before = phase(run, Phase::Before);
    let p99 = before.summary.corrected.p99_ms;
    let held = before.success_share >= STEADY && p99 <= STEADY_P99_MS;
    Threshold {
        name: match run.side {
            Side::Unprotected => "unprotected_steady_before",
            Side::Protected => "protected_steady_before",
        },
        side: run.side,
        asks: format!(
            "before the fault: pages of use >= {:.0} %, p99 <= {STEADY_P99_MS:.0} ms",
            STEADY * 100.0
        ),
        measured: format!("{}, p99 {}", percent(before.success_share), latency(p99)),
        verdict: Verdict::of(held),
    }
}

fn fault_took_effect(run: &Run) -> Threshold {
    let slow = run.slow_calls.as_ref().map_or(0, |calls| calls.total);
    Threshold {
        name: match run.side {
            Side::Unprotected => "unprotected_fault_took_effect",
            Side::Protected => "protected_fault_took_effect",
        },
        side: run.side,
        asks: "the fault took effect: some call met the slow dependency".to_owned(),
        measured: format!("{slow} calls"),
        verdict: Verdict::of(slow > 0),
    }
}

fn generator_kept_pace(run: &Run) -> Threshold {
    let mut measured = format!(
        "p99 {:.1} ms, {} not sent",
        run.pace.lag.p99_ms, run.pace.not_sent
    );
    if !run.pace.kept {
        measured.push_str(": THE LOAD GENERATOR WAS THE BOTTLENECK, not the service");
    }
    Threshold {
        name: match run.side {
            Side::Unprotected => "unprotected_generator_pace",
            Side::Protected => "protected_generator_pace",
        },
        side: run.side,
        asks: format!(
            "load sent when due: lag p99 <= {} ms",
            PACE_LIMIT.as_millis()
        ),
        measured,
        verdict: Verdict::of(run.pace.kept),
    }
}
