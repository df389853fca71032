use super::*;
use proptest::prelude::*;

const ONE: NonZeroU32 = NonZeroU32::MIN;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn units(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

/// `limit` a second, with a burst of `burst`.
fn smooth(limit: u32, burst: u32) -> RateLimit {
    let mut config = Config::per_second(units(limit));
    config.burst = units(burst);
    RateLimit::new(config)
}

fn strict(limit: u32) -> RateLimit {
    let mut config = Config::per_second(units(limit));
    config.mode = Mode::Strict;
    RateLimit::new(config)
}

fn admitted(limit: &RateLimit, millis: u64, tries: u32) -> usize {
    let tried = (0..tries).filter(|_| limit.try_acquire(at(millis), ONE).is_ok());
    tried.count()
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let limit = smooth(10, 5);
    assert_eq!(admitted(&limit, 0, 20), 5);
    assert_eq!(admitted(&limit, 99, 20), 0);
    assert_eq!(admitted(&limit, 100, 20), 1);
    assert_eq!(
        admitted(&limit, 60_000, 20),
        5,
        "a pause earns one burst and no more"
    );
}

#[test]
fn a_refusal_says_when_the_same_call_would_pass() {
    for limit in [smooth(10, 5), strict(5)] {
        admitted(&limit, 0, 5);
        let cost = units(3);
        let refused = limit.try_acquire(at(50), cost).unwrap_err();
        assert_eq!(refused.reason, Reason::RateLimited);
        let later = at(50) + refused.retry_after.unwrap();
        let early = Instant::from_nanos(later.as_nanos() - 1);
        assert!(limit.try_acquire(early, cost).is_err());
        assert!(limit.try_acquire(later, cost).is_ok());
    }
}

#[test]
fn what_can_never_pass_is_not_told_to_come_back() {
    for limit in [smooth(10, 5), strict(5)] {
        let refused = limit.try_acquire(at(0), units(6)).unwrap_err();
        assert_eq!(refused.retry_after, None);
        assert_eq!(limit.snapshot(at(0)).remaining, 5, "and costs nothing");
    }
}

#[test]
fn a_strict_limit_holds_in_every_period_where_a_smooth_one_adds_its_burst() {
    let most = |limit: &RateLimit| {
        let passed: Vec<u64> = (0..3_000)
            .filter(|&millis| limit.try_acquire(at(millis), ONE).is_ok())
            .collect();
        let within = |from: u64| {
            passed
                .iter()
                .filter(|&&when| (from..from + 1000).contains(&when))
                .count()
        };
        passed.iter().map(|&from| within(from)).max().unwrap()
    };
    assert_eq!(most(&strict(10)), 10);
    assert!(most(&smooth(10, 10)) > 15);
}

#[test]
fn turns_are_given_in_order_and_no_sooner_than_the_rate() {
    for (limit, ready) in [(smooth(10, 1), [0, 100, 200]), (strict(1), [0, 1000, 2000])] {
        let wait = Duration::from_secs(2);
        let turns: Vec<_> = (0..3)
            .map(|_| limit.reserve(at(0), ONE, wait).unwrap())
            .collect();
        let given: Vec<_> = turns.iter().map(Reservation::ready).collect();
        assert_eq!(given, ready.map(at));
        turns.into_iter().for_each(Reservation::spend);
        let refused = limit.reserve(at(0), ONE, Duration::ZERO).unwrap_err();
        assert_eq!(
            at(0) + refused.retry_after.unwrap(),
            at(ready[2] + ready[1])
        );
    }
}

#[test]
fn a_turn_that_is_dropped_goes_to_whoever_comes_next() {
    for limit in [smooth(10, 1), strict(1)] {
        let wait = Duration::from_secs(9);
        limit.reserve(at(0), ONE, wait).unwrap().spend();
        let abandoned = limit.reserve(at(0), ONE, wait).unwrap();
        let ready = abandoned.ready();
        drop(abandoned);
        assert_eq!(limit.reserve(at(0), ONE, wait).unwrap().ready(), ready);
    }
}

#[test]
fn a_turn_that_others_stand_behind_is_not_given_twice() {
    for limit in [smooth(10, 1), strict(1)] {
        let wait = Duration::from_secs(9);
        limit.reserve(at(0), ONE, wait).unwrap().spend();
        let abandoned = limit.reserve(at(0), ONE, wait).unwrap();
        let behind = limit.reserve(at(0), ONE, wait).unwrap();
        drop(abandoned);
        let newcomer = limit.reserve(at(0), ONE, wait).unwrap();
        assert!(newcomer.ready() > behind.ready());
    }
}

#[test]
fn several_limits_are_spent_together_or_not_at_all() {
    let limits = [smooth(10, 10), strict(10), smooth(1, 1)];
    let wanted = [
        (&limits[0], units(2)),
        (&limits[1], units(2)),
        (&limits[2], ONE),
    ];
    assert_eq!(try_acquire_all(at(0), &wanted), Ok(()));
    let (refused_by, rejection) = try_acquire_all(at(0), &wanted).unwrap_err();
    assert_eq!(
        (refused_by, rejection.retry_after),
        (2, Some(Duration::from_secs(1)))
    );
    let remaining = limits
        .each_ref()
        .map(|limit| limit.snapshot(at(0)).remaining);
    assert_eq!(remaining, [8, 8, 0]);
    assert_eq!(try_acquire_all(at(0), &[]), Ok(()));
}

#[test]
fn a_rate_that_does_not_divide_a_second_is_never_exceeded() {
    let limit = smooth(3, 1);
    let nanos = |nanos: u64| limit.try_acquire(Instant::from_nanos(nanos), ONE).is_ok();
    assert!(nanos(0) && !nanos(333_333_333) && nanos(333_333_334));
}

#[test]
fn no_setting_overflows() {
    let mut config = Config::new(NonZeroU32::MAX, Duration::MAX);
    for mode in [Mode::Smooth, Mode::Strict] {
        config.mode = mode;
        let limit = RateLimit::new(config.clone());
        for now in [Instant::ZERO, Instant::MAX] {
            let _either = limit.try_acquire(now, ONE);
            let _either = limit.reserve(now, ONE, Duration::MAX);
        }
    }
}

#[test]
fn a_clock_that_lags_admits_nothing_twice() {
    for limit in [smooth(10, 5), strict(5)] {
        assert_eq!(admitted(&limit, 1000, 20), 5);
        assert_eq!(admitted(&limit, 999, 20), 0);
    }
}

/// The bucket that a timer would refill, to the nanosecond.
struct Bucket {
    tokens_nano: u64,
    filled: u64,
    period: u64,
    burst: u64,
}

impl Bucket {
    fn try_acquire(&mut self, now: u64, cost: u64) -> bool {
        self.tokens_nano = (self.tokens_nano + now - self.filled).min(self.burst * self.period);
        self.filled = now;
        let price = cost * self.period;
        let enough = self.tokens_nano >= price;
        if enough {
            self.tokens_nano -= price;
        }
        enough
    }
}

proptest! {
    #[test]
    fn smooth_agrees_with_a_bucket_that_is_refilled_all_the_time(
        limit in 1..1000_u32, burst in 1..20_u32,
        steps in proptest::collection::vec((0..200_000_000_u64, 1..4_u32), 1..200),
    ) {
        let rate = smooth(limit, burst);
        let period = 1_000_000_000_u64.div_ceil(u64::from(limit));
        let burst = u64::from(burst);
        let mut bucket = Bucket { tokens_nano: burst * period, filled: 0, period, burst };
        let mut now = 0;
        for (step, cost) in steps {
            now += step;
            let granted = rate.try_acquire(Instant::from_nanos(now), units(cost));
            prop_assert_eq!(granted.is_ok(), bucket.try_acquire(now, u64::from(cost)));
            let shown = rate.snapshot(Instant::from_nanos(now));
            prop_assert_eq!(u64::from(shown.remaining), bucket.tokens_nano / period);
        }
    }

    #[test]
    fn strict_admits_whatever_keeps_every_period_within_the_limit(
        limit in 1..8_u32,
        steps in proptest::collection::vec((0..600_u64, 1..4_u32), 1..100),
    ) {
        let rate = strict(limit);
        let (mut now, mut list) = (0, Vec::new());
        for (step, cost) in steps {
            now += step;
            let recent = list.iter().filter(|&&when: &&u64| when + 1000 > now).count();
            let fits = recent + cost as usize <= limit as usize;
            prop_assert_eq!(rate.try_acquire(at(now), units(cost)).is_ok(), fits);
            if fits {
                list.extend((0..cost).map(|_| now));
            }
        }
    }

    /// Reservations, used and dropped in any order, never let more through than the limit.
    #[test]
    fn turns_given_back_exceed_no_limit(
        steps in proptest::collection::vec((0..400_u64, any::<bool>(), 0..4_usize), 1..80),
    ) {
        let rate = strict(3);
        let (mut now, mut held, mut used): (u64, Vec<Reservation>, Vec<Instant>) = (0, Vec::new(), Vec::new());
        for (step, keeps, at_place) in steps {
            now += step;
            held.extend(rate.reserve(at(now), ONE, Duration::from_secs(3)).ok());
            if !held.is_empty() {
                let turn = held.remove(at_place % held.len());
                if keeps {
                    used.push(turn.ready());
                    turn.spend();
                }
            }
        }
        used.extend(held.iter().map(Reservation::ready));
        for &from in &used {
            let until = from + Duration::from_secs(1);
            prop_assert!(used.iter().filter(|&&when| when >= from && when < until).count() <= 3);
        }
    }
}
