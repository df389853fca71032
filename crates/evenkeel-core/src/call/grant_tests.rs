//! What a call takes from its caller's grant, and what it hands on.

use super::*;
use crate::outcome::Class;
use crate::policy::{Config, Policy};
use crate::{backoff, retry};
use core::num::NonZeroU32;
use core::time::Duration;

/// Retries at once, `attempts` attempts in all, without a budget.
fn policy(attempts: u32) -> Policy {
    let mut config = Config::new(Duration::from_secs(60));
    let mut retry = retry::Config::new(NonZeroU32::new(attempts).unwrap());
    let at_once = backoff::Config {
        authoritative: true,
        ..backoff::Config::default()
    };
    (retry.backoff, retry.throttled) = (at_once.clone(), at_once);
    retry.budget = None;
    config.retry = Some(retry);
    Policy::new(config, "test", 1)
}

/// Fails every attempt as `finished`: how many were made, what each was granted, and why no more were.
fn fail(call: &mut Call, finished: Finished) -> (Vec<Option<String>>, StopReason) {
    let mut granted = Vec::new();
    loop {
        let Step::Attempt(permit) = call.poll(Instant::ZERO) else {
            panic!("an attempt was due");
        };
        granted.push(permit.grant().map(|grant| grant.to_string()));
        if let Next::Failed(reason) = call.on_finished(permit, Instant::ZERO, finished) {
            return (granted, reason);
        }
    }
}

fn hint(grant: &str) -> CallHint {
    let mut hint = CallHint::new(1);
    hint.grant = Grant::parse(grant);
    hint
}

const TRANSIENT: Finished = Finished::failed(Class::Transient);

#[test]
fn the_outermost_grants_what_its_own_policy_allows() {
    let mut call = policy(3).begin(Instant::ZERO, CallHint::new(1));
    let (granted, reason) = fail(&mut call, TRANSIENT);
    let granted: Vec<_> = granted.iter().flatten().map(String::as_str).collect();
    assert_eq!(
        granted,
        [
            "attempts_left=2; depth=1",
            "attempts_left=1; depth=1",
            "attempts_left=0; depth=1"
        ]
    );
    assert_eq!(reason, StopReason::AttemptsExhausted);
}

#[test]
fn a_caller_without_retries_grants_nothing_and_forbids_nothing() {
    let mut call = policy(1).begin(Instant::ZERO, CallHint::new(1));
    assert_eq!(fail(&mut call, TRANSIENT).0, [None]);
}

#[test]
fn a_service_takes_its_retries_from_the_grant_it_received() {
    let mut call = policy(5).begin(Instant::ZERO, hint("attempts_left=1; depth=1"));
    let (granted, reason) = fail(&mut call, TRANSIENT);
    assert_eq!(granted.len(), 2);
    assert_eq!(reason, StopReason::GrantExhausted);
    assert_eq!(call.grant().unwrap().attempts_left(), 0, "told its caller");
}

#[test]
fn a_service_that_does_not_retry_hands_the_grant_on_whole() {
    let mut call = policy(1).begin(Instant::ZERO, hint("attempts_left=2; depth=1"));
    let (granted, _) = fail(&mut call, TRANSIENT);
    assert_eq!(granted[0].as_deref(), Some("attempts_left=2; depth=2"));
}

#[test]
fn what_was_spent_behind_is_not_spent_again() {
    let mut call = policy(3).begin(Instant::ZERO, CallHint::new(1));
    let (granted, reason) = fail(&mut call, TRANSIENT.grant_left(0));
    assert_eq!(granted.len(), 1);
    assert_eq!(reason, StopReason::GrantExhausted);
    // A dependency cannot grant more than it was granted.
    let mut call = policy(3).begin(Instant::ZERO, CallHint::new(1));
    assert_eq!(fail(&mut call, TRANSIENT.grant_left(900)).0.len(), 3);
}

#[test]
fn a_retry_of_the_callers_is_retried_no_further_but_for_what_was_never_sent() {
    let mut hint = hint("attempts_left=2; depth=1");
    hint.caller_retries = true;
    let mut call = policy(3).begin(Instant::ZERO, hint);
    let (granted, reason) = fail(&mut call, TRANSIENT);
    assert_eq!(granted.len(), 1);
    assert_eq!(granted[0].as_deref(), Some("attempts_left=0; depth=2"));
    assert_eq!(reason, StopReason::CallerRetries);
    let mut call = policy(3).begin(Instant::ZERO, hint);
    let (granted, _) = fail(&mut call, Finished::failed(Class::NotSent));
    assert_eq!(granted.len(), 3);
}

/// Calls that reach the last of `services` when it always fails, and what its answer says is left.
fn chain(services: &[Policy], hint: CallHint) -> (u64, Finished) {
    let Some((first, behind)) = services.split_first() else {
        let left = hint.grant.map_or(0, Grant::attempts_left);
        return (1, TRANSIENT.grant_left(left));
    };
    let (mut call, mut calls) = (first.begin(Instant::ZERO, hint), 0);
    loop {
        let Step::Attempt(permit) = call.poll(Instant::ZERO) else {
            panic!("an attempt was due");
        };
        let mut next = CallHint::new(1);
        next.grant = permit.grant();
        // As the attempt number in the request says.
        next.caller_retries = permit.id().number() > 1;
        let (below, answer) = chain(behind, next);
        calls += below;
        if let Next::Failed(_) = call.on_finished(permit, Instant::ZERO, answer) {
            let left = call.grant().map_or(0, Grant::attempts_left);
            return (calls, TRANSIENT.grant_left(left));
        }
    }
}

#[test]
fn five_services_of_three_attempts_each_reach_the_last_three_times_and_not_243() {
    let services: Vec<_> = (0..5).map(|_| policy(3)).collect();
    let (calls, _) = chain(&services, CallHint::new(1));
    assert_eq!(calls, 3);
    assert_eq!(crate::amplification::worst_case(5, 3), 243);
}
