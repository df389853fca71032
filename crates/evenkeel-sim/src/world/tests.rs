use std::time::Duration;

use evenkeel_core::{policy, retry};

use super::*;
use crate::arrival::Arrivals;
use crate::comparison::{client, server};
use crate::fleet::{Balancer, Caller, Fault, FaultKind, Group, Server, Service, Window};

const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

fn service(name: &str) -> Service {
    Service {
        name: name.to_owned(),
        replicas: 1,
        workers: Some(8),
        law: Law::Exponential { mean: 10 * MS },
        server: Server::Comparison(server::Config {
            gate: server::Gate::Open,
            order: server::Order::Fifo,
            rule: server::Rule::None,
        }),
        reject_cost: 0,
        balancer: Balancer::Random,
        failure: None,
        plan: Vec::new(),
        latency: None,
        loss: 0.0,
        notices_leaving: false,
    }
}

fn leg(service: usize, caller: Caller) -> Leg {
    Leg {
        service,
        caller,
        optional: false,
        sends_deadline: true,
        idempotent: true,
    }
}

fn group(name: &str, rate: f64, caller: Caller) -> Group {
    Group {
        name: name.to_owned(),
        clients: 10,
        processes: 10,
        arrivals: Arrivals::Poisson { rate },
        load: Vec::new(),
        deadline: Some(S),
        gives_up: false,
        tenants: false,
        plan: vec![vec![leg(0, caller)]],
        timer_slack: 0,
    }
}

fn fleet(caller: Caller) -> Fleet {
    Fleet {
        services: vec![service("api")],
        groups: vec![group("web", 400.0, caller)],
        pools: Vec::new(),
        faults: Vec::new(),
        windows: vec![Window {
            name: "all".to_owned(),
            from: 0,
            to: 20 * S,
        }],
        ends: 25 * S,
    }
}

fn plain() -> Caller {
    Caller::Comparison(client::Config::default())
}

fn by_policy() -> Caller {
    let mut config = policy::Config::new(Duration::from_secs(1));
    config.attempt_timeout = Some(Duration::from_millis(100));
    config.retry = Some(retry::Config::default());
    Caller::Policy(Box::new(config))
}

#[test]
fn equal_seeds_give_equal_runs_and_others_do_not() {
    let fleet = fleet(by_policy());
    let hash = |seed| World::new(&fleet, seed).run().hash;
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn one_group_more_moves_nobody_elses_dice() {
    let alone = fleet(plain());
    let mut together = alone.clone();
    let mut other = service("other");
    other.name = "other".to_owned();
    together.services.push(other);
    let mut more = group("more", 100.0, plain());
    more.plan[0][0].service = 1;
    together.groups.push(more);
    let (alone, together) = (World::new(&alone, 7).run(), World::new(&together, 7).run());
    assert_eq!(alone.seconds[0], together.seconds[0]);
}

#[test]
fn a_request_needs_the_same_work_under_every_policy() {
    let work = |caller| World::new(&fleet(caller), 3).run().work[0][0].busy;
    let slow = client::Config {
        timeout: Some(S),
        retries: 3,
        ..client::Config::default()
    };
    assert_eq!(work(plain()), work(Caller::Comparison(slow)));
}

#[test]
fn a_queue_has_the_length_that_queueing_theory_says() {
    // M/M/8 at half its capacity: 5.9 % of the requests wait (Erlang's C), for 25 ms on average.
    let measures = World::new(&fleet(plain()), 11).run();
    let requests = &measures.requests[0][0];
    let mean = requests.latency.mean() / MS as f64;
    assert!((10.0..10.5).contains(&mean), "{mean}");
    assert_eq!(
        requests.offered,
        requests.good + requests.late + requests.failed
    );
    assert_eq!(requests.attempts, requests.offered);
}

#[test]
fn a_stalled_service_keeps_what_came_and_serves_it_afterwards() {
    let mut fleet = fleet(plain());
    let kind = FaultKind::Stall;
    fleet.faults = vec![Fault {
        from: 5 * S,
        to: 7 * S,
        service: 0,
        replicas: 1,
        kind,
    }];
    let measures = World::new(&fleet, 1).run();
    assert!(
        (700..900).contains(&measures.longest_queue[0]),
        "{}",
        measures.longest_queue[0]
    );
    let requests = &measures.requests[0][0];
    assert!(requests.late > 400 && requests.failed == 0, "{requests:?}");
    assert_eq!(measures.recovery(0, 7 * S, 0.95, 5), Some(1));
}

#[test]
fn what_a_crash_meets_fails_and_the_rest_does_not() {
    let mut fleet = fleet(plain());
    let kind = FaultKind::Crash;
    fleet.faults = vec![Fault {
        from: 5 * S,
        to: 6 * S,
        service: 0,
        replicas: 1,
        kind,
    }];
    let measures = World::new(&fleet, 1).run();
    let requests = &measures.requests[0][0];
    assert!((350..460).contains(&requests.failed), "{requests:?}");
    assert_eq!(
        requests.offered,
        requests.good + requests.late + requests.failed
    );
}

#[test]
fn attempts_that_time_out_are_made_again_by_the_policy() {
    let mut slow = fleet(by_policy());
    slow.groups[0].arrivals = Arrivals::Poisson { rate: 100.0 };
    slow.services[0].law = Law::Mixture {
        first: Box::new(Law::Constant(5 * MS)),
        second: Box::new(Law::Constant(2 * S)),
        share: 0.99,
    };
    slow.services[0].workers = None;
    let measures = World::new(&slow, 1).run();
    let requests = &measures.requests[0][0];
    assert!(requests.success() > 0.995, "{requests:?}");
    assert!(
        (1.005..1.02).contains(&requests.amplification()),
        "{requests:?}"
    );
    assert!(
        measures.work[0][0].zombies > 5,
        "abandoned attempts are worked on all the same"
    );
}
