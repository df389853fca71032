use super::*;
use crate::time::nanos;
use core::num::NonZeroU32;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ONE: Stripe = Stripe(0);
const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn every_algorithm() -> [Algorithm; 5] {
    [
        Algorithm::default(),
        Algorithm::Classic(ClassicConfig::default()),
        Algorithm::Aimd(AimdConfig::default()),
        Algorithm::Vegas(VegasConfig::default()),
        Algorithm::Gradient2(Gradient2Config::default()),
    ]
}

/// A limiter in front of a dependency, in virtual time, a millisecond a tick.
struct Stage {
    limiter: Limiter,
    now: u64,
    under_way: BTreeMap<(u64, u64), (Permit, Outcome)>,
    begun: u64,
    served: u64,
}

impl Stage {
    fn new(algorithm: Algorithm) -> Self {
        Self {
            limiter: Limiter::new(Config::new(algorithm), "stage", 2),
            now: 1_000,
            under_way: BTreeMap::new(),
            begun: 0,
            served: 0,
        }
    }

    /// For `millis`, `offered` calls come each millisecond, and those that are admitted take what `takes`
    /// says for as many as are then in flight.
    fn run(&mut self, millis: u64, offered: u64, takes: impl Fn(u64) -> (u64, Outcome)) -> u32 {
        for _ in 0..millis {
            self.now += 1;
            while let Some(first) = self.under_way.first_entry()
                && first.key().0 <= self.now
            {
                let (permit, outcome) = first.remove();
                self.served += u64::from(outcome == Outcome::Success);
                permit.finish(at(self.now), outcome);
            }
            for _ in 0..offered {
                let stripe = Stripe(u32::try_from(self.begun % 2).unwrap());
                if let Ok(permit) = self.limiter.try_acquire(at(self.now), stripe) {
                    self.begun += 1;
                    let in_flight = self.under_way.len() as u64 + 1;
                    let (took, outcome) = takes(in_flight);
                    self.under_way
                        .insert((self.now + took, self.begun), (permit, outcome));
                }
            }
        }
        self.limiter.snapshot().limit
    }
}

/// `slots` at once in 20 ms; whatever is more waits.
fn queueing(slots: u64) -> impl Fn(u64) -> (u64, Outcome) {
    move |in_flight| ((20 * in_flight).div_ceil(slots).max(20), Outcome::Success)
}

#[test]
fn a_place_is_free_again_however_its_permit_ends() {
    let limiter = Limiter::new(Config::default(), "places", 1);
    let permits: Vec<_> = (0..30)
        .filter_map(|_| limiter.try_acquire(at(0), ONE).ok())
        .collect();
    assert_eq!((permits.len(), limiter.snapshot().in_flight), (20, 20));
    let refused = limiter.try_acquire(at(0), ONE).unwrap_err();
    assert_eq!(refused.reason, Reason::LimiterFull);
    for (turn, permit) in permits.into_iter().enumerate() {
        match turn % 5 {
            0 => drop(permit),
            1 => permit.finish(at(1), Outcome::Success),
            2 => permit.finish(at(1), Outcome::Failure),
            3 => permit.finish(at(1), Outcome::Overload),
            _ => permit.finish(at(1), Outcome::Ignored),
        }
    }
    assert_eq!(limiter.snapshot().in_flight, 0);
}

#[test]
fn the_limit_finds_what_the_dependency_can_do_at_once() {
    for slots in [10, 100, 400] {
        let mut stage = Stage::new(Algorithm::default());
        // Twice what can be served.
        let offered = slots / 10;
        stage.run(70_000, offered, queueing(slots));
        let limit = stage.run(10_000, offered, queueing(slots));
        assert!(
            u64::from(limit) * 10 >= slots * 8 && u64::from(limit) * 10 <= slots * 18,
            "{limit} for {slots}, {:?}",
            stage.limiter.snapshot()
        );
        let served = stage.served;
        stage.run(10_000, offered, queueing(slots));
        let share = (stage.served - served) as f64 / (10_000.0 / 20.0 * slots as f64);
        assert!(share > 0.8, "{share} of what {slots} slots can serve");
    }
}

#[test]
fn peer_fault_15_a_limit_grows_only_when_used_and_a_burst_of_failures_counts_once() {
    for algorithm in every_algorithm() {
        let mut stage = Stage::new(algorithm.clone());
        let before = stage.limiter.snapshot().limit;
        // One call in flight, for a hundred windows.
        let mut idle = Stage::new(algorithm.clone());
        for _ in 0..25_000 {
            idle.run(1, u64::from(idle.under_way.is_empty()), |_| {
                (1, Outcome::Success)
            });
        }
        assert!(
            idle.limiter.snapshot().limit <= before,
            "{algorithm:?} grew unused"
        );
        // Twenty failures within a window.
        stage.run(400, 1, |_| (10, Outcome::Success));
        stage.run(20, 1, |_| (1, Outcome::Overload));
        let after = stage.run(300, 1, |_| (10, Outcome::Success));
        assert!(
            after * 2 >= before,
            "{algorithm:?}: {before} fell to {after}"
        );
    }
}

#[test]
fn peer_fault_16_one_outlier_of_a_microsecond_pins_no_limit() {
    for algorithm in every_algorithm() {
        let mut stage = Stage::new(algorithm.clone());
        stage.run(2_000, 1, |_| (10, Outcome::Success));
        let permit = stage.limiter.try_acquire(at(stage.now), ONE).unwrap();
        let soon = at(stage.now) + Duration::from_micros(1);
        permit.finish(soon, Outcome::Success);
        let limit = stage.run(10_000, 1, |_| (10, Outcome::Success));
        assert!(limit >= 20, "{algorithm:?} was pinned at {limit}");
    }
}

#[test]
fn peer_fault_17_latency_may_fall_at_any_time() {
    for algorithm in every_algorithm() {
        let mut stage = Stage::new(algorithm.clone());
        for took in [8, 2, 1, 0] {
            stage.run(3_000, 10, |_| (took, Outcome::Success));
        }
        assert!(stage.limiter.snapshot().limit >= 20, "{algorithm:?}");
    }
}

#[test]
fn peer_fault_18_time_outs_never_raise_the_limit() {
    for algorithm in every_algorithm() {
        let mut stage = Stage::new(algorithm.clone());
        let before = stage.limiter.snapshot().limit;
        let after = stage.run(60_000, 1, |_| (1_000, Outcome::Overload));
        assert!(
            after <= before,
            "{algorithm:?} climbed from {before} to {after}"
        );
    }
}

#[test]
fn peer_fault_18_a_lasting_rise_of_latency_is_not_forgotten() {
    let mut stage = Stage::new(Algorithm::default());
    stage.run(20_000, 3, |_| (10, Outcome::Success));
    // Four times the latency, for twelve minutes, with more calls than ever get in.
    let settled = stage.run(60_000, 1, |_| (40, Outcome::Success));
    let later = stage.run(720_000, 1, |_| (40, Outcome::Success));
    assert!(later <= settled.max(20), "{settled} became {later}");
}

#[test]
fn latency_that_varies_by_itself_is_not_taken_for_queueing() {
    // Each call takes a while, or twice that with a half, or three times with a quarter, and so on: as in
    // many services, and the more so the fewer calls a window holds.
    for (unit, each) in [(10, 1), (100, 10)] {
        let mut stage = Stage::new(Algorithm::default());
        let dice = core::cell::RefCell::new(Entropy::new(7));
        let varies = |_: u64| {
            let doubled = u64::from(dice.borrow_mut().next_u64().trailing_zeros());
            (unit * (1 + doubled), Outcome::Success)
        };
        // Two a millisecond of 20 ms, or one in five of 200 ms: forty in flight.
        for _ in 0..180_000 / each {
            stage.run(1, 2, varies);
            stage.run(each - 1, 0, varies);
        }
        let limit = stage.limiter.snapshot().limit;
        assert!(
            limit >= 45,
            "{limit} at {unit} ms, {:?}",
            stage.limiter.snapshot()
        );
    }
}

#[test]
fn a_dependency_that_comes_back_gets_its_traffic_back() {
    let mut stage = Stage::new(Algorithm::default());
    stage.run(30_000, 10, |_| (10, Outcome::Success));
    let before = stage.limiter.snapshot().limit;
    let during = stage.run(20_000, 10, |_| (500, Outcome::Overload));
    assert!(during * 2 <= before, "{before} and {during}");
    let after = stage.run(60_000, 10, |_| (10, Outcome::Success));
    assert!(after * 2 >= before, "{before}, {during}, {after}");
}

#[test]
fn an_error_is_a_drop_for_the_classic_alone() {
    for algorithm in every_algorithm() {
        let mut stage = Stage::new(algorithm.clone());
        let before = stage.limiter.snapshot().limit;
        let after = stage.run(5_000, 1, |_| (5, Outcome::Failure));
        let is_classic = matches!(algorithm, Algorithm::Classic(_));
        assert_eq!(
            after < before,
            is_classic,
            "{algorithm:?}: {before}, {after}"
        );
    }
}

#[test]
fn too_few_calls_change_nothing() {
    let limiter = Limiter::new(Config::default(), "quiet", 1);
    for call in 0..100 {
        let begin = at(1_000 + call * 500);
        let permit = limiter.try_acquire(begin, ONE).unwrap();
        permit.finish(begin + MS, Outcome::Overload);
    }
    assert_eq!(limiter.snapshot().limit, 20);
}

#[test]
fn a_window_knows_its_calls_from_those_of_the_one_before() {
    let span = Span {
        min: 250 * MS,
        max: 5_000 * MS,
        samples: 30,
    };
    let window = Window::new(span, 2);
    assert!(!window.is_due(at(1_000)), "the first to ask begins it");
    for stripe in 0..40 {
        window.record_served(Stripe(stripe), nanos(10 * MS), stripe, stripe < 12);
    }
    window.record_dropped(ONE, 50);
    assert_eq!(window.close(at(1_100)), None, "too short");
    let seen = window.close(at(1_250)).unwrap();
    assert_eq!((seen.served, seen.dropped, seen.peak), (40, 1, 50));
    assert_eq!(seen.lasted, 250 * MS);
    assert!(seen.p90.abs_diff(10 * MS) <= 10 * MS / 32);
    assert!(seen.calm_p90.is_some());
    window.record_served(ONE, nanos(20 * MS), 3, true);
    assert_eq!(window.close(at(2_000)), None, "too few");
    let seen = window.close(at(6_250)).unwrap();
    assert_eq!((seen.served, seen.dropped, seen.peak), (1, 0, 3));
    assert_eq!(seen.calm_p90, None, "one call is no evidence of calm");
}

proptest! {
    /// Places are conserved, and never more are in flight than the highest limit there was.
    #[test]
    fn no_order_of_moves_admits_more_than_the_limit(
        moves in proptest::collection::vec((0..60_u64, 0..6_u8, any::<usize>()), 1..300),
        pick in 0..5_usize,
    ) {
        let limiter = Limiter::new(Config::new(every_algorithm()[pick].clone()), "moves", 1);
        let (mut now, mut held) = (0, Vec::new());
        for (step, what, which) in moves {
            now += step;
            let limit = limiter.snapshot().limit as usize;
            if what < 3 {
                let admitted = limiter.try_acquire(at(now), ONE);
                prop_assert_eq!(admitted.is_ok(), held.len() < limit);
                held.extend(admitted.ok());
            } else if !held.is_empty() {
                let permit: Permit = held.swap_remove(which % held.len());
                match what {
                    3 => permit.finish(at(now), Outcome::Success),
                    4 => permit.finish(at(now), Outcome::Overload),
                    _ => drop(permit),
                }
            }
            prop_assert_eq!(limiter.snapshot().in_flight as usize, held.len());
        }
    }

    #[test]
    fn every_limit_stays_within_its_bounds(
        samples in proptest::collection::vec((0..10_000_000_000_u64, 0..2000_u32, any::<bool>()), 1..300),
    ) {
        let mut states = every_algorithm().map(|algorithm| State::new(&algorithm, "bounds"));
        for (index, (rtt, in_flight, dropped)) in samples.into_iter().enumerate() {
            let seen = Observed {
                lasted: 250 * MS,
                served: 30 * u64::from(!dropped),
                dropped: 30 * u64::from(dropped),
                p90: Duration::from_nanos(rtt),
                calm_p90: (index % 3 == 0).then_some(Duration::from_nanos(rtt)),
                peak: in_flight,
                ..Observed::nothing(at(index as u64 * 20_000))
            };
            for state in &mut states {
                let limit = state.step(&seen);
                prop_assert!((1..=1000).contains(&limit));
            }
        }
    }

    #[test]
    fn bounds_that_are_one_number_are_kept(limit in 1..100_u32, rtt in 0..1_000_u64, dropped in any::<bool>()) {
        let one = NonZeroU32::new(limit).unwrap();
        let mut own = Own::new(OwnConfig { initial: one, min: one, max: one, max_healthy_rtt: Some(MS) });
        let mut classic = Classic::new(ClassicConfig { initial: one, min: one, max: one });
        for _ in 0..20 {
            let p90 = Duration::from_millis(rtt);
            let seen = Observed {
                served: 30, dropped: 30 * u64::from(dropped), p90, peak: limit, lasted: MS,
                ..Observed::nothing(at(0))
            };
            prop_assert_eq!(own.on_window(&seen), limit);
            prop_assert_eq!(classic.on_sample(p90, limit, dropped), limit);
        }
    }
}
