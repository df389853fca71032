//! The rules, one file each: the condition, its manual page and its examples together.

mod ek101_retry_without_jitter;
mod ek102_retry_without_bound;
mod ek103_retry_sleep_ignores_context;
mod ek104_backoff_without_cap;
mod ek105_constant_backoff;
mod ek106_retry_non_retryable;
mod ek107_retry_after_ignored;
mod ek108_retry_non_idempotent;
mod ek109_nested_retry;

use crate::facts::loops::{LoopFacts, LoopKind, Operation};
use crate::facts::words::Remote;
use crate::facts::{Traits, View};
use crate::finding::Finding;
use crate::index::Index;
use crate::rule::Rule;

static RULES: &[&Rule] = &[
    &ek101_retry_without_jitter::RULE,
    &ek102_retry_without_bound::RULE,
    &ek103_retry_sleep_ignores_context::RULE,
    &ek104_backoff_without_cap::RULE,
    &ek105_constant_backoff::RULE,
    &ek106_retry_non_retryable::RULE,
    &ek107_retry_after_ignored::RULE,
    &ek108_retry_non_idempotent::RULE,
    &ek109_nested_retry::RULE,
];

/// All rules, in the order of their codes.
#[must_use]
pub fn all() -> &'static [&'static Rule] {
    RULES
}

/// Two locks taken one inside the other.
#[derive(Clone, Debug)]
pub(crate) struct LockPair {
    pub(crate) first: String,
    pub(crate) second: String,
    pub(crate) line: u32,
}

pub(crate) fn lock_pairs(_view: &View<'_>) -> Vec<LockPair> {
    Vec::new()
}

pub(crate) fn closed_channels(_view: &View<'_>) -> Vec<String> {
    Vec::new()
}

/// One loop, one finding: constant back-off is said within the finding about its jitter.
pub(crate) fn merge(findings: &mut Vec<Finding>) {
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings.drain(..) {
        let jitter = kept.iter_mut().find(|k| finding.code == "EK105" && k.code == "EK101" && k.place.line == finding.place.line);
        match jitter {
            Some(jitter) => jitter.also.push(finding.code),
            None => kept.push(finding),
        }
    }
    *findings = kept;
}

/// Loops that try one operation again.
fn retries<'v>(view: &'v View<'_>) -> impl Iterator<Item = (&'v LoopFacts, &'v Operation)> {
    view.loops.iter().filter_map(|l| {
        let operation = l.operation.as_ref()?;
        matches!(l.kind, LoopKind::Retry | LoopKind::Reconnect).then_some((l, operation))
    })
}

/// Whether the retried operation leaves the machine: by its name, or because the package's function
/// of that name calls something that does.
fn is_remote(operation: Remote, name: &str, index: &Index, package: &str) -> bool {
    match operation {
        Remote::Yes => true,
        Remote::No => false,
        Remote::Unknown => index.has(package, name, Traits::REMOTE) == Some(true),
    }
}
