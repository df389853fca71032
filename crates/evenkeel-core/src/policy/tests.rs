use super::*;
use crate::breaker::State;
use crate::call::{AttemptPermit, Next, Step};
use crate::outcome::{Class, Finished, Outcome};
use crate::rejection::Reason;
use crate::{hedge, retry};
use core::num::NonZeroU32;
use core::time::Duration;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn config() -> Config {
    Config::new(Duration::from_secs(10))
}

fn attempt(policy: &Policy, millis: u64) -> Result<AttemptPermit, Reason> {
    match policy
        .begin(at(millis), CallHint::new(1).idempotent())
        .poll(at(millis))
    {
        Step::Attempt(permit) => Ok(permit),
        Step::Reject(rejection) => Err(rejection.reason),
        other => panic!("neither an attempt nor a refusal: {other:?}"),
    }
}

#[test]
fn slots_that_were_taken_before_a_reload_are_taken_after_it() {
    let with = |limit| {
        let mut config = config();
        let mut slots = bulkhead::Config::new(number(limit));
        slots.queue = 0;
        config.bulkhead = Some(slots);
        config
    };
    let before = Policy::new(with(3), "test", 1);
    let mut held: Vec<_> = (0..3).map(|_| attempt(&before, 0).unwrap()).collect();
    let after = before.successor(with(2), at(1));
    assert_eq!(after.snapshot(at(1)).bulkhead.unwrap().in_use, 3);
    held.pop();
    assert_eq!(attempt(&after, 2).err(), Some(Reason::BulkheadFull));
    held.pop();
    assert!(attempt(&after, 3).is_ok());
    drop(held);
    assert_eq!(after.snapshot(at(4)).bulkhead.unwrap().in_use, 0);
}

#[test]
fn a_limiter_keeps_the_limit_that_it_found_and_what_is_in_flight() {
    let with = |config: limiter::own::OwnConfig| {
        let algorithm = limiter::Algorithm::Own(config);
        let limiter = limiter::Config::new(algorithm);
        Config {
            limiter: Some(limiter),
            ..self::config()
        }
    };
    let small = limiter::own::OwnConfig {
        initial: number(7),
        ..Default::default()
    };
    let before = Policy::new(with(small.clone()), "test", 1);
    let permit = attempt(&before, 0).unwrap();
    let shown = |policy: &Policy| {
        let limiter = policy.snapshot(at(0)).limiter.unwrap();
        (limiter.limit, limiter.in_flight)
    };
    let wider = before.successor(
        with(limiter::own::OwnConfig {
            max: number(50),
            ..small.clone()
        }),
        at(1),
    );
    assert_eq!(shown(&wider), (7, 1), "not back at the start");
    let narrower = wider.successor(
        with(limiter::own::OwnConfig {
            max: number(5),
            initial: number(5),
            ..small
        }),
        at(2),
    );
    assert_eq!(shown(&narrower), (5, 1), "as far as the bounds allow");
    permit.finish(at(3), Outcome::Success);
    assert_eq!(shown(&narrower), (5, 0));
}

#[test]
fn an_open_circuit_stays_open() {
    let with = |consecutive| Config {
        breaker: Some(breaker::Config {
            consecutive: Some(consecutive),
            ..breaker::Config::classic()
        }),
        ..config()
    };
    let before = Policy::new(with(1), "test", 1);
    attempt(&before, 0).unwrap().finish(at(1), Outcome::Failure);
    let after = before.successor(with(5), at(2));
    assert_eq!(attempt(&after, 3).err(), Some(Reason::BreakerOpen));
    assert_eq!(after.snapshot(at(3)).breaker.unwrap().state, State::Open);
}

#[test]
fn a_reload_admits_no_second_burst() {
    let with = |limit, mode| {
        let mut rate = rate::Config::per_second(number(limit));
        rate.mode = mode;
        Config {
            rate: Some(rate),
            ..config()
        }
    };
    for mode in [rate::Mode::Smooth, rate::Mode::Strict] {
        let before = Policy::new(with(10, mode), "test", 1);
        for _ in 0..8 {
            drop(attempt(&before, 0).unwrap());
        }
        let after = before.successor(with(12, mode), at(0));
        let left = after.snapshot(at(0)).rate.unwrap().remaining;
        assert_eq!(left, 4, "eight of twelve are spent");
        let again = after.successor(with(12, mode), at(0));
        assert_eq!(again.snapshot(at(0)).rate.unwrap().remaining, 4);
    }
}

#[test]
fn retries_that_wait_stay_counted_and_come_back() {
    let with = |permille| {
        let mut retry = retry::Config::default();
        retry.budget.as_mut().unwrap().ratio = crate::ratio::Ratio::from_permille(permille);
        Config {
            retry: Some(retry),
            ..config()
        }
    };
    let before = Policy::new(with(200), "test", 1);
    let mut call = before.begin(at(0), CallHint::new(1));
    let Step::Attempt(permit) = call.poll(at(0)) else {
        panic!("nothing refuses")
    };
    let failed = Finished::failed(Class::Transient);
    assert_eq!(call.on_finished(permit, at(1), failed), Next::Wait);
    let after = before.successor(with(100), at(2));
    let extras = || after.snapshot(at(2)).budget.unwrap().extras;
    assert_eq!(extras(), 1);
    drop(call);
    assert_eq!(extras(), 0);
}

#[test]
fn an_operation_keeps_its_progress_and_what_is_known_of_its_latency() {
    let before = Policy::new(config(), "test", 1);
    let lookup = before.operation("lookup");
    let mut call = lookup.begin(at(0), CallHint::new(1));
    let Step::Attempt(permit) = call.poll(at(0)) else {
        panic!("nothing refuses")
    };
    let mut changed = config();
    changed.deadline = Duration::from_secs(1);
    let after = lookup.successor(changed.clone(), at(1));
    call.on_finished(permit, at(40), Finished::success());
    let shown = after.snapshot(at(50)).operations;
    assert_eq!(&*shown[1].name, "lookup");
    assert_eq!(
        (shown[1].progress.begun, shown[1].progress.succeeded),
        (1, 1)
    );
    assert!(shown[1].latency.is_some());
    drop(attempt(&after, 60));
    let attempts = after.snapshot(at(70)).operations[1].progress.attempts;
    assert_eq!(
        attempts, 2,
        "the successor of an operation is that operation"
    );

    changed.hedge = Some(hedge::Config::default());
    let hedged = after.successor(changed, at(80)).snapshot(at(80)).operations;
    assert_eq!(hedged[1].progress.succeeded, 1);
    assert!(
        hedged[1].latency.is_none(),
        "it is found out another way now"
    );
}

#[test]
fn operations_without_number_share_a_name() {
    let policy = Policy::new(config(), "test", 1);
    for name in 0..1_000 {
        let _handle = policy.operation(&name.to_string());
    }
    let _handle = policy.operation("7");
    let operations = policy.snapshot(at(0)).operations;
    assert!(operations.len() <= 257, "{}", operations.len());
    assert_eq!(operations.iter().filter(|it| &*it.name == "7").count(), 1);
    assert_eq!(&*operations.last().unwrap().name, "others");
}

#[test]
fn what_is_switched_on_or_off_begins_or_ends() {
    let before = Policy::new(config(), "test", 1);
    let mut all = config();
    all.bulkhead = Some(bulkhead::Config::new(number(1)));
    all.limiter = Some(limiter::Config::default());
    all.throttle = Some(throttle::Config::default());
    all.breaker = Some(breaker::Config::default());
    all.endpoints = Some(endpoint::Config::new(number(2)));
    let after = before.successor(all, at(0));
    let shown = after.snapshot(at(0));
    assert!(shown.bulkhead.is_some() && shown.limiter.is_some() && shown.throttle.is_some());
    assert_eq!(shown.endpoints.len(), 2);
    let permit = attempt(&after, 0).unwrap();
    let again = after.successor(config(), at(1)).snapshot(at(1));
    assert!(again.bulkhead.is_none() && again.limiter.is_none() && again.endpoints.is_empty());
    permit.finish(at(2), Outcome::Success);
}
