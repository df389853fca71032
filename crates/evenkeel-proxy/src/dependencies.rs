//! What the policies say of themselves, read at each scrape.
//!
//! The bounds count for themselves, so nothing on a request's way counts it twice. What is off has
//! no series: a bulkhead of zero would look like one that is full.

use evenkeel::Dependency;
use evenkeel::core::breaker::{Mode, Snapshot as Breaker, State};
use evenkeel::core::bulkhead::Snapshot as Bulkhead;
use evenkeel::core::limiter::Snapshot as Limiter;
use evenkeel::core::policy::Snapshot;
use evenkeel::core::progress::{Snapshot as Progress, Verdict};
use evenkeel::core::rate::Snapshot as Rate;
use evenkeel::core::rejection::Reason;
use evenkeel::core::throttle::Snapshot as Throttle;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::time::Duration;

/// The dependencies of one proxy, each once.
#[derive(Debug)]
pub(crate) struct Dependencies(Vec<Dependency>);

impl Dependencies {
    /// What is read at each scrape.
    pub(crate) fn new(all: impl IntoIterator<Item = Dependency>) -> Dependencies {
        Dependencies(all.into_iter().collect())
    }
}

/// One metric of a dependency: its rows are told apart by one more label, if by any.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    label: &'static str,
    /// What a value is divided by.
    unit: u32,
    read: fn(&Snapshot) -> Vec<(&'static str, u64)>,
}

const FAMILIES: [Family; 25] = [
    Family {
        name: "retry_attempts",
        help: "Attempts by whether they were the first, a retry or a hedge",
        kind: MetricType::Counter,
        label: "outcome",
        unit: 1,
        read: |seen| {
            let tally = &seen.tally;
            vec![
                ("first", tally.first_attempts),
                ("retry", tally.retries),
                ("hedge", tally.hedges),
            ]
        },
    },
    Family {
        name: "circuit_breaker_state_changes",
        help: "Times the breaker entered a state",
        kind: MetricType::Counter,
        label: "to_state",
        unit: 1,
        read: |seen| match &seen.breaker {
            Some(breaker) => State::ALL
                .iter()
                .map(|state| state.as_str())
                .zip(breaker.entered)
                .collect(),
            None => Vec::new(),
        },
    },
    Family {
        name: "evenkeel_breaker_state",
        help: "The state the breaker is in",
        kind: MetricType::Gauge,
        label: "state",
        unit: 1,
        read: |seen| match &seen.breaker {
            Some(breaker) => State::ALL
                .iter()
                .map(|state| (state.as_str(), u64::from(*state == breaker.state)))
                .collect(),
            None => Vec::new(),
        },
    },
    Family {
        name: "evenkeel_breaker_mode",
        help: "Who decides about the breaker",
        kind: MetricType::Gauge,
        label: "mode",
        unit: 1,
        read: |seen| match &seen.breaker {
            Some(breaker) => Mode::ALL
                .iter()
                .map(|mode| (mode.as_str(), u64::from(*mode == breaker.mode)))
                .collect(),
            None => Vec::new(),
        },
    },
    Family {
        name: "evenkeel_breaker_unenforced",
        help: "Attempts that the breaker would have refused, had it not been observed only",
        kind: MetricType::Counter,
        label: "",
        unit: 1,
        read: |seen| {
            let unenforced = |breaker: &Breaker| ("", breaker.unenforced);
            seen.breaker.iter().map(unenforced).collect()
        },
    },
    Family {
        name: "evenkeel_breaker_running_slow",
        help: "Attempts that still run and that the breaker calls slow",
        kind: MetricType::Gauge,
        label: "",
        unit: 1,
        read: |seen| {
            let running = |breaker: &Breaker| ("", u64::from(breaker.running_slow));
            seen.breaker.iter().map(running).collect()
        },
    },
    Family {
        name: "bulkhead_active_calls",
        help: "Slots in use",
        kind: MetricType::Gauge,
        label: "",
        unit: 1,
        read: |seen| {
            seen.bulkhead
                .iter()
                .map(|bulkhead| ("", u64::from(bulkhead.in_use)))
                .collect()
        },
    },
    Family {
        name: "bulkhead_max_concurrent",
        help: "Slots there are",
        kind: MetricType::Gauge,
        label: "",
        unit: 1,
        read: |seen| {
            seen.bulkhead
                .iter()
                .map(|bulkhead| ("", u64::from(bulkhead.limit)))
                .collect()
        },
    },
    Family {
        name: "evenkeel_bulkhead_waiting",
        help: "Calls in line for a slot",
        kind: MetricType::Gauge,
        label: "",
        unit: 1,
        read: |seen| {
            let waiting = |bulkhead: &Bulkhead| ("", u64::from(bulkhead.waiting));
            seen.bulkhead.iter().map(waiting).collect()
        },
    },
    Family {
        name: "evenkeel_bulkhead_oldest_wait_seconds",
        help: "How long the first in line for a slot has waited",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            let age = |bulkhead: &Bulkhead| ("", millis(bulkhead.oldest_wait));
            seen.bulkhead.iter().map(age).collect()
        },
    },
    Family {
        name: "evenkeel_bulkhead_oldest_permit_seconds",
        help: "How long the oldest slot in use has been held: one that only grows is a leak",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            let age = |bulkhead: &Bulkhead| ("", millis(bulkhead.oldest_permit));
            seen.bulkhead.iter().map(age).collect()
        },
    },
    Family {
        name: "bulkhead_rejections",
        help: "Calls refused for want of a slot",
        kind: MetricType::Counter,
        label: "",
        unit: 1,
        read: |seen| {
            let refused = |reason: Reason| seen.tally.rejections[reason.index()];
            let all = [Reason::BulkheadFull, Reason::QueueFull, Reason::WaitTimeout];
            seen.bulkhead
                .iter()
                .map(|_| ("", all.map(refused).iter().sum()))
                .collect()
        },
    },
    Family {
        name: "evenkeel_rejections",
        help: "Calls refused before anything was sent, by bound",
        kind: MetricType::Counter,
        label: "reason",
        unit: 1,
        read: |seen| {
            Reason::ALL
                .iter()
                .map(|reason| reason.as_str())
                .zip(seen.tally.rejections)
                .collect()
        },
    },
    Family {
        name: "evenkeel_retry_budget_tokens",
        help: "Retry tokens left",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            seen.budget
                .iter()
                .map(|budget| ("", budget.balance_milli))
                .collect()
        },
    },
    Family {
        name: "evenkeel_hedge_budget_tokens",
        help: "Hedge tokens left, of the operation that has the fewest",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            let budgets = seen.operations.iter().filter_map(|it| it.hedges.as_ref());
            let least = budgets.map(|budget| budget.balance_milli).min();
            least.map(|tokens| ("", tokens)).into_iter().collect()
        },
    },
    Family {
        name: "evenkeel_concurrency_limit",
        help: "Attempts that may be under way at present, as the adaptive limit has found",
        kind: MetricType::Gauge,
        label: "",
        unit: 1,
        read: |seen| {
            let limit = |limiter: &Limiter| ("", u64::from(limiter.limit));
            seen.limiter.iter().map(limit).collect()
        },
    },
    Family {
        name: "evenkeel_concurrency_inflight",
        help: "Attempts under way, as the adaptive limit counts them",
        kind: MetricType::Gauge,
        label: "",
        unit: 1,
        read: |seen| {
            let in_flight = |limiter: &Limiter| ("", u64::from(limiter.in_flight));
            seen.limiter.iter().map(in_flight).collect()
        },
    },
    Family {
        name: "evenkeel_throttle_held_back_ratio",
        help: "The share of attempts that is not sent at present",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            let share = |throttle: &Throttle| ("", u64::from(throttle.held_back.permille()));
            seen.throttle.iter().map(share).collect()
        },
    },
    Family {
        name: "evenkeel_rate_remaining",
        help: "Calls that the rate would admit at once",
        kind: MetricType::Gauge,
        label: "",
        unit: 1,
        read: |seen| {
            let left = |rate: &Rate| ("", u64::from(rate.remaining));
            seen.rate.iter().map(left).collect()
        },
    },
    Family {
        name: "evenkeel_progress_verdict",
        help: "Whether work gets done",
        kind: MetricType::Gauge,
        label: "verdict",
        unit: 1,
        read: |seen| {
            let all = |progress: &Progress| {
                let is = |verdict: Verdict| u64::from(verdict == progress.verdict);
                Verdict::ALL.map(|verdict| (verdict.as_str(), is(verdict)))
            };
            progress(seen).into_iter().flat_map(all).collect()
        },
    },
    Family {
        name: "evenkeel_progress_oldest_call_seconds",
        help: "How long the oldest call that has to wait has run",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            let oldest = |progress: &Progress| ("", millis(progress.oldest));
            progress(seen).into_iter().map(oldest).collect()
        },
    },
    Family {
        name: "evenkeel_progress_last_success_age_seconds",
        help: "How long ago a call ended well",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            let age = |progress: &Progress| Some(("", millis(Some(progress.since_success?))));
            progress(seen).into_iter().filter_map(age).collect()
        },
    },
    Family {
        name: "evenkeel_progress_success_rate",
        help: "Calls a second that end well, of late",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            let rate = |progress: &Progress| ("", progress.per_thousand_seconds);
            progress(seen).into_iter().map(rate).collect()
        },
    },
    Family {
        name: "evenkeel_progress_baseline_rate",
        help: "Calls a second that usually end well, as learned: compare the rate with it",
        kind: MetricType::Gauge,
        label: "",
        unit: 1000,
        read: |seen| {
            let usual = |progress: &Progress| Some(("", progress.usual?));
            progress(seen).into_iter().filter_map(usual).collect()
        },
    },
    Family {
        name: "evenkeel_attempts_in_flight",
        help: "Attempts under way, their bodies included",
        kind: MetricType::Gauge,
        label: "",
        unit: 1,
        read: |seen| vec![("", seen.tally.in_flight())],
    },
];

/// Of all calls: the proxy names no operations.
fn progress(seen: &Snapshot) -> Option<&Progress> {
    seen.operations.first().map(|operation| &operation.progress)
}

fn millis(age: Option<Duration>) -> u64 {
    let millis = age.unwrap_or_default().as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX)
}

impl Collector for Dependencies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now: Vec<(&str, Snapshot)> = self
            .0
            .iter()
            .map(|dependency| (dependency.name(), dependency.snapshot()))
            .collect();
        for family in FAMILIES {
            let Family {
                name,
                help,
                kind,
                label,
                unit,
                read,
            } = family;
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (dependency, seen) in &now {
                for (value, count) in read(seen) {
                    let mut labels = vec![("dependency", *dependency)];
                    if !label.is_empty() {
                        labels.push((label, value));
                    }
                    let mut row = metric.encode_family(&labels)?;
                    if matches!(kind, MetricType::Counter) {
                        row.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                    } else {
                        // Exact up to 2^53, and no gauge of ours comes near.
                        #[expect(clippy::cast_precision_loss, reason = "see above")]
                        row.encode_gauge(&(count as f64 / f64::from(unit)))?;
                    }
                }
            }
        }
        Ok(())
    }
}
