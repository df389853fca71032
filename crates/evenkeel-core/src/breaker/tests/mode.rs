//! A circuit in a person's hands.

use super::*;

fn in_mode(mode: Mode) -> Bench {
    Bench::new(Config { mode, ..quick() })
}

#[test]
fn a_circuit_forced_open_refuses_until_it_is_told_otherwise() {
    let mut bench = in_mode(Mode::Automatic);
    let moved = bench.breaker.set_mode(Mode::ForcedOpen, at(0)).unwrap();
    assert_eq!(
        (moved.from, moved.to, moved.cause),
        (State::Closed, State::Open, Cause::ByHand)
    );
    for millis in [0, 10_000, 10_000_000] {
        let refused = bench.admit(millis).unwrap_err();
        assert_eq!(
            (refused.reason, refused.retry_after),
            (Reason::BreakerOpen, None)
        );
        assert!(bench.breaker.refuses(at(millis)));
    }
    assert_eq!(bench.breaker.set_mode(Mode::ForcedOpen, at(1)), None);
    bench.breaker.set_mode(Mode::Automatic, at(20_000_000));
    assert!(bench.admit(20_000_000).is_ok());
    assert_eq!(bench.breaker.snapshot(at(0)).entered, [1, 1, 0]);
}

#[test]
fn a_disabled_circuit_passes_everything_and_counts_nothing() {
    let mut bench = in_mode(Mode::Disabled);
    for _ in 0..100 {
        assert_eq!(bench.call(0, Outcome::Failure), None);
    }
    let seen = bench.breaker.snapshot(at(0));
    assert_eq!((seen.state, seen.mode), (State::Closed, Mode::Disabled));
    assert_eq!((seen.calls, seen.consecutive), (0, 0));
    assert_eq!(seen.entered, [0, 0, 0], "born disabled: nothing changed");
}

#[test]
fn an_observed_circuit_moves_as_if_it_refused_and_refuses_nothing() {
    let mut watched = in_mode(Mode::ObserveOnly);
    let mut enforced = in_mode(Mode::Automatic);
    watched.open(0);
    enforced.open(0);
    let mut refused = 0;
    for millis in (0..3_000).step_by(50) {
        let passed = watched.admit(millis).unwrap();
        let real = enforced.admit(millis);
        refused += u64::from(real.is_err());
        if let Ok(real) = real {
            real.finish(at(millis), Outcome::Success);
        }
        passed.finish(at(millis), Outcome::Success);
        assert_eq!(
            watched.state(millis),
            enforced.state(millis),
            "at {millis} ms"
        );
        assert!(!watched.breaker.refuses(at(millis)));
    }
    assert!(refused > 10);
    assert_eq!(watched.breaker.snapshot(at(0)).unenforced, refused);
}

#[test]
fn what_was_let_through_against_the_rules_says_nothing() {
    let mut bench = in_mode(Mode::ObserveOnly);
    bench.open(0);
    for _ in 0..10 {
        bench.call(500, Outcome::Success);
    }
    assert_eq!(bench.state(500), State::Open);
}

#[test]
fn a_circuit_handed_back_begins_anew() {
    let mut bench = in_mode(Mode::Automatic);
    let before = bench.admit(0).unwrap();
    bench.call(0, Outcome::Failure);
    bench.breaker.set_mode(Mode::Disabled, at(10));
    bench.breaker.set_mode(Mode::Automatic, at(20));
    assert_eq!(before.finish(at(30), Outcome::Failure), None);
    assert_eq!(bench.call(30, Outcome::Failure), None, "the first in a row");
    assert_eq!(bench.call(30, Outcome::Failure).unwrap().to, State::Open);
}

#[test]
fn a_successor_keeps_a_mode_set_by_hand_until_its_file_asks_for_another() {
    let bench = in_mode(Mode::Automatic);
    bench.breaker.set_mode(Mode::ForcedOpen, at(0));
    let same = bench.breaker.successor(quick(), 1, at(1));
    assert_eq!(same.mode(), Mode::ForcedOpen);
    let config = Config {
        mode: Mode::ObserveOnly,
        ..quick()
    };
    let other = same.successor(config, 1, at(2));
    assert_eq!(other.mode(), Mode::ObserveOnly);
    assert_eq!(other.snapshot(at(2)).state, State::Closed);
}

#[test]
fn a_successor_sees_what_is_under_way() {
    let mut bench = in_mode(Mode::Automatic);
    bench.call(0, Outcome::Failure);
    let permit = bench.admit(0).unwrap();
    let stricter = Config {
        consecutive: Some(2),
        ..quick()
    };
    let successor = bench.breaker.successor(stricter, 2, at(0));
    permit.finish(at(0), Outcome::Failure);
    assert_eq!(successor.snapshot(at(0)).state, State::Open);
}

#[test]
fn every_mode_says_its_name() {
    let names = Mode::ALL.map(Mode::as_str);
    assert_eq!(
        names,
        ["automatic", "forced_open", "disabled", "observe_only"]
    );
}
