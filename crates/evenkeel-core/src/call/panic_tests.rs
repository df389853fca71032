//! When the breakers of a dependency's endpoints are heeded, and when not.

use super::*;
use crate::breaker::{self, Mode, State};
use crate::endpoint::{self, EndpointId};
use crate::outcome::Class;
use crate::policy::{Config, Policy};
use crate::ratio::Ratio;
use crate::rejection::Reason;
use core::num::NonZeroU32;
use core::time::Duration;

/// Four endpoints, each with a circuit that one failure opens for half a minute; nobody is left out besides.
fn policy(panic: u32) -> Policy {
    let mut config = Config::new(Duration::from_secs(60));
    let mut breaker = breaker::Config::classic();
    breaker.consecutive = Some(1);
    config.breaker = Some(breaker);
    let mut endpoints = endpoint::Config::new(NonZeroU32::new(4).unwrap());
    endpoints.outlier = None;
    endpoints.panic = Ratio::from_permille(panic);
    config.endpoints = Some(endpoints);
    Policy::new(config, "test", 1)
}

/// One call to wherever it goes: where that was, or why not.
fn call(policy: &Policy, seed: u64, finished: Finished) -> Result<EndpointId, Reason> {
    let mut call = policy.begin(Instant::ZERO, CallHint::new(seed));
    match call.poll(Instant::ZERO) {
        Step::Attempt(permit) => {
            let endpoint = permit.endpoint();
            call.on_finished(permit, Instant::ZERO, finished);
            Ok(endpoint)
        }
        Step::Reject(rejection) => Err(rejection.reason),
        other => panic!("refused or made, not {other:?}"),
    }
}

/// Opens the circuits of all but `closed` endpoints, wherever the calls go.
fn open_but(policy: &Policy, closed: usize) {
    for seed in 0..1_000 {
        let still = states(policy);
        if still
            .iter()
            .filter(|state| **state == State::Closed)
            .count()
            == closed
        {
            return;
        }
        let _reached = call(policy, seed, Finished::failed(Class::Transient));
    }
    panic!("{:?} after a thousand failures", states(policy));
}

fn states(policy: &Policy) -> Vec<State> {
    let shown = policy.snapshot(Instant::ZERO).endpoints;
    shown
        .into_iter()
        .map(|endpoint| endpoint.breaker.unwrap().state)
        .collect()
}

fn reached(policy: &Policy) -> usize {
    let mut reached: Vec<_> = (0..200)
        .filter_map(|seed| call(policy, seed, Finished::success()).ok())
        .collect();
    reached.sort_unstable();
    reached.dedup();
    reached.len()
}

#[test]
fn half_of_the_circuits_may_be_open_and_no_more() {
    let policy = policy(500);
    open_but(&policy, 2);
    assert_eq!(reached(&policy), 2, "the closed ones take all calls");
    open_but(&policy, 1);
    assert_eq!(
        reached(&policy),
        4,
        "three of four are open: none is heeded"
    );
}

#[test]
fn what_is_let_through_in_panic_moves_no_circuit() {
    let policy = policy(500);
    open_but(&policy, 1);
    let before = states(&policy);
    assert_eq!(reached(&policy), 4);
    assert_eq!(
        states(&policy),
        before,
        "successes close nothing that is open"
    );
}

#[test]
fn a_dependency_whose_endpoints_are_all_away_is_left_alone() {
    let policy = policy(500);
    open_but(&policy, 0);
    assert_eq!(
        call(&policy, 7, Finished::success()),
        Err(Reason::BreakerOpen)
    );
}

#[test]
fn whoever_wants_the_breakers_heeded_come_what_may_says_so() {
    let policy = policy(1000);
    open_but(&policy, 1);
    assert_eq!(reached(&policy), 1);
}

#[test]
fn panic_does_not_overrule_a_person() {
    let policy = policy(500);
    policy.set_breaker_mode(Mode::ForcedOpen, Instant::ZERO);
    assert_eq!(
        call(&policy, 7, Finished::success()),
        Err(Reason::BreakerOpen)
    );
}
