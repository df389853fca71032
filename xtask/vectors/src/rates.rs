//! Rates, and the share of calls that a client holds back.

use core::time::Duration;

use anyhow::Result;
use evenkeel_core::rate::{Config, RateLimit};
use evenkeel_core::throttle::share_held_back;
use evenkeel_core::time::Instant;
use serde::Deserialize;

use crate::folder::Given;
use crate::report::{Report, differs, unequal};
use crate::shape;

pub(crate) fn gcra(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Gcra {
        period_ns: u64,
        burst: u32,
        steps: Vec<Step>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Step {
        t_ns: u64,
        n: u32,
        allowed: bool,
        tat_ns: Option<u64>,
        remaining: Option<u32>,
        retry_after_ns: Option<u64>,
    }
    let gcra: Gcra = shape::read(given.content)?;
    let one = shape::positive("one", 1)?;
    let mut config = Config::new(one, Duration::from_nanos(gcra.period_ns));
    config.burst = shape::positive("burst", gcra.burst)?;
    let limit = RateLimit::new(config);
    for (number, step) in gcra.steps.iter().enumerate() {
        let now = Instant::from_nanos(step.t_ns);
        let cost = shape::positive("n", step.n)?;
        let asked = limit.try_acquire(now, cost);
        let arrival = step.tat_ns.and_then(|expected| {
            let arrival = now + limit.snapshot(now).full_in;
            unequal("tat_ns", arrival.as_nanos(), expected)
        });
        let told = |expected: u64| {
            let wait = asked.err().and_then(|rejection| rejection.retry_after);
            let wait = wait.map(|wait| wait.as_nanos());
            unequal("retry_after_ns", wait, Some(u128::from(expected)))
        };
        let left = |expected: u32| {
            let left = asked.ok().map(|admitted| admitted.remaining);
            unequal("remaining", left, Some(expected))
        };
        report.row(
            format_args!("{}, step {}", given.name, number + 1),
            &[
                unequal("allowed", asked.is_ok(), step.allowed),
                arrival,
                step.retry_after_ns.and_then(told),
                step.remaining.and_then(left),
            ],
        );
    }
    Ok(())
}

pub(crate) fn google_sre(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        #[serde(rename = "K")]
        k: f64,
        requests: u64,
        accepts: u64,
        p_reject: f64,
    }
    let rows: Vec<Row> = shape::read(given.content)?;
    for row in rows {
        let headroom = shape::ratio("K", row.k)?;
        let share = share_held_back(headroom, row.requests, row.accepts);
        report.row(
            format_args!(
                "{}, {} of {} accepted at K {}",
                given.name, row.accepts, row.requests, row.k
            ),
            &[differs("p_reject", f64::from(share) / 1e9, row.p_reject)],
        );
    }
    Ok(())
}
