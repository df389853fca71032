use core::num::NonZeroU32;
use core::sync::atomic::AtomicU32;
use std::task::{Wake, Waker};

use proptest::prelude::*;

use super::*;
use crate::criticality::{Cohort, Criticality};
use crate::limiter;
use crate::tenant::{Group, Rate, Tenant};

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn workers(workers: u32) -> Admission {
    let workers = NonZeroU32::new(workers).unwrap();
    Admission::new(Config::new(Concurrency::Fixed(workers)), "server", 1)
}

/// A request that arrives at `now` and has a tenth of a second.
fn arrival(now: u64) -> Arrival {
    Arrival::new(at(now + 100))
}

fn admitted(arrived: Result<Arrived, Rejection>) -> Permit {
    match arrived {
        Ok(Arrived::Admitted(permit)) => permit,
        other => panic!("admitted, not {other:?}"),
    }
}

fn queued(arrived: Result<Arrived, Rejection>) -> Place {
    match arrived {
        Ok(Arrived::Queued(place)) => place,
        other => panic!("queued, not {other:?}"),
    }
}

/// Serves requests of 10 ms each, one a `gap` of milliseconds, until the server knows what a service is like.
fn learn(admission: &Admission, gap: u64) -> u64 {
    for n in 0..200 {
        let permit = admitted(admission.arrive(at(n * gap), arrival(n * gap)));
        permit.finish(at(n * gap + 10), Outcome::Success);
    }
    200 * gap
}

#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn as_many_are_served_as_there_are_workers_and_the_next_one_waits() {
    let admission = workers(2);
    let first = admitted(admission.arrive(at(0), arrival(0)));
    let _second = admitted(admission.arrive(at(0), arrival(0)));
    let mut third = queued(admission.arrive(at(0), arrival(0)));
    assert!(third.poll(at(1)).is_none());
    first.finish(at(5), Outcome::Success);
    let permit = third.poll(at(6)).unwrap().unwrap();
    assert_eq!(permit.began(), at(5), "the worker was its own from then on");
}

#[test]
fn whoever_cannot_be_in_time_is_not_begun() {
    let admission = workers(1);
    let now = learn(&admission, 20);
    let permit = admitted(admission.arrive(at(now), arrival(now)));
    let mut late = queued(admission.arrive(at(now), Arrival::new(at(now + 15))));
    let mut next = queued(admission.arrive(at(now), arrival(now)));
    // 5 ms are left of its 15, and a service takes 10.
    permit.finish(at(now + 10), Outcome::Success);
    let refused = late.poll(at(now + 10)).unwrap().unwrap_err();
    assert_eq!(refused.reason, Reason::DeadlineTooClose);
    assert!(next.poll(at(now + 10)).unwrap().is_ok());
}

#[test]
fn a_request_without_time_is_refused_before_anything_else() {
    let admission = workers(1);
    let refused = admission.arrive(at(5), Arrival::new(at(5))).unwrap_err();
    assert_eq!(refused.reason, Reason::DeadlineTooClose);
    assert_eq!(admission.snapshot(at(5)).serving, 0);
}

#[test]
fn in_excess_the_oldest_are_refused_and_told_when_to_come_back() {
    let admission = workers(1);
    let mut now = learn(&admission, 10);
    // Ten times what it can do: one arrival a millisecond, each of 10 ms.
    let mut busy = None;
    let mut places = Vec::new();
    let mut refused = Vec::new();
    for _ in 0..2_000 {
        now += 1;
        match admission.arrive(at(now), arrival(now)) {
            Ok(Arrived::Admitted(permit)) => busy = Some((now, permit)),
            Ok(Arrived::Queued(place)) => places.push((now, place)),
            Err(rejection) => refused.push(rejection),
        }
        if busy.as_ref().is_some_and(|(began, _)| began + 10 <= now) {
            busy.take().unwrap().1.finish(at(now), Outcome::Success);
        }
        places.retain_mut(|(_, place)| match place.poll(at(now)) {
            Some(Ok(permit)) => {
                busy = Some((now, permit));
                false
            }
            Some(Err(rejection)) => {
                refused.push(rejection);
                false
            }
            None => true,
        });
    }
    let shown = admission.snapshot(at(now));
    assert!(shown.window <= 2, "the freshest are served: {shown:?}");
    assert!(shown.waiting <= 12, "and few wait in vain: {shown:?}");
    assert!(refused.len() > 1_700, "{}", refused.len());
    let overloaded = refused.iter().find(|one| one.reason == Reason::Overloaded);
    assert!(overloaded.unwrap().retry_after >= Some(BACK_IN));
    // All but a few services were used, and each by someone who came a few milliseconds before.
    let normal = shown.classes[Criticality::Normal.index()];
    assert!(normal.admitted >= 395, "{normal:?}");
    assert!(places.iter().all(|(since, _)| now - since < 20));
}

#[test]
fn the_more_critical_are_served_first_and_the_others_refused_first() {
    let admission = workers(1);
    let now = learn(&admission, 10);
    let permit = admitted(admission.arrive(at(now), arrival(now)));
    let low = arrival(now).criticality(Criticality::Low);
    let mut low = queued(admission.arrive(at(now), low));
    let high = arrival(now).criticality(Criticality::High);
    let mut high = queued(admission.arrive(at(now), high));
    permit.finish(at(now + 10), Outcome::Success);
    assert!(low.poll(at(now + 10)).is_none());
    let permit = high.poll(at(now + 10)).unwrap().unwrap();
    // More of the high class than could ever be served: it is the low one that has to go.
    let mut crowd = Vec::new();
    while low.poll(at(now + 10)).is_none() {
        let high = arrival(now).criticality(Criticality::High);
        crowd.push(admission.arrive(at(now + 10), high).unwrap());
        assert!(crowd.len() < 5_000);
    }
    permit.finish(at(now + 20), Outcome::Success);
}

#[test]
fn one_turn_in_a_hundred_is_for_the_least_class_but_batch() {
    let admission = workers(1);
    let mut permit = admitted(admission.arrive(at(0), arrival(0)));
    let class = |class| arrival(0).criticality(class);
    let mut batch = queued(admission.arrive(at(0), class(Criticality::Batch)));
    let mut low = queued(admission.arrive(at(0), class(Criticality::Low)));
    let mut served_low = 0;
    for turn in 0..100 {
        let mut high = queued(admission.arrive(at(0), class(Criticality::High)));
        permit.finish(at(0), Outcome::Ignored);
        permit = match (high.poll(at(0)), low.poll(at(0))) {
            (Some(high), None) => high.unwrap(),
            (None, Some(low)) => {
                served_low += 1;
                assert_eq!(turn, 99);
                low.unwrap()
            }
            other => panic!("one of the two, not {other:?}"),
        };
    }
    assert_eq!(served_low, 1);
    assert!(batch.poll(at(0)).is_none());
}

/// Of those who wait, with their tenants, takes out who was given a worker.
fn served(places: &mut Vec<(u64, Place)>, now: u64) -> (u64, Permit) {
    for index in 0..places.len() {
        if let Some(verdict) = places[index].1.poll(at(now)) {
            let (tenant, place) = places.swap_remove(index);
            drop(place);
            return (tenant, verdict.unwrap());
        }
    }
    panic!("a free worker goes to somebody");
}

#[test]
fn a_tenant_that_floods_takes_no_turn_of_another() {
    let admission = workers(1);
    let mut permit = admitted(admission.arrive(at(0), arrival(0)));
    let mut places = Vec::new();
    for tenant in [1; 500].into_iter().chain([2; 10]) {
        let arrival = arrival(0).tenant(Tenant::new(tenant));
        places.push((tenant, queued(admission.arrive(at(0), arrival))));
    }
    let mut of_two = 0;
    for _ in 0..20 {
        permit.finish(at(1), Outcome::Ignored);
        let tenant;
        (tenant, permit) = served(&mut places, 1);
        of_two += u32::from(tenant == 2);
    }
    assert_eq!(of_two, 10, "every other turn");
}

#[test]
fn peer_fault_31_whoever_comes_without_a_tenant_is_served_like_one() {
    let admission = workers(1);
    let mut permit = admitted(admission.arrive(at(0), arrival(0)));
    let mut places = Vec::new();
    let fifty = NonZeroU32::new(50).unwrap();
    for _ in 0..200 {
        let known = arrival(0).tenant(Tenant::new(7).weight(fifty));
        places.push((7, queued(admission.arrive(at(0), known))));
    }
    places.push((0, queued(admission.arrive(at(0), arrival(0)))));
    // Its share is one of fifty-one.
    for turn in 0..51 {
        permit.finish(at(1), Outcome::Ignored);
        let tenant;
        (tenant, permit) = served(&mut places, 1);
        if tenant == 0 {
            return;
        }
        assert!(turn < 50, "never served");
    }
}

#[test]
fn peer_fault_28_a_waiter_who_leaves_with_a_worker_hands_it_on() {
    let admission = workers(1);
    let permit = admitted(admission.arrive(at(0), arrival(0)));
    let abandoned = queued(admission.arrive(at(0), arrival(0)));
    let bell = Arc::new(Bell::default());
    let mut next = queued(admission.arrive(at(0), arrival(0)));
    next.wake_by(&Waker::from(bell.clone()));
    drop(permit); // the abandoned one is given the worker, and never fetches it
    assert_eq!(bell.0.load(Ordering::Relaxed), 0);
    drop(abandoned);
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    assert!(next.poll(at(1)).unwrap().is_ok());
    assert_eq!(admission.snapshot(at(1)).serving, 0);
}

#[test]
fn a_waiter_whose_deadline_passes_leaves() {
    let admission = workers(1);
    let _permit = admitted(admission.arrive(at(0), arrival(0)));
    let mut place = queued(admission.arrive(at(0), arrival(0)));
    assert_eq!(place.deadline(), at(100));
    assert!(place.poll(at(99)).is_none());
    let refused = place.poll(at(100)).unwrap().unwrap_err();
    assert_eq!(refused.reason, Reason::DeadlineTooClose);
    assert_eq!(admission.snapshot(at(100)).waiting, 0);
    assert!(place.poll(at(101)).is_none(), "it is told once");
}

#[test]
fn more_workers_serve_those_who_wait() {
    let admission = workers(1);
    let _permit = admitted(admission.arrive(at(0), arrival(0)));
    let mut waiting: Vec<_> = (0..3)
        .map(|_| queued(admission.arrive(at(0), arrival(0))))
        .collect();
    admission.resize(at(1), NonZeroU32::new(3).unwrap());
    let served: Vec<_> = waiting
        .iter_mut()
        .filter_map(|place| place.poll(at(1)))
        .collect();
    assert_eq!(served.len(), 2);
}

#[test]
fn an_adaptive_limit_serves_those_who_wait_when_it_grows() {
    let mut limit = limiter::Config::default();
    let own = limiter::own::OwnConfig {
        initial: NonZeroU32::MIN,
        ..Default::default()
    };
    limit.algorithm = limiter::Algorithm::Own(own);
    let admission = Admission::new(Config::new(Concurrency::Adaptive(limit)), "server", 1);
    let mut now = 0;
    while admission.snapshot(at(now)).limit < 4 {
        let arrived: Vec<_> = (0..8)
            .map(|_| admission.arrive(at(now), arrival(now)))
            .collect();
        now += 10;
        for one in arrived {
            match one {
                Ok(Arrived::Admitted(permit)) => permit.finish(at(now), Outcome::Success),
                Ok(Arrived::Queued(mut place)) => {
                    if let Some(Ok(permit)) = place.poll(at(now)) {
                        permit.finish(at(now + 1), Outcome::Success);
                    }
                }
                Err(_) => {}
            }
        }
        assert!(now < 60_000, "{:?}", admission.snapshot(at(now)));
    }
    assert_eq!(admission.snapshot(at(now)).serving, 0);
}

#[test]
fn a_shed_cohort_is_refused_before_it_queues() {
    let admission = workers(1);
    let pressure = Pressure {
        memory: crate::ratio::Ratio::from_permille(2_000),
        ..Pressure::default()
    };
    let cohort = |n: u64| arrival(n).cohort(Cohort::new(n));
    let mut refused = 0;
    for n in 0..400 {
        admission.on_pressure(at(n), pressure);
        let arrived = admission.arrive(at(n), cohort(n));
        refused += u32::from(arrived.is_err_and(|one| one.reason == Reason::Shed));
    }
    assert!(refused > 100, "{refused}");
    let shown = admission.snapshot(at(400));
    assert!(shown.shed_share.unwrap().permille() >= 500);
    let normal = shown.classes[Criticality::Normal.index()];
    assert_eq!(normal.refused(Reason::Shed), u64::from(refused));
}

fn with_tenants(workers: u32, tenants: crate::tenant::Config) -> Admission {
    let workers = NonZeroU32::new(workers).unwrap();
    let mut config = Config::new(Concurrency::Fixed(workers));
    config.tenants = tenants;
    Admission::new(config, "server", 1)
}

#[test]
fn a_tenant_beyond_its_rate_is_told_when_to_come_back_and_the_others_are_not() {
    let rate = Some(Rate::per_second(NonZeroU32::new(2).unwrap()));
    let admission = with_tenants(
        100,
        crate::tenant::Config {
            rate,
            ..Default::default()
        },
    );
    let arrive = |tenant| admission.arrive(at(0), arrival(0).tenant(Tenant::new(tenant)));
    let _permits = [arrive(1), arrive(1), arrive(2)].map(admitted);
    let refused = arrive(1).unwrap_err();
    assert_eq!(refused.reason, Reason::TenantLimited);
    assert!(refused.retry_after.unwrap().as_millis().abs_diff(500) <= 1);
}

#[test]
fn what_a_refused_request_took_of_its_rate_is_given_back() {
    let rate = Some(Rate::per_second(NonZeroU32::new(2).unwrap()));
    let admission = with_tenants(
        1,
        crate::tenant::Config {
            rate,
            ..Default::default()
        },
    );
    let _busy = admitted(admission.arrive(at(0), arrival(0)));
    for turn in 0..50 {
        // One whose deadline passes, one who leaves: neither was served.
        let arrive = || queued(admission.arrive(at(0), arrival(0).tenant(Tenant::new(1))));
        let mut late = arrive();
        drop(arrive());
        assert!(late.poll(at(100)).unwrap().is_err(), "{turn}");
    }
}

#[test]
fn what_a_request_turned_out_to_cost_is_charged_to_its_tenant() {
    let rate = Some(Rate::per_second(NonZeroU32::new(10).unwrap()));
    let admission = with_tenants(
        4,
        crate::tenant::Config {
            rate,
            ..Default::default()
        },
    );
    let arrive = || admission.arrive(at(0), arrival(0).tenant(Tenant::new(1)));
    let permit = admitted(arrive());
    permit.charge(at(0), 9);
    assert_eq!(arrive().unwrap_err().reason, Reason::TenantLimited);
}

#[test]
fn a_group_leaves_the_other_what_it_does_not_lend() {
    let groups = vec![Group::new(NonZeroU32::MIN), Group::new(NonZeroU32::MIN)];
    let admission = with_tenants(
        8,
        crate::tenant::Config {
            groups,
            ..Default::default()
        },
    );
    let arrive = |group| {
        let tenant = Tenant::new(u64::from(group)).group(group);
        admission.arrive(at(0), arrival(0).tenant(tenant)).unwrap()
    };
    let mut first: Vec<_> = (0..20).map(|_| arrive(0)).collect();
    let is_served = |arrived: &&Arrived| matches!(arrived, Arrived::Admitted(_));
    assert_eq!(first.iter().filter(is_served).count(), 6);
    let second: Vec<_> = (0..3).map(|_| arrive(1)).collect();
    assert_eq!(second.iter().filter(is_served).count(), 2, "at once");
    let shown = admission.snapshot(at(0));
    assert_eq!(
        shown.groups.iter().map(|group| group.in_use).sum::<u32>(),
        8
    );
    // A worker that comes free goes to the group that has fewer than its own.
    drop(first.remove(0));
    let mut waiting = second.into_iter().filter_map(|arrived| match arrived {
        Arrived::Queued(place) => Some(place),
        Arrived::Admitted(_) => None,
    });
    assert!(waiting.next().unwrap().poll(at(0)).unwrap().is_ok());
}

#[derive(Debug, Clone)]
enum Move {
    Arrive {
        within: u64,
        class: usize,
        tenant: u64,
    },
    Finish(usize, bool),
    Leave(usize),
    Poll(usize),
    Pass(u64),
    Resize(u32),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let arrive =
        (1..200_u64, 0..5_usize, 0..3_u64).prop_map(|(within, class, tenant)| Move::Arrive {
            within,
            class,
            tenant,
        });
    let one = prop_oneof![
        4 => arrive,
        3 => (any::<usize>(), any::<bool>()).prop_map(|(at, told)| Move::Finish(at, told)),
        1 => any::<usize>().prop_map(Move::Leave),
        3 => any::<usize>().prop_map(Move::Poll),
        2 => (0..30_u64).prop_map(Move::Pass),
        1 => (1..5_u32).prop_map(Move::Resize),
    ];
    proptest::collection::vec(one, 1..300)
}

proptest! {
    /// Under any order of arriving, leaving, finishing and resizing, against a count kept by hand: nobody is lost, no more are served than may be,
    /// nobody waits beside a free worker, and what began is finished or in flight.
    #[test]
    fn nobody_is_lost_and_no_worker_is(moves in moves(), limit in 1..4_u32) {
        let admission = workers(limit);
        let (mut permits, mut places, mut now) = (Vec::new(), Vec::new(), 0);
        // No more than that many were ever allowed at once, since the last time that few were served.
        let (mut most, mut limit) = (limit, limit);
        let (mut arrivals, mut refused, mut left) = (0_u64, 0_u64, 0_u64);
        for step in moves {
            match step {
                Move::Arrive { within, class, tenant } => {
                    arrivals += 1;
                    let arrival = Arrival::new(at(now + within))
                        .criticality(Criticality::ALL[class])
                        .tenant(Tenant::new(tenant));
                    match admission.arrive(at(now), arrival) {
                        Ok(Arrived::Admitted(permit)) => permits.push(permit),
                        Ok(Arrived::Queued(place)) => places.push(place),
                        Err(_) => refused += 1,
                    }
                }
                Move::Finish(index, told) if !permits.is_empty() => {
                    let permit = permits.swap_remove(index % permits.len());
                    if told {
                        permit.finish(at(now), Outcome::Success);
                    } else {
                        drop(permit);
                    }
                }
                Move::Leave(index) if !places.is_empty() => {
                    left += 1;
                    drop(places.swap_remove(index % places.len()));
                }
                Move::Poll(index) if !places.is_empty() => {
                    let index = index % places.len();
                    if let Some(verdict) = places[index].poll(at(now)) {
                        drop(places.swap_remove(index));
                        match verdict {
                            Ok(permit) => permits.push(permit),
                            Err(_) => refused += 1,
                        }
                    }
                }
                Move::Pass(millis) => now += millis,
                Move::Resize(workers) => {
                    limit = workers;
                    most = most.max(workers);
                    admission.resize(at(now), NonZeroU32::new(workers).unwrap());
                }
                _ => {}
            }
            let shown = admission.snapshot(at(now));
            if shown.serving <= limit {
                most = limit;
            }
            prop_assert!(shown.serving <= most, "{} served of {most}", shown.serving);
            prop_assert!(shown.waiting == 0 || shown.serving >= limit, "nobody waits beside a free worker");
            prop_assert!(permits.len() <= shown.serving as usize);
            prop_assert!(shown.serving as usize + shown.waiting as usize <= permits.len() + places.len());
            let counted: u64 = shown.classes.iter().map(|class| class.admitted).sum();
            let said: u64 = shown.classes.iter().flat_map(|class| class.refused).sum();
            prop_assert_eq!(said, refused);
            prop_assert_eq!(arrivals, counted + refused + left + places.len() as u64);
        }
        drop(places);
        drop(permits);
        let shown = admission.snapshot(at(now));
        prop_assert_eq!((shown.serving, shown.waiting), (0, 0));
        let state = admission.lock();
        prop_assert!(state.verdicts.is_empty() && state.queue.len() == 0);
    }
}
