//! Calls to somebody else that never return.

use super::leak::{finishes, growing_family};
use super::{Check, crowd, grouped, per_second, remedies, survivors};
use crate::fact::{Facts, Family, Progress, Role, Track, growth};
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};
use crate::goroutine::WaitState;
use crate::procfs::ProcessSample;
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
is answered any more; when a fixed crowd of workers stands in a read from a socket, nothing is
finished, and work keeps coming in or those who hand it to them wait in vain; when whoever holds a lock
or a connection of a pool stands in such a call, and a queue behind it does not move; when one has waited for a minute and more in a single dump; or, for tokio,
when tasks and descriptors grow together while the workers idle. Of a process that shows nothing
else, sockets to one address that climb while its processors idle are a lead, no more.

The line named is the service's, above the client library. A slow dependency under a working timeout
is not it: those calls come and go. Nor are readers that wait for a peer to speak first (subscriptions,
idle connections): nobody waits for them.

Do first: restart or fail over what is called; open the circuit by hand. Then: a timeout on every
call (http.Client.Timeout, SetDeadline, a context with a deadline), shorter than the caller's own.
Watch calls in flight and the age of the oldest.",
    run,
};

fn run(facts: &Facts<'_>) -> Option<Finding> {
    growing(facts)
        .or_else(|| ahead_of_a_queue(facts))
        .or_else(|| all_hang(facts))
        .or_else(|| one_moment(facts))
        .or_else(|| tasks(facts))
        .or_else(|| sockets(facts))
        .map(|found| with_peer(facts, found))
}

/// Names the peer to which sockets piled up, where the kernel showed them.
fn with_peer(facts: &Facts<'_>, mut found: Finding) -> Finding {
    let mut samples = facts.capture.processes().map(|(_, process)| process);
    let (Some(first), Some(last)) = (samples.next(), samples.next_back()) else {
        return found;
    };
    let sockets = |sample: &ProcessSample, address: &str| -> u64 {
        let to = sample.peers.iter().filter(|peer| peer.address == address);
        to.map(|peer| peer.sockets).sum()
    };
    let most = last
        .peers
        .iter()
        .map(|peer| {
            let (before, after) = (sockets(first, &peer.address), sockets(last, &peer.address));
            (after.saturating_sub(before), before, after, &peer.address)
        })
        .max();
    if let Some((risen, before, after, address)) = most
        && risen >= 10
    {
        found.resource = format!("{address}, which was called and does not answer");
        found.evidence.push(format!(
            "sockets to {address} rose from {} to {}",
            grouped(before),
            grouped(after)
        ));
    }
    found
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
                && (track.role == Role::Request
                    || crate::fact::is_outbound_call(&track.stack)
                    || awaited(facts, track).is_some())
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
    evidence.extend(awaited(facts, track));
    Some(finding(
        Some(track.culprit.clone()),
        Confidence::Likely,
        evidence,
        Vec::new(),
    ))
}

/// Who waits for the crowd in a plain read. A reader for whom nobody waits may be idle; one for whom work
/// piles up is in the middle of it.
fn awaited(facts: &Facts<'_>, track: &Track) -> Option<String> {
    if let Some((_, rate)) = facts.counters.arrivals.filter(|(_, rate)| *rate >= 0.2) {
        return Some(format!("{} keep coming in", per_second(rate)));
    }
    if let Some(pair) = facts.counters.worst_pair()
        && pair.in_flight >= 0.5 * track.last() as f64
    {
        return Some(format!(
            "{:.0} operations are begun and not ended",
            pair.in_flight
        ));
    }
    let (_, senders) = facts.families.tracks().find(|(_, other)| {
        other.state == WaitState::ChanSend
            && other.culprit.package() == track.culprit.package()
            && stands_still(other)
    })?;
    Some(format!(
        "{} goroutines wait to hand something over at {} ({}), and none gets rid of it",
        grouped(senders.last()),
        senders.culprit.function,
        senders.culprit.location()
    ))
}

/// The same goroutines at the same line, at every moment.
fn stands_still(track: &Track) -> bool {
    track.counts.len() >= 2 && track.fewest() >= 1 && track.turnover == Some(0.0)
}

/// A queue that does not move, and the one of the same origin who is past it and hangs in a call: he
/// holds the lock, or the pool's connection, that the others wait for.
pub(super) fn holder_in_a_call<'a>(
    facts: &'a Facts<'_>,
    queue: &Track,
) -> Option<(&'a Family, &'a Track)> {
    let queues = matches!(queue.state, WaitState::Lock | WaitState::ChanSend)
        || super::contention::is_pool(queue);
    if !queues || !stands_still(queue) || facts.progress(queue) == Progress::Yes {
        return None;
    }
    facts
        .families
        .own
        .iter()
        .filter(|family| {
            family
                .tracks
                .iter()
                .any(|track| track.state == queue.state && track.culprit == queue.culprit)
        })
        .flat_map(|family| family.tracks.iter().map(move |track| (family, track)))
        .filter(|(_, track)| {
            is_call(track) && stands_still(track) && !super::contention::is_pool(track)
        })
        .max_by_key(|(_, track)| track.last())
}

fn ahead_of_a_queue(facts: &Facts<'_>) -> Option<Finding> {
    let (queue, holder) = facts
        .families
        .tracks()
        .filter(|(_, queue)| queue.last() >= 3)
        .filter_map(|(_, queue)| Some((queue, holder_in_a_call(facts, queue)?.1)))
        .max_by_key(|(queue, _)| queue.last())?;
    let mut evidence = vec![crowd(facts, holder)];
    evidence.extend(holder.survival.map(survivors));
    evidence.push(format!(
        "{} of the same origin are queued behind at {} ({}), and nobody gets through",
        grouped(queue.last()),
        queue.culprit.function,
        queue.culprit.location()
    ));
    Some(finding(
        Some(holder.culprit.clone()),
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
    let finishes = tasks.ended_share.is_some_and(|share| share >= 0.1);
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

/// Of a process that shows nothing else: sockets to one address and port climb while its processors
/// idle. Clients of a server each come from a port of their own, so such a climb is outbound.
fn sockets(facts: &Facts<'_>) -> Option<Finding> {
    if facts.dumps() > 0 || facts.tasks.is_some() || facts.heat.hot() {
        return None;
    }
    let samples: Vec<_> = facts.capture.processes().collect();
    let (_, last) = samples.last()?;
    let climb = last
        .peers
        .iter()
        .filter_map(|peer| {
            let points: Vec<(f64, f64)> = samples
                .iter()
                .enumerate()
                .map(|(index, (at, sample))| {
                    let to = sample
                        .peers
                        .iter()
                        .filter(|other| other.address == peer.address);
                    let sockets: u64 = to.map(|other| other.sockets).sum();
                    (at.unwrap_or(index as f64), sockets as f64)
                })
                .collect();
            growth(&points)
        })
        .max_by(|a, b| a.last.total_cmp(&b.last))?;
    Some(finding(
        None,
        Confidence::Possible,
        vec![format!(
            "sockets to one address climb by {:.1}/s while the processors idle",
            climb.per_second
        )],
        vec![
            "stacks and metrics: the calls may be answered, and their connections kept".to_owned(),
        ],
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
