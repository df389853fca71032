//! An async runtime whose workers are stuck in blocking calls.

use super::{Check, remedies};
use crate::fact::Facts;
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};

pub(super) const CHECK: Check = Check {
    code: "EKD004",
    verdict: Verdict::BlockingCall,
    summary: "tasks queue for workers that are busy and use no processor: they block",
    page: "\
Blocked executor: a task on an async runtime calls something that blocks the thread (a sleep, a file, a
database driver, a lock). Its worker serves nobody meanwhile. With as many such calls as workers,
everything stands, health checks included.

Called when the workers are inside a poll most of the time, and the tasks that wait for one climb
while processors are free, or the threads hardly want a processor at all. Busy workers that do compute are a fan-out instead.

Do first: restart after a capture; add workers only to buy time. Then: move the call to spawn_blocking or use
the async form of it. Watch the queue of the runtime and the longest poll.",
    run,
};

fn run(facts: &Facts<'_>) -> Option<Finding> {
    let tasks = facts.tasks.as_ref()?;
    let busy = tasks.busy?;
    // Busy workers block or compute. The demand for processors tells which; what was used does so only where
    // it is next to nothing, for a neighbour may have had the rest.
    let told = facts.heat.known() || facts.heat.used.is_some_and(|used| used < 0.2);
    if busy < 0.7 || facts.heat.hot() || !told {
        return None;
    }
    // A producer that runs on the same workers is held back with everybody else, so the queue need
    // not grow; then the processors must have been seen to be hardly wanted.
    let idle = facts.heat.demand.is_some_and(|demand| demand < 0.4);
    if tasks.queued.is_none() && !idle {
        return None;
    }
    let mut evidence = vec![format!(
        "the workers are inside a poll {:.0} % of the time",
        busy * 100.0
    )];
    if let Some(queued) = tasks.queued {
        evidence.push(format!(
            "tasks that wait for a worker grow: {:.0} to {:.0} in {:.0} s, of {:.0} alive",
            queued.first, queued.last, queued.seconds, tasks.alive_last
        ));
    }
    evidence.extend(facts.heat.sentence());
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: Some("blocked-executor"),
        confidence: Confidence::Certain,
        culprit: None,
        resource: "the runtime's worker threads".to_owned(),
        remove: Ingredient::Resource,
        evidence,
        missing: vec!["thread stacks, to name the blocking call".to_owned()],
        remedies: remedies(
            &["restart after a capture; more workers only buy time"],
            &["move the blocking call to spawn_blocking, or use its async form with a timeout"],
            &["alert on the runtime's queue depth and on its longest poll"],
        ),
    })
}
