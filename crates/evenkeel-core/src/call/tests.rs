use super::*;
use crate::bulkhead;
use crate::policy::{Config, Policy};
use crate::ratio::Ratio;
use crate::{breaker, budget, retry};
use core::num::NonZeroU32;
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
    let permit = attempt(&mut call, 0);
    assert!(matches!(call.poll(at(50)), Step::WaitUntil(until) if until == at(100)));
    call.on_accepted(permit.id(), at(60));
    assert!(matches!(call.poll(at(200)), Step::WaitUntil(until) if until == at(1000)));
    assert!(matches!(call.poll(at(1000)), Step::TimedOut));
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
        4 => Just(Move::Poll),
        3 => (0..6_usize).prop_map(Move::Finish),
        1 => Just(Move::DropCall),
        1 => Just(Move::DropPermit),
    ];
    proptest::collection::vec((one, any::<usize>(), 0..30_u64), 1..150)
}

struct Driven {
    call: Option<Call>,
    permit: Option<AttemptPermit>,
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
                assert!(self.permit.is_none(), "one attempt at a time");
                self.permit = Some(permit);
                false
            }
            Step::WaitUntil(until) | Step::AwaitSlot { until } => {
                assert!(until <= self.deadline, "nothing waits past the deadline");
                false
            }
            Step::Abandon(id) => {
                let permit = self.permit.take().unwrap();
                assert_eq!(permit.id(), id);
                call.on_finished(permit, now, Finished::timed_out()) != Next::Wait
            }
            Step::Reject(_) | Step::GiveUp(_) => true,
            Step::TimedOut => {
                if let Some(permit) = self.permit.take() {
                    permit.abandon(now, false);
                }
                true
            }
        }
    }

    fn finish(&mut self, now: Instant, how: usize) -> bool {
        let (Some(call), Some(permit)) = (&mut self.call, self.permit.take()) else {
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
        call.on_finished(permit, now, finished) != Next::Wait
    }
}

proptest! {
    /// Whatever a driver does, in whatever order: bounds hold, and everything comes back.
    #[test]
    fn bounds_hold_and_everything_comes_back(moves in moves(), seed in any::<u64>()) {
        let policy = Policy::new(tight(), "test", 2);
        let most = policy.config().retry.as_ref().unwrap().max_attempts.get();
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
                driven.push(Driven { call: Some(call), permit: None, attempts: 0, deadline });
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
                    one.permit.is_none()
                }
                Move::DropPermit => {
                    one.permit = None;
                    true
                }
            };
            if over {
                driven.swap_remove(picked);
            }
            let shown = policy.snapshot(at(now));
            let open = driven.iter().filter(|one| one.permit.is_some()).count() as u64;
            prop_assert_eq!(shown.tally.in_flight(), open, "begun = ended + in flight");
            let slots = shown.bulkhead.unwrap();
            prop_assert!(slots.in_use <= slots.limit && slots.waiting <= 3);
            prop_assert!(u64::from(slots.in_use) >= open);
        }
        drop(driven);
        let shown = policy.snapshot(at(now));
        let (slots, budget) = (shown.bulkhead.unwrap(), shown.budget.unwrap());
        prop_assert_eq!((slots.in_use, slots.waiting, budget.extras), (0, 0, 0));
        prop_assert_eq!(shown.breaker.unwrap().probes, 0);
    }
}
