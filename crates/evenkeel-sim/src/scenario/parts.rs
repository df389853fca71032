//! The parts of a fleet that stand alone: how a server is run, when clients ask, how long things take.

use core::num::NonZeroU32;
use core::time::Duration;

use evenkeel_core::{admission, limiter};

use super::resolve::{Wrongs, nanos};
use super::spec;
use crate::arrival::Arrivals;
use crate::comparison::server;
use crate::fleet::Server;
use crate::law::Law;

/// How a replica is run.
pub(super) fn run_by(written: &spec::Service, path: &str, wrong: &mut Wrongs) -> Server {
    let told = written
        .server
        .as_ref()
        .and_then(|server| server.admission.as_ref());
    let Some(told) = told else {
        return Server::Comparison(server(written.server.as_ref(), path, wrong));
    };
    let workers = written
        .workers
        .and_then(|workers| NonZeroU32::new(workers.0));
    let concurrency = match workers.filter(|_| told.adaptive != Some(true)) {
        Some(workers) => admission::Concurrency::Fixed(workers),
        None => admission::Concurrency::Adaptive(limiter::Config::default()),
    };
    Server::Admission(Box::new(admission::Config::new(concurrency)))
}

fn server(written: Option<&spec::Server>, path: &str, wrong: &mut Wrongs) -> server::Config {
    let default = spec::Server::default();
    let written = written.unwrap_or(&default);
    let limit = |algorithm, limit: &spec::Limit| server::Gate::Limit {
        algorithm,
        window: limit.window.map(nanos),
    };
    let timeout = |limit: &spec::Limit| {
        limit
            .timeout
            .map_or(Duration::from_secs(5), |timeout| timeout.0)
    };
    let gate = match written.gate.as_ref().unwrap_or(&spec::Gate::Open) {
        spec::Gate::Open => server::Gate::Open,
        spec::Gate::Queue(bound) => server::Gate::Queue(bound.0),
        spec::Gate::TenantQueue(bound) => server::Gate::TenantQueue(bound.0),
        spec::Gate::TenantConcurrency(bound) => server::Gate::TenantConcurrency(bound.0),
        spec::Gate::TenantRate(rate) => {
            let path = format!("{path}.server.gate");
            server::Gate::TenantRate {
                rate: wrong
                    .missing(&path, "per_second", rate.per_second)
                    .unwrap_or(1.0),
                burst: rate.burst.unwrap_or(1.0),
            }
        }
        spec::Gate::LittlesLaw(share) => server::Gate::LittlesLaw(*share),
        spec::Gate::Aimd(written) => limit(server::Algorithm::Aimd(timeout(written)), written),
        spec::Gate::Vegas(written) => limit(server::Algorithm::Vegas, written),
        spec::Gate::Gradient2(written) => limit(server::Algorithm::Gradient2, written),
        spec::Gate::Pid(target) => server::Gate::Pid {
            target: nanos(*target).max(1),
        },
    };
    server::Config {
        gate,
        order: match written.order.as_ref().unwrap_or(&spec::Order::Fifo) {
            spec::Order::Fifo => server::Order::Fifo,
            spec::Order::Lifo => server::Order::Lifo,
            spec::Order::AdaptiveLifo(interval) => server::Order::AdaptiveLifo {
                interval: nanos(*interval),
            },
            spec::Order::LifoAfterDrop(after) => server::Order::LifoAfterDrop(nanos(*after)),
            spec::Order::RoundRobin => server::Order::RoundRobin,
        },
        rule: match written.rule.as_ref().unwrap_or(&spec::Rule::None) {
            spec::Rule::None => server::Rule::None,
            spec::Rule::Waited(longest) => server::Rule::Waited(nanos(*longest)),
            spec::Rule::Margin(margin) => server::Rule::Margin(nanos(*margin)),
            spec::Rule::ServiceTimes(times) => server::Rule::ServiceTimes(*times),
            spec::Rule::Codel(codel) => server::Rule::Codel {
                target: codel.target.map_or(5_000_000, nanos),
                interval: codel.interval.map_or(100_000_000, nanos),
            },
            spec::Rule::Clairvoyant => server::Rule::Clairvoyant,
        },
    }
}

pub(super) fn arrivals(written: &spec::Arrivals, path: &str, wrong: &mut Wrongs) -> Arrivals {
    let rate = |rate: f64, wrong: &mut Wrongs| {
        wrong.within(path, "the rate", rate, f64::MIN_POSITIVE, 1e9)
    };
    match written {
        spec::Arrivals::Poisson(written) => Arrivals::Poisson {
            rate: rate(*written, wrong),
        },
        spec::Arrivals::Regular(written) => Arrivals::Regular {
            rate: rate(*written, wrong),
        },
        spec::Arrivals::Bursty(bursty) => {
            let per_second = wrong.missing(path, "per_second", bursty.per_second);
            let period = wrong
                .missing(path, "period", bursty.period)
                .map_or(1, nanos)
                .max(1);
            Arrivals::Bursty {
                rate: rate(per_second.unwrap_or(1.0), wrong),
                factor: bursty.factor.unwrap_or(1.0),
                burst: bursty.burst.map_or(0, nanos).min(period - 1),
                period,
            }
        }
        spec::Arrivals::Recorded(instants) => {
            let mut instants: Vec<u64> = instants.iter().copied().map(nanos).collect();
            instants.sort_unstable();
            Arrivals::Recorded(instants)
        }
        spec::Arrivals::Closed(think) => Arrivals::Closed {
            think: law(think, path, wrong),
        },
        spec::Arrivals::Once => Arrivals::Once,
    }
}

/// The law that is written.
pub(super) fn law(written: &spec::Law, path: &str, wrong: &mut Wrongs) -> Law {
    let mut kinds: Vec<Law> = Vec::new();
    kinds.extend(
        written
            .constant
            .map(|constant| Law::Constant(nanos(constant))),
    );
    kinds.extend(
        written
            .exponential
            .map(|mean| Law::Exponential { mean: nanos(mean) }),
    );
    if let Some(written) = &written.lognormal {
        let median = wrong
            .missing(path, "median", written.median)
            .map_or(1, nanos);
        let sigma = wrong.missing(path, "sigma", written.sigma).unwrap_or(1.0);
        kinds.push(Law::LogNormal { median, sigma });
    }
    if let Some(written) = &written.pareto {
        let least = wrong.missing(path, "least", written.least).map_or(1, nanos);
        let alpha = wrong.missing(path, "alpha", written.alpha).unwrap_or(2.0);
        kinds.push(Law::Pareto {
            least,
            alpha: wrong.within(path, "alpha", alpha, 0.1, 100.0),
        });
    }
    if let Some(written) = &written.uniform {
        let low = wrong.missing(path, "low", written.low).map_or(0, nanos);
        let high = wrong.missing(path, "high", written.high).map_or(low, nanos);
        kinds.push(Law::Uniform { low, high });
    }
    if let Some(written) = &written.mixture {
        let mut part = |name: &str, part: Option<&spec::Law>| {
            let path = format!("{path}.mixture");
            let part = wrong.missing(&path, name, part);
            Box::new(part.map_or(Law::Constant(0), |part| law(part, &path, wrong)))
        };
        let first = part("first", written.first.as_ref());
        let second = part("second", written.second.as_ref());
        let share = written.share.unwrap_or(0.5);
        kinds.push(Law::Mixture {
            first,
            second,
            share,
        });
    }
    if let Some(values) = &written.empirical {
        let mut values: Vec<u64> = values.iter().copied().map(nanos).collect();
        values.sort_unstable();
        kinds.push(Law::Empirical(values));
    }
    if kinds.len() != 1 {
        let help = "choose one of `constant`, `exponential`, `lognormal`, `pareto`, `uniform`, \
                    `mixture`, `empirical`";
        let what = format!("a law is one of its kinds, and here are {}", kinds.len());
        wrong.add(path, what, "exactly one holds", help.to_owned());
    }
    let mut law = kinds.pop().unwrap_or(Law::Constant(0));
    if let Some(stragglers) = &written.stragglers {
        let share = wrong.within(path, "share", stragglers.share.unwrap_or(0.0), 0.0, 1.0);
        let factor = stragglers.factor.unwrap_or(1.0);
        law = Law::Stragglers {
            law: Box::new(law),
            share,
            factor,
        };
    }
    match written.mean {
        Some(mean) => law.scaled(nanos(mean) as f64 / law.mean()),
        None => law,
    }
}
