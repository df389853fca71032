//! What is measured, by name: `web.measured.goodput_pct`.

use std::collections::BTreeMap;

use crate::fleet::Fleet;
use crate::measure::{Histogram, Measures, SECOND, share};
use crate::model::contention::Contended;
use crate::model::tail::Hedged;
use crate::model::usl::Predicted;

/// The figures of one run, by name.
pub type Figures = BTreeMap<String, f64>;

/// Seconds that a recovery has to last.
const LASTING: usize = 10;
/// The level from which a second counts as recovered.
const LEVEL: f64 = 0.95;
const MS: f64 = 1e6;

/// The figures of a fleet's run.
pub(super) fn of_fleet(fleet: &Fleet, measures: &Measures) -> Figures {
    let mut figures = Figures::new();
    for (place, group) in fleet.groups.iter().enumerate() {
        for (window, spec) in fleet.windows.iter().enumerate() {
            let requests = &measures.requests[place][window];
            let seconds = (spec.to - spec.from) as f64 / SECOND as f64;
            let per_second = |count: u64| count as f64 / seconds;
            let mut add = |name: &str, value: f64| {
                figures.insert(format!("{}.{}.{name}", group.name, spec.name), value);
            };
            let good = requests.good + requests.degraded;
            add("offered", per_second(requests.offered));
            add("goodput", per_second(good));
            add("success_pct", 100.0 * requests.success());
            add("full_pct", 100.0 * share(requests.good, requests.offered));
            add(
                "degraded_pct",
                100.0 * (1.0 - share(requests.offered - requests.degraded, requests.offered)),
            );
            add("failed", requests.failed as f64);
            add("late", requests.late as f64);
            add("amplification", requests.amplification());
            add(
                "hedged_pct",
                100.0 * requests.hedges as f64 / requests.offered.max(1) as f64,
            );
            if let Some(ideal) = ideal(fleet, place, seconds, requests.offered) {
                add("goodput_pct", 100.0 * per_second(good) / ideal);
            }
            quantiles(&requests.latency, &mut add);
        }
        recovery(fleet, measures, place, &mut figures);
    }
    for (place, service) in fleet.services.iter().enumerate() {
        for (window, spec) in fleet.windows.iter().enumerate() {
            let work = &measures.work[place][window];
            let seconds = (spec.to - spec.from) as f64 / SECOND as f64;
            let offered: u64 = measures
                .requests
                .iter()
                .map(|group| group[window].offered)
                .sum();
            let mut add = |name: &str, value: f64| {
                figures.insert(format!("{}.{}.{name}", service.name, spec.name), value);
            };
            add("arrived", work.arrived as f64 / seconds);
            add("per_request", work.arrived as f64 / offered.max(1) as f64);
            add("stale_pct", percent(work.stale, work.arrived));
            add("rejected_pct", percent(work.rejected, work.arrived));
            add("zombies_pct", percent(work.zombies, work.served));
            if let Some(workers) = service.workers {
                let capacity = f64::from(workers) * f64::from(service.replicas) * seconds;
                add(
                    "busy_pct",
                    100.0 * work.busy as f64 / SECOND as f64 / capacity,
                );
            }
        }
        let longest = measures.longest_queue[place];
        figures.insert(format!("{}.longest_queue", service.name), longest as f64);
    }
    tenants(fleet, measures, &mut figures);
    figures.insert("events".to_owned(), measures.events as f64);
    figures
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// What a second could hold of requests that are served in time: as many as come, as many as the service
/// can serve, and of those the share whose work alone fits the deadline.
fn ideal(fleet: &Fleet, group: usize, seconds: f64, offered: u64) -> Option<f64> {
    let group = &fleet.groups[group];
    let service = group.plan.first()?.first()?.service;
    let offered = offered as f64 / seconds;
    // What was to come, rather than what the dice made of it.
    let expected = if group.load.is_empty() {
        group.arrivals.rate()
    } else {
        None
    };
    let offered = expected.unwrap_or(offered);
    let capacity = fleet.capacity(service).unwrap_or(f64::INFINITY);
    Some(offered.min(capacity) * fleet.fits(service, group.deadline))
}

fn quantiles(latency: &Histogram, add: &mut impl FnMut(&str, f64)) {
    let quantiles = [
        ("p50_ms", 0.5),
        ("p95_ms", 0.95),
        ("p99_ms", 0.99),
        ("p999_ms", 0.999),
    ];
    for (name, share) in quantiles {
        if let Some(nanos) = latency.quantile(share) {
            add(name, nanos / MS);
        }
    }
    if latency.count() > 0 {
        add("mean_ms", latency.mean() / MS);
    }
}

/// How long a group takes to recover from the last fault.
fn recovery(fleet: &Fleet, measures: &Measures, group: usize, figures: &mut Figures) {
    let mended = fleet.faults.iter().map(|fault| fault.to).max();
    let load = fleet.groups[group].load.iter().map(|step| step.at).max();
    let Some(mended) = mended.max(load).filter(|mended| *mended < fleet.ends) else {
        return;
    };
    let found = measures.recovery(group, mended, LEVEL, LASTING);
    let seconds = found.map_or(f64::INFINITY, |seconds| seconds as f64);
    figures.insert(format!("{}.recovery_s", fleet.groups[group].name), seconds);
}

/// How tenants fare, where there are several.
fn tenants(fleet: &Fleet, measures: &Measures, figures: &mut Figures) {
    let mut first = 0;
    for group in &fleet.groups {
        let count = if group.tenants {
            group.clients as usize
        } else {
            1
        };
        for (window, spec) in fleet.windows.iter().enumerate() {
            let own = &measures.tenants[window][first..first + count];
            let worst = own
                .iter()
                .map(|(came, good)| share(*good, *came))
                .fold(1.0, f64::min);
            if group.tenants {
                let name = format!("{}.{}.worst_tenant_pct", group.name, spec.name);
                figures.insert(name, 100.0 * worst);
            }
        }
        first += count;
    }
    if first < 2 {
        return;
    }
    for (window, spec) in fleet.windows.iter().enumerate() {
        let seconds = (spec.to - spec.from) as f64 / SECOND as f64;
        let tenants = &measures.tenants[window];
        let wanted: Vec<f64> = tenants
            .iter()
            .map(|(came, _)| *came as f64 / seconds)
            .collect();
        let had = tenants.iter().map(|(_, good)| *good as f64 / seconds);
        let capacity = fleet.capacity(0).unwrap_or(f64::INFINITY);
        let fair = max_min(&wanted, capacity);
        let satisfied: Vec<f64> = had
            .clone()
            .zip(fair)
            .map(|(had, fair)| if fair > 0.0 { had / fair } else { 1.0 })
            .collect();
        let (sum, squares) = satisfied.iter().fold((0.0, 0.0), |(sum, squares), one| {
            (sum + one, squares + one * one)
        });
        if squares > 0.0 {
            let jain = sum * sum / (satisfied.len() as f64 * squares);
            figures.insert(format!("all.{}.jain", spec.name), jain);
        }
        figures.insert(format!("all.{}.goodput", spec.name), had.sum());
    }
}

/// The max-min fair shares of a capacity.
fn max_min(wanted: &[f64], capacity: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut shares = vec![0.0; wanted.len()];
    let mut left = capacity;
    for (served, who) in order.iter().enumerate() {
        let equal = left / (wanted.len() - served) as f64;
        shares[*who] = wanted[*who].min(equal);
        left -= shares[*who];
    }
    shares
}

/// The figures of writers that contended.
pub(super) fn of_contention(runs: &[Contended], clients: u32) -> Figures {
    let count = runs.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Contended) -> f64| runs.iter().map(of).sum::<f64>() / count;
    let mut writers = Histogram::default();
    for run in runs {
        writers.add(&run.writers);
    }
    let mut figures = Figures::new();
    let mut add = |name: &str, value: f64| {
        figures.insert(name.to_owned(), value);
    };
    add("completion_ms", mean(&|run| run.completed as f64 / MS));
    add(
        "calls_per_client",
        mean(&|run| run.writes as f64) / f64::from(clients.max(1)),
    );
    add("events", runs.iter().map(|run| run.events as f64).sum());
    quantiles(&writers, &mut add);
    figures
}

/// The figures of a predicted capacity.
pub(super) fn of_usl(predicted: &Predicted) -> Figures {
    let at = |errors: &[f64], share: f64| {
        let place = crate::law::whole(share * errors.len() as f64);
        let place = usize::try_from(place)
            .unwrap_or_default()
            .min(errors.len().saturating_sub(1));
        errors.get(place).copied().unwrap_or(f64::INFINITY)
    };
    [
        ("fit_failed_pct", 100.0 * predicted.failed),
        (
            "peak_error_p50_pct",
            100.0 * at(&predicted.peak_errors, 0.5),
        ),
        (
            "peak_error_p95_pct",
            100.0 * at(&predicted.peak_errors, 0.95),
        ),
        (
            "throughput_error_p50_pct",
            100.0 * at(&predicted.throughput_errors, 0.5),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The figures of a hedged tail.
pub(super) fn of_tail(hedged: &Hedged) -> Figures {
    [
        ("p50_ms", hedged.quantile(0.5) / MS),
        ("p95_ms", hedged.quantile(0.95) / MS),
        ("p99_ms", hedged.quantile(0.99) / MS),
        ("p999_ms", hedged.quantile(0.999) / MS),
        ("hedged_pct", 100.0 * hedged.extra_load()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fair_shares_give_the_small_all_and_the_large_the_rest() {
        assert_eq!(max_min(&[60.0, 1600.0, 60.0], 800.0), [60.0, 680.0, 60.0]);
        assert_eq!(max_min(&[500.0, 600.0], 800.0), [400.0, 400.0]);
        assert_eq!(max_min(&[5.0, 6.0], 800.0), [5.0, 6.0]);
    }
}
