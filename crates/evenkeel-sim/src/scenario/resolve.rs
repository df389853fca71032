//! From the written form to a fleet: names looked up, defaults filled in, what cannot hold refused.

use std::collections::BTreeMap;

use evenkeel_policy::Policy;
use evenkeel_policy::document::Fault as Wrong;
use evenkeel_policy::spec::{Count, Duration};

use super::parts::{self, run_by};
use super::spec;
use crate::arrival::{Arrivals, LoadStep};
use crate::comparison::client;
use crate::fleet::{
    Balancer, Caller, Failure, Fault, FaultKind, Fleet, Group, Leg, Service, Stage, Window,
};
use crate::law::Law;

/// What is wrong, as it comes to light.
#[derive(Debug, Default)]
pub(super) struct Wrongs(pub(super) Vec<Wrong>);

impl Wrongs {
    pub(super) fn add(&mut self, path: &str, what: String, why: &str, help: String) {
        self.0.push(Wrong {
            path: path.to_owned(),
            what,
            why: why.to_owned(),
            help,
        });
    }

    pub(super) fn missing<T>(&mut self, path: &str, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            let why = "the simulation cannot guess it";
            self.add(
                path,
                format!("`{name}` is missing"),
                why,
                format!("write `{name}`"),
            );
        }
        value
    }

    /// The place of a name among those there are.
    fn place<T>(&mut self, path: &str, what: &str, name: &str, of: &BTreeMap<String, T>) -> usize {
        if let Some(place) = of.keys().position(|key| key == name) {
            return place;
        }
        let names: Vec<&str> = of.keys().map(String::as_str).collect();
        let help = evenkeel_policy::suggestion(name, &names, &format!("define a {what} first"));
        self.add(
            path,
            format!("no {what} is called `{name}`"),
            "it is not defined",
            help,
        );
        0
    }

    pub(super) fn within(
        &mut self,
        path: &str,
        name: &str,
        value: f64,
        low: f64,
        high: f64,
    ) -> f64 {
        if !(low..=high).contains(&value) {
            let what = format!("`{name}` is {value}");
            self.add(
                path,
                what,
                "it is out of range",
                format!("write {low} to {high}"),
            );
        }
        value
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.0.as_nanos()).unwrap_or(u64::MAX)
}

fn count(value: Option<Count>, default: u32) -> u32 {
    value.map_or(default, |count| count.0)
}

/// The fleet that is written.
pub(super) fn fleet(
    written: &spec::Scenario,
    policy: Option<&Policy>,
    wrong: &mut Wrongs,
) -> Fleet {
    let ends = wrong
        .missing("", "ends", written.ends)
        .map_or(1_000_000_000, nanos);
    let resolver = Resolver { written, policy };
    let mut fleet = Fleet {
        pools: written.pools.values().map(|size| size.0).collect(),
        ends,
        ..Fleet::default()
    };
    for (name, service) in &written.services {
        let path = format!("services.{name}");
        fleet
            .services
            .push(resolver.service(name, service, &path, wrong));
    }
    for (name, clients) in &written.clients {
        let path = format!("clients.{name}");
        fleet
            .groups
            .push(resolver.group(name, clients, &path, wrong));
    }
    if written.windows.is_empty() {
        fleet.windows.push(Window {
            name: "all".to_owned(),
            from: 0,
            to: ends,
        });
    }
    for (name, window) in &written.windows {
        let (from, to) = (window.from.map_or(0, nanos), window.to.map_or(ends, nanos));
        if from >= to || to > ends {
            let help = "let it begin before it ends, and end before the scenario does".to_owned();
            let path = format!("windows.{name}");
            wrong.add(
                &path,
                "this window holds no time".to_owned(),
                "nothing is measured",
                help,
            );
        }
        fleet.windows.push(Window {
            name: name.clone(),
            from,
            to,
        });
    }
    for (number, fault) in written.faults.iter().enumerate() {
        let path = format!("faults[{number}]");
        resolver.fault(fault, &path, &mut fleet, wrong);
    }
    for group in &mut fleet.groups {
        group.load.sort_by_key(|step| step.at);
    }
    fleet
}

struct Resolver<'a> {
    written: &'a spec::Scenario,
    policy: Option<&'a Policy>,
}

impl Resolver<'_> {
    fn service(
        &self,
        name: &str,
        written: &spec::Service,
        path: &str,
        wrong: &mut Wrongs,
    ) -> Service {
        let law = written.work.as_ref().map_or(Law::Constant(0), |law| {
            parts::law(law, &format!("{path}.work"), wrong)
        });
        let cost = wrong.within(
            path,
            "reject_cost",
            written.reject_cost.unwrap_or(0.0),
            0.0,
            1.0,
        );
        let loss = wrong.within(path, "loss", written.loss.unwrap_or(0.0), 0.0, 1.0);
        let replicas = count(written.replicas, 1);
        if replicas == 0 || written.workers == Some(Count(0)) {
            let help = "write 1 or more".to_owned();
            wrong.add(
                path,
                "there is nobody to serve".to_owned(),
                "nothing is answered",
                help,
            );
        }
        Service {
            name: name.to_owned(),
            replicas: replicas.max(1),
            workers: written.workers.map(|workers| workers.0.max(1)),
            server: run_by(written, path, wrong),
            reject_cost: crate::law::whole(cost * law.mean()),
            balancer: match written.balancer.unwrap_or(spec::Balancer::Random) {
                spec::Balancer::Random => Balancer::Random,
                spec::Balancer::RoundRobin => Balancer::RoundRobin,
                spec::Balancer::TwoChoices => Balancer::TwoChoices,
                spec::Balancer::ShuffleShard => Balancer::ShuffleShard,
            },
            failure: written.failure.as_ref().map(|failure| Failure {
                share: wrong.within(path, "share", failure.share.unwrap_or(1.0), 0.0, 1.0),
                after: failure.after.map(nanos),
            }),
            plan: self.plan(&written.calls, path, wrong),
            latency: written
                .latency
                .as_ref()
                .map(|law| parts::law(law, &format!("{path}.latency"), wrong)),
            loss,
            notices_leaving: written.notices_leaving.unwrap_or(false),
            law,
        }
    }

    fn group(&self, name: &str, written: &spec::Clients, path: &str, wrong: &mut Wrongs) -> Group {
        let clients = count(written.count, 1);
        let arrivals = wrong.missing(path, "arrivals", written.arrivals.as_ref());
        let arrivals = arrivals.map_or(Arrivals::Once, |arrivals| {
            parts::arrivals(arrivals, &format!("{path}.arrivals"), wrong)
        });
        Group {
            name: name.to_owned(),
            clients,
            processes: count(written.processes, clients).max(1),
            arrivals,
            load: Vec::new(),
            deadline: written.deadline.map(nanos),
            gives_up: written.gives_up.unwrap_or(false),
            tenants: written.tenants.unwrap_or(false),
            plan: self.plan(&written.calls, path, wrong),
            timer_slack: written.timer_slack.map_or(0, nanos),
        }
    }

    fn plan(&self, calls: &[spec::Call], path: &str, wrong: &mut Wrongs) -> Vec<Stage> {
        let mut plan: Vec<Stage> = Vec::new();
        for (number, call) in calls.iter().enumerate() {
            let leg = self.leg(call, &format!("{path}.calls[{number}]"), wrong);
            match plan.last_mut() {
                Some(stage) if call.with_previous == Some(true) => stage.push(leg),
                _ => plan.push(vec![leg]),
            }
        }
        plan
    }

    fn leg(&self, call: &spec::Call, path: &str, wrong: &mut Wrongs) -> Leg {
        let name = wrong
            .missing(path, "service", call.service.as_deref())
            .unwrap_or_default();
        let service = wrong.place(path, "service", name, &self.written.services);
        let caller = match (&call.by, &call.policy) {
            (Some(_), Some(_)) => {
                let help = "keep one of them".to_owned();
                let what = "`by` and `policy` both say how it is called".to_owned();
                wrong.add(path, what, "exactly one holds", help);
                Caller::Comparison(client::Config::default())
            }
            (Some(by), None) => {
                wrong.place(&format!("{path}.by"), "caller", by, &self.written.callers);
                let written = self.written.callers.get(by);
                Caller::Comparison(written.map_or_else(client::Config::default, |caller| {
                    self.caller(caller, &format!("callers.{by}"), wrong)
                }))
            }
            (None, Some(name)) => self.by_policy(name, &format!("{path}.policy"), wrong),
            (None, None) => Caller::Comparison(client::Config::default()),
        };
        Leg {
            service,
            optional: call.optional.unwrap_or(false),
            sends_deadline: call
                .sends_deadline
                .unwrap_or(matches!(caller, Caller::Policy(_))),
            idempotent: call.idempotent.unwrap_or(true),
            caller,
        }
    }

    fn by_policy(&self, name: &str, path: &str, wrong: &mut Wrongs) -> Caller {
        let found = self.policy.and_then(|policy| {
            let known = policy
                .dependencies
                .iter()
                .find(|(known, _)| known.as_str() == name);
            known.map(|(_, config)| config.clone())
        });
        if let Some(config) = found {
            return Caller::Policy(Box::new(config));
        }
        let names: Vec<&str> = self
            .policy
            .iter()
            .flat_map(|policy| policy.dependencies.keys())
            .map(evenkeel_policy::Name::as_str)
            .collect();
        let none = "write a `policy` section with this dependency";
        let help = evenkeel_policy::suggestion(name, &names, none);
        let what = format!("the policy has no dependency `{name}`");
        wrong.add(path, what, "it is not defined", help);
        Caller::Comparison(client::Config::default())
    }

    fn caller(&self, written: &spec::Caller, path: &str, wrong: &mut Wrongs) -> client::Config {
        let growth = |growth: &spec::Growth, wrong: &mut Wrongs| {
            let base = wrong.missing(path, "base", growth.base).map_or(1, nanos);
            (base, growth.cap.map_or(u64::MAX, nanos))
        };
        client::Config {
            timeout: written.timeout.map(nanos),
            retries: count(written.retries, 0),
            delay: match &written.delay {
                None | Some(spec::Delay::None) => client::Delay::None,
                Some(spec::Delay::Exponential(written)) => {
                    let (base, cap) = growth(written, wrong);
                    client::Delay::Exponential { base, cap }
                }
                Some(spec::Delay::FullJitter(written)) => {
                    let (base, cap) = growth(written, wrong);
                    client::Delay::FullJitter { base, cap }
                }
            },
            budget: written.budget.as_ref().map(|budget| client::Budget {
                ratio: budget.ratio.unwrap_or(0.1),
                cap: budget.cap.unwrap_or(10.0),
                by_call: budget.by_call.unwrap_or(false),
            }),
            breaker: written.breaker.as_ref().map(|breaker| {
                let open = wrong
                    .missing(path, "breaker.open", breaker.open)
                    .map_or(1, nanos);
                client::Breaker {
                    failures: count(breaker.failures, u32::MAX),
                    rate: breaker.rate,
                    open,
                    max_open: breaker.max_open.map_or(open, nanos),
                    trickle: breaker
                        .trickle
                        .as_ref()
                        .map(|trickle| (trickle.share.unwrap_or(1.0), count(trickle.successes, 1))),
                    wall_clock: breaker.wall_clock.unwrap_or(false),
                }
            }),
            throttle: written.throttle.as_ref().map(|throttle| client::Throttle {
                k: throttle.k.unwrap_or(2.0),
                decay: throttle.decay.map_or(30_000_000_000, nanos),
            }),
            hedge: written.hedge.as_ref().map(|hedge| client::Hedge {
                after: match (hedge.after, hedge.quantile) {
                    (_, Some(quantile)) => client::HedgeDelay::Quantile(quantile),
                    (after, None) => client::HedgeDelay::Fixed(after.map_or(0, nanos)),
                },
                budget: hedge.budget,
            }),
            pool: written.pool.as_ref().map(|pool| {
                let name = pool.name.as_deref().unwrap_or_default();
                client::Pool {
                    pool: wrong.place(&format!("{path}.pool"), "pool", name, &self.written.pools),
                    waits: pool.waits.unwrap_or(false),
                }
            }),
        }
    }

    fn fault(&self, written: &spec::Fault, path: &str, fleet: &mut Fleet, wrong: &mut Wrongs) {
        let from = wrong.missing(path, "from", written.from).map_or(0, nanos);
        let to = written.to.map_or(fleet.ends, nanos);
        if from >= to {
            let what = "this fault ends before it begins".to_owned();
            wrong.add(
                path,
                what,
                "nothing would break",
                "let `to` come after `from`".to_owned(),
            );
        }
        if let (Some(clients), Some(factor)) = (&written.clients, written.load) {
            let place = wrong.place(path, "group of clients", clients, &self.written.clients);
            if let Some(group) = fleet.groups.get_mut(place) {
                group.load.push(LoadStep { at: from, factor });
                group.load.push(LoadStep {
                    at: to,
                    factor: 1.0,
                });
            }
            return;
        }
        let name = wrong
            .missing(path, "service", written.service.as_deref())
            .unwrap_or_default();
        let service = wrong.place(path, "service", name, &self.written.services);
        let mut kinds = Vec::new();
        kinds.extend(written.slow.map(FaultKind::Slow));
        kinds.extend(
            written
                .law
                .as_ref()
                .map(|law| FaultKind::Law(parts::law(law, &format!("{path}.law"), wrong))),
        );
        kinds.extend(
            written
                .stall
                .filter(|stall| *stall)
                .map(|_| FaultKind::Stall),
        );
        kinds.extend(written.error.map(|after| FaultKind::Error(nanos(after))));
        kinds.extend(written.workers.map(|left| FaultKind::Workers(left.0)));
        kinds.extend(
            written
                .crash
                .filter(|crash| *crash)
                .map(|_| FaultKind::Crash),
        );
        kinds.extend(
            written
                .partition
                .filter(|cut| *cut)
                .map(|_| FaultKind::Partition),
        );
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast saturates at both ends"
        )]
        let clock = |seconds: f64| FaultKind::Clock((seconds * 1e9) as i64);
        kinds.extend(written.clock_seconds.map(clock));
        if kinds.is_empty() {
            let why = "a fault does something";
            let help = "add one of `slow`, `law`, `stall`, `error`, `workers`, `crash`, \
                        `partition`, `clock_seconds`, or `clients` and `load`";
            wrong.add(
                path,
                "it is not said what breaks".to_owned(),
                why,
                help.to_owned(),
            );
        }
        let replicas = count(written.replicas, u32::MAX);
        for kind in kinds {
            fleet.faults.push(Fault {
                from,
                to,
                service,
                replicas,
                kind,
            });
        }
    }
}
