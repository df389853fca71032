use crate::call::{AttemptId, AttemptPermit, Call, CallHint, Kind, Next, Step};
use crate::outcome::{Class, Finished, Outcome};
use crate::policy::{Config, Policy};
use crate::ratio::Ratio;
use crate::time::Instant;
use crate::{breaker, bulkhead, endpoint, hedge, limiter, retry};
use core::num::NonZeroU32;
use core::time::Duration;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// Hedges as soon as anything is known, and as many as are asked for.
fn hedging() -> Config {
    let mut config = Config::new(Duration::from_secs(10));
    config.hedge = Some(hedge::Config {
        min_samples: 1,
        ratio: Ratio::ONE,
        ..hedge::Config::default()
    });
    config
}

/// A policy whose calls are known to take 40 ms.
fn policy(config: Config) -> Policy {
    let policy = Policy::new(config, "test", 1);
    for _ in 0..20 {
        let mut call = policy.begin(at(0), CallHint::new(1));
        let permit = attempt(&mut call, 0);
        assert_eq!(
            call.on_finished(permit, at(40), Finished::success()),
            Next::Done
        );
    }
    policy
}

fn begin(policy: &Policy, millis: u64) -> Call {
    policy.begin(at(millis), CallHint::new(1).idempotent())
}

fn attempt(call: &mut Call, millis: u64) -> AttemptPermit {
    match call.poll(at(millis)) {
        Step::Attempt(permit) => permit,
        other => panic!("an attempt was due, not {other:?}"),
    }
}

fn wait(call: &mut Call, millis: u64) -> Instant {
    match call.poll(at(millis)) {
        Step::WaitUntil(until) => until,
        other => panic!("a wait was due, not {other:?}"),
    }
}

/// A call from 1 s whose first attempt has got company, at the instant that is told.
fn hedged(policy: &Policy) -> (Call, AttemptPermit, AttemptPermit, Instant) {
    let mut call = begin(policy, 1_000);
    let first = attempt(&mut call, 1_000);
    let hedge_at = wait(&mut call, 1_000);
    let Step::Attempt(hedge) = call.poll(hedge_at) else {
        panic!("the hedge is due")
    };
    assert_eq!(hedge.kind(), Kind::Hedge);
    (call, first, hedge, hedge_at)
}

#[test]
fn a_hedge_is_made_once_the_first_attempt_takes_longer_than_nearly_all_did() {
    let policy = policy(hedging());
    let (mut call, first, hedge, hedge_at) = hedged(&policy);
    let delay = hedge_at.since(at(1_000));
    assert!(
        delay.abs_diff(Duration::from_millis(40)) < Duration::from_millis(2),
        "{delay:?}"
    );
    let later = hedge_at + Duration::from_millis(3);
    assert_eq!(
        call.on_finished(hedge, later, Finished::success()),
        Next::Done
    );
    assert!(matches!(call.poll(later), Step::Abandon(AttemptId(1))));
    assert_eq!(call.on_abandoned(first, later), Next::Done);
    let tally = policy.snapshot(later).tally;
    assert_eq!((tally.hedges, tally.in_flight()), (1, 0));
    assert_eq!(tally.ended(Outcome::Ignored), 1, "to lose is no failure");
}

#[test]
fn peer_fault_13_a_hedge_that_fails_at_once_leaves_the_answer_to_the_first_attempt() {
    let policy = policy(hedging());
    let (mut call, first, hedge, hedge_at) = hedged(&policy);
    let failed = Finished::failed(Class::Fatal);
    assert_eq!(call.on_finished(hedge, hedge_at, failed), Next::Wait);
    let later = hedge_at + Duration::from_millis(5);
    assert_eq!(
        call.on_finished(first, later, Finished::success()),
        Next::Done
    );
}

#[test]
fn a_first_attempt_that_fails_leaves_the_answer_to_its_hedge() {
    let policy = policy(hedging());
    let (mut call, first, hedge, hedge_at) = hedged(&policy);
    let failed = Finished::failed(Class::Transient);
    assert_eq!(call.on_finished(first, hedge_at, failed), Next::Wait);
    assert_eq!(
        wait(&mut call, 1_050),
        call.deadline(),
        "for as long as there is"
    );
    assert_eq!(
        call.on_finished(hedge, at(1_060), Finished::success()),
        Next::Done
    );
}

#[test]
fn a_round_that_is_lost_ends_the_call_with_the_worst_of_its_failures() {
    let mut config = hedging();
    config.retry = Some(retry::Config::default());
    let policy = policy(config);
    let (mut call, first, hedge, hedge_at) = hedged(&policy);
    let fatal = Finished::failed(Class::Fatal);
    assert_eq!(call.on_finished(hedge, hedge_at, fatal), Next::Wait);
    let next = call.on_finished(first, hedge_at, Finished::failed(Class::Transient));
    assert_eq!(next, Next::Failed(super::super::StopReason::NotRetryable));
    assert_eq!(call.failed_attempts().len(), 2);
}

#[test]
fn peer_fault_14_a_first_attempt_that_fails_at_once_does_not_wait_for_the_hedge() {
    for retried in [true, false] {
        let mut config = hedging();
        config.retry = retried.then(retry::Config::default);
        let policy = policy(config);
        let mut call = begin(&policy, 1_000);
        let first = attempt(&mut call, 1_000);
        let failed = Finished::failed(Class::Transient);
        assert_eq!(call.on_finished(first, at(1_001), failed), Next::Wait);
        let second = attempt(&mut call, 1_001);
        let kind = if retried { Kind::Retry } else { Kind::Hedge };
        assert_eq!(
            second.kind(),
            kind,
            "it counts as the retry, where there are any"
        );
        assert_eq!(
            call.on_finished(second, at(1_002), Finished::success()),
            Next::Done
        );
    }
}

#[test]
fn a_dependency_that_asks_for_less_is_not_asked_again_at_once() {
    let mut config = hedging();
    config.retry = Some(retry::Config::default());
    let policy = policy(config);
    let mut call = begin(&policy, 1_000);
    let first = attempt(&mut call, 1_000);
    call.on_finished(first, at(1_001), Finished::failed(Class::Rejected));
    assert!(wait(&mut call, 1_001) > at(1_001));
}

#[test]
fn peer_fault_29_the_winner_lives_on_until_its_body_ends_and_the_loser_does_not() {
    let mut config = hedging();
    config.bulkhead = Some(bulkhead::Config::new(NonZeroU32::new(30).unwrap()));
    let policy = policy(config);
    let (mut call, first, mut hedge, hedge_at) = hedged(&policy);
    call.on_accepted(&mut hedge, hedge_at);
    assert!(matches!(call.poll(hedge_at), Step::Abandon(AttemptId(1))));
    assert_eq!(call.on_abandoned(first, hedge_at), Next::Wait);
    let in_use = || policy.snapshot(hedge_at).bulkhead.unwrap().in_use;
    assert_eq!(in_use(), 1, "the winner's");
    assert_eq!(
        wait(&mut call, 1_100),
        call.deadline(),
        "its body may take as long"
    );
    assert_eq!(
        call.on_finished(hedge, at(5_000), Finished::success()),
        Next::Done
    );
    assert_eq!(in_use(), 0);

    let (mut call, first, mut hedge, hedge_at) = hedged(&policy);
    assert_eq!(call.on_answered(&mut hedge, hedge_at), Next::Done);
    call.on_abandoned(first, hedge_at);
    drop(call);
    assert_eq!(in_use(), 1, "its body outlives the call");
    hedge.finish(at(6_000), Outcome::Success);
    assert_eq!(in_use(), 0);
}

#[test]
fn what_may_be_done_only_once_is_never_hedged() {
    let policy = policy(hedging());
    for hint in [
        CallHint::new(1),
        CallHint {
            replayable: false,
            ..CallHint::new(1).idempotent()
        },
        CallHint {
            sequential: true,
            ..CallHint::new(1).idempotent()
        },
    ] {
        let mut call = policy.begin(at(1_000), hint);
        let _first = attempt(&mut call, 1_000);
        assert_eq!(wait(&mut call, 1_000), call.deadline());
    }
}

/// Whether a call whose first attempt is slow gets a hedge.
fn gets_hedge(policy: &Policy) -> bool {
    let mut call = begin(policy, 1_000);
    let first = attempt(&mut call, 1_000);
    let hedge_at = wait(&mut call, 1_000);
    let is_made = matches!(call.poll(hedge_at), Step::Attempt(_));
    drop(first);
    is_made
}

#[test]
fn no_hedge_is_made_while_four_fifths_of_the_slots_are_used() {
    let mut config = hedging();
    config.bulkhead = Some(bulkhead::Config::new(NonZeroU32::new(30).unwrap()));
    let own = limiter::own::OwnConfig {
        initial: NonZeroU32::new(30).unwrap(),
        ..limiter::own::OwnConfig::default()
    };
    config.limiter = Some(limiter::Config::new(limiter::Algorithm::Own(own)));
    let policy = policy(config);
    let take = |count| -> Vec<_> {
        (0..count)
            .map(|_| attempt(&mut begin(&policy, 1_000), 1_000))
            .collect()
    };
    let held = take(23);
    assert!(gets_hedge(&policy));
    let more = take(1);
    assert!(!gets_hedge(&policy), "25 of 30 with its own");
    drop((held, more));
    assert!(gets_hedge(&policy));
}

#[test]
fn no_hedge_is_made_while_the_circuit_is_not_closed() {
    let mut config = hedging();
    config.breaker = Some(breaker::Config {
        consecutive: Some(1),
        ..breaker::Config::classic()
    });
    let policy = policy(config);
    let mut slow = begin(&policy, 1_000);
    let _first = attempt(&mut slow, 1_000);
    let hedge_at = wait(&mut slow, 1_000);
    let mut failing = begin(&policy, 1_001);
    let permit = attempt(&mut failing, 1_001);
    failing.on_finished(permit, at(1_002), Finished::failed(Class::Fatal));
    assert!(matches!(slow.poll(hedge_at), Step::WaitUntil(_)));
    let tally = policy.snapshot(hedge_at).tally;
    assert_eq!(tally.hedges, 0);
    assert_eq!(
        tally.rejections.iter().sum::<u64>(),
        0,
        "nobody was refused"
    );
}

#[test]
fn a_hedge_takes_from_both_ledgers_and_gives_back_to_both_if_one_refuses() {
    let mut config = hedging();
    let mut retry = retry::Config::default();
    retry.budget.as_mut().unwrap().min_concurrent = 1;
    retry.budget.as_mut().unwrap().concurrent = Ratio::from_permille(0);
    config.retry = Some(retry);
    let policy = policy(config);
    let (call, first, hedge, hedge_at) = hedged(&policy);
    assert_eq!(policy.snapshot(hedge_at).budget.unwrap().extras, 1);
    let own = || {
        policy.snapshot(hedge_at).operations[0]
            .hedges
            .unwrap()
            .extras
    };
    assert_eq!(own(), 1);
    assert!(!gets_hedge(&policy), "the one place for extras is taken");
    assert_eq!(own(), 1);
    drop((call, first, hedge));
    assert_eq!(policy.snapshot(hedge_at).budget.unwrap().extras, 0);
    assert_eq!(own(), 0);
}

#[test]
fn a_hedge_goes_to_another_endpoint_or_nowhere() {
    let mut config = hedging();
    config.endpoints = Some(endpoint::Config::new(NonZeroU32::new(2).unwrap()));
    config.breaker = Some(breaker::Config {
        consecutive: Some(1),
        ..breaker::Config::classic()
    });
    let policy = policy(config);
    let (_call, first, hedge, _) = hedged(&policy);
    assert_ne!(first.endpoint(), hedge.endpoint());
    let bad = hedge.endpoint();
    hedge.finish(at(1_100), Outcome::Failure);
    let mut call = begin(&policy, 1_100);
    let next = attempt(&mut call, 1_100);
    assert_ne!(next.endpoint(), bad, "its circuit is open");
    let hedge_at = wait(&mut call, 1_100);
    assert!(
        matches!(call.poll(hedge_at), Step::WaitUntil(_)),
        "there is no other"
    );
}

#[test]
fn a_losers_time_stays_in_what_is_known_of_latency() {
    let policy = policy(hedging());
    // Every first attempt hangs from now on; hedges answer at once.
    for second in 1..40 {
        let mut call = begin(&policy, second * 1_000);
        let first = attempt(&mut call, second * 1_000);
        let hedge_at = wait(&mut call, second * 1_000);
        let Step::Attempt(hedge) = call.poll(hedge_at) else {
            panic!("the hedge is due")
        };
        call.on_finished(hedge, hedge_at, Finished::success());
        call.on_abandoned(first, hedge_at);
    }
    let latency = policy.snapshot(at(39_500)).operations[0].latency.unwrap();
    assert!(latency.p95 >= Duration::from_millis(38), "{latency:?}");
}

#[test]
fn hedges_and_retries_together_make_no_more_attempts_than_the_policy_says() {
    let mut config = hedging();
    config.hedge.as_mut().unwrap().max_hedges = 3;
    config.retry = Some(retry::Config::new(NonZeroU32::new(3).unwrap()));
    assert_eq!(config.max_attempts(), 4);
    let policy = policy(config);
    let (mut call, first, second, hedge_at) = hedged(&policy);
    let mut now = hedge_at;
    let mut permits = vec![first, second];
    while let Step::WaitUntil(until) = call.poll(now) {
        if until >= call.deadline() {
            break;
        }
        now = until;
        if let Step::Attempt(permit) = call.poll(now) {
            permits.push(permit);
        }
    }
    assert_eq!(permits.len(), 4, "the first and three hedges");
    for permit in permits {
        call.on_finished(permit, now, Finished::failed(Class::Transient));
    }
    let Step::GiveUp(reason) = call.poll(now) else {
        panic!("the call is over")
    };
    assert_eq!(reason, super::super::StopReason::AttemptsExhausted);
}
