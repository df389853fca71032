//! The rules, one file each: the condition, its manual page and its examples together.

mod compare_and_swap;
mod ek101_retry_without_jitter;
mod ek102_retry_without_bound;
mod ek103_retry_sleep_ignores_context;
mod ek104_backoff_without_cap;
mod ek105_constant_backoff;
mod ek106_retry_non_retryable;
mod ek107_retry_after_ignored;
mod ek108_retry_non_idempotent;
mod ek109_nested_retry;
mod ek110_own_retry_loop;
mod ek201_spin_compare_and_swap;
mod ek202_heavy_compare_and_swap;
mod ek203_try_lock_poll;
mod ek204_read_then_write_lock;
mod ek205_state_check_then_act;
mod ek206_lock_order;
mod ek207_uncounted_compare_and_swap;
mod ek208_lock_across_retry;
mod ek301_detached_context;
mod ek302_cancel_lost;
mod ek303_loop_ignores_context;
mod ek304_context_in_struct;
mod ek305_context_ignored;
mod ek306_io_without_context;
mod ek401_http_without_timeout;
mod ek402_dial_without_timeout;
mod ek501_orphan_task;
mod ek502_unbounded_queue;
mod ek503_unclosed_channel;
mod ek504_unbounded_fan_out;
mod ek505_select_drops_progress;
mod ek506_blocking_sleep_in_async;
mod ek601_shared_seed;
mod intent;

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
    &ek110_own_retry_loop::RULE,
    &ek201_spin_compare_and_swap::RULE,
    &ek202_heavy_compare_and_swap::RULE,
    &ek203_try_lock_poll::RULE,
    &ek204_read_then_write_lock::RULE,
    &ek205_state_check_then_act::RULE,
    &ek206_lock_order::RULE,
    &ek207_uncounted_compare_and_swap::RULE,
    &ek208_lock_across_retry::RULE,
    &ek301_detached_context::RULE,
    &ek302_cancel_lost::RULE,
    &ek303_loop_ignores_context::RULE,
    &ek304_context_in_struct::RULE,
    &ek305_context_ignored::RULE,
    &ek306_io_without_context::RULE,
    &ek401_http_without_timeout::RULE,
    &ek402_dial_without_timeout::RULE,
    &ek501_orphan_task::RULE,
    &ek502_unbounded_queue::RULE,
    &ek503_unclosed_channel::RULE,
    &ek504_unbounded_fan_out::RULE,
    &ek505_select_drops_progress::RULE,
    &ek506_blocking_sleep_in_async::RULE,
    &ek601_shared_seed::RULE,
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

pub(crate) fn lock_pairs(view: &View<'_>) -> Vec<LockPair> {
    ek206_lock_order::pairs(view)
        .into_iter()
        .map(|(_, pair)| pair)
        .collect()
}

/// Names on which the file calls `close`.
pub(crate) fn closed_channels(view: &View<'_>) -> Vec<String> {
    ek503_unclosed_channel::closed(view)
}

/// One loop, one finding: constant back-off is said within the finding about its jitter.
pub(crate) fn merge(findings: &mut Vec<Finding>) {
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings.drain(..) {
        let jitter = kept.iter_mut().find(|k| {
            finding.code == "EK105" && k.code == "EK101" && k.place.line == finding.place.line
        });
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
