use super::*;
use proptest::prelude::*;

const ONE: Stripe = Stripe(0);

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn failed() -> Finished {
    Finished::failed(Class::Transient)
}

/// Judged by comparison alone.
fn by_comparison() -> Config {
    Config {
        consecutive: None,
        ..Config::default()
    }
}

/// A hundred calls to each host, of which so many fail, spread over five seconds.
fn observe(outliers: &Outliers, failing_percent: &[u64]) -> Vec<usize> {
    let mut ejected = Vec::new();
    for call in 0..100 {
        for (host, percent) in failing_percent.iter().enumerate() {
            let fails = (call * percent) % 100 + percent >= 100;
            let finished = if fails { failed() } else { Finished::success() };
            let ejection = outliers.record(host, ONE, at(call * 50), &finished);
            ejected.extend(ejection.map(|ejection| ejection.host));
        }
    }
    ejected.sort_unstable();
    ejected
}

#[test]
fn peer_fault_33_three_equally_bad_hosts_of_ten_are_ejected() {
    let outliers = Outliers::new(by_comparison(), "search", 10, 1);
    let percent = [0, 0, 50, 0, 0, 50, 0, 0, 50, 0];
    assert_eq!(observe(&outliers, &percent), [2, 5, 8]);
    // Mean 15 %, deviation 22.9 %: by two deviations the bound is at 59 %, and nobody is beyond it.
}

#[test]
fn where_all_are_bad_nobody_stands_out() {
    let outliers = Outliers::new(by_comparison(), "search", 10, 1);
    assert_eq!(observe(&outliers, &[50; 10]), [0_usize; 0]);
}

#[test]
fn a_host_is_measured_by_most_of_its_peers_and_not_by_the_best() {
    let outliers = Outliers::new(by_comparison(), "search", 10, 1);
    let percent = [0, 0, 0, 20, 20, 20, 20, 20, 20, 40];
    assert_eq!(
        observe(&outliers, &percent),
        [0_usize; 0],
        "twice is not three times"
    );
}

#[test]
fn a_host_that_fails_now_and_then_stays_however_well_its_peers_are() {
    let outliers = Outliers::new(by_comparison(), "search", 10, 1);
    assert_eq!(
        observe(&outliers, &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        [0_usize; 0]
    );
}

#[test]
fn no_more_than_a_third_are_away_at_once() {
    let outliers = Outliers::new(Config::default(), "search", 10, 1);
    assert_eq!(observe(&outliers, &[100; 10]).len(), 3);
    let available = (0..10).filter(|&host| outliers.is_available(host, at(4_950)));
    assert_eq!(available.count(), 7);
}

#[test]
fn one_host_or_two_are_never_ejected() {
    for hosts in [1, 2] {
        let outliers = Outliers::new(Config::default(), "search", hosts, 1);
        assert_eq!(observe(&outliers, &[100; 2][..hosts]), [0_usize; 0]);
    }
}

#[test]
fn where_more_than_half_are_away_ejection_is_ignored() {
    let config = Config {
        max_ejected: Ratio::ONE,
        ..Config::default()
    };
    let outliers = Outliers::new(config, "search", 4, 1);
    let eject = |host| {
        let reports = (0..5).map(|_| outliers.record(host, ONE, at(0), &failed()));
        assert_eq!(reports.flatten().count(), 1);
    };
    eject(0);
    eject(1);
    assert!(
        !outliers.is_available(0, at(0)),
        "half is not more than half"
    );
    eject(2);
    assert!((0..4).all(|host| outliers.is_available(host, at(0))));
}

#[test]
fn a_host_that_sheds_load_or_whose_caller_left_is_not_to_blame() {
    let outliers = Outliers::new(Config::default(), "search", 4, 1);
    for _ in 0..100 {
        for finished in [Finished::failed(Class::Rejected), Finished::callers_fault()] {
            assert_eq!(outliers.record(0, ONE, at(0), &finished), None);
        }
    }
}

#[test]
fn a_success_ends_a_row_of_failures() {
    let outliers = Outliers::new(Config::default(), "search", 4, 1);
    for call in 0..100 {
        let finished = if call % 5 == 4 {
            Finished::success()
        } else {
            failed()
        };
        // Fewer than 20 calls to the others: nobody to compare with.
        assert_eq!(outliers.record(0, ONE, at(call), &finished), None);
    }
}

#[test]
fn a_host_that_fails_again_stays_away_longer_and_one_that_is_well_is_forgiven() {
    let config = Config {
        jitter: Ratio::ZERO,
        ..Config::default()
    };
    let outliers = Outliers::new(config, "search", 4, 1);
    let eject = |now: Instant| {
        let reports = (0..5).map(|_| outliers.record(0, ONE, now, &failed()));
        let away = reports.flatten().next().expect("five in a row").away;
        assert!(!outliers.is_available(0, now));
        assert!(outliers.is_available(0, now + away));
        away.as_secs()
    };
    assert_eq!(eject(at(0)), 5);
    assert_eq!(eject(at(5_000)), 10);
    assert_eq!(eject(at(15_000)), 20);
    // Back at 35 s, and well for twenty seconds.
    assert_eq!(eject(at(55_000)), 20);
    // Well for an hour.
    assert_eq!(eject(at(3_675_000)), 5);
}

#[test]
fn the_time_away_is_capped_after_its_jitter() {
    let outliers = Outliers::new(Config::default(), "search", 4, 1);
    for times in 0..200 {
        let away = outliers.time_away(1, times);
        assert!(away >= Duration::from_secs(4) && away <= Duration::from_secs(300));
    }
    assert_ne!(
        outliers.time_away(0, 0),
        outliers.time_away(1, 0),
        "not in step"
    );
}

#[test]
fn a_host_that_does_not_exist_is_neither_judged_nor_available() {
    let outliers = Outliers::new(Config::default(), "search", 0, 1);
    assert_eq!(outliers.record(7, ONE, at(0), &failed()), None);
    assert!(!outliers.is_available(7, at(0)));
}

proptest! {
    /// Whatever happens, the count of those away is right and within its bound.
    #[test]
    fn the_count_of_those_away_agrees_with_their_marks(
        moves in proptest::collection::vec((0..3_000_u64, 0..9_usize, 0..4_u8), 1..300),
    ) {
        let outliers = Outliers::new(Config::default(), "search", 9, 1);
        let mut now = 0;
        for (step, host, what) in moves {
            now += step;
            let finished = if what == 0 { Finished::success() } else { failed() };
            outliers.record(host, ONE, at(now), &finished);
            let marked = outliers.0.hosts.iter().filter(|judged| judged.host.is_away()).count();
            prop_assert_eq!(outliers.0.away.load(Ordering::Relaxed), marked as u64);
            prop_assert!(marked <= 3);
        }
    }
}
