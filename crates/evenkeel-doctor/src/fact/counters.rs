//! What is tried, what succeeds, and what is done at all, read from counters.
//!
//! Names are split into words and only whole words count: `nacked` is not `acked`, and `received`
//! is nobody's success.

use crate::capture::Capture;
use crate::prometheus::{Metrics, Series};

const TRIED: &[&str] = &[
    "attempt",
    "attempted",
    "tries",
    "tried",
    "try",
    "pick",
    "picked",
    "delivered",
    "deliveries",
    "delivery",
    "dequeued",
    "begun",
    "claim",
    "spin",
    "dial",
    "started",
    "begin",
    "initiated",
];
/// Of these, the words that leave no doubt whatever stands beside them.
const SURELY_TRIED: &[&str] = &["attempt", "attempted", "tries", "tried", "try"];
const SUCCEEDED: &[&str] = &[
    "success",
    "successes",
    "succeeded",
    "successful",
    "ok",
    "ack",
    "acked",
    "finished",
    "completed",
    "completion",
    "done",
    "commit",
    "committed",
    "won",
    "win",
    "applied",
    "processed",
    "acquired",
    "granted",
    "handled",
    "served",
    "written",
    "settled",
];
const FAILED: &[&str] = &[
    "nack",
    "nacked",
    "failed",
    "failure",
    "error",
    "conflict",
    "abort",
    "aborted",
    "rollback",
    "requeue",
    "requeued",
    "rejected",
    "retries",
    "retried",
    "retry",
    "misses",
    "timeout",
    "lost",
    "redelivered",
    "redeliveries",
    "redelivery",
    "collision",
    "refused",
    "backoff",
    "yield",
];
/// Failures that are followed by another try of the same thing; an error may be final.
const TRIED_AGAIN: &[&str] = &[
    "nack",
    "nacked",
    "conflict",
    "abort",
    "aborted",
    "rollback",
    "requeue",
    "requeued",
    "retries",
    "retried",
    "retry",
    "redelivered",
    "redeliveries",
    "redelivery",
    "collision",
    "backoff",
    "yield",
];
/// Words for what comes in, whether or not anything becomes of it.
const ARRIVED: &[&str] = &[
    "received",
    "arrived",
    "arrival",
    "incoming",
    "enqueued",
    "submitted",
    "scheduled",
    "published",
    "dropped",
    "conns",
    "opened",
    "accepted",
];
/// Words that carry no topic, so two counters that share only these are not a pair.
const EMPTY: &[&str] = &["total", "count", "seconds", "bytes", "http"];
/// Families of metrics that tell of the runtime, not of the service's work.
const RUNTIME: &[&str] = &[
    "go", "process", "tokio", "promhttp", "scrape", "runtime", "python", "jvm",
];

/// Attempts and the successes they led to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    pub(crate) attempts_name: String,
    pub(crate) successes_name: String,
    /// Per second over the whole capture.
    pub(crate) attempts: f64,
    pub(crate) successes: f64,
    /// Begun and not ended at the last scrape.
    pub(crate) in_flight: f64,
    /// Whether nothing but their being the only two counters of their kind ties them together.
    pub(crate) loose: bool,
    /// Whether messages come from outside and are handed back: a broker, not a loop of our own.
    pub(crate) redelivered: bool,
}

impl Pair {
    /// Attempts per success; a success every ten seconds is as good as none.
    pub(crate) fn ratio(&self) -> f64 {
        self.attempts / self.successes.max(0.1)
    }
}

/// What the counters say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    pub(crate) pairs: Vec<Pair>,
    /// Work finished per second in the second half; `None` without any counter of work.
    pub(crate) completions_late: Option<f64>,
    /// Seconds of lock waits that ended, per second, in the second half.
    pub(crate) lock_wait_late: Option<f64>,
    /// Goroutines or tasks started per second in the first and in the second half.
    pub(crate) started: Option<(f64, f64)>,
    /// Requests or other work that came in per second, in the first and in the second half.
    pub(crate) arrivals: Option<(f64, f64)>,
    /// Seconds covered.
    pub(crate) span: f64,
}

struct Named<'a> {
    series: &'a Series,
    topic: Vec<&'a str>,
    tried: bool,
    succeeded: bool,
    failed: bool,
    tried_again: bool,
    requests: bool,
    responses: bool,
    arrived: bool,
}

impl Counters {
    pub(crate) fn of(capture: &Capture) -> Self {
        let Some(metrics) = &capture.metrics else {
            return Self::default();
        };
        let named = service_counters(metrics);
        Self {
            pairs: pairs(&named),
            completions_late: completions_late(&named),
            arrivals: named
                .iter()
                .filter(|counter| counter.requests || counter.arrived)
                .filter(|counter| counter.series.points.len() >= 4)
                .map(|counter| counter.series.rate_halves())
                .max_by(|a, b| a.1.total_cmp(&b.1)),
            lock_wait_late: [
                "go_sync_mutex_wait_total_seconds_total",
                "go_sync_mutex_wait_seconds_total",
            ]
            .iter()
            .find_map(|name| metrics.get(name))
            .filter(|series| series.points.len() >= 3)
            .map(|series| series.rate_halves().1),
            started: [
                "go_sched_goroutines_created_goroutines_total",
                "tokio_spawned_tasks_total",
            ]
            .iter()
            .find_map(|name| metrics.get(name))
            .filter(|series| series.points.len() >= 4)
            .map(Series::rate_halves),
            span: metrics.span(),
        }
    }

    /// The pair with the most attempts in vain.
    pub(crate) fn worst_pair(&self) -> Option<&Pair> {
        self.pairs
            .iter()
            .max_by(|a, b| (a.attempts - a.successes).total_cmp(&(b.attempts - b.successes)))
    }
}

fn service_counters(metrics: &Metrics) -> Vec<Named<'_>> {
    metrics
        .series
        .iter()
        .filter(|series| series.name.ends_with("_total") || series.name.ends_with("_count"))
        .filter_map(|series| {
            let words: Vec<&str> = series.name.split(['_', ':']).collect();
            if words.first().is_some_and(|first| RUNTIME.contains(first)) {
                return None;
            }
            let is =
                |set: &[&str], word: &str| set.contains(&word) || set.contains(&singular(word));
            let any = |set: &[&str]| words.iter().any(|word| is(set, word));
            let failed = any(FAILED);
            Some(Named {
                series,
                // `commit_attempts` counts attempts, `dial_success` counts successes.
                tried: !failed && (any(SURELY_TRIED) || (any(TRIED) && !any(SUCCEEDED))),
                succeeded: any(SUCCEEDED) && !failed && !any(SURELY_TRIED),
                failed,
                tried_again: any(TRIED_AGAIN),
                requests: words.contains(&"requests"),
                responses: words.contains(&"responses"),
                arrived: any(ARRIVED),
                topic: words
                    .iter()
                    .copied()
                    .filter(|word| {
                        !(is(TRIED, word)
                            || is(SUCCEEDED, word)
                            || is(FAILED, word)
                            || is(EMPTY, word))
                    })
                    .map(singular)
                    .collect(),
            })
        })
        .collect()
}

fn pairs(named: &[Named<'_>]) -> Vec<Pair> {
    let shared = |a: &Named<'_>, b: &Named<'_>| {
        if a.series.labels != b.series.labels {
            return None;
        }
        let common = a.topic.iter().filter(|word| b.topic.contains(word)).count();
        // Two counters without a topic (`attempts_total`, `success_total`) belong together.
        (common > 0 || (a.topic.is_empty() && b.topic.is_empty())).then_some(common)
    };
    let best = |one: &Named<'_>, test: &dyn Fn(&Named<'_>) -> bool| {
        named
            .iter()
            .filter(|other| test(other))
            .filter_map(|other| shared(one, other).map(|common| (common, other)))
            .max_by_key(|(common, _)| *common)
            .map(|(_, other)| other)
    };
    let mut pairs = Vec::new();
    for tried in named
        .iter()
        .filter(|counter| counter.tried && !counter.succeeded)
    {
        let attempts = tried.series.rate();
        let failed = best(tried, &|other| other.failed);
        let success = best(tried, &|other| other.succeeded).or_else(|| {
            // `swap_attempts` beside `swaps`: what is not called an attempt is what came of it.
            best(tried, &|other| {
                !other.tried && !other.failed && failed.is_none()
            })
        });
        if let Some(success) = success {
            pairs.push(Pair {
                attempts_name: tried.series.name.clone(),
                successes_name: success.series.name.clone(),
                attempts,
                successes: success.series.rate(),
                in_flight: tried.series.last() - success.series.last(),
                loose: false,
                redelivered: redelivers(failed),
            });
        } else if let Some(failed) = failed {
            let failures = failed.series.rate();
            pairs.push(Pair {
                attempts_name: tried.series.name.clone(),
                successes_name: format!("{} less {}", tried.series.name, failed.series.name),
                attempts,
                successes: (attempts - failures).max(0.0),
                in_flight: 0.0,
                loose: false,
                redelivered: redelivers(Some(failed)),
            });
        }
    }
    // Successes and failures without a counter of attempts add up to them.
    for success in named.iter().filter(|counter| counter.succeeded) {
        if pairs
            .iter()
            .any(|pair| pair.successes_name == success.series.name)
        {
            continue;
        }
        if let Some(failed) = best(success, &|other| other.tried_again) {
            let successes = success.series.rate();
            pairs.push(Pair {
                attempts_name: format!("{} plus {}", success.series.name, failed.series.name),
                successes_name: success.series.name.clone(),
                attempts: successes + failed.series.rate(),
                successes,
                in_flight: 0.0,
                loose: false,
                redelivered: redelivers(Some(failed)),
            });
        }
    }
    // A counter of retries or conflicts alone: what gets done beside it stands for the successes.
    let done = |other: &Named<'_>| !other.tried && !other.failed;
    for failed in named.iter().filter(|counter| counter.tried_again) {
        if !pairs.is_empty() {
            break;
        }
        let (successes, name) = match best(failed, &done) {
            Some(success) => (success.series.rate(), success.series.name.clone()),
            None => match completions_late(named) {
                Some(rate) => (rate, "completions".to_owned()),
                None => continue,
            },
        };
        pairs.push(Pair {
            attempts_name: format!("{name} plus {}", failed.series.name),
            successes_name: name,
            attempts: successes + failed.series.rate(),
            successes,
            in_flight: 0.0,
            loose: false,
            redelivered: redelivers(Some(failed)),
        });
    }
    if pairs.is_empty() {
        pairs.extend(in_step(named, &best));
    }
    pairs.extend(loose_pair(named).filter(|_| pairs.is_empty()));
    pairs
}

/// Failures that rise in step with another counter of the same things: whatever that one is called, most
/// of what it counts fails.
fn in_step<'a>(
    named: &'a [Named<'a>],
    best: &impl Fn(&Named<'_>, &dyn Fn(&Named<'_>) -> bool) -> Option<&'a Named<'a>>,
) -> Option<Pair> {
    named
        .iter()
        .filter(|counter| counter.failed)
        .find_map(|failed| {
            let failures = failed.series.rate();
            // What a client of this service asks for and is refused is the client's to try again.
            let all = best(failed, &|other| {
                let rate = other.series.rate();
                !other.failed && !other.succeeded && !other.requests && rate >= 0.98 * failures
            })?;
            let attempts = all.series.rate();
            (failures > 0.5 * attempts).then(|| Pair {
                attempts_name: all.series.name.clone(),
                successes_name: format!("{} less {}", all.series.name, failed.series.name),
                attempts,
                successes: (attempts - failures).max(0.0),
                in_flight: 0.0,
                loose: false,
                redelivered: redelivers(Some(failed)),
            })
        })
}

/// The one counter of attempts and the one of successes there are, whatever they are named after.
fn loose_pair(named: &[Named<'_>]) -> Option<Pair> {
    let only = |test: &dyn Fn(&&Named<'_>) -> bool| {
        let mut found = named.iter().filter(|counter| test(counter));
        found.next().filter(|_| found.next().is_none())
    };
    let tried = only(&|counter| counter.tried && !counter.succeeded)?;
    let success = only(&|counter| counter.succeeded)?;
    Some(Pair {
        attempts_name: tried.series.name.clone(),
        successes_name: success.series.name.clone(),
        attempts: tried.series.rate(),
        successes: success.series.rate(),
        in_flight: 0.0,
        loose: true,
        redelivered: false,
    })
}

/// A word without the ending of a plural.
fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(stem) if stem.len() >= 3 && !stem.ends_with('s') => stem,
        _ => word,
    }
}

/// Whether the failures are messages given back to whoever sends them again.
fn redelivers(failed: Option<&Named<'_>>) -> bool {
    failed.is_some_and(|failed| {
        failed
            .series
            .name
            .split('_')
            .any(|word| matches!(word, "nacked" | "nacks" | "redelivered" | "redeliveries"))
    })
}

/// Work finished per second in the second half. Responses and successes are work; where neither is
/// counted, any counter that is neither tries nor failures stands in. One piece of work may be counted at
/// several stations, so the busiest counter is taken, not the sum.
fn completions_late(named: &[Named<'_>]) -> Option<f64> {
    let has_responses = named.iter().any(|counter| counter.responses);
    let done = |counter: &&Named<'_>| {
        let arrivals = counter.requests && has_responses;
        let tells_nothing = counter.tried || counter.failed || arrivals || counter.arrived;
        counter.responses || (counter.succeeded && !counter.tried) || !tells_nothing
    };
    named
        .iter()
        .filter(done)
        .filter(|counter| counter.series.points.len() >= 3)
        .map(|counter| counter.series.rate_halves().1)
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::read_prometheus;

    fn of(samples: &[(&str, [f64; 5])]) -> Counters {
        let mut text = String::new();
        for at in 0..5 {
            text.push_str(&format!("# scrape_t_ms {}\n", at * 1000));
            for (name, values) in samples {
                text.push_str(&format!("{name} {}\n", values[at]));
            }
        }
        Counters::of(&Capture {
            metrics: Some(read_prometheus(text.as_bytes(), 0.0).0),
            ..Capture::default()
        })
    }

    #[test]
    fn nacked_is_not_acked() {
        let counters = of(&[
            (
                "messages_delivered_total",
                [0.0, 1000.0, 2000.0, 3000.0, 4000.0],
            ),
            (
                "messages_nacked_total",
                [0.0, 990.0, 1980.0, 2970.0, 3960.0],
            ),
            ("messages_acked_total", [0.0, 10.0, 20.0, 30.0, 40.0]),
        ]);
        let pair = counters.worst_pair().unwrap();
        assert_eq!(pair.successes_name, "messages_acked_total");
        assert!((pair.ratio() - 100.0).abs() < 1e-6);
        assert!(pair.redelivered);
    }

    #[test]
    fn counters_of_different_things_are_no_pair() {
        let counters = of(&[
            ("dial_attempts_total", [0.0, 100.0, 200.0, 300.0, 400.0]),
            ("orders_completed_total", [0.0, 1.0, 2.0, 3.0, 4.0]),
        ]);
        assert!(counters.pairs.iter().all(|pair| pair.loose));
    }

    #[test]
    fn failures_beside_successes_make_up_the_attempts() {
        let counters = of(&[
            ("tx_conflicts_total", [0.0, 90.0, 180.0, 270.0, 360.0]),
            ("tx_commits_total", [0.0, 10.0, 20.0, 30.0, 40.0]),
        ]);
        assert!((counters.worst_pair().unwrap().ratio() - 10.0).abs() < 1e-6);
    }

    #[test]
    fn attempts_at_commits_are_attempts_and_successful_dials_are_successes() {
        let counters = of(&[
            ("tx_commit_attempts_total", [0.0, 50.0, 100.0, 150.0, 200.0]),
            ("tx_commit_success_total", [0.0, 1.0, 2.0, 3.0, 4.0]),
        ]);
        assert_eq!(
            counters.worst_pair().unwrap().attempts_name,
            "tx_commit_attempts_total"
        );
        let counters = of(&[
            ("dial_attempts_total", [0.0, 50.0, 100.0, 150.0, 200.0]),
            ("dial_success_total", [0.0, 1.0, 2.0, 3.0, 4.0]),
        ]);
        assert_eq!(
            counters.worst_pair().unwrap().successes_name,
            "dial_success_total"
        );
    }

    #[test]
    fn a_plural_is_the_same_topic_and_stands_for_success() {
        let counters = of(&[
            ("swap_attempts_total", [0.0, 50.0, 100.0, 150.0, 200.0]),
            ("swaps_total", [0.0, 1.0, 2.0, 3.0, 4.0]),
        ]);
        assert_eq!(counters.worst_pair().unwrap().successes_name, "swaps_total");
    }

    #[test]
    fn conflicts_alone_are_set_against_what_gets_done() {
        let counters = of(&[
            (
                "stock_conflicts_total",
                [0.0, 900.0, 1800.0, 2700.0, 3600.0],
            ),
            ("stock_updates_total", [0.0, 100.0, 200.0, 300.0, 400.0]),
        ]);
        let pair = counters.worst_pair().unwrap();
        assert_eq!(pair.successes_name, "stock_updates_total");
        assert!((pair.ratio() - 10.0).abs() < 1e-6);
    }

    #[test]
    fn requests_that_arrive_are_not_work_done_when_responses_are_counted() {
        let counters = of(&[
            ("http_requests_total", [0.0, 30.0, 60.0, 90.0, 120.0]),
            ("http_responses_total", [0.0, 0.0, 0.0, 0.0, 0.0]),
        ]);
        assert_eq!(counters.completions_late, Some(0.0));
    }
}
