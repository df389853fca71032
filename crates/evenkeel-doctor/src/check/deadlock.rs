//! Waiters on locks that nobody will release.

use super::leak::remedies_for;
use super::{Check, crowd, grouped, survivors};
use crate::fact::{Facts, Progress, Track};
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};
use crate::goroutine::WaitState;

pub(super) const CHECK: Check = Check {
    code: "EKD006",
    verdict: Verdict::Leak,
    summary: "goroutines wait for a lock that no longer changes hands",
    page: "\
Deadlock: goroutines wait for a lock whose holder waits for them, returned without unlocking, or
waits for something else that never comes. Every later request that needs the lock joins them. The
runtime only notices when *all* goroutines are stuck, which a server never is.

Called when goroutines wait for a lock and no such wait ends: the runtime's total of lock waits stands
still, or the block profile saw none end, or nothing is served, or they have waited for a minute and
more. A lock that still changes hands is contention, however long the queue.

The line named is where most of them wait. Do first: restart after a capture. Then: one global
order for locks, defer the unlock, hold no lock across a send, a callback or a call.",
    run,
};

fn run(facts: &Facts<'_>) -> Option<Finding> {
    goroutines(facts).or_else(|| threads(facts))
}

/// Threads parked inside operations that are begun and never end.
fn threads(facts: &Facts<'_>) -> Option<Finding> {
    let threads = facts.threads.as_ref().filter(|_| facts.dumps() == 0)?;
    let pair = facts.counters.worst_pair()?;
    let parked = threads.parked >= 5 && threads.parked * 2 >= threads.count && threads.woken == 0;
    if !parked || pair.successes > 0.0 || pair.in_flight < 0.5 * threads.parked as f64 {
        return None;
    }
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: Some("deadlock"),
        confidence: Confidence::Likely,
        culprit: None,
        resource: "locks the threads share".to_owned(),
        remove: Ingredient::Resource,
        evidence: vec![
            format!(
                "{} of {} threads named {} are parked on a futex, and none was woken between the first and the last moment",
                threads.parked, threads.count, threads.family
            ),
            format!("{:.0} operations are begun, none is ended", pair.in_flight),
        ],
        missing: vec!["thread stacks, to name the locks".to_owned()],
        remedies: remedies_for(true),
    })
}

fn goroutines(facts: &Facts<'_>) -> Option<Finding> {
    let waiting = || {
        facts
            .families
            .tracks()
            .map(|(_, track)| track)
            .filter(|track| track.state == WaitState::Lock)
    };
    let crowd_track = waiting()
        .filter(|track| is_stuck(facts, track))
        .max_by_key(|track| track.last())
        // A holder that hangs in a call is told as that call: the lock is well.
        .filter(|track| super::blocking_call::holder_in_a_call(facts, track).is_none())?;
    let track = holders(crowd_track, waiting());
    let others: u64 = waiting().map(Track::last).sum::<u64>() - track.last();
    let mut evidence = vec![crowd(facts, track)];
    if track.culprit != crowd_track.culprit {
        evidence.push(format!(
            "{} wait at line {} of the same function for the lock that those at line {} hold while they wait",
            grouped(crowd_track.last()),
            crowd_track.culprit.line,
            track.culprit.line
        ));
    } else if others > 0 {
        evidence.push(format!("{} more wait for locks elsewhere", grouped(others)));
    }
    if let Some((address, waiters)) = track.lock {
        evidence.push(format!(
            "{} of them at the one lock {address:#x}",
            grouped(waiters)
        ));
    }
    evidence.extend(track.survival.map(survivors));
    if facts.counters.lock_wait_late.is_some() {
        evidence.push("the runtime's total of lock waits that ended stands still".to_owned());
    }
    if facts
        .counters
        .completions_late
        .is_some_and(|rate| rate < 0.05)
    {
        evidence.push("nothing is completed any more".to_owned());
    }
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: Some("deadlock"),
        confidence: if facts.dumps() >= 2 {
            Confidence::Certain
        } else {
            Confidence::Possible
        },
        culprit: Some(track.culprit.clone()),
        resource: track.lock.map_or_else(
            || "a lock".to_owned(),
            |(address, _)| format!("the lock at {address:#x}"),
        ),
        remove: Ingredient::Resource,
        evidence,
        missing: if facts.dumps() >= 2 {
            Vec::new()
        } else {
            vec!["a second dump, to see whether the lock changes hands".to_owned()]
        },
        remedies: remedies_for(true),
    })
}

/// Those of the crowd's function that wait at a later line passed the crowd's line before: they hold
/// the first lock while they wait for the second, so theirs is the line that closes the circle.
fn holders<'a>(crowd: &'a Track, waiting: impl Iterator<Item = &'a Track>) -> &'a Track {
    waiting
        .filter(|track| {
            track.culprit.function == crowd.culprit.function
                && track.culprit.line > crowd.culprit.line
                && track.last() > 0
        })
        .max_by_key(|track| track.culprit.line)
        .unwrap_or(crowd)
}

/// Several moments without progress, or one with waits of a minute.
fn is_stuck(facts: &Facts<'_>, track: &Track) -> bool {
    let progress = facts.progress(track);
    if facts.dumps() >= 2 {
        let stays = track.survival.is_none_or(|share| share >= 0.8);
        let crowd = track.fewest() >= 5 || track.long_waits > 0;
        return crowd && stays && progress == Progress::No
            || track.long_waits > 0 && stays && progress != Progress::Yes;
    }
    track.long_waits > 0 && progress != Progress::Yes
}
