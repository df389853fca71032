use super::*;

const MS: Duration = Duration::from_millis(1);

/// Window number `number` of a second each, in which 100 calls were served within `rtt` and the whole
/// limit was used.
fn window(own: &Own, number: u64, rtt: Duration) -> Observed {
    Observed {
        lasted: 1_000 * MS,
        served: 100,
        p90: rtt,
        peak: own.limit(),
        ..Observed::nothing(Instant::ZERO + Duration::from_secs(number))
    }
}

fn steady(own: &mut Own, windows: core::ops::Range<u64>, rtt: Duration) -> u32 {
    for number in windows {
        let seen = window(own, number, rtt);
        own.on_window(&seen);
    }
    own.limit()
}

#[test]
fn it_grows_by_its_logarithm_while_used() {
    let mut own = Own::new(OwnConfig::default());
    assert_eq!(steady(&mut own, 0..5, 10 * MS), 25);
    assert_eq!(own.cause(), Cause::Used);
    let unused = Observed {
        peak: 5,
        ..window(&own, 5, 10 * MS)
    };
    assert_eq!(own.on_window(&unused), 25);
}

#[test]
fn drops_take_a_tenth_a_window() {
    let mut own = Own::new(OwnConfig::default());
    let dropping = Observed {
        dropped: 3,
        ..window(&own, 0, 10 * MS)
    };
    assert_eq!(own.on_window(&dropping), 18);
    assert_eq!(own.cause(), Cause::Drops);
    let few = Observed {
        dropped: 1,
        peak: 1,
        ..window(&own, 1, 10 * MS)
    };
    assert_eq!(own.on_window(&few), 18, "one in a hundred is no sign");
}

#[test]
fn waiting_calls_take_a_tenth_a_window() {
    let mut own = Own::new(OwnConfig::default());
    steady(&mut own, 0..1, 10 * MS);
    let before = own.limit();
    steady(&mut own, 1..2, 30 * MS);
    assert_eq!(
        (own.limit(), own.cause()),
        (before * 9 / 10, Cause::Queueing)
    );
    assert!(own.queue() > 6);
}

#[test]
fn what_is_above_healthy_shrinks_the_limit_and_teaches_nothing() {
    let config = OwnConfig {
        max_healthy_rtt: Some(50 * MS),
        ..OwnConfig::default()
    };
    let mut own = Own::new(config);
    assert!(steady(&mut own, 0..20, 60 * MS) < 5);
    assert_eq!((own.cause(), own.best()), (Cause::Unhealthy, None));
}

#[test]
fn more_in_flight_that_serves_no_more_is_a_plateau() {
    let mut own = Own::new(OwnConfig::default());
    let mut seen_plateau = false;
    // Latency creeps up within what noise allows, and the same hundred are served every second.
    for number in 0..30 {
        let rtt = 10 * MS + Duration::from_micros(250 * number.min(12));
        let seen = window(&own, number, rtt);
        own.on_window(&seen);
        seen_plateau |= own.cause() == Cause::Plateau;
    }
    assert!(seen_plateau);
}

#[test]
fn a_dependency_that_fails_for_other_reasons_is_not_starved() {
    let mut own = Own::new(OwnConfig::default());
    steady(&mut own, 0..1, 10 * MS);
    for number in 1..100 {
        let seen = Observed {
            served: 10_000,
            dropped: 1_000,
            ..window(&own, number, 10 * MS)
        };
        own.on_window(&seen);
    }
    // 10,000 a second of 10 ms each are 100 in flight; half of that, but no more than there was.
    assert_eq!(own.limit(), 21);
}

#[test]
fn the_best_rises_only_on_calm_evidence() {
    let mut own = Own::new(OwnConfig::default());
    steady(&mut own, 0..10, 10 * MS);
    steady(&mut own, 10..2_000, 20 * MS);
    assert_eq!(
        own.best(),
        Some(10 * MS),
        "half an hour of load proves nothing"
    );
    let calm = Observed {
        calm_p90: Some(20 * MS),
        ..window(&own, 2_001, 20 * MS)
    };
    own.on_window(&calm);
    assert_eq!(
        own.best(),
        Some(20 * MS),
        "a nearly idle dependency that takes longer is slower"
    );
}

#[test]
fn the_long_baseline_cannot_drift_away_from_the_best() {
    let mut own = Own::new(OwnConfig::default());
    steady(&mut own, 0..10, 10 * MS);
    steady(&mut own, 10..5_000, 40 * MS);
    assert_eq!(own.long(), Some(15 * MS));
    assert!(own.limit() < 20);
}

#[test]
fn after_a_quiet_night_it_starts_from_what_was_used_last() {
    let mut own = Own::new(OwnConfig::default());
    let grown = steady(&mut own, 0..200, 10 * MS);
    assert!(grown > 150);
    for number in 200..210 {
        let quiet = Observed {
            peak: 30,
            ..window(&own, number, 10 * MS)
        };
        own.on_window(&quiet);
    }
    let morning = Observed {
        peak: 1,
        ..window(&own, 30_000, 10 * MS)
    };
    assert_eq!(own.on_window(&morning), 60);
    assert_eq!(own.cause(), Cause::Idle);
}
