//! What a tokio runtime counts, and what the kernel says of threads.
//!
//! Tasks have no stacks from outside, so their failure shapes are told apart by movement: how many
//! are alive, how many queue, how busy the workers are, and what else grows with them.

use super::{Counters, Growth, growth};
use crate::capture::Capture;
use crate::prometheus::Metrics;

/// A tokio runtime over time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    pub(crate) alive: Option<Growth>,
    pub(crate) alive_last: f64,
    /// Climb of the tasks that wait for a worker, in all queues.
    pub(crate) queued: Option<Growth>,
    pub(crate) queued_last: f64,
    /// Share of the workers' time spent polling, 0 to 1.
    pub(crate) busy: Option<f64>,
    /// Descriptors opened for each task that stayed.
    pub(crate) descriptors_per_task: Option<f64>,
    /// Successes per task started, where both are counted.
    pub(crate) done_per_started: Option<f64>,
}

impl Tasks {
    pub(crate) fn of(capture: &Capture, counters: &Counters) -> Option<Self> {
        let metrics = capture.metrics.as_ref()?;
        let alive = [
            "tokio_alive_tasks",
            "tokio_num_alive_tasks",
            "tokio_runtime_alive_tasks",
        ]
        .iter()
        .find_map(|name| metrics.get(name))?;
        let queue = queue_depth(metrics);
        let alive_growth = growth(&alive.points);
        let opened = descriptors_opened(capture);
        let started = counters.started.map(|(early, late)| (early + late) / 2.0);
        let done = counters
            .worst_pair()
            .map(|pair| pair.successes)
            .or(counters.completions_late);
        Some(Self {
            alive: alive_growth,
            alive_last: alive.last(),
            queued: growth(&queue),
            queued_last: queue.last().map_or(0.0, |point| point.1),
            busy: busy(metrics),
            descriptors_per_task: match (opened, alive_growth) {
                // Descriptors are counted at the moments, tasks at the scrapes: compare what each
                // gained, not when.
                (Some(opened), Some(growth)) => Some(opened / (growth.last - growth.first)),
                _ => None,
            },
            done_per_started: match (done, started) {
                (Some(done), Some(started)) if started > 0.0 => Some(done / started),
                _ => None,
            },
        })
    }
}

fn queue_depth(metrics: &Metrics) -> Vec<(f64, f64)> {
    let mut sum: Vec<(f64, f64)> = Vec::new();
    for name in ["tokio_global_queue_depth", "tokio_worker_local_queue_depth"] {
        for series in metrics.all(name) {
            for (at, value) in &series.points {
                match sum.iter_mut().find(|point| point.0.total_cmp(at).is_eq()) {
                    Some(point) => point.1 += value,
                    None => sum.push((*at, *value)),
                }
            }
        }
    }
    sum
}

/// Share of the time the workers were inside a poll. A worker stuck in one poll reports nothing
/// until it returns, so a worker that never parks counts as busy too.
fn busy(metrics: &Metrics) -> Option<f64> {
    let workers: Vec<_> = metrics.all("tokio_worker_busy_seconds_total").collect();
    if workers.is_empty() || metrics.span() <= 0.0 {
        return None;
    }
    let polling: f64 = workers.iter().map(|series| series.rate()).sum();
    let parks: f64 = metrics
        .all("tokio_worker_park_count_total")
        .map(crate::prometheus::Series::rate)
        .sum();
    let reported = polling / workers.len() as f64;
    Some(if parks == 0.0 && reported > 0.0 {
        reported.max(0.95)
    } else {
        reported.min(1.0)
    })
}

fn descriptors_opened(capture: &Capture) -> Option<f64> {
    let counts: Vec<u64> = capture
        .processes()
        .filter_map(|(_, process)| process.descriptors)
        .collect();
    match counts.as_slice() {
        [first, .., last] => Some(*last as f64 - *first as f64),
        _ => None,
    }
}

/// Threads of one pool that wait for each other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Threads {
    /// Name they share.
    pub(crate) family: String,
    /// How many there are.
    pub(crate) count: u64,
    /// How many are parked on a futex, at the fewest over all moments.
    pub(crate) parked: u64,
    /// How many of them were woken between the first and the last moment.
    pub(crate) woken: u64,
}

impl Threads {
    /// The largest family of threads that is parked on futexes at every moment.
    pub(crate) fn of(capture: &Capture) -> Option<Self> {
        let samples: Vec<_> = capture.processes().map(|(_, process)| process).collect();
        let (first, last) = (samples.first()?, samples.last()?);
        let mut families: Vec<Self> = Vec::new();
        for thread in &last.threads {
            let name = thread.family();
            if families.iter().any(|family| family.family == name) {
                continue;
            }
            let parked = samples
                .iter()
                .map(|sample| {
                    sample
                        .threads
                        .iter()
                        .filter(|thread| thread.family() == name && thread.on_futex())
                        .count() as u64
                })
                .min()
                .unwrap_or(0);
            let of_family = || last.threads.iter().filter(|thread| thread.family() == name);
            let woken = of_family()
                .filter(|thread| {
                    first
                        .threads
                        .iter()
                        .find(|earlier| earlier.id == thread.id)
                        .is_some_and(|earlier| thread.voluntary > earlier.voluntary)
                })
                .count() as u64;
            families.push(Self {
                family: name.to_owned(),
                count: of_family().count() as u64,
                parked,
                woken,
            });
        }
        families.into_iter().max_by_key(|family| family.parked)
    }
}
