//! Calls that take too long, ended and running.

use super::*;

/// Opens when four of five calls take half a second or longer; two seconds must have been seen.
fn by_slowness(than: SlowerThan) -> Config {
    Config {
        consecutive: None,
        slow: Some(SlowRate::new(than)),
        ..quick()
    }
}

fn half_a_second() -> Config {
    by_slowness(SlowerThan::Fixed(Duration::from_millis(500)))
}

fn usual() -> Config {
    by_slowness(SlowRate::default().than)
}

impl Bench {
    /// One call that ends at `millis`, after `took` milliseconds.
    fn long_call(&mut self, millis: u64, took: u64, outcome: Outcome) -> Option<Transition> {
        let permit = self.admit(millis - took).unwrap();
        permit.finish(at(millis), outcome)
    }

    fn slow_after(&self, millis: u64) -> Option<Duration> {
        self.breaker.slow_after(at(millis));
        self.breaker.snapshot(at(millis)).slow_after
    }

    /// A call every 100 ms from `from` to `to`, each of which succeeds after `took`; when it opened.
    fn traffic(&mut self, from: u64, to: u64, took: u64) -> Option<u64> {
        (from..to)
            .step_by(100)
            .find(|&end| self.long_call(end, took, Outcome::Success).is_some())
    }
}

#[test]
fn it_opens_when_four_in_five_calls_are_slow_though_none_fails() {
    let mut bench = Bench::new(half_a_second());
    for call in 0..5 {
        bench.long_call(1_000 + call, 10, Outcome::Success);
    }
    for call in 0..19 {
        assert_eq!(bench.long_call(4_000 + call, 500, Outcome::Success), None);
    }
    let opened = bench.long_call(4_100, 500, Outcome::Success).unwrap();
    assert_eq!((opened.to, opened.cause), (State::Open, Cause::SlowRate));
}

#[test]
fn a_call_at_the_threshold_is_slow_and_one_just_below_is_not() {
    let mut bench = Bench::new(half_a_second());
    bench.long_call(3_000, 499, Outcome::Success);
    assert_eq!(bench.breaker.snapshot(at(3_000)).slow, 0);
    bench.long_call(3_000, 500, Outcome::Success);
    assert_eq!(bench.breaker.snapshot(at(3_000)).slow, 1);
}

#[test]
fn slow_failures_are_failures_and_slow() {
    let mut bench = Bench::new(half_a_second());
    bench.long_call(3_000, 600, Outcome::Overload);
    let seen = bench.breaker.snapshot(at(3_000));
    assert_eq!((seen.calls, seen.bad, seen.slow), (1, 1, 1));
}

#[test]
fn a_classic_circuit_does_not_mind_slow_calls() {
    let mut bench = Bench::new(Config::classic());
    assert_eq!(bench.traffic(60_000, 120_000, 50_000), None);
    assert_eq!(bench.slow_after(120_000), None);
}

#[test]
fn what_still_runs_counts_as_soon_as_it_is_slow() {
    let mut bench = Bench::new(half_a_second());
    for call in 0..4 {
        bench.long_call(1_000 + call, 10, Outcome::Success);
    }
    let running: Vec<_> = (0..16).map(|_| bench.admit(3_500).unwrap()).collect();
    let mut entered = Vec::new();
    let mut opened = None;
    for permit in &running {
        let (slow, transition) = bench
            .breaker
            .enter_slow(permit.admission.unwrap(), at(4_000));
        entered.extend(slow);
        opened = opened.or(transition);
    }
    assert_eq!(opened.unwrap().cause, Cause::SlowRate);
    assert_eq!(entered.len(), 16, "the sixteenth of twenty calls opened it");
}

#[test]
fn what_has_ended_does_not_run() {
    let bench = Bench::new(half_a_second());
    let admission = Admission::counted(bench.breaker.word());
    let (slow, _) = bench.breaker.enter_slow(admission, at(500));
    assert_eq!(bench.breaker.snapshot(at(500)).running_slow, 1);
    drop(slow);
    assert_eq!(bench.breaker.snapshot(at(500)).running_slow, 0);
}

#[test]
fn an_attempt_from_before_the_circuit_opened_counts_in_no_later_state() {
    let mut bench = Bench::new(Config {
        consecutive: Some(2),
        ..half_a_second()
    });
    let hung = bench.admit(0).unwrap();
    let (early, _) = bench.breaker.enter_slow(hung.admission.unwrap(), at(500));
    bench.open(600);
    for _ in 0..2 {
        bench.call(1_600, Outcome::Success);
    }
    assert_eq!(bench.state(1_600), State::Closed);
    assert_eq!(bench.breaker.snapshot(at(1_600)).running_slow, 0);
    let (late, _) = bench.breaker.enter_slow(hung.admission.unwrap(), at(1_700));
    assert!(late.is_none());
    let ours = Admission::counted(bench.breaker.word());
    let (_ours, _) = bench.breaker.enter_slow(ours, at(1_700));
    drop(early);
    assert_eq!(bench.breaker.snapshot(at(1_700)).running_slow, 1);
}

#[test]
fn nothing_is_slow_before_it_is_known_what_is_usual() {
    let mut bench = Bench::new(usual());
    assert_eq!(bench.traffic(2_500, 4_000, 2_000), None);
    assert_eq!(bench.slow_after(4_000), None);
    // Twenty calls over two seconds say that two seconds are usual.
    assert_eq!(bench.traffic(4_000, 8_000, 2_000), None);
    let after = bench.slow_after(8_000).unwrap();
    let three_times = Duration::from_secs(6);
    assert!(after.abs_diff(three_times) <= three_times / 32, "{after:?}");
}

#[test]
fn a_fast_dependency_is_slow_from_a_second_on() {
    let mut bench = Bench::new(usual());
    bench.traffic(1_000, 5_000, 5);
    assert_eq!(bench.slow_after(5_000), Some(Duration::from_secs(1)));
    // The median is known although no fast call was recorded: five slow ones do not move it.
    for call in 0..5 {
        bench.long_call(5_500 + call, 900, Outcome::Success);
    }
    assert_eq!(bench.slow_after(6_500), Some(Duration::from_secs(1)));
}

#[test]
fn an_incident_does_not_pass_for_the_new_normal() {
    let mut bench = Bench::new(usual());
    assert_eq!(bench.traffic(1_000, 20_000, 10), None);
    let opened = bench.traffic(20_000, 60_000, 4_800);
    assert!(
        opened.is_some_and(|when| when < 30_000),
        "within a window of the first slow answer: {opened:?}"
    );
}

#[test]
fn a_lasting_rise_below_the_share_is_believed_in_the_end() {
    let mut bench = Bench::new(usual());
    let mut now = 1_000;
    // Three in four take two seconds: too few to open the circuit, and more than half.
    for call in 0..1_200_u64 {
        now += 100;
        let took = if call % 4 == 0 || now < 20_000 {
            10
        } else {
            2_000
        };
        assert_eq!(bench.long_call(now, took.min(now), Outcome::Success), None);
    }
    let after = bench.slow_after(now).unwrap();
    assert!(after > Duration::from_millis(5_800), "{after:?}");
}

#[test]
fn a_dependency_that_becomes_faster_is_held_to_it_at_once() {
    let mut bench = Bench::new(usual());
    bench.traffic(4_000, 10_000, 2_000);
    assert!(bench.slow_after(10_000) > Some(Duration::from_secs(5)));
    bench.traffic(20_000, 30_500, 10);
    assert_eq!(bench.slow_after(31_000), Some(Duration::from_secs(1)));
}

#[test]
fn a_probe_that_succeeds_slowly_has_failed() {
    let mut config = half_a_second();
    config.probes.lease = Duration::from_secs(10);
    let mut bench = Bench::new(config);
    assert_eq!(bench.traffic(1_000, 5_000, 600), Some(3_000));
    let probe = bench.admit(4_100).unwrap();
    assert!(probe.is_probe());
    let moved = probe.finish(at(4_800), Outcome::Success).unwrap();
    assert_eq!((moved.to, moved.cause), (State::Open, Cause::ProbesFailed));
}

#[test]
fn a_dependency_that_is_slower_for_good_is_let_back_in_the_end() {
    let mut config = usual();
    config.probes.lease = Duration::from_secs(10);
    config.probes.successes = 1;
    let mut bench = Bench::new(config);
    bench.traffic(1_000, 20_000, 10);
    let opened = bench.traffic(20_000, 60_000, 3_000).unwrap();
    let mut now = opened;
    while bench.state(now) != State::Closed {
        now += 4_000;
        if let Ok(probe) = bench.admit(now) {
            now += 3_000;
            probe.finish(at(now), Outcome::Success);
        }
        assert!(now - opened < 300_000, "five minutes were not enough");
    }
    assert!(
        now - opened > 30_000,
        "an incident of half a minute is over by then"
    );
}

#[test]
fn a_successor_with_another_window_counts_anew_and_stays_open() {
    let mut bench = Bench::new(half_a_second());
    bench.traffic(1_000, 5_000, 600);
    let mut config = half_a_second();
    config.slow = None;
    let successor = bench.breaker.successor(config, 1, at(3_000));
    let seen = successor.snapshot(at(3_000));
    assert_eq!((seen.state, seen.entered), (State::Open, [0, 1, 0]));
    assert_eq!(seen.slow_after, None);
}
