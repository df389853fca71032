//! A dependency that cannot answer is asked again and again.

use super::retrying::{evidence, retrying};
use super::{Check, remedies};
use crate::fact::Facts;
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};

pub(super) const CHECK: Check = Check {
    code: "EKD001",
    verdict: Verdict::RetryStorm,
    summary: "attempts at a dependency far outnumber successes",
    page: "\
Retry storm: a dependency is down or slow, and every caller asks it again at once. The attempts
are load; the load keeps the dependency down.

Called when the attempts (at least 20/s) outnumber the successes by four, or nothing succeeds at all,
and the callers' stacks or the processor profile are on the network, or a broker hands the same messages out again. Attempts that each bring a newcomer
who stays are no retries: that is a blocking call or a leak.

Do first: cut the callers' concurrency, open the circuit by hand, park the poison message.
Then: a retry budget per dependency (10 to 20 %), exponential back-off with full or decorrelated
jitter, a cap on attempts, a dead-letter queue. Watch attempts per success.",
    run,
};

fn run(facts: &Facts<'_>) -> Option<Finding> {
    let found = retrying(facts)?;
    let redelivered = found.pair.is_some_and(|pair| pair.redelivered);
    if !found.network && !redelivered {
        return None;
    }
    let mut evidence = evidence(facts, &found);
    evidence.push(if found.network {
        "the stacks of those who try are on the network: somebody else is asked".to_owned()
    } else {
        "failed messages are handed back and delivered again".to_owned()
    });
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: redelivered.then_some("redelivery"),
        confidence: if found.pair.is_some() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        culprit: found.culprit,
        resource: if redelivered {
            "the broker's queue".to_owned()
        } else {
            "the dependency behind the call".to_owned()
        },
        remove: Ingredient::Loop,
        evidence,
        missing: Vec::new(),
        remedies: remedies(
            &[
                "cut the number of concurrent callers, or open the circuit to this dependency by hand",
                "move messages that keep failing to a dead-letter queue",
            ],
            &[
                "retry with a budget shared per dependency, a cap on attempts and decorrelated jitter",
                "honour Retry-After; do not retry what cannot succeed",
            ],
            &["alert when attempts per success stays above 10, or retries above 30 % of attempts"],
        ),
    })
}
