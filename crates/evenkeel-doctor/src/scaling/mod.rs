//! Livelock or contention: what fewer actors tell.
//!
//! A common rule says: halve the actors, and if throughput halves or changes by more, it was a
//! livelock. It misjudges the commonest case of all: behind a saturated lock throughput *holds*, as
//! it does in a livelock where one of many always wins. Two other numbers tell them apart. *Attempts per
//! success* fall with the actors in a livelock and are one behind a lock, which makes its users wait
//! instead of fail. And behind a lock throughput is what the *critical section alone* allows, one
//! divided by its length, with two actors as with two hundred.
//!
//! [`judge`] reads the measurements of such an experiment, [`experiment`] carries one out on a running
//! service, [`contend()`] on a piece of code in a test.

mod contend;
mod law;
mod rates;

pub use contend::{Tally, contend};
pub use law::Law;
pub use rates::{CounterNames, RatesError, rates};

use std::time::Duration;

use serde::Serialize;

use crate::finding::Verdict;

/// What was done per second with so many actors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Measurement {
    /// Workers, threads, replicas: whatever was varied; at least 1.
    pub actors: u32,
    /// Attempts per second. Where only what is finished is counted, the same as the successes.
    pub attempts: f64,
    /// Successes per second.
    pub successes: f64,
}

impl Measurement {
    /// Attempts per success; infinite where nothing succeeds.
    pub fn attempts_per_success(&self) -> f64 {
        if self.successes > 0.0 {
            self.attempts / self.successes
        } else if self.attempts > 0.0 {
            f64::INFINITY
        } else {
            1.0
        }
    }
}

/// What an experiment says.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Scaling {
    /// Livelock, contention, or healthy where throughput follows the actors; none where the
    /// measurements do not tell.
    pub verdict: Option<Verdict>,
    /// The measurements, the fewest actors first, those with equal actors averaged.
    pub points: Vec<Measurement>,
    /// The curve through them, from four different numbers of actors on.
    pub law: Option<Law>,
    /// Why, with the arithmetic; what to do next where they do not tell.
    pub evidence: Vec<String>,
}

/// Attempts per success from which actors fail rather than wait.
const IN_VAIN: f64 = 2.0;
/// Attempts per success must fall to this share when the actors are fewer.
const FALLS: f64 = 0.75;
/// Throughput that keeps this share with fewer actors did not need the others.
const HOLDS: f64 = 0.8;
/// Two measurements with equal actors must agree within this share, or something else changed.
const DRIFT: f64 = 0.3;
/// Attempts per second below which there is nothing to judge.
const LEAST: f64 = 0.5;

/// Judges measurements with at least two different numbers of actors, in any order. The length of
/// the critical section alone, where known, tells whether the lock itself is what is saturated.
pub fn judge(measurements: &[Measurement], critical_section: Option<Duration>) -> Scaling {
    let mut scaling = Scaling {
        verdict: None,
        points: averaged(measurements),
        law: None,
        evidence: Vec::new(),
    };
    scaling.law = Law::through(&scaling.points);
    let (Some(few), Some(many)) = (scaling.points.first(), scaling.points.last()) else {
        scaling.evidence.push("nothing was measured".to_owned());
        return scaling;
    };
    let (few, many) = (*few, *many);
    for point in &scaling.points {
        scaling.evidence.push(sentence(point));
    }
    if few.actors == many.actors {
        scaling
            .evidence
            .push("measure with another number of actors, half as many".to_owned());
        return scaling;
    }
    if let Some(drift) = drift(measurements) {
        scaling.evidence.push(drift);
        return scaling;
    }
    let (verdict, why) = compare(&few, &many, critical_section);
    scaling.verdict = verdict;
    scaling.evidence.extend(why);
    if let Some(law) = &scaling.law {
        scaling.evidence.push(law.sentence());
    }
    scaling
}

/// The decision between the fewest and the most actors.
fn compare(
    few: &Measurement,
    many: &Measurement,
    critical_section: Option<Duration>,
) -> (Option<Verdict>, Vec<String>) {
    if many.attempts < LEAST {
        let why = "next to nothing is attempted: give it work to do, or name the counters";
        return (None, vec![why.to_owned()]);
    }
    let (before, after) = (many.attempts_per_success(), few.attempts_per_success());
    // How much of the throughput is left, and how much would be if every actor counted the same.
    let left = few.successes / many.successes.max(1e-9);
    let fair = f64::from(few.actors) / f64::from(many.actors);
    if before >= IN_VAIN {
        if few.successes <= 0.0 && many.successes <= 0.0 {
            let why = "nothing succeeds with fewer actors either: halve again, down to one; if one alone \
                       fails too, it is no livelock but what it calls";
            return (None, vec![why.to_owned()]);
        }
        if after <= FALLS * before && left >= HOLDS {
            let why = format!(
                "attempts per success fall from {} to {} and no throughput is lost: the actors were in each other's way",
                ratio(before),
                ratio(after)
            );
            return (Some(Verdict::Livelock), vec![why]);
        }
        let why = format!(
            "{} attempts per success with {} actors and {} with {}: they fail whether or not others are there; \
             look at what they call",
            ratio(before),
            many.actors,
            ratio(after),
            few.actors
        );
        return (None, vec![why]);
    }
    if left >= HOLDS {
        return saturated(few, many, left, critical_section);
    }
    if left <= fair * 1.3 {
        let why = format!(
            "{:.0} % of the actors do {:.0} % of the work: nothing they share holds them up",
            fair * 100.0,
            left * 100.0
        );
        return (Some(Verdict::Healthy), vec![why]);
    }
    let why = format!(
        "{:.0} % of the actors do {:.0} % of the work: close to what is shared, not yet at its limit; \
         measure with fewer still",
        fair * 100.0,
        left * 100.0
    );
    (None, vec![why])
}

/// Throughput holds with fewer actors, and nearly all attempts succeed.
fn saturated(
    few: &Measurement,
    many: &Measurement,
    left: f64,
    critical_section: Option<Duration>,
) -> (Option<Verdict>, Vec<String>) {
    let mut why = vec![format!(
        "{} of {} actors do {:.0} % of the work, and attempts succeed: the others only wait",
        few.actors,
        many.actors,
        left * 100.0
    )];
    let Some(section) = critical_section.filter(|section| !section.is_zero()) else {
        why.push(
            "one thing they share is saturated: a lock, a pool, or the processors; the time of the critical \
             section alone would tell whether it is the lock"
                .to_owned(),
        );
        return (Some(Verdict::Contention), why);
    };
    let alone = 1.0 / section.as_secs_f64();
    let share = many.successes / alone;
    why.push(format!(
        "the critical section alone allows {}/s; {:.0} % of that is done",
        number(alone),
        share * 100.0
    ));
    if share >= 0.5 {
        return (Some(Verdict::Contention), why);
    }
    why.push("so it is not this lock that is saturated: look for another resource".to_owned());
    (None, why)
}

/// One measurement for each number of actors, the fewest first.
fn averaged(measurements: &[Measurement]) -> Vec<Measurement> {
    let mut actors: Vec<u32> = measurements.iter().map(|point| point.actors).collect();
    actors.sort_unstable();
    actors.dedup();
    actors
        .into_iter()
        .map(|actors| {
            let same = || measurements.iter().filter(|point| point.actors == actors);
            let count = same().count().max(1) as f64;
            Measurement {
                actors,
                attempts: same().map(|point| point.attempts).sum::<f64>() / count,
                successes: same().map(|point| point.successes).sum::<f64>() / count,
            }
        })
        .collect()
}

/// A sentence about two measurements that should have been equal.
fn drift(measurements: &[Measurement]) -> Option<String> {
    measurements.iter().enumerate().find_map(|(at, one)| {
        let other = measurements[at + 1..]
            .iter()
            .find(|other| other.actors == one.actors)?;
        let (low, high) = (
            one.successes.min(other.successes),
            one.successes.max(other.successes),
        );
        (high * 10.0 >= 1.0 && low < (1.0 - DRIFT) * high).then(|| {
            format!(
                "with {} actors {}/s were done first and {}/s later: something else changed; repeat it",
                one.actors,
                number(one.successes),
                number(other.successes)
            )
        })
    })
}

fn sentence(point: &Measurement) -> String {
    format!(
        "{} actors: {}/s done, {} attempts per success",
        point.actors,
        number(point.successes),
        ratio(point.attempts_per_success())
    )
}

fn ratio(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.1}")
    } else {
        "no end of".to_owned()
    }
}

/// A rate with three figures at least.
pub(super) fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// Measures with each number of actors in turn and puts the first back at the end, whatever happens in
/// between. Measuring the first once more at the end shows whether anything else changed meanwhile.
///
/// # Errors
/// The first error of `set` or `measure`. The first number of actors has been asked for again by then.
pub fn experiment<E>(
    actors: &[u32],
    mut set: impl FnMut(u32) -> Result<(), E>,
    mut measure: impl FnMut(u32) -> Result<Measurement, E>,
) -> Result<Vec<Measurement>, E> {
    let mut measured = Vec::new();
    let Some(first) = actors.first() else {
        return Ok(measured);
    };
    let mut now = *first;
    for actors in actors {
        let step = if now == *actors { Ok(()) } else { set(*actors) };
        now = *actors;
        match step.and_then(|()| measure(*actors)) {
            Ok(point) => measured.push(point),
            Err(error) => {
                // The experiment's own error is the one to tell; a second one hides it.
                let _ = set(*first);
                return Err(error);
            }
        }
    }
    if now != *first {
        set(*first)?;
    }
    Ok(measured)
}

#[cfg(test)]
mod tests;
