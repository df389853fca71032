//! Calls to somebody else that never return.

use super::leak::{finishes, growing_family};
use super::{Check, crowd, remedies, survivors};
use crate::fact::{Facts, Progress, Role, Track};
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};
use crate::goroutine::WaitState;
use crate::stack::Frame;

pub(super) const CHECK: Check = Check {
    code: "EKD008",
    verdict: Verdict::BlockingCall,
    summary: "calls without a timeout wait for a peer that does not answer",
    page: "\
Blocking call: the service called somebody who accepted the connection and never answered, and nobody
told the call when to give up. One goroutine, one connection and one caller's patience are gone per
request.

Called when the goroutines that grow wait for the network on a call of the service's own and the
first of them are still there at the last moment; when requests stand in such calls while nothing
is answered any more; when one has waited for a minute and more in a single dump; or, for tokio,
when tasks and descriptors grow together while the workers idle.

The line named is the service's, above the client library. A slow dependency under a working timeout
is not it: those calls come and go.

Do first: restart or fail over what is called; open the circuit by hand. Then: a timeout on every
call (http.Client.Timeout, SetDeadline, a context with a deadline), shorter than the caller's own.
Watch calls in flight and the age of the oldest.",
    run,
};

fn run(facts: &Facts<'_>) -> Option<Finding> {
    growing(facts)
        .or_else(|| all_hang(facts))
        .or_else(|| one_moment(facts))
        .or_else(|| tasks(facts))
}

fn growing(facts: &Facts<'_>) -> Option<Finding> {
    let (family, growth) = growing_family(facts)?;
    let track = family.main_track()?;
    if !is_call(track) || finishes(facts, family, growth) {
        return None;
    }
    let mut evidence = vec![
        crowd(facts, track),
        format!("they grow by {:.1}/s", growth.per_second),
    ];
    evidence.extend(family.survival.map(survivors));
    Some(finding(
        Some(track.culprit.clone()),
        if family.survival.is_some() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        evidence,
        Vec::new(),
    ))
}

/// A fixed crowd of callers, all of them inside a call, and nothing comes back.
fn all_hang(facts: &Facts<'_>) -> Option<Finding> {
    let (_, track) = facts
        .families
        .tracks()
        .filter(|(_, track)| {
            is_call(track)
                && track.role != Role::Inbound
                && (track.role == Role::Request || crate::fact::is_outbound_call(&track.stack))
                && facts.dumps() >= 2
                && track.fewest() >= 5
                && track.last() * 2 >= facts.families.at_work()
                && track.survival.is_some_and(|share| share >= 0.95)
                && facts.progress(track) == Progress::No
        })
        .max_by_key(|(_, track)| track.last())?;
    let mut evidence = vec![
        crowd(facts, track),
        "nothing is completed any more".to_owned(),
    ];
    evidence.extend(track.survival.map(survivors));
    Some(finding(
        Some(track.culprit.clone()),
        Confidence::Likely,
        evidence,
        Vec::new(),
    ))
}

fn one_moment(facts: &Facts<'_>) -> Option<Finding> {
    let (_, track) = facts
        .families
        .tracks()
        .filter(|(_, track)| {
            track.long_waits > 0 && is_call(track) && crate::fact::is_outbound_call(&track.stack)
        })
        .max_by_key(|(_, track)| track.longest_minutes)?;
    Some(finding(
        Some(track.culprit.clone()),
        Confidence::Possible,
        vec![crowd(facts, track)],
        vec!["a second dump, to see whether the call is still out".to_owned()],
    ))
}

fn tasks(facts: &Facts<'_>) -> Option<Finding> {
    let tasks = facts.tasks.as_ref()?;
    let alive = tasks.alive?;
    let per_task = tasks.descriptors_per_task?;
    let idle = tasks.busy.is_none_or(|busy| busy < 0.5) && tasks.queued.is_none();
    let finishes = tasks.done_per_started.is_some_and(|share| share >= 0.1);
    if !idle || finishes || per_task < 0.5 {
        return None;
    }
    Some(finding(
        None,
        Confidence::Likely,
        vec![
            format!(
                "tasks alive grow by {:.1}/s: {:.0} to {:.0} in {:.0} s, and the workers idle",
                alive.per_second, alive.first, alive.last, alive.seconds
            ),
            format!("{per_task:.1} descriptors are opened for each task that stays: connections"),
        ],
        vec!["task stacks (a task dump), to name the line".to_owned()],
    ))
}

/// Waits for somebody outside who was called.
fn is_call(track: &Track) -> bool {
    track.outbound
        && matches!(
            track.state,
            WaitState::IoWait
                | WaitState::Select
                | WaitState::Syscall
                | WaitState::ChanReceive
                | WaitState::Unknown
        )
}

fn finding(
    culprit: Option<Frame>,
    confidence: Confidence,
    evidence: Vec<String>,
    missing: Vec<String>,
) -> Finding {
    Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: None,
        confidence,
        culprit,
        resource: "the peer that was called and does not answer".to_owned(),
        remove: Ingredient::Resource,
        evidence,
        missing,
        remedies: remedies(
            &["restart or fail over the peer; open the circuit to it by hand"],
            &[
                "put a timeout on the call, shorter than the caller's own deadline",
                "bound the number of calls in flight to this peer",
            ],
            &["alert on calls in flight and on the age of the oldest"],
        ),
    }
}
