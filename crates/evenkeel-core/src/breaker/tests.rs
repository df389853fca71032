mod mode;
mod model;
mod slow;

use super::*;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

struct Bench {
    breaker: Breaker,
    dice: Entropy,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self {
            breaker: Breaker::new(config, "payments", 2),
            dice: Entropy::new(1),
        }
    }

    fn admit(&mut self, millis: u64) -> Result<Permit, Rejection> {
        self.breaker.try_acquire(at(millis), &mut self.dice)
    }

    /// One call that begins and ends at `millis`.
    fn call(&mut self, millis: u64, outcome: Outcome) -> Option<Transition> {
        self.admit(millis).unwrap().finish(at(millis), outcome)
    }

    fn state(&self, millis: u64) -> State {
        self.breaker.snapshot(at(millis)).state
    }

    /// Opens the circuit by failures in a row that end at `millis`.
    fn open(&mut self, millis: u64) {
        let mut transition = None;
        while transition.is_none() {
            transition = self.call(millis, Outcome::Failure);
        }
        assert_eq!(transition.unwrap().to, State::Open);
    }
}

/// Opens after two failures in a row for exactly a second; three probes at once; two successes close.
fn quick() -> Config {
    Config {
        rate: None,
        slow: None,
        consecutive: Some(2),
        open: OpenInterval {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(4),
            jitter: Ratio::ZERO,
        },
        probes: Probes {
            concurrent: 3,
            spacing: Duration::ZERO,
            successes: 2,
            tolerated_failures: 0,
            lease: Duration::from_millis(200),
        },
        ramp: Duration::ZERO,
        mode: Mode::Automatic,
    }
}

fn by_rate() -> Config {
    Config {
        consecutive: None,
        rate: Some(FailureRate::default()),
        ..quick()
    }
}

#[test]
fn it_opens_at_half_of_twenty_calls_once_two_seconds_were_seen() {
    let mut bench = Bench::new(by_rate());
    for call in 0..19 {
        let outcome = if call % 2 == 0 {
            Outcome::Failure
        } else {
            Outcome::Success
        };
        assert_eq!(bench.call(call * 100, outcome), None);
    }
    assert_eq!(
        bench.call(1_999, Outcome::Failure),
        None,
        "twenty calls, but too short a time"
    );
    let opened = bench.call(2_000, Outcome::Failure).unwrap();
    assert_eq!((opened.from, opened.to), (State::Closed, State::Open));
    assert_eq!(opened.cause, Cause::FailureRate);
}

#[test]
fn a_success_resets_the_failures_in_a_row() {
    let mut bench = Bench::new(quick());
    for round in 0..5 {
        assert_eq!(bench.call(round, Outcome::Failure), None);
        assert_eq!(bench.call(round, Outcome::Success), None);
    }
    assert_eq!(bench.call(9, Outcome::Failure), None);
    let opened = bench.call(9, Outcome::Overload).unwrap();
    assert_eq!(opened.cause, Cause::ConsecutiveFailures);
}

#[test]
fn peer_fault_01_failures_open_the_circuit_however_good_the_past_was() {
    let mut bench = Bench::new(by_rate());
    for call in 0..10_000 {
        bench.call(call, Outcome::Success);
    }
    let failed = (0..).find(|call| bench.call(25_000 + call * 150, Outcome::Failure).is_some());
    assert_eq!(failed, Some(19), "the good week has slid out of the window");
}

#[test]
fn peer_fault_02_probes_spaced_wider_than_the_window_still_close_the_circuit() {
    let mut bench = Bench::new(by_rate());
    for call in 0..25 {
        let _ = bench
            .admit(call * 100)
            .map(|permit| permit.finish(at(call * 100), Outcome::Failure));
    }
    assert_eq!(bench.state(2_500), State::Open);
    assert_eq!(
        bench.call(100_000, Outcome::Success).map(|moved| moved.to),
        None
    );
    assert_eq!(
        bench.call(200_000, Outcome::Success).map(|moved| moved.to),
        Some(State::Closed)
    );
}

#[test]
fn peer_fault_03_a_success_from_before_the_trip_closes_nothing() {
    let mut bench = Bench::new(quick());
    let early: Vec<_> = (0..4).map(|_| bench.admit(0).unwrap()).collect();
    bench.open(10);
    let probe = bench.admit(1_010).unwrap();
    assert!(probe.is_probe());
    for permit in early {
        assert_eq!(permit.finish(at(1_020), Outcome::Success), None);
    }
    assert_eq!(bench.state(1_020), State::HalfOpen);
    drop(probe);
}

#[test]
fn peer_fault_04_half_open_admits_exactly_its_probes_of_a_thousand_callers() {
    let mut bench = Bench::new(quick());
    bench.open(0);
    let admitted: Vec<_> = (0..1000).filter_map(|_| bench.admit(1_000).ok()).collect();
    assert_eq!(admitted.len(), 3);
}

#[test]
fn peer_fault_06_a_cancelled_probe_closes_nothing_and_returns_its_place() {
    let mut bench = Bench::new(Config::classic());
    bench.open(0);
    for _ in 0..50 {
        let probe = bench.admit(30_000).unwrap();
        assert!(bench.admit(30_000).is_err(), "one probe at a time");
        drop(probe);
        assert_eq!(bench.state(30_000), State::HalfOpen);
    }
    assert_eq!(
        bench.call(30_001, Outcome::Success).map(|moved| moved.to),
        Some(State::Closed)
    );
}

#[test]
fn peer_fault_06_a_hung_probe_loses_its_lease_and_counts_as_failed() {
    let mut bench = Bench::new(quick());
    bench.open(0);
    let hung = bench.admit(1_000).unwrap();
    assert_eq!(bench.state(1_199), State::HalfOpen);
    assert!(
        bench.admit(1_200).is_err(),
        "the expired lease re-opens the circuit"
    );
    assert_eq!(bench.state(1_200), State::Open);
    assert_eq!(
        hung.finish(at(1_300), Outcome::Success),
        None,
        "too late to have a say"
    );
    assert_eq!(bench.breaker.snapshot(at(1_300)).reopens, 1);
}

#[test]
fn peer_fault_25_a_clock_that_lags_neither_pins_the_circuit_open_nor_opens_it_early() {
    let mut bench = Bench::new(quick());
    bench.open(60_000);
    assert!(
        bench.admit(59_000).is_err(),
        "seen from a lagging clock, no time has passed"
    );
    assert_eq!(
        bench.admit(59_000).unwrap_err().retry_after,
        Some(Duration::from_secs(1))
    );
    assert!(
        bench.admit(61_000).is_ok(),
        "a second after it opened, whatever other clocks said"
    );
}

#[test]
fn the_open_interval_doubles_and_stops_at_its_cap() {
    let mut bench = Bench::new(quick());
    bench.open(0);
    let mut now = 0;
    for interval in [1_000, 2_000, 4_000, 4_000] {
        assert!(bench.admit(now + interval - 1).is_err());
        now += interval;
        let reopened = bench.call(now, Outcome::Failure).unwrap();
        assert_eq!(reopened.cause, Cause::ProbesFailed);
    }
}

#[test]
fn the_open_interval_is_spread_below_its_cap_and_differs_between_services() {
    let intervals: Vec<_> = (0..64)
        .map(|service| {
            let config = Config {
                open: OpenInterval::default(),
                ..quick()
            };
            let breaker = Breaker::new(config, &format!("service-{service}"), 1);
            let mut dice = Entropy::new(1);
            for _ in 0..2 {
                breaker
                    .try_acquire(at(0), &mut dice)
                    .unwrap()
                    .finish(at(0), Outcome::Failure);
            }
            breaker.snapshot(at(0)).retry_after.unwrap()
        })
        .collect();
    assert!(
        intervals
            .iter()
            .all(|wait| (800..=1200).contains(&wait.as_millis())),
        "{intervals:?}"
    );
    let distinct: std::collections::BTreeSet<_> = intervals.iter().collect();
    assert!(
        distinct.len() > 60,
        "{} of 64 intervals differ",
        distinct.len()
    );
}

#[test]
fn a_wish_to_be_left_alone_longer_is_honoured_to_thirty_seconds() {
    let mut bench = Bench::new(quick());
    bench.breaker.hold(at(0), Duration::from_secs(5));
    bench.open(0);
    assert_eq!(
        bench.admit(4_000).unwrap_err().retry_after,
        Some(Duration::from_secs(1))
    );
    assert!(bench.admit(5_000).is_ok());
    bench.breaker.hold(at(5_000), Duration::from_secs(86_400));
    assert_eq!(bench.call(5_000, Outcome::Failure).unwrap().to, State::Open);
    assert!(bench.admit(34_999).is_err());
    assert!(bench.admit(35_000).is_ok());
}

#[test]
fn tolerated_failures_of_probes_do_not_reopen() {
    let probes = Probes {
        tolerated_failures: 1,
        ..quick().probes
    };
    let mut bench = Bench::new(Config { probes, ..quick() });
    bench.open(0);
    assert_eq!(
        bench.call(1_000, Outcome::Failure).map(|moved| moved.to),
        None
    );
    assert_eq!(bench.call(1_001, Outcome::Success), None);
    assert_eq!(
        bench.call(1_002, Outcome::Failure).map(|moved| moved.to),
        Some(State::Open)
    );
}

#[test]
fn probes_keep_their_distance() {
    let probes = Probes {
        spacing: Duration::from_millis(100),
        ..quick().probes
    };
    let mut bench = Bench::new(Config { probes, ..quick() });
    bench.open(0);
    let _first = bench.admit(1_000).unwrap();
    assert_eq!(
        bench.admit(1_030).unwrap_err().retry_after,
        Some(Duration::from_millis(70))
    );
    assert!(bench.admit(1_100).is_ok());
}

#[test]
fn after_closing_the_share_admitted_grows_from_a_tenth_to_all() {
    let mut bench = Bench::new(Config {
        ramp: Duration::from_secs(2),
        ..quick()
    });
    bench.open(0);
    bench.call(1_000, Outcome::Success);
    bench.call(1_000, Outcome::Success);
    let mut share = |millis| {
        let admitted = (0..1000).filter(|_| bench.admit(millis).is_ok()).count();
        (
            admitted,
            bench.breaker.snapshot(at(millis)).admitted.permille(),
        )
    };
    for (millis, permille) in [(1_000, 100), (2_000, 550), (2_900, 955), (3_000, 1000)] {
        let (admitted, shown) = share(millis);
        assert_eq!(shown, permille);
        assert!(
            admitted.abs_diff(permille as usize) < 60,
            "{admitted} of 1000 at {millis} ms"
        );
    }
    assert_eq!(bench.state(3_000), State::Closed);
}

#[test]
fn failures_on_the_ramp_reopen_for_longer() {
    let mut bench = Bench::new(Config {
        ramp: Duration::from_secs(2),
        ..quick()
    });
    bench.open(0);
    bench.call(1_000, Outcome::Success);
    bench.call(1_000, Outcome::Success);
    let mut failed = 0;
    while failed < 2 {
        if let Ok(permit) = bench.admit(1_001) {
            permit.finish(at(1_001), Outcome::Failure);
            failed += 1;
        }
    }
    let snapshot = bench.breaker.snapshot(at(1_001));
    assert_eq!((snapshot.state, snapshot.reopens), (State::Open, 1));
}

#[test]
fn what_failed_before_the_circuit_closed_does_not_open_it_again() {
    let mut bench = Bench::new(by_rate());
    for call in 0..25 {
        let _ = bench
            .admit(call * 100)
            .map(|permit| permit.finish(at(call * 100), Outcome::Failure));
    }
    bench.call(3_600, Outcome::Success);
    bench.call(3_600, Outcome::Success);
    assert_eq!(bench.state(3_600), State::Closed);
    assert_eq!(bench.call(4_000, Outcome::Failure), None);
    assert_eq!(bench.breaker.snapshot(at(4_000)).calls, 1);
}

#[test]
fn what_says_nothing_about_the_dependency_counts_for_nothing() {
    let mut bench = Bench::new(quick());
    for _ in 0..100 {
        assert_eq!(bench.call(0, Outcome::Ignored), None);
        drop(bench.admit(0));
    }
    let snapshot = bench.breaker.snapshot(at(0));
    assert_eq!((snapshot.calls, snapshot.consecutive), (0, 0));
}

#[test]
fn transitions_are_counted_and_each_has_one_author() {
    let mut bench = Bench::new(quick());
    bench.open(0);
    bench.call(1_000, Outcome::Success);
    bench.call(1_000, Outcome::Success);
    assert_eq!(bench.breaker.snapshot(at(1_000)).entered, [1, 1, 1]);
}

#[test]
fn the_rate_rule_sees_failures_half_a_year_after_the_circuit_closed() {
    let mut bench = Bench::new(by_rate());
    for call in 0..25 {
        let _ = bench
            .admit(call * 100)
            .map(|permit| permit.finish(at(call * 100), Outcome::Failure));
    }
    bench.call(3_600, Outcome::Success);
    bench.call(3_600, Outcome::Success);
    // The state word counts milliseconds in 34 bits: the moment before it wraps.
    let later = 3_600 + (1 << 34) - 1_000;
    let opened = (0..60).find(|call| {
        let millis = later + call * 100;
        bench
            .admit(millis)
            .is_ok_and(|permit| permit.finish(at(millis), Outcome::Failure).is_some())
    });
    assert!(opened.is_some(), "6 s of nothing but failures");
}
