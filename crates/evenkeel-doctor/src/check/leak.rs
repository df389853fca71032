//! Goroutines or tasks that pile up and never leave.

use super::{Check, crowd, grouped, remedies, survivors};
use crate::fact::{Facts, Family, Growth, Progress, Role, growth};
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Remedies, Verdict};
use crate::goroutine::{DumpForm, WaitState};
use crate::stack::Frame;

pub(super) const CHECK: Check = Check {
    code: "EKD010",
    verdict: Verdict::Leak,
    summary: "goroutines or tasks grow without bound and none of them leaves",
    page: "\
Leak: something is started per request or per tick and never ends. Memory and the runtime's own work
grow until the process is killed; latency creeps up long before.

Called when the goroutines started at one place grow steadily (not a pool that fills up) and those
seen at the first moment are still there at the last; when the same goroutines stand in a channel
send for minutes or without a single such wait ever ending; or, for tokio, when tasks alive climb
while workers idle, queues are empty and nothing is finished. From a single dump it is only called
on waits of minutes, or on an excerpt somebody cut out because one place dominates it: low
confidence, and it says so.

The line named is where they wait. Goroutines of a pool that wait to receive work are healthy
however many and however long.

Do first: restart after a capture; stop the traffic that starts them. Then: give each an owner, a
way to stop and a deadline; select on the context wherever it waits. Watch the number of goroutines
or tasks.",
    run,
};

/// Waiting at least this long in a send, several at one line, is no back-pressure any more.
const LONG_SEND_MINUTES: u32 = 5;

fn run(facts: &Facts<'_>) -> Option<Finding> {
    growing_goroutines(facts)
        .or_else(|| stuck_crowd(facts))
        .or_else(|| growing_tasks(facts))
        .or_else(|| growing_threads(facts))
        .or_else(|| long_waits(facts))
        .or_else(|| dominated_excerpt(facts))
        .or_else(|| growing_blindly(facts))
}

/// The family that grows the most, if one does.
pub(super) fn growing_family<'a>(facts: &'a Facts<'_>) -> Option<(&'a Family, Growth)> {
    facts
        .families
        .own
        .iter()
        .filter_map(|family| {
            let points: Vec<(f64, f64)> = facts
                .families
                .times
                .iter()
                .zip(&family.counts)
                .map(|(at, count)| (*at, *count as f64))
                .collect();
            (points.len() >= 2)
                .then(|| growth(&points))
                .flatten()
                .filter(|growth| gauge_agrees(facts, *growth))
                .map(|growth| (family, growth))
        })
        .max_by(|(_, a), (_, b)| (a.last - a.first).total_cmp(&(b.last - b.first)))
}

/// Three dumps of a lively service can rise by chance; a gauge read every second does not. Where
/// there is one, its mean must have risen by a third of what the dumps claim. Of two dumps nobody can say
/// whether what rose goes on rising; then the gauge has to.
fn gauge_agrees(facts: &Facts<'_>, growth: Growth) -> bool {
    let points = &facts.population;
    if points.len() < 5 {
        return true;
    }
    if facts.families.times.len() == 2 && crate::fact::growth(points).is_none() {
        return false;
    }
    let third = points.len() / 3;
    let mean =
        |part: &[(f64, f64)]| part.iter().map(|point| point.1).sum::<f64>() / part.len() as f64;
    let risen = mean(&points[points.len() - third..]) - mean(&points[..third]);
    risen >= 0.33 * (growth.last - growth.first)
}

/// Whether a growing family also finishes: its first members left, or, where ids cannot tell, such
/// waits were seen to end or enough work is completed.
pub(super) fn finishes(facts: &Facts<'_>, family: &Family, growth: Growth) -> bool {
    let completes = |share: f64| {
        facts
            .counters
            .completions_late
            .is_some_and(|rate| rate >= share * growth.per_second)
    };
    if family.role == Role::Request {
        // A server's goroutine belongs to a connection and serves one request after the other: that
        // it is still there says nothing about the request.
        let ended = family
            .main_track()
            .and_then(|track| facts.ended_waits(track));
        // That it was somewhere else in between does, and so does a line at which none was seen before.
        let left = family.main_track().is_some_and(|track| {
            let elsewhere = track.turnover.map(|share| share >= 0.05);
            elsewhere.unwrap_or(family.survival.is_some())
        });
        return match (family.survival, ended) {
            (Some(share), _) if left || share < 0.8 => true,
            (_, Some(ended)) => ended >= 3 && completes(0.1),
            (_, None) => completes(0.5),
        };
    }
    if let Some(share) = family.survival {
        return share < 0.8;
    }
    // Without ids, work that is counted as done may be somebody else's. It is believed only for
    // waits that end by themselves: a sleep, or a call that is answered.
    let ends_by_itself = family.main_track().is_some_and(|track| {
        track.outbound || matches!(track.state, WaitState::Sleep | WaitState::Unknown)
    });
    ends_by_itself && completes(0.1)
}

fn growing_goroutines(facts: &Facts<'_>) -> Option<Finding> {
    let (family, growth) = growing_family(facts)?;
    let track = family.main_track()?;
    // Without a counter of answers nobody knows how long a request has been asleep; a sleep ends.
    let uncounted = track.role == Role::Request && facts.counters.completions_late.is_none();
    if finishes(facts, family, growth)
        || matches!(track.state, WaitState::Running | WaitState::Runnable)
        || (uncounted && track.state == WaitState::Sleep)
    {
        return None;
    }
    let mut evidence = vec![
        crowd(facts, track),
        format!(
            "they grow by {:.1}/s: {} to {} in {:.0} s",
            growth.per_second,
            grouped(family.counts[0]),
            grouped(family.last()),
            growth.seconds
        ),
    ];
    evidence.extend(family.survival.map(survivors));
    let mut missing = Vec::new();
    if family.survival.is_none() {
        missing.push("goroutine ids (debug=2), to see whether the same ones stay".to_owned());
    }
    let resource = match track.role {
        Role::Inbound => "connections of peers that went silent: no read deadline",
        _ => "what would wake them: nobody does",
    };
    Some(finding(
        track.culprit.clone(),
        resource,
        if family.survival.is_some() && !uncounted {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        evidence,
        missing,
    ))
}

/// A crowd of fixed size that stands in one wait, none of which ever ends.
fn stuck_crowd(facts: &Facts<'_>) -> Option<Finding> {
    let (_, track) = facts
        .families
        .tracks()
        .filter(|(_, track)| {
            let sends = matches!(track.state, WaitState::ChanSend | WaitState::Forever);
            // Requests do not wait for work: when nothing is answered, they wait in vain.
            let request = track.role == Role::Request
                && !track.outbound
                && matches!(
                    track.state,
                    WaitState::ChanReceive
                        | WaitState::Select
                        | WaitState::Cond
                        | WaitState::WaitGroup
                );
            (sends || request)
                && track.fewest() >= 10
                && facts.dumps() >= 2
                && track.survival.is_none_or(|share| share >= 0.95)
                && facts.progress(track) == Progress::No
        })
        .max_by_key(|(_, track)| track.last())?;
    let mut evidence = vec![crowd(facts, track)];
    evidence.extend(track.survival.map(survivors));
    if facts.ended_waits(track) == Some(0) {
        evidence.push("the block profile saw no such wait end".to_owned());
    }
    Some(finding(
        track.culprit.clone(),
        "a channel or condition nobody serves",
        Confidence::Likely,
        evidence,
        Vec::new(),
    ))
}

fn growing_tasks(facts: &Facts<'_>) -> Option<Finding> {
    let tasks = facts.tasks.as_ref()?;
    let growth = tasks.alive?;
    let idle = tasks.busy.is_none_or(|busy| busy < 0.5) && tasks.queued.is_none();
    let finishes = tasks.ended_share.is_some_and(|share| share >= 0.1);
    if !idle || finishes {
        return None;
    }
    let evidence = vec![
        format!(
            "tasks alive grow by {:.1}/s: {:.0} to {:.0} in {:.0} s",
            growth.per_second, growth.first, growth.last, growth.seconds
        ),
        "no task waits for a worker, and the workers idle: the tasks wait for something else"
            .to_owned(),
    ];
    Some(Finding {
        culprit: None,
        ..finding(
            Frame::default(),
            "what would wake the tasks: nobody does",
            Confidence::Likely,
            evidence,
            vec!["task stacks (a task dump), to name the line".to_owned()],
        )
    })
}

/// A thread per request that never ends.
fn growing_threads(facts: &Facts<'_>) -> Option<Finding> {
    if facts.dumps() > 0 {
        return None;
    }
    let series = facts
        .capture
        .metrics
        .as_ref()
        .and_then(|metrics| metrics.get("process_threads"))
        .map(|series| series.points.clone());
    let sampled = || {
        facts
            .capture
            .processes()
            .enumerate()
            .map(|(index, (at, process))| {
                (at.unwrap_or(index as f64), process.threads.len() as f64)
            })
            .collect()
    };
    let growth = growth(&series.unwrap_or_else(sampled))?;
    Some(Finding {
        culprit: None,
        ..finding(
            Frame::default(),
            "what would end the threads: nothing does",
            Confidence::Likely,
            vec![format!(
                "threads grow by {:.1}/s: {:.0} to {:.0} in {:.0} s",
                growth.per_second, growth.first, growth.last, growth.seconds
            )],
            vec!["thread stacks, to name the line".to_owned()],
        )
    })
}

/// One moment, but waits so long that nobody can call them busy.
fn long_waits(facts: &Facts<'_>) -> Option<Finding> {
    let excerpt = is_excerpt(facts);
    let (_, track) = facts
        .families
        .tracks()
        .filter(|(_, track)| {
            let enough = if excerpt { 1 } else { 3 };
            let long = track.longest_minutes >= LONG_SEND_MINUTES && track.long_waits >= enough;
            match track.state {
                WaitState::ChanSend => long,
                // Receivers wait for work; only a crowd of requests that does is odd.
                WaitState::ChanReceive
                | WaitState::Select
                | WaitState::Cond
                | WaitState::WaitGroup => track.role == Role::Request && track.long_waits >= 10,
                _ => false,
            }
        })
        .max_by_key(|(_, track)| track.long_waits)?;
    Some(finding(
        track.culprit.clone(),
        "a channel nobody serves",
        Confidence::Possible,
        vec![crowd(facts, track)],
        vec!["a second dump, to see whether the same goroutines stay".to_owned()],
    ))
}

fn is_excerpt(facts: &Facts<'_>) -> bool {
    facts.dumps() == 1
        && facts
            .capture
            .dumps()
            .all(crate::goroutine::Goroutines::is_excerpt)
}

/// An excerpt of counts in which one place stands out: its author suspected it with reason.
fn dominated_excerpt(facts: &Facts<'_>) -> Option<Finding> {
    if !is_excerpt(facts) {
        return None;
    }
    let dump = facts.capture.dumps().next()?;
    if dump.form == DumpForm::Text {
        return None;
    }
    let largest = dump.groups.first()?;
    let total = dump.total();
    if largest.count < 5 || largest.count * 10 < total {
        return None;
    }
    let culprit = largest.stack.culprit()?.clone();
    let evidence = vec![format!(
        "{} of {} goroutines ({:.0} %) stand at {} ({})",
        grouped(largest.count),
        grouped(total),
        largest.count as f64 * 100.0 / total.max(1) as f64,
        culprit.function,
        culprit.location()
    )];
    Some(finding(
        culprit,
        "what would wake them: the excerpt does not show it",
        Confidence::Possible,
        evidence,
        vec!["the whole profile, and a second one later".to_owned()],
    ))
}

/// Nothing but a gauge that climbs.
fn growing_blindly(facts: &Facts<'_>) -> Option<Finding> {
    if facts.dumps() > 0 || facts.population.len() < 5 {
        return None;
    }
    let growth = growth(&facts.population)?;
    if facts
        .counters
        .completions_late
        .is_some_and(|rate| rate >= growth.per_second)
    {
        return None;
    }
    Some(Finding {
        culprit: None,
        ..finding(
            Frame::default(),
            "unknown without a dump",
            Confidence::Possible,
            vec![format!(
                "goroutines grow by {:.1}/s: {:.0} to {:.0} in {:.0} s",
                growth.per_second, growth.first, growth.last, growth.seconds
            )],
            vec!["goroutine dumps, to name the line".to_owned()],
        )
    })
}

fn finding(
    culprit: Frame,
    resource: &str,
    confidence: Confidence,
    evidence: Vec<String>,
    missing: Vec<String>,
) -> Finding {
    Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: None,
        confidence,
        culprit: Some(culprit),
        resource: resource.to_owned(),
        remove: Ingredient::Actors,
        evidence,
        missing,
        remedies: remedies_for(false),
    }
}

/// What to do about leaks and deadlocks.
pub(super) fn remedies_for(deadlock: bool) -> Remedies {
    if deadlock {
        remedies(
            &[
                "restart after a capture: nothing will resolve it",
                "keep traffic off the path that takes these locks",
            ],
            &[
                "take several locks in one global order; unlock with defer on every path",
                "hold no lock across a channel operation, a callback or a call to another service",
            ],
            &["alert on goroutines growing while responses fall; bound the wait for the lock"],
        )
    } else {
        remedies(
            &["restart after a capture; slow the traffic that starts them"],
            &[
                "give each an owner, a way to stop and a deadline",
                "select on the context wherever it waits; buffer a channel with one answer",
            ],
            &["alert on the number of goroutines or tasks rising for ten minutes"],
        )
    }
}
