//! Actors that keep undoing each other.

use super::retrying::{evidence, retrying};
use super::{Check, remedies};
use crate::fact::Facts;
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};

pub(super) const CHECK: Check = Check {
    code: "EKD002",
    verdict: Verdict::Livelock,
    summary: "actors retry against each other: busy, and nothing gets done",
    page: "\
Livelock: several actors want the same resource, each gives way or fails when it meets another, and
all try again in the same manner. Nobody waits, so nothing looks stuck; nothing is finished either.

Called when attempts (at least 20/s) outnumber successes by five while the processors are wanted by
more than they have, or at a thousand attempts a second, or when nothing succeeds at all at a
hundred a second, and no network is involved. Without counters it takes hot processors, at least four goroutines of one
family at every moment, the processor profile in that family and in TryLock, CompareAndSwap or
Gosched, and no counter of finished work rising. A loop that succeeds about as often as it tries
is busy, not livelocked, however hot.

The function named is the one all actors share that calls the primitive of trying again, or else
the operation they perform over and over.

Four ingredients are needed: actors, a resource, a loop, symmetry. Take one away. Do first: cut
the concurrency to one and watch throughput rise. Then: take the lock instead of trying it, give
the locks one global order, shorten the window between read and compare-and-swap, shard the
resource, back off with jitter. Watch attempts per success.",
    run,
};

fn run(facts: &Facts<'_>) -> Option<Finding> {
    let found = retrying(facts)?;
    if found.network || found.pair.is_some_and(|pair| pair.redelivered) {
        return None;
    }
    let where_ = found
        .culprit
        .as_ref()
        .map_or_else(|| "the loop".to_owned(), |frame| frame.function.clone());
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: None,
        confidence: if found.pair.is_some() && facts.heat.hot() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        evidence: evidence(facts, &found),
        culprit: found.culprit,
        resource: format!("what {where_} reads, tries and fails to change"),
        remove: Ingredient::Symmetry,
        missing: Vec::new(),
        remedies: remedies(
            &[
                "cut the number of workers at once; if throughput rises, this was it",
                "shed load that competes for the same resource",
            ],
            &[
                "take the lock and wait instead of trying and failing; give several locks one global order",
                "do the slow part outside the read-and-swap window, or shard the resource",
                "back off with jitter, and count and cap the attempts",
            ],
            &["alert when attempts per success stays above 10"],
        ),
    })
}
