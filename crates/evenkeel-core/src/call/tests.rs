use super::*;
use crate::bulkhead;
use crate::outcome::{Class, Outcome};
use crate::policy::{Config, Policy};
use crate::ratio::Ratio;
use crate::{breaker, budget, endpoint, hedge, limiter, rate, retry, throttle, window};
use core::num::NonZeroU32;
use core::time::Duration;
use proptest::prelude::*;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn attempt(call: &mut Call, millis: u64) -> AttemptPermit {
    match call.poll(at(millis)) {
        Step::Attempt(permit) => permit,
        other => panic!("an attempt was due, not {other:?}"),
    }
}

#[test]
fn an_accepted_answer_is_no_longer_subject_to_the_attempts_timeout() {
    let mut config = Config::new(Duration::from_secs(1));
    config.attempt_timeout = Some(Duration::from_millis(100));
    let policy = Policy::new(config, "test", 1);
    let mut call = policy.begin(at(0), CallHint::new(1));
    let mut permit = attempt(&mut call, 0);
    assert!(matches!(call.poll(at(50)), Step::WaitUntil(until) if until == at(100)));
    call.on_accepted(&mut permit, at(60));
    assert!(matches!(call.poll(at(200)), Step::WaitUntil(until) if until == at(1000)));
    assert!(matches!(call.poll(at(1000)), Step::TimedOut));
}

/// A circuit that one failure opened for a second; one probe closes it.
fn half_open_after_a_second(attempt_timeout: Duration) -> Policy {
    let mut config = Config::new(Duration::from_secs(30));
    config.attempt_timeout = Some(attempt_timeout);
    let mut breaker = breaker::Config::classic();
    breaker.consecutive = Some(1);
    breaker.open.initial = Duration::from_secs(1);
    config.breaker = Some(breaker);
    let policy = Policy::new(config, "test", 1);
    let mut call = policy.begin(at(0), CallHint::new(1));
    let permit = attempt(&mut call, 0);
    call.on_finished(permit, at(0), Finished::failed(Class::Transient));
    policy
}

fn circuit(policy: &Policy, millis: u64) -> breaker::State {
    policy.snapshot(at(millis)).breaker.unwrap().state
}

#[test]
fn a_dependency_that_is_slow_but_within_its_timeout_closes_the_circuit() {
    let policy = half_open_after_a_second(Duration::from_secs(20));
    let mut call = policy.begin(at(1_000), CallHint::new(2));
    let probe = attempt(&mut call, 1_000);
    let mut other = policy.begin(at(7_000), CallHint::new(3));
    assert!(
        matches!(other.poll(at(7_000)), Step::Reject(_)),
        "the probe is still out"
    );
    call.on_finished(probe, at(8_000), Finished::success());
    assert_eq!(circuit(&policy, 8_000), breaker::State::Closed);
}

#[test]
fn an_accepted_probe_has_shown_what_it_was_to_show() {
    let policy = half_open_after_a_second(Duration::from_secs(5));
    let mut call = policy.begin(at(1_000), CallHint::new(2));
    let mut probe = attempt(&mut call, 1_000);
    call.on_accepted(&mut probe, at(1_100));
    assert_eq!(circuit(&policy, 1_100), breaker::State::Closed);
    probe.finish(at(600_000), Outcome::Failure);
    assert_eq!(
        circuit(&policy, 600_000),
        breaker::State::Closed,
        "judged once"
    );
}

#[test]
fn a_probe_of_a_caller_in_a_hurry_says_nothing_about_the_dependency() {
    let policy = half_open_after_a_second(Duration::from_secs(10));
    let hint = CallHint {
        deadline: Some(at(1_050)),
        ..CallHint::new(2)
    };
    let mut hurried = policy.begin(at(1_000), hint);
    let probe = attempt(&mut hurried, 1_000);
    // Another caller, before the first one's timer has fired.
    drop(policy.begin(at(1_050), CallHint::new(3)).poll(at(1_050)));
    assert!(matches!(hurried.poll(at(1_051)), Step::TimedOut));
    assert_eq!(probe.abandon(at(1_051), false), None);
    assert_eq!(policy.snapshot(at(1_051)).breaker.unwrap().reopens, 0);
}

#[test]
fn a_judged_attempt_holds_its_slot_until_its_permit_is_dropped() {
    let mut config = Config::new(Duration::from_secs(1));
    config.bulkhead = Some(bulkhead::Config::new(NonZeroU32::MIN));
    let policy = Policy::new(config, "test", 1);
    let mut call = policy.begin(at(0), CallHint::new(1));
    let mut permit = attempt(&mut call, 0);
    let next = call.on_judged(&mut permit, at(1), Finished::failed(Class::Fatal));
    assert_eq!(next, Next::Failed(StopReason::NotRetryable));
    let snapshot = policy.snapshot(at(1));
    assert_eq!(
        (
            snapshot.tally.in_flight(),
            snapshot.bulkhead.unwrap().in_use
        ),
        (0, 1)
    );
    drop(permit);
    assert_eq!(policy.snapshot(at(2)).bulkhead.unwrap().in_use, 0);
}

#[test]
fn a_permit_outlives_its_call_and_still_ends_its_attempt() {
    let mut config = Config::new(Duration::from_secs(1));
    config.bulkhead = Some(bulkhead::Config::new(NonZeroU32::MIN));
    let policy = Policy::new(config, "test", 1);
    let mut call = policy.begin(at(0), CallHint::new(1));
    let permit = attempt(&mut call, 0);
    drop(call);
    let in_use = || policy.snapshot(at(0)).bulkhead.unwrap().in_use;
    assert_eq!(in_use(), 1);
    permit.finish(at(500), Outcome::Success);
    assert_eq!(in_use(), 0);
}

#[test]
fn who_gave_up_does_not_matter_when_the_attempt_ran_for_as_long_as_its_timeout() {
    let mut config = Config::new(Duration::from_secs(9));
    config.attempt_timeout = Some(Duration::from_millis(100));
    let policy = Policy::new(config, "test", 1);
    let outcome = |millis, unwinding| {
        let permit = attempt(&mut policy.begin(at(0), CallHint::new(1)), 0);
        permit.outcome_if_abandoned(at(millis), unwinding)
    };
    assert_eq!(outcome(99, false), Outcome::Ignored);
    assert_eq!(outcome(100, false), Outcome::Overload);
    assert_eq!(outcome(5, true), Outcome::Failure);
}

#[test]
fn polling_too_early_and_too_often_changes_nothing() {
    let mut config = Config::new(Duration::from_secs(1));
    config.retry = Some(retry::Config::default());
    let policy = Policy::new(config, "test", 1);
    let mut call = policy.begin(at(0), CallHint::new(1).idempotent());
    let first = attempt(&mut call, 0);
    assert_eq!(
        call.on_finished(first, at(1), Finished::failed(Class::Transient)),
        Next::Wait
    );
    let Step::WaitUntil(retry) = call.poll(at(1)) else {
        panic!("it backs off")
    };
    for _ in 0..10 {
        assert!(matches!(call.poll(at(2)), Step::WaitUntil(until) if until == retry));
    }
    let Step::Attempt(second) = call.poll(retry) else {
        panic!("the wait is over")
    };
    assert_eq!(
        call.on_finished(second, retry, Finished::success()),
        Next::Done
    );
    assert!(
        matches!(call.poll(retry), Step::WaitUntil(Instant::MAX)),
        "nothing to do, ever"
    );
}

#[test]
fn peer_fault_09_a_call_that_was_begun_and_is_not_made_keeps_nothing_from_others() {
    let mut config = Config::new(Duration::from_secs(1));
    config.bulkhead = Some(bulkhead::Config::new(NonZeroU32::MIN));
    config.limiter = Some(limiter::Config::default());
    let policy = Policy::new(config, "test", 1);
    let idle: Vec<_> = (0..100)
        .map(|seed| policy.begin(at(0), CallHint::new(seed)))
        .collect();
    for millis in 0..100 {
        let permit = attempt(&mut policy.begin(at(millis), CallHint::new(1)), millis);
        permit.finish(at(millis), Outcome::Success);
    }
    drop(idle);
}

/// A thousand calls, all of whose attempts fail at once; how many retries that made.
fn retries_of_a_thousand(permille: u32) -> u64 {
    let mut config = Config::new(Duration::from_secs(1));
    let mut retry = retry::Config::default();
    retry.backoff.initial = Duration::ZERO;
    retry.budget = Some(budget::Config {
        ratio: Ratio::from_permille(permille),
        floor_per_second: 0,
        ..budget::Config::default()
    });
    config.retry = Some(retry);
    let policy = Policy::new(config, "test", 2);
    for seed in 0..1_000 {
        // Spread over nearly all of the budget's window: deposits count for the whole of it.
        let millis = seed * 9;
        let mut call = policy.begin(at(millis), CallHint::new(seed).idempotent());
        while let Step::Attempt(permit) = call.poll(at(millis)) {
            call.on_finished(permit, at(millis), Finished::failed(Class::Transient));
        }
    }
    policy.snapshot(at(9_000)).tally.retries
}

#[test]
fn peer_fault_10_retries_are_a_share_of_the_calls() {
    assert_eq!(retries_of_a_thousand(200), 200, "and not a thousand");
}

#[test]
fn peer_fault_11_a_budget_of_thirty_percent_is_thirty_percent() {
    for permille in [300, 400, 600, 999] {
        assert_eq!(retries_of_a_thousand(permille), u64::from(permille));
    }
}

#[test]
fn peer_fault_32_retries_that_wait_are_counted_before_they_wait() {
    let mut config = Config::new(Duration::from_secs(10));
    let mut retry = retry::Config::default();
    retry.budget.as_mut().unwrap().min_concurrent = 3;
    retry.budget.as_mut().unwrap().concurrent = Ratio::from_permille(0);
    retry.budget.as_mut().unwrap().floor_per_second = 1_000;
    config.retry = Some(retry);
    let policy = Policy::new(config, "test", 1);
    let mut waiting = Vec::new();
    for seed in 0..100 {
        let mut call = policy.begin(at(0), CallHint::new(seed).idempotent());
        let permit = attempt(&mut call, 0);
        match call.on_finished(permit, at(0), Finished::failed(Class::Transient)) {
            Next::Wait => waiting.push(call),
            next => assert_eq!(next, Next::Failed(StopReason::BudgetExhausted)),
        }
    }
    assert_eq!(waiting.len(), 3, "the others would all fire together");
}

/// Every bound on, each tight enough to be met by a few dozen calls.
fn tight() -> Config {
    let mut config = Config::new(Duration::from_millis(300));
    config.attempt_timeout = Some(Duration::from_millis(60));
    let mut retry = retry::Config::default();
    retry.backoff.initial = Duration::from_millis(5);
    retry.throttled = retry.backoff.clone();
    retry.budget = Some(budget::Config {
        ratio: Ratio::from_permille(300),
        ..budget::Config::default()
    });
    config.retry = Some(retry);
    let mut breaker = breaker::Config::classic();
    breaker.open.initial = Duration::from_millis(40);
    config.breaker = Some(breaker);
    let mut slots = bulkhead::Config::new(NonZeroU32::new(4).unwrap());
    slots.queue = 3;
    config.bulkhead = Some(slots);
    let latency = window::QuantileConfig {
        window: Duration::from_secs(10),
    };
    config.hedge = Some(hedge::Config {
        min_samples: 1,
        max_hedges: 2,
        ratio: Ratio::from_permille(700),
        max_used: Ratio::ONE,
        latency,
        ..hedge::Config::default()
    });
    config.throttle = Some(throttle::Config {
        min_calls: 5,
        min_observed: Duration::ZERO,
        window: Duration::from_millis(500),
        ..throttle::Config::default()
    });
    config.limiter = Some(limiter::Config {
        min_window: Duration::from_millis(20),
        min_samples: 2,
        ..limiter::Config::new(limiter::Algorithm::Classic(Default::default()))
    });
    config.rate = Some(rate::Config::new(
        NonZeroU32::new(20).unwrap(),
        Duration::from_millis(300),
    ));
    config
}

/// The same, of a dependency with three endpoints.
fn tight_and_spread() -> Config {
    let mut config = tight();
    config.endpoints = Some(endpoint::Config::new(NonZeroU32::new(3).unwrap()));
    config
}

/// What a driver may do to one of its calls.
#[derive(Debug, Clone, Copy)]
enum Move {
    Begin,
    Poll,
    Finish(usize),
    DropCall,
    DropPermit,
}

fn moves() -> impl Strategy<Value = Vec<(Move, usize, u64)>> {
    let one = prop_oneof![
        3 => Just(Move::Begin),
        8 => Just(Move::Poll),
        2 => (0..6_usize).prop_map(Move::Finish),
        1 => Just(Move::DropCall),
        1 => Just(Move::DropPermit),
    ];
    proptest::collection::vec((one, any::<usize>(), 0..30_u64), 1..150)
}

struct Driven {
    call: Option<Call>,
    permits: Vec<AttemptPermit>,
    attempts: u32,
    deadline: Instant,
}

impl Driven {
    /// Does what the machine says, once; true if the call is over.
    fn poll(&mut self, now: Instant, most: u32) -> bool {
        let Some(call) = &mut self.call else {
            return false;
        };
        match call.poll(now) {
            Step::Attempt(permit) => {
                self.attempts += 1;
                assert!(
                    self.attempts <= most,
                    "no more attempts than the policy allows"
                );
                assert!(now < self.deadline, "no attempt after the deadline");
                let is_hedge = permit.kind() == Kind::Hedge;
                assert!(is_hedge || self.permits.is_empty(), "retries come after");
                self.permits.push(permit);
                false
            }
            Step::WaitUntil(until) | Step::AwaitSlot { until } => {
                assert!(until <= self.deadline, "nothing waits past the deadline");
                false
            }
            Step::Abandon(id) => {
                let at = self.permits.iter().position(|permit| permit.id() == id);
                let permit = self.permits.swap_remove(at.unwrap());
                call.on_abandoned(permit, now) != Next::Wait
            }
            Step::Reject(_) | Step::GiveUp(_) => true,
            Step::TimedOut => {
                for permit in self.permits.drain(..) {
                    permit.abandon(now, false);
                }
                true
            }
        }
    }

    fn finish(&mut self, now: Instant, how: usize) -> bool {
        let (Some(call), Some(permit)) = (&mut self.call, self.permits.pop()) else {
            return false;
        };
        let finished = [
            Finished::success(),
            Finished::failed(Class::NotSent),
            Finished::failed(Class::Rejected).retry_after(Duration::from_millis(7)),
            Finished::failed(Class::Transient),
            Finished::failed(Class::Ambiguous),
            Finished::callers_fault(),
        ][how];
        let next = call.on_finished(permit, now, finished);
        if next == Next::Done {
            for permit in self.permits.drain(..) {
                call.on_abandoned(permit, now);
            }
        }
        next != Next::Wait
    }
}

proptest! {
    /// Whatever a driver does, in whatever order: bounds hold, and everything comes back.
    #[test]
    fn bounds_hold_and_everything_comes_back(
        moves in moves(), seed in any::<u64>(), spread in any::<bool>(),
    ) {
        let config = if spread { tight_and_spread() } else { tight() };
        let policy = Policy::new(config, "test", 2);
        let most = policy.config().max_attempts();
        // How long calls take is known, so that hedges are made.
        for seed in 0..10 {
            let mut call = policy.begin(at(0), CallHint::new(seed));
            let permit = attempt(&mut call, 0);
            call.on_finished(permit, at(5), Finished::success());
        }
        let (mut now, mut driven): (u64, Vec<Driven>) = (0, Vec::new());
        for (index, (step, pick, millis)) in moves.into_iter().enumerate() {
            now += millis;
            if matches!(step, Move::Begin) {
                let hint = CallHint {
                    stripe: Stripe(u32::try_from(index).unwrap()),
                    ..CallHint::new(seed ^ pick as u64).idempotent()
                };
                let call = policy.begin(at(now), hint);
                let deadline = call.deadline();
                driven.push(Driven { call: Some(call), permits: Vec::new(), attempts: 0, deadline });
                continue;
            }
            if driven.is_empty() {
                continue;
            }
            let picked = pick % driven.len();
            let one = &mut driven[picked];
            let over = match step {
                Move::Begin => false,
                Move::Poll => one.poll(at(now), most),
                Move::Finish(how) => one.finish(at(now), how),
                Move::DropCall => {
                    one.call = None;
                    one.permits.is_empty()
                }
                Move::DropPermit => {
                    one.permits.clear();
                    true
                }
            };
            if over {
                driven.swap_remove(picked);
            }
            let shown = policy.snapshot(at(now));
            let open = driven.iter().map(|one| one.permits.len() as u64).sum::<u64>();
            prop_assert_eq!(shown.tally.in_flight(), open, "begun = ended + in flight");
            let slots = shown.bulkhead.unwrap();
            prop_assert!(slots.in_use <= slots.limit && slots.waiting <= 3);
            prop_assert!(u64::from(slots.in_use) >= open);
            prop_assert_eq!(u64::from(shown.limiter.unwrap().in_flight), open, "a place each");
            let calls = driven.iter().filter(|one| one.call.is_some()).count() as u64;
            prop_assert_eq!(shown.operations[0].progress.in_flight, calls, "started = ended + in flight");
            let there: u64 = shown.endpoints.iter().map(|endpoint| endpoint.balance.in_flight).sum();
            prop_assert_eq!(there, if spread { open } else { 0 });
        }
        drop(driven);
        let shown = policy.snapshot(at(now));
        let (slots, budget) = (shown.bulkhead.unwrap(), shown.budget.unwrap());
        prop_assert_eq!((slots.in_use, slots.waiting, budget.extras), (0, 0, 0));
        prop_assert_eq!(shown.operations[0].hedges.unwrap().extras, 0);
        let circuits = shown.endpoints.into_iter().filter_map(|endpoint| endpoint.breaker);
        for circuit in circuits.chain(shown.breaker) {
            prop_assert_eq!(circuit.probes, 0);
        }
    }
}
