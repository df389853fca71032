//! A drill as it usually goes, made up second by second, for the tests of what is shown.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::outcome::{Moment, Observed, Outcome, Run, Story};
use super::{Breaker, GOOD_WITHIN, Phase, Settings, Side};
use crate::load::{Answer, Arrivals, Record, Sample};
use crate::role::dependency::Calls;
use crate::role::page::Pool;

pub(super) fn story() -> Story {
    Story::new(&Settings::new(PathBuf::from("evenkeel")))
}

pub(super) fn outcome() -> Outcome {
    Outcome::of(story(), vec![unprotected(), protected()])
}

fn in_range(range: &Range<u32>, at: Duration) -> bool {
    (f64::from(range.start)..f64::from(range.end)).contains(&at.as_secs_f64())
}

/// Plays the arrivals of the default drill against a service that answers as told.
fn record(story: &Story, answer: impl Fn(u64, Duration) -> (Duration, Answer)) -> Record {
    let record = Record::new(&story.phases.lengths(), GOOD_WITHIN);
    let arrivals = Arrivals::new(story.rate, story.phases.total(), story.seed);
    for ordinal in 0..arrivals.count() {
        let intended = arrivals.due(ordinal);
        let (took, answer) = answer(ordinal, intended);
        let sent = intended + Duration::from_micros(600);
        record.offer(intended);
        record.finish(&Sample {
            intended,
            sent,
            finished: sent + took,
            answer,
        });
    }
    record
}

fn healthy(ordinal: u64) -> Duration {
    Duration::from_micros(11_000 + (ordinal * 7919) % 9_000)
}

fn moments(story: &Story, look: impl Fn(f64) -> (Pool, Option<Breaker>)) -> Vec<Moment> {
    let injection = f64::from(story.phases.injection());
    (0..story.phases.total() * 10)
        .map(|tenth| {
            let at_s = f64::from(tenth) / 10.0;
            let (pool, breaker) = look(at_s - injection);
            Moment {
                at_s,
                pool,
                breaker,
            }
        })
        .collect()
}

fn quiet() -> Pool {
    Pool {
        in_use: 3,
        waiting: 0,
        inventory_p99_ms: 19.0,
        failed_pages: 0,
    }
}

fn observed(story: &Story, moments: Vec<Moment>, slow_by_second: Vec<u64>) -> Observed {
    Observed {
        moments,
        injected_at_s: Some(f64::from(story.phases.injection()) + 0.001),
        repaired_at_s: Some(f64::from(story.phases.repair()) + 0.001),
        calls: Some(Calls {
            total: 2900,
            slow_by_second,
        }),
    }
}

pub(super) fn unprotected() -> Run {
    let story = story();
    let fault = story.phases.seconds(Phase::Fault);
    let record = record(&story, |ordinal, due| {
        if in_range(&fault, due) {
            (Duration::from_millis(5003), Answer::Refused(504))
        } else {
            (healthy(ordinal), Answer::Full)
        }
    });
    let moments = moments(&story, |at| {
        if (0.9..8.4).contains(&at) {
            let waiting = if at < 5.0 { 600 } else { 1200 };
            let pool = Pool {
                in_use: 100,
                waiting,
                inventory_p99_ms: 4990.0,
                failed_pages: 9,
            };
            (pool, None)
        } else {
            (quiet(), None)
        }
    });
    let seen = observed(&story, moments, vec![100, 38, 31, 30, 33, 90, 60, 40]);
    Run::of(Side::Unprotected, true, &story, &record, seen, None)
}

pub(super) fn protected() -> Run {
    let story = story();
    let (fault, repair) = (story.phases.seconds(Phase::Fault), story.phases.repair());
    let back = repair..repair + 2;
    let record = record(&story, |ordinal, due| {
        if in_range(&fault, due) {
            let slow = ordinal % 100 < 9 && due.as_secs() == u64::from(fault.start);
            let took = if slow {
                Duration::from_millis(54)
            } else {
                healthy(ordinal)
            };
            (took, Answer::Degraded)
        } else if in_range(&back, due) && ordinal % 3 != 0 {
            (healthy(ordinal), Answer::Degraded)
        } else {
            (healthy(ordinal), Answer::Full)
        }
    });
    let moments = moments(&story, |at| {
        let breaker = match at {
            at if !(0.2..9.4).contains(&at) => Breaker::Closed,
            at if (1.2..1.3).contains(&at) || (9.1..9.4).contains(&at) => Breaker::HalfOpen,
            _ => Breaker::Open,
        };
        (quiet(), Some(breaker))
    });
    let seen = observed(&story, moments, vec![14, 3, 0, 3, 0, 0, 0, 3]);
    let policy = Some("version: 1\n".to_owned());
    Run::of(Side::Protected, true, &story, &record, seen, policy)
}
