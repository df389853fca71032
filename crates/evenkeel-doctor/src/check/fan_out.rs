//! Work started without a bound, faster than it is finished.

use super::leak::{finishes, growing_family};
use super::{Check, crowd, grouped, remedies, survivors};
use crate::fact::{Facts, Family, Growth, Role, Track};
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};
use crate::goroutine::WaitState;
use crate::stack::Frame;

pub(super) const CHECK: Check = Check {
    code: "EKD005",
    verdict: Verdict::Fanout,
    summary: "goroutines or tasks are started without a bound, faster than they finish",
    page: "\
Unbounded fan-out: a `go` or `spawn` per item, row or message, with nothing that makes the producer wait.
Each piece finishes, but later and later; the run queue or the number in flight climbs until memory
or a dependency gives out.

Called when the run queue climbs (the second half at least 1.7 times the first, at twenty and
more) or is enormous for the processors there are; when the goroutines of one origin grow while
earlier ones do leave; or, for tokio, when tasks queue for workers that are busy computing. Growth
in step with the rate of arrivals is a rising load, not a fan-out.

The line named is the `go` statement. Where those in flight all wait for one lock or pool, it is
contention. Do first: slow the producer. Then: a pool of workers or a semaphore, and a bounded
queue whose producer waits. Watch the run queue and the number in flight.",
    run,
};

/// Goroutines per processor that no service wants to have waiting.
const CROWD: f64 = 50.0;

fn run(facts: &Facts<'_>) -> Option<Finding> {
    growing(facts)
        .or_else(|| climbing_queue(facts))
        .or_else(|| tasks(facts))
}

fn growing(facts: &Facts<'_>) -> Option<Finding> {
    let (family, growth) = growing_family(facts)?;
    let track = family.main_track()?;
    let computing = matches!(track.state, WaitState::Running | WaitState::Runnable);
    // What wants processors piles up only where they are all taken.
    let burst = family.role == Role::Request;
    if computing && !facts.heat.hot() && (facts.heat.known() || burst) {
        return None;
    }
    // Requests come at the pace of the clients: only against that pace do more of them say anything.
    let pace = facts.counters.started.or(facts.counters.arrivals);
    if burst && !computing && pace.is_none() && facts.counters.completions_late.is_none() {
        return None;
    }
    // By Little's law a request takes as long as there are requests for each answer a second: under a
    // second, three looks at a lively server have caught a burst.
    let answers = facts.counters.completions_late.unwrap_or(0.0);
    if burst && answers >= growth.last {
        return None;
    }
    if !(computing || finishes(facts, family, growth))
        || rises_with_load(facts, growth)
        || queues_for_one(track)
    {
        return None;
    }
    let mut evidence = vec![
        format!(
            "goroutines started at {} grow by {:.1}/s: {} to {} in {:.0} s",
            family.origin.function,
            growth.per_second,
            grouped(family.counts[0]),
            grouped(family.last()),
            growth.seconds
        ),
        crowd(facts, track),
    ];
    evidence.extend(
        family
            .survival
            .map(|share| format!("{}: they do finish, only too late", survivors(share))),
    );
    Some(finding(
        facts,
        Some(origin(family)),
        Confidence::Certain,
        evidence,
    ))
}

/// Locks and pools that serve one by one are another story, and so are requests that queue.
fn queues_for_one(track: &Track) -> bool {
    matches!(track.state, WaitState::Lock | WaitState::ChanSend)
        || super::contention::is_queueing_request(track)
}

/// A load that rises brings more goroutines without any of them living longer. By Little's law the
/// number is the arrivals times the time each lives, so compare the growth with that of arrivals.
pub(super) fn rises_with_load(facts: &Facts<'_>, growth: Growth) -> bool {
    let Some((early, late)) = facts.counters.started.or(facts.counters.arrivals) else {
        return false;
    };
    let arrivals = late / early.max(1e-9);
    let middle = (growth.first + growth.last) / 2.0;
    let crowd = (middle + growth.last) / (growth.first + middle).max(1e-9);
    arrivals >= 1.2 && crowd <= 1.25 * arrivals
}

fn climbing_queue(facts: &Facts<'_>) -> Option<Finding> {
    let family = facts
        .families
        .own
        .iter()
        .max_by_key(|family| most_computing(family))?;
    // A pool of fixed size that wants processors is a busy pool.
    let fewest = family.counts.iter().copied().min().unwrap_or(0);
    let most = family.counts.iter().copied().max().unwrap_or(0);
    if family.counts.len() >= 2 && most <= fewest + fewest / 4 {
        return None;
    }
    let procs = facts.heat.procs;
    let mut evidence = match facts.heat.backlog {
        Some((early, late)) => {
            let climbs = late >= 20.0 && late >= 1.7 * early.max(1.0);
            let enormous = late >= CROWD * procs && early >= 10.0 * procs;
            if !(climbs || enormous) {
                return None;
            }
            vec![format!(
                "the run queue holds {late:.0} goroutines on {procs:.0} processors, after {early:.0} in the first half",
            )]
        }
        // Without the scheduler's lines the dumps show the queue, if only at their moments.
        None => {
            let peak = most_computing(family);
            if !family.spawned || !facts.heat.hot() || (peak as f64) < CROWD * procs {
                return None;
            }
            vec![format!(
                "{} goroutines want {procs:.0} processors at one moment",
                grouped(peak)
            )]
        }
    };
    evidence.push(format!(
        "up to {} goroutines were started at {}",
        grouped(most),
        family.origin.function
    ));
    Some(finding(
        facts,
        Some(origin(family)),
        Confidence::Certain,
        evidence,
    ))
}

/// The most goroutines of a family that ran or wanted to at one moment.
fn most_computing(family: &Family) -> u64 {
    (0..family.counts.len())
        .map(|moment| {
            family
                .tracks
                .iter()
                .filter(|track| matches!(track.state, WaitState::Runnable | WaitState::Running))
                .map(|track| track.counts[moment])
                .sum()
        })
        .max()
        .unwrap_or(0)
}

fn tasks(facts: &Facts<'_>) -> Option<Finding> {
    let tasks = facts.tasks.as_ref()?;
    let alive = tasks.alive?;
    let (why, culprit) = if tasks.queued.is_some() && facts.heat.hot() {
        (
            format!(
                "{:.0} tasks wait for a worker while the processors are wanted in full",
                tasks.queued_last
            ),
            computed_by(facts),
        )
    } else if tasks.queued.is_none() && tasks.ended_share.is_some_and(|share| share >= 0.1) {
        (
            "tasks do finish, only slower than they are started".to_owned(),
            None,
        )
    } else {
        return None;
    };
    Some(finding(
        facts,
        culprit,
        Confidence::Likely,
        vec![
            format!(
                "tasks alive grow by {:.1}/s: {:.0} to {:.0} in {:.0} s",
                alive.per_second, alive.first, alive.last, alive.seconds
            ),
            why,
        ],
    ))
}

/// What the spawned work computes, for want of the line that spawns it.
fn computed_by(facts: &Facts<'_>) -> Option<Frame> {
    let cpu = facts.capture.cpu.as_ref()?;
    let stacks: Vec<_> = cpu
        .samples
        .iter()
        .map(|sample| (&sample.stack, 1))
        .collect();
    crate::fact::loop_holder(&stacks)
}

/// The spawning statement, or the handler where a server spawned it.
fn origin(family: &Family) -> Frame {
    if family.spawned {
        return family.origin.clone();
    }
    family
        .main_track()
        .map_or_else(|| family.origin.clone(), |track| track.culprit.clone())
}

fn finding(
    facts: &Facts<'_>,
    culprit: Option<Frame>,
    confidence: Confidence,
    evidence: Vec<String>,
) -> Finding {
    let mut missing = Vec::new();
    if facts.counters.completions_late.is_none() {
        missing.push("a counter of finished work".to_owned());
    }
    Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: None,
        confidence,
        culprit,
        resource: "processors, memory and whatever the work calls".to_owned(),
        remove: Ingredient::Actors,
        evidence,
        missing,
        remedies: remedies(
            &["slow or stop the producer; what is queued already is served last"],
            &[
                "start the work through a pool or a semaphore with a bound",
                "give the queue a bound and make its producer wait or be refused",
            ],
            &["alert on the run queue's climb and on the number in flight, not on a threshold"],
        ),
    }
}
