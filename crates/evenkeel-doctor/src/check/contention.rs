//! A queue in front of one resource.

use super::leak::{finishes, growing_family};
use super::{Check, crowd, per_second, remedies};
use crate::fact::{Facts, Progress, Role, Track};
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};
use crate::goroutine::WaitState;

pub(super) const CHECK: Check = Check {
    code: "EKD007",
    verdict: Verdict::Contention,
    summary: "most actors queue for one lock, channel or pool that serves them one by one",
    page: "\
Contention: a lock, a channel with one reader or a pool of connections serves its users one after the
other, and there are more of them than it can serve. Throughput is that of the critical section
alone; everything else is waiting.

Called when at least eight goroutines wait at one line at every moment, those are at least three
tenths of the service's goroutines at work, and their waits end (they are served). With hot
processors it also takes queueing the runtime itself has measured: sampled waiters can be goroutines
that want a processor. Requests that pile up in a wait inside the process, and are answered all the
same, queue as well. For threads: most of a pool parked on a futex at every moment, woken in
between, while as many operations are begun and not ended.

The line named is where they wait. Halving the actors does not tell contention from livelock when
the lock is saturated: its throughput holds. Attempts per success does.

Do first: cut the concurrency in front of it to what it can serve. Then: hold it shorter, never
across a call; shard it; read without it; give the pool the size the database can serve. Watch the
wait for the lock, not its use.",
    run,
};

/// Waiters at one line from which it is a queue.
const QUEUE: u64 = 8;
/// Share of the goroutines at work that must wait there.
const SHARE: f64 = 0.3;

fn run(facts: &Facts<'_>) -> Option<Finding> {
    goroutines(facts)
        .or_else(|| growing_queue(facts))
        .or_else(|| threads(facts))
}

fn goroutines(facts: &Facts<'_>) -> Option<Finding> {
    let at_work = facts.families.at_work() as f64;
    let (_, track) = facts
        .families
        .tracks()
        .filter(|(_, track)| {
            is_shared_resource(track)
                && facts.dumps() >= 2
                && track.fewest() >= QUEUE
                && track.last() as f64 >= SHARE * at_work
                && facts.progress(track) == Progress::Yes
                && queues_while_hot(facts, track)
        })
        .max_by_key(|(_, track)| track.last())?;
    let mut evidence = vec![crowd(facts, track)];
    if let Some(rate) = facts.counters.completions_late {
        evidence.push(format!(
            "{} completed: the wait for one is about {:.2} s",
            per_second(rate),
            track.last() as f64 / rate.max(1e-9)
        ));
    }
    if let (WaitState::Lock, Some(wait)) = (&track.state, facts.counters.lock_wait_late) {
        evidence.push(format!("{wait:.1} s of lock waits end every second"));
    }
    if let Some(ended) = facts.ended_waits(track).filter(|ended| *ended > 0) {
        evidence.push(format!(
            "the block profile saw {ended} such waits end: they are served"
        ));
    }
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: None,
        confidence: Confidence::Certain,
        culprit: Some(track.culprit.clone()),
        resource: match track.state {
            WaitState::Lock => track.lock.map_or_else(
                || "one lock".to_owned(),
                |(address, _)| format!("the lock at {address:#x}"),
            ),
            WaitState::ChanSend => "a channel with too few receivers".to_owned(),
            _ => "a pool of connections".to_owned(),
        },
        remove: Ingredient::Resource,
        evidence,
        missing: Vec::new(),
        remedies: advice(),
    })
}

/// Requests that wait inside the process, more and more of them, and are served all the same.
fn growing_queue(facts: &Facts<'_>) -> Option<Finding> {
    let (family, growth) = growing_family(facts)?;
    let track = family.main_track()?;
    if !is_queueing_request(track)
        || !finishes(facts, family, growth)
        || super::fan_out::rises_with_load(facts, growth)
    {
        return None;
    }
    let mut evidence = vec![
        crowd(facts, track),
        format!("they grow by {:.1}/s", growth.per_second),
    ];
    if let Some(rate) = facts.counters.completions_late {
        evidence.push(format!(
            "{} are completed meanwhile: they are served, only too slowly",
            per_second(rate)
        ));
    }
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: None,
        confidence: Confidence::Likely,
        culprit: Some(track.culprit.clone()),
        resource: "what the requests wait for, one after the other".to_owned(),
        remove: Ingredient::Resource,
        evidence,
        missing: Vec::new(),
        remedies: advice(),
    })
}

/// A request that waits for something inside the process.
pub(super) fn is_queueing_request(track: &Track) -> bool {
    track.role == Role::Request
        && !track.outbound
        && matches!(
            track.state,
            WaitState::Lock
                | WaitState::ChanSend
                | WaitState::ChanReceive
                | WaitState::Select
                | WaitState::Cond
        )
}

/// Waits for something inside the process that serves one after the other.
fn is_shared_resource(track: &Track) -> bool {
    match track.state {
        WaitState::Lock => true,
        WaitState::ChanSend => matches!(track.role, Role::Request | Role::Own),
        WaitState::Select | WaitState::ChanReceive => is_pool(track),
        _ => false,
    }
}

/// Waits for a connection of a pool, or for a weighted semaphore.
pub(super) fn is_pool(track: &Track) -> bool {
    track.stack.any(|function| {
        function == "database/sql.(*DB).conn"
            || function.ends_with("semaphore.(*Weighted).Acquire")
            || function.ends_with("pgxpool.(*Pool).Acquire")
            || function.ends_with("pool.(*ConnPool).waitTurn")
            || function.ends_with("puddle/v2.(*Pool[...]).Acquire")
    })
}

/// With hot processors a sampled waiter may only be waiting for a processor. By Little's law the
/// mean number of true waiters is the wait that ends per second.
fn queues_while_hot(facts: &Facts<'_>, track: &Track) -> bool {
    if !facts.heat.hot() || track.state != WaitState::Lock {
        return true;
    }
    facts
        .counters
        .lock_wait_late
        .is_some_and(|wait| wait >= 0.5 * track.fewest() as f64)
}

fn threads(facts: &Facts<'_>) -> Option<Finding> {
    if facts.dumps() > 0 {
        return None;
    }
    let threads = facts.threads.as_ref()?;
    let pair = facts.counters.worst_pair()?;
    let most_wait = threads.parked >= 8 && threads.parked * 2 >= threads.count;
    let most_woken = threads.woken * 2 >= threads.count;
    // Parked and in the middle of an operation: not idle. Parked and with nothing begun: idle.
    let inside = pair.in_flight >= 0.5 * threads.parked as f64;
    let served = pair.successes > 0.1 && pair.ratio() < 2.0;
    if !(most_wait && most_woken && inside && served) {
        return None;
    }
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: None,
        confidence: Confidence::Likely,
        culprit: facts.capture.cpu.as_ref().and_then(|cpu| {
            let stacks: Vec<_> = cpu
                .samples
                .iter()
                .map(|sample| (&sample.stack, 1))
                .collect();
            crate::fact::loop_holder(&stacks)
        }),
        resource: "a lock the threads share".to_owned(),
        remove: Ingredient::Resource,
        evidence: vec![
            format!(
                "{} of {} threads named {} are parked on a futex at every moment, and {} were woken in between",
                threads.parked, threads.count, threads.family, threads.woken
            ),
            format!(
                "{:.0} operations are begun and not ended: the threads wait inside one, they are not idle",
                pair.in_flight
            ),
            format!(
                "{} succeed, as many as are tried",
                per_second(pair.successes)
            ),
        ],
        missing: vec!["thread stacks, to name the lock".to_owned()],
        remedies: advice(),
    })
}

fn advice() -> crate::finding::Remedies {
    remedies(
        &["cut the concurrency in front of it to what it can serve; shed the rest early"],
        &[
            "hold it for a shorter time, and never across a call to somebody else",
            "shard it by key, or read from a copy that is swapped whole",
        ],
        &["alert on the time spent waiting for the lock or pool, per request"],
    )
}
