//! What happened when: the timeline of a run, read from what was seen.

use serde::Serialize;

use super::outcome::{Run, Story};
use super::{Breaker, Phase, Recovery, Side};

/// One moment of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Event {
    /// Seconds from the injection of the fault; before it, negative.
    pub at_s: f64,
    /// What happened, as one clause.
    pub text: String,
}

/// Builds the timeline of a run, in order.
pub(super) fn of(story: &Story, run: &Run) -> Vec<Event> {
    let mut events = Vec::new();
    let injection = f64::from(story.phases.injection());
    let mut push = |at_s: f64, text: String| {
        events.push(Event {
            at_s: at_s - injection,
            text,
        });
    };
    if let Some(at) = run.injected_at_s {
        let (median, slow) = (story.median_ms, story.slow_ms);
        push(
            at,
            format!("recommendations slow down from {median} ms to {slow} ms, without errors"),
        );
    }
    if let Some(at) = run.repaired_at_s {
        push(at, "recommendations are repaired".to_owned());
    }
    pool(story, run, &mut push);
    breaker(run, &mut push);
    pages(story, run, &mut push);
    // Stable: of two events of the same moment the cause, pushed first, stays first.
    events.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    events
}

fn pool(story: &Story, run: &Run, push: &mut impl FnMut(f64, String)) {
    let size = story.pool as u64;
    let full = run.moments.iter().find(|moment| moment.pool.in_use >= size);
    if let Some(full) = full {
        push(
            full.at_s,
            format!("all {size} connections of the page are in use"),
        );
        let later = run.moments.iter().filter(|moment| moment.at_s > full.at_s);
        let free = later
            .clone()
            .find(|m| m.pool.waiting == 0 && m.pool.in_use < size);
        if let Some(free) = free {
            push(
                free.at_s,
                "no call of the page waits for a connection any more".to_owned(),
            );
        }
        let worst = later.max_by_key(|moment| moment.pool.waiting);
        if let Some(worst) = worst.filter(|moment| moment.pool.waiting > 0) {
            let waiting = worst.pool.waiting;
            push(
                worst.at_s,
                format!("{waiting} calls wait for a connection, the most at once"),
            );
        }
    }
}

fn breaker(run: &Run, push: &mut impl FnMut(f64, String)) {
    let mut last = None;
    for moment in &run.moments {
        if let (Some(before), Some(now)) = (last, moment.breaker)
            && before != now
        {
            let text = match now {
                Breaker::Open => "the breaker is open: recommendations are left out at once",
                Breaker::HalfOpen => "the breaker is half-open: a few calls try recommendations",
                Breaker::Closed => "the breaker is closed",
            };
            push(moment.at_s, text.to_owned());
        }
        last = moment.breaker.or(last);
    }
}

fn pages(story: &Story, run: &Run, push: &mut impl FnMut(f64, String)) {
    // What is known by the second only is never told before its cause, known to the millisecond.
    let injected = run.injected_at_s.unwrap_or_default();
    let repaired = run.repaired_at_s.unwrap_or_default();
    let fault = story.phases.seconds(Phase::Fault);
    for second in fault.clone() {
        let Some(seen) = run.seconds.get(second as usize) else {
            break;
        };
        if seen.counts.good() * 2 < seen.counts.offered {
            let share = seen.counts.success_share() * 100.0;
            push(
                f64::from(second).max(injected),
                format!("collapse: {share:.0} % of this second's pages are of use"),
            );
            break;
        }
    }
    let degraded: u64 = run
        .seconds
        .iter()
        .map(|second| second.counts.degraded)
        .sum();
    if degraded > 0 {
        let first = run
            .seconds
            .iter()
            .position(|second| second.counts.degraded > 0);
        let first = u32::try_from(first.unwrap_or_default()).unwrap_or_default();
        let at = if first == fault.start {
            injected
        } else {
            f64::from(first)
        };
        push(
            at,
            format!("pages without recommendations, labelled as such, begin: {degraded} in all"),
        );
    }
    let back = |seconds: u32| f64::from(story.phases.repair() + seconds).max(repaired);
    let what = match run.side {
        Side::Unprotected => "pages",
        Side::Protected => "undegraded pages",
    };
    match run.recovery {
        Recovery::Recovered { seconds } => {
            push(
                back(seconds),
                format!("{what} are back, and stay for ten seconds"),
            );
        }
        Recovery::NotJudged { seconds, .. } => {
            push(
                back(seconds),
                format!("{what} are back until the end of the run"),
            );
        }
        Recovery::NotSeen { .. } => {}
    }
}
