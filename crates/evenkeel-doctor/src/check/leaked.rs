//! Goroutines the collector proved can never be woken.

use super::{Check, grouped};
use crate::fact::Facts;
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};
use crate::goroutine::{Group, WaitState};

pub(super) const CHECK: Check = Check {
    code: "EKD003",
    verdict: Verdict::Leak,
    summary: "the collector proved goroutines unreachable: nobody can wake them",
    page: "\
Leaked goroutines, by proof: Go's goroutineleak profile (Go 1.27, or 1.26 with the experiment) marks
goroutines that wait on a channel or lock which nothing that can still run can reach. Nothing will
ever wake them. One is enough.

Called when the profile lists at least one, or a dump marks goroutines `(leaked)`. The profile is
blind to channels and locks that a global or a live handler can still reach, to waits for the
network and to timers: an empty profile proves nothing, and the checks on growth go on.

Where the waiters are on locks, it is a deadlock. Do first: restart, after a capture. Then: make the
send or receive select on the context too, buffer a channel that has one sender and one answer,
close what others range over, unlock with defer. Watch the number of goroutines.",
    run,
};

fn run(facts: &Facts<'_>) -> Option<Finding> {
    let from_profile = facts
        .capture
        .leaked
        .as_ref()
        .map_or(0, super::super::goroutine::Goroutines::total);
    let marked: Vec<&Group> = facts
        .capture
        .dumps()
        .next_back()
        .map(|dump| {
            dump.groups
                .iter()
                .filter(|group| group.leaked > 0)
                .collect()
        })
        .unwrap_or_default();
    let marked_total: u64 = marked.iter().map(|group| group.leaked).sum();
    let total = from_profile.max(marked_total);
    if total == 0 {
        return None;
    }
    let largest = match &facts.capture.leaked {
        Some(leaked) if from_profile > 0 => leaked.groups.first(),
        _ => marked.iter().copied().max_by_key(|group| group.leaked),
    };
    // The profile does not say who started them; the dump that shows the same stack does.
    let culprit = largest
        .map(|group| {
            let started = facts
                .capture
                .dumps()
                .next_back()
                .and_then(|dump| dump.groups.iter().find(|seen| seen.stack == group.stack));
            started.unwrap_or(group).culprit().cloned()
        })
        .unwrap_or_default();
    // The leak profile's text has no states; the dump that shows the same line does.
    let state = culprit.as_ref().and_then(|frame| {
        facts
            .families
            .tracks()
            .find(|(_, track)| track.culprit == *frame)
            .map(|(_, track)| track.state.clone())
    });
    let deadlock = state == Some(WaitState::Lock)
        || largest.is_some_and(|group| {
            group.stack.any(|function| {
                function.starts_with("sync.(*Mutex)") || function.starts_with("sync.(*RWMutex)")
            })
        });
    let mut evidence = vec![format!(
        "the collector found {} goroutines that nothing reachable can wake",
        grouped(total)
    )];
    if let (Some(group), Some(frame)) = (largest, &culprit) {
        evidence.push(format!(
            "{} of them stand at {} ({})",
            grouped(group.count.max(group.leaked)),
            frame.function,
            frame.location()
        ));
    }
    if let Some(growth) = crate::fact::growth(&facts.population) {
        evidence.push(format!(
            "goroutines grow by {:.1}/s: {:.0} to {:.0} in {:.0} s",
            growth.per_second, growth.first, growth.last, growth.seconds
        ));
    }
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: deadlock.then_some("deadlock"),
        confidence: Confidence::Certain,
        culprit,
        resource: state.map_or_else(
            || "a channel or lock nobody else can reach".to_owned(),
            |state| match state {
                WaitState::Lock => "a lock whose holder will never release it".to_owned(),
                _ => "a channel nobody else can reach".to_owned(),
            },
        ),
        remove: Ingredient::Resource,
        evidence,
        missing: Vec::new(),
        remedies: super::leak::remedies_for(deadlock),
    })
}
