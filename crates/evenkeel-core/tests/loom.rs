//! Every interleaving of up to three threads, for each word that threads share.
//!
//! `cargo xtask loom` runs these, and then once more per protocol with its exchange broken into a load and
//! a store: the models named after that protocol must fail then.
//!
//! The bound: three preemptions per execution (`LOOM_MAX_PREEMPTIONS=3`). Every race here needs at most two
//! threads that interrupt each other once; a third preemption covers one of them coming back.
#![cfg(evenkeel_loom)]

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use evenkeel_core::admission::{self, Admission, Arrival, Arrived};
use evenkeel_core::breaker::{self, Breaker, Mode, SlowRate, SlowerThan, State};
use evenkeel_core::budget::{self, Budget, Cost};
use evenkeel_core::bulkhead::{self, Bulkhead};
use evenkeel_core::call::{CallHint, Step};
use evenkeel_core::entropy::Entropy;
use evenkeel_core::limiter::{self, Limiter};
use evenkeel_core::outcome::{Class, Finished, Outcome};
use evenkeel_core::outlier::{self, Outliers};
use evenkeel_core::policy::{self, Policy};
use evenkeel_core::progress::{self, Progress};
use evenkeel_core::rate::{self, RateLimit};
use evenkeel_core::ratio::Ratio;
use evenkeel_core::stripe::Stripe;
use evenkeel_core::tenant::{Rate, Tenant};
use evenkeel_core::throttle::grpc::{self, RetryThrottle};
use evenkeel_core::time::Instant;
use evenkeel_core::window::{Ewma, QuantileConfig, QuantileWindow};
use loom::model::Builder;
use loom::thread;

/// Tries every interleaving of `run`. What is looked at at the end is read word by word, and each is a branch:
/// more of them than the thousand at which loom suspects a lock that spins.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.max_branches = 20_000;
    builder.check(run);
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// Opens after `consecutive` failures for exactly a second; `probes` at once; one success closes.
fn breaker(consecutive: u32, probes: u8) -> Breaker {
    let mut config = breaker::Config::classic();
    config.consecutive = Some(consecutive);
    config.open.initial = Duration::from_secs(1);
    config.open.max = Duration::from_secs(1);
    config.probes.concurrent = probes;
    config.probes.lease = Duration::from_millis(100);
    Breaker::new(config, "loom", 1)
}

fn acquire(breaker: &Breaker, millis: u64) -> Option<breaker::Permit> {
    breaker.try_acquire(at(millis), &mut Entropy::new(1)).ok()
}

fn open(breaker: &Breaker) {
    while breaker.snapshot(at(0)).state == State::Closed {
        if let Some(permit) = acquire(breaker, 0) {
            permit.finish(at(0), Outcome::Failure);
        }
    }
}

/// Runs `act` on `threads` threads, this one among them, and answers what each did.
fn together<T: 'static>(threads: u64, act: impl Fn(u64) -> T + Clone + Send + 'static) -> Vec<T>
where
    T: Send,
{
    let others: Vec<_> = (1..threads)
        .map(|number| {
            let act = act.clone();
            thread::spawn(move || act(number))
        })
        .collect();
    let mut all = vec![act(0)];
    all.extend(others.into_iter().map(|other| other.join().unwrap()));
    all
}

#[test]
fn loom_breaker_admits_exactly_its_probes() {
    model(|| {
        let breaker = breaker(1, 1);
        open(&breaker);
        let shared = breaker.clone();
        let admitted = together(2, move |_| acquire(&shared, 1_000));
        assert_eq!(admitted.iter().flatten().count(), 1);
        assert_eq!(breaker.snapshot(at(1_000)).probes, 1);
    });
}

#[test]
fn loom_breaker_counts_two_probes_as_two() {
    model(|| {
        let breaker = breaker(1, 2);
        open(&breaker);
        let shared = breaker.clone();
        let admitted = together(3, move |_| acquire(&shared, 1_000));
        assert_eq!(admitted.iter().flatten().count(), 2);
    });
}

#[test]
fn loom_breaker_opens_once_however_many_failures_race() {
    model(|| {
        let breaker = breaker(2, 1);
        let shared = breaker.clone();
        let moved = together(2, move |_| {
            acquire(&shared, 0).and_then(|permit| permit.finish(at(0), Outcome::Failure))
        });
        // Both failures count, in whichever order: the second one opens the circuit, and only that.
        assert_eq!(moved.iter().flatten().count(), 1);
        assert_eq!(breaker.snapshot(at(0)).entered, [0, 1, 0]);
    });
}

#[test]
fn loom_breaker_resolves_each_lease_once() {
    model(|| {
        let breaker = breaker(1, 1);
        open(&breaker);
        let probe = acquire(&breaker, 1_000).unwrap();
        let shared = breaker.clone();
        let late = thread::spawn(move || acquire(&shared, 1_100).is_some());
        let closed = probe.finish(at(1_100), Outcome::Success).is_some();
        let admitted = late.join().unwrap();
        let after = breaker.snapshot(at(1_100));
        // Either the probe reported in time and closed the circuit, or its lease was revoked and re-opened
        // it; never both, never neither.
        let expected = if closed { State::Closed } else { State::Open };
        assert_eq!(after.state, expected);
        assert!(closed || !admitted);
        assert_eq!(after.entered.iter().sum::<u64>(), 3);
    });
}

#[test]
fn loom_breaker_gets_the_place_of_a_dropped_probe_back() {
    model(|| {
        let breaker = breaker(1, 1);
        open(&breaker);
        let probe = acquire(&breaker, 1_000).unwrap();
        let shared = breaker.clone();
        let other = thread::spawn(move || acquire(&shared, 1_000));
        drop(probe);
        let admitted = other.join().unwrap();
        let under_way = breaker.snapshot(at(1_000)).probes;
        assert_eq!(under_way, u8::from(admitted.is_some()));
        drop(admitted);
        assert!(acquire(&breaker, 1_000).is_some());
    });
}

#[test]
fn loom_breaker_keeps_a_forced_circuit_open_whoever_races_it() {
    model(|| {
        let breaker = breaker(1, 1);
        let permit = acquire(&breaker, 0).unwrap();
        let shared = breaker.clone();
        let failure = thread::spawn(move || permit.finish(at(0), Outcome::Failure));
        let forced = breaker.set_mode(Mode::ForcedOpen, at(0));
        let opened = failure.join().unwrap();
        // Whoever was first changed the state, and only they say so; the mode is the person's.
        assert!(forced.is_some() != opened.is_some());
        assert_eq!(breaker.mode(), Mode::ForcedOpen);
        assert!(acquire(&shared, 60_000).is_none());
    });
}

#[test]
fn loom_breaker_counts_every_attempt_that_is_slow_while_it_runs() {
    model(|| {
        let mut config = breaker::Config::classic();
        config.slow = Some(SlowRate::new(SlowerThan::Fixed(Duration::from_millis(1))));
        config.consecutive = None;
        let policy_config = {
            let mut policy = policy::Config::new(Duration::from_secs(60));
            policy.breaker = Some(config);
            policy
        };
        let policy = Policy::new(policy_config, "loom", 1);
        let shared = policy.clone();
        let calls = together(2, move |number| {
            let mut call = shared.begin(at(0), CallHint::new(number));
            let permit = call.poll(at(0));
            let waits = call.poll(at(1));
            assert!(matches!(waits, Step::WaitUntil(_)));
            (call, permit)
        });
        let running = || policy.snapshot(at(1)).breaker.unwrap().running_slow;
        assert_eq!(running(), 2);
        drop(calls);
        assert_eq!(running(), 0);
    });
}

fn budget(tokens: u32) -> Budget {
    let mut config = budget::Config::default();
    config.ratio = Ratio::ONE;
    config.floor_per_second = 0;
    config.min_concurrent = 10;
    let budget = Budget::new(config, 1);
    for _ in 0..tokens {
        budget.deposit(Stripe(0), at(0));
    }
    budget
}

#[test]
fn loom_budget_is_never_overdrawn() {
    model(|| {
        let budget = budget(1);
        let granted = together(2, move |_| {
            budget.try_withdraw(at(0), 0, Cost::Ordinary).ok()
        });
        assert_eq!(granted.iter().flatten().count(), 1);
    });
}

#[test]
fn loom_budget_guards_concurrent_extras() {
    model(|| {
        let mut config = budget::Config::default();
        config.min_concurrent = 1;
        let budget = Budget::new(config, 1);
        let granted = together(2, move |_| {
            budget.try_withdraw(at(0), 0, Cost::Ordinary).ok()
        });
        assert_eq!(granted.iter().flatten().count(), 1);
    });
}

#[test]
fn loom_budget_guards_extras_across_a_change_of_its_configuration() {
    model(|| {
        let before = budget(2);
        let waits = before.try_withdraw(at(0), 0, Cost::Ordinary).unwrap();
        let changes = before.clone();
        let other = thread::spawn(move || {
            let mut config = budget::Config::default();
            (config.min_concurrent, config.concurrent) = (2, Ratio::from_permille(0));
            let after = changes.successor(config, 1);
            let one = after.try_withdraw(at(0), 0, Cost::Ordinary).ok();
            let two = after.try_withdraw(at(0), 0, Cost::Ordinary).ok();
            assert!(one.is_some(), "one of two is free, whoever holds the other");
            drop((one, two));
            after
        });
        drop(waits);
        let after = other.join().unwrap();
        assert_eq!(after.snapshot(at(0)).extras, 0);
    });
}

#[test]
fn loom_budget_returns_what_was_not_spent() {
    model(|| {
        let budget = budget(1);
        let shared = budget.clone();
        together(2, move |_| {
            drop(shared.try_withdraw(at(0), 0, Cost::Ordinary))
        });
        let after = budget.snapshot(at(0));
        assert_eq!((after.balance_milli, after.extras), (1000, 0));
        assert!(budget.try_withdraw(at(0), 0, Cost::Ordinary).is_ok());
    });
}

#[test]
fn loom_budget_expires_each_token_once() {
    model(|| {
        let mut config = budget::Config::default();
        config.floor_per_second = 1;
        config.window = Duration::from_secs(2);
        let budget = Budget::new(config, 1);
        for _ in 0..2 {
            budget
                .try_withdraw(at(0), 0, Cost::Ordinary)
                .unwrap()
                .spend();
        }
        // Both threads find the two old tokens expired; together they may take two again, not three.
        let shared = budget.clone();
        let granted = together(2, move |_| {
            let take = || shared.try_withdraw(at(2_000), 0, Cost::Ordinary).ok();
            [take(), take()].into_iter().flatten().collect::<Vec<_>>()
        });
        assert_eq!(granted.iter().flatten().count(), 2);
    });
}

fn bulkhead(limit: u32, queue: u32) -> Bulkhead {
    let mut config = bulkhead::Config::new(NonZeroU32::new(limit).unwrap());
    config.queue = queue;
    Bulkhead::new(config)
}

#[test]
fn loom_slots_never_admits_more_than_its_slots() {
    model(|| {
        let bulkhead = bulkhead(1, 0);
        let shared = bulkhead.clone();
        let admitted = together(2, move |_| shared.try_acquire().ok());
        assert_eq!(admitted.iter().flatten().count(), 1);
        drop(admitted);
        assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
    });
}

#[test]
fn loom_slots_loses_no_slot() {
    model(|| {
        let bulkhead = bulkhead(2, 0);
        let shared = bulkhead.clone();
        together(2, move |_| drop(shared.try_acquire()));
        assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
    });
}

#[test]
fn loom_slots_serves_whoever_waits() {
    model(|| {
        let bulkhead = bulkhead(1, 1);
        let permit = bulkhead.try_acquire().unwrap();
        let shared = bulkhead.clone();
        let waiter = thread::spawn(move || shared.enqueue(at(0)).unwrap());
        drop(permit);
        let mut ticket = waiter.join().unwrap();
        // Freed before or after the waiter queued: either way the slot is the waiter's by now.
        assert!(ticket.try_fetch().is_some());
        assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
    });
}

#[test]
fn loom_slots_keeps_the_slot_of_a_waiter_who_leaves() {
    model(|| {
        let bulkhead = bulkhead(1, 1);
        let permit = bulkhead.try_acquire().unwrap();
        let ticket = bulkhead.enqueue(at(0)).unwrap();
        let leaves = thread::spawn(move || drop(ticket));
        drop(permit);
        leaves.join().unwrap();
        let after = bulkhead.snapshot(at(0));
        assert_eq!((after.in_use, after.waiting), (0, 0));
        assert!(bulkhead.try_acquire().is_ok());
    });
}

/// With two stripes, of which each may keep one freed slot.
fn striped(limit: u32, queue: u32) -> Bulkhead {
    let mut config = bulkhead::Config::new(NonZeroU32::new(limit).unwrap());
    config.queue = queue;
    Bulkhead::striped(config, 2)
}

const STRIPES: [Stripe; 2] = [Stripe(0), Stripe(1)];

#[test]
fn loom_slots_are_never_granted_twice() {
    model(|| {
        let bulkhead = Arc::new(striped(1, 0));
        // Leaves the only slot on the first stripe.
        drop(bulkhead.try_acquire_on(STRIPES[0]));
        let other = Arc::clone(&bulkhead);
        let thread = thread::spawn(move || other.try_acquire_on(STRIPES[1]).ok());
        let here = bulkhead.try_acquire_on(STRIPES[0]).ok();
        let there = thread.join().unwrap();
        assert!(
            here.is_some() != there.is_some(),
            "one of the two, and not none"
        );
        drop((here, there));
        assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
    });
}

#[test]
fn loom_slots_are_not_lost_between_stripes() {
    model(|| {
        let bulkhead = Arc::new(striped(2, 0));
        let other = Arc::clone(&bulkhead);
        let thread = thread::spawn(move || {
            drop(other.try_acquire_on(STRIPES[1]).unwrap());
            drop(other.try_acquire_on(STRIPES[1]).unwrap());
        });
        drop(bulkhead.try_acquire_on(STRIPES[0]).unwrap());
        thread.join().unwrap();
        assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
        let all = STRIPES.map(|stripe| bulkhead.try_acquire_on(stripe).is_ok());
        assert_eq!(all, [true, true]);
    });
}

#[test]
fn loom_announce_a_waiter_before_it_looks_and_a_freed_slot_before_whoever_freed_it_does() {
    model(|| {
        let bulkhead = Arc::new(striped(1, 1));
        let held = bulkhead.try_acquire_on(STRIPES[0]).unwrap();
        let thread = thread::spawn(move || drop(held));
        let mut ticket = bulkhead.enqueue(at(0)).unwrap();
        let at_once = ticket.try_fetch();
        thread.join().unwrap();
        // Whoever freed it has looked by now: it was handed over, or seen.
        assert!(at_once.is_some() || ticket.try_fetch().is_some());
    });
}

#[test]
fn loom_slots_of_a_lowered_limit_are_not_granted() {
    model(|| {
        let bulkhead = Arc::new(striped(2, 0));
        let held = bulkhead.try_acquire_on(STRIPES[0]).unwrap();
        let other = Arc::clone(&bulkhead);
        let thread = thread::spawn(move || other.resize(NonZeroU32::MIN));
        drop(held);
        thread.join().unwrap();
        let one = bulkhead.try_acquire_on(STRIPES[1]).unwrap();
        assert!(bulkhead.try_acquire_on(STRIPES[0]).is_err());
        drop(one);
    });
}

#[test]
fn loom_slots_serves_a_heavy_waiter_when_the_last_of_its_slots_is_free() {
    model(|| {
        let two = NonZeroU32::new(2).unwrap();
        let bulkhead = bulkhead(2, 2);
        let (one, other) = (bulkhead.try_acquire(), bulkhead.try_acquire());
        let mut heavy = bulkhead.enqueue_many(two, at(0)).unwrap();
        let frees = thread::spawn(move || drop(one));
        drop(other);
        frees.join().unwrap();
        assert_eq!(heavy.try_fetch().map(|permit| permit.weight()), Some(2));
        assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
    });
}

#[test]
fn loom_slots_loses_no_waiter_to_a_resize() {
    model(|| {
        let bulkhead = bulkhead(1, 1);
        let permit = bulkhead.try_acquire().unwrap();
        let (waits, grows) = (bulkhead.clone(), bulkhead.clone());
        let waiter = thread::spawn(move || waits.enqueue(at(0)).unwrap());
        let resize = thread::spawn(move || grows.resize(NonZeroU32::new(2).unwrap()));
        let mut ticket = waiter.join().unwrap();
        resize.join().unwrap();
        // Grown before or after the waiter queued: either way there is room for it now.
        assert!(ticket.try_fetch().is_some());
        drop(permit);
        assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
    });
}

#[test]
fn loom_slots_hands_over_within_what_a_shrinking_left() {
    model(|| {
        let bulkhead = bulkhead(2, 1);
        let (one, other) = (bulkhead.try_acquire(), bulkhead.try_acquire());
        let mut ticket = bulkhead.enqueue(at(0)).unwrap();
        let shrinks = bulkhead.clone();
        let resize = thread::spawn(move || shrinks.resize(NonZeroU32::MIN));
        drop(one);
        resize.join().unwrap();
        // Handed over before it shrank, both are in use; after, the waiter waits for the other.
        let shown = bulkhead.snapshot(at(0));
        assert_eq!(shown.in_use + shown.waiting, 2);
        drop(other);
        assert!(ticket.try_fetch().is_some());
        assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
    });
}

#[test]
fn loom_window_counts_every_call_of_a_new_slice() {
    model(|| {
        let budget = budget(0);
        let shared = budget.clone();
        // The first to come claims the slice; nobody's call may be lost over it.
        together(2, move |_| shared.deposit(Stripe(0), at(5_000)));
        assert_eq!(budget.snapshot(at(5_000)).limit_milli, 2_000);
    });
}

#[test]
fn loom_quantile_counts_every_sample_of_a_new_slice() {
    model(|| {
        let window = Arc::new(QuantileWindow::new(&QuantileConfig::default(), 1));
        window.record(Stripe(0), at(0), Duration::from_millis(10));
        let shared = Arc::clone(&window);
        // The same word of the ring, one turn later: the first to come claims it.
        let later = at(30_000);
        together(2, move |_| {
            shared.record(Stripe(0), later, Duration::from_millis(10));
        });
        assert_eq!(window.quantiles(later).unwrap().count, 2);
    });
}

#[test]
fn loom_ewma_keeps_the_highest_of_two_peaks() {
    model(|| {
        let average = Arc::new(Ewma::new(Duration::from_secs(1)));
        let shared = Arc::clone(&average);
        together(2, move |number| {
            shared.record_peak(at(0), Duration::from_millis(10 + 10 * number));
        });
        assert_eq!(average.value(), Duration::from_millis(20));
    });
}

fn rate(limit: u32, mode: rate::Mode) -> RateLimit {
    let mut config = rate::Config::per_second(NonZeroU32::new(limit).unwrap());
    config.mode = mode;
    RateLimit::new(config)
}

#[test]
fn loom_rate_admits_no_more_than_its_burst() {
    for mode in [rate::Mode::Smooth, rate::Mode::Strict] {
        model(move || {
            let limit = rate(2, mode);
            let shared = limit.clone();
            let admitted = together(3, move |_| {
                shared.try_acquire(at(0), NonZeroU32::MIN).is_ok()
            });
            assert_eq!(admitted.iter().filter(|&&one| one).count(), 2);
            assert_eq!(limit.snapshot(at(0)).remaining, 0);
        });
    }
}

#[test]
fn loom_rate_gives_back_a_turn_only_while_it_is_the_last() {
    model(|| {
        let limit = rate(2, rate::Mode::Smooth);
        let abandoned = limit
            .reserve(at(0), NonZeroU32::MIN, Duration::ZERO)
            .unwrap();
        let shared = limit.clone();
        let other = thread::spawn(move || shared.try_acquire(at(0), NonZeroU32::MIN).is_ok());
        drop(abandoned);
        assert!(other.join().unwrap());
        // Given back before the other came, there is one left; after, it is lost; never are there two.
        let remaining = limit.snapshot(at(0)).remaining;
        assert!(remaining <= 1);
        assert_eq!(
            limit.try_acquire(at(0), NonZeroU32::MIN).is_ok(),
            remaining == 1
        );
        assert!(limit.try_acquire(at(0), NonZeroU32::MIN).is_err());
    });
}

#[test]
fn loom_throttle_counts_every_failure_and_every_success() {
    model(|| {
        let ten = NonZeroU32::new(10).unwrap();
        let throttle = RetryThrottle::new(grpc::Config::new(ten, Ratio::from_permille(100)));
        let shared = throttle.clone();
        together(3, move |number| {
            if number == 0 {
                shared.on_success();
            } else {
                shared.on_failure();
            }
        });
        // A success that comes first finds all tokens there.
        let tenths = (throttle.tokens() * 10.0).round();
        assert!(tenths == 80.0 || tenths == 81.0, "{tenths} tenths");
    });
}

#[test]
fn loom_throttle_loses_no_failure() {
    model(|| {
        let ten = NonZeroU32::new(10).unwrap();
        let throttle = RetryThrottle::new(grpc::Config::new(ten, Ratio::from_permille(100)));
        let shared = throttle.clone();
        together(2, move |_| shared.on_failure());
        assert!(throttle.tokens() < 8.5, "{}", throttle.tokens());
    });
}

/// With no threshold: its hundreds of counters are counted with additions, which no order can break.
fn admission(workers: u32) -> Admission {
    let workers = NonZeroU32::new(workers).unwrap();
    let mut config = admission::Config::new(admission::Concurrency::Fixed(workers));
    config.shed = None;
    Admission::new(config, "loom", 1)
}

fn arrive(admission: &Admission) -> Arrived {
    admission.arrive(at(0), Arrival::new(at(100))).unwrap()
}

#[test]
fn loom_admission_never_serves_more_than_its_workers() {
    model(|| {
        let admission = admission(1);
        let shared = admission.clone();
        let arrived = together(2, move |_| arrive(&shared));
        let served = |arrived: &&Arrived| matches!(arrived, Arrived::Admitted(_));
        assert_eq!(arrived.iter().filter(served).count(), 1);
        let shown = admission.snapshot(at(0));
        assert_eq!((shown.serving, shown.waiting), (1, 1));
    });
}

#[test]
fn loom_admission_loses_no_worker() {
    model(|| {
        let admission = admission(2);
        let shared = admission.clone();
        together(2, move |_| drop(arrive(&shared)));
        assert_eq!(admission.snapshot(at(0)).serving, 0);
    });
}

#[test]
fn loom_admission_serves_whoever_waits() {
    model(|| {
        let admission = admission(1);
        let Arrived::Admitted(permit) = arrive(&admission) else {
            panic!("a worker is free");
        };
        let shared = admission.clone();
        let other = thread::spawn(move || arrive(&shared));
        permit.finish(at(1), Outcome::Success);
        // Freed before or after the other queued: either way the worker is the other's by now.
        match other.join().unwrap() {
            Arrived::Admitted(_) => {}
            Arrived::Queued(mut place) => assert!(place.poll(at(1)).unwrap().is_ok()),
        }
        assert_eq!(admission.snapshot(at(1)).serving, 0);
    });
}

#[test]
fn loom_admission_keeps_the_worker_of_a_waiter_who_leaves() {
    model(|| {
        let admission = admission(1);
        let (first, second) = (arrive(&admission), arrive(&admission));
        let leaves = thread::spawn(move || drop(second));
        drop(first);
        leaves.join().unwrap();
        let shown = admission.snapshot(at(0));
        assert_eq!((shown.serving, shown.waiting), (0, 0));
    });
}

/// Each tenant may make one request a second, and two tenants at most have a bucket of their own.
fn tenants() -> Admission {
    let mut config =
        admission::Config::new(admission::Concurrency::Fixed(NonZeroU32::new(8).unwrap()));
    config.shed = None;
    let mut rate = Rate::per_second(NonZeroU32::MIN);
    rate.tenants = NonZeroU32::MIN;
    config.tenants.rate = Some(rate);
    Admission::new(config, "loom", 1)
}

fn arrive_for(admission: &Admission, tenant: u64, millis: u64) -> bool {
    let arrival = Arrival::new(at(millis + 100)).tenant(Tenant::new(tenant));
    admission.arrive(at(millis), arrival).is_ok()
}

#[test]
fn loom_tenant_has_one_bucket_however_many_claim_it() {
    model(|| {
        let admission = tenants();
        let served = together(2, move |_| arrive_for(&admission, 1, 0));
        assert_eq!(served.iter().filter(|&&served| served).count(), 1);
    });
}

#[test]
fn loom_tenant_takes_each_request_once() {
    model(|| {
        let admission = tenants();
        assert!(arrive_for(&admission, 1, 0));
        // Its bucket is known, and full again.
        let served = together(2, move |_| arrive_for(&admission, 1, 1_500));
        assert_eq!(served.iter().filter(|&&served| served).count(), 1);
    });
}

#[test]
fn loom_tenant_whose_bucket_is_claimed_by_another_takes_from_one_of_its_own() {
    model(|| {
        let admission = tenants();
        assert!(arrive_for(&admission, 1, 0) && arrive_for(&admission, 2, 0));
        // Both are full, so that either may be claimed by the third while the first takes from it.
        let shared = admission.clone();
        let served = together(2, move |number| arrive_for(&shared, 1 + 2 * number, 9_000));
        assert_eq!(served, [true, true]);
        let again = [1, 3].map(|tenant| arrive_for(&admission, tenant, 9_000));
        // Not one of them has a second bucket; there is one more in the one that is shared.
        assert!(again.iter().filter(|&&served| served).count() <= 1);
    });
}

/// One in flight at most, with windows that end as soon as anything is in them.
fn limiter(limit: u32) -> Limiter {
    let mut classic = limiter::aimd::ClassicConfig::default();
    classic.initial = NonZeroU32::new(limit).unwrap();
    classic.max = classic.initial;
    let mut config = limiter::Config::new(limiter::Algorithm::Classic(classic));
    config.min_window = Duration::ZERO;
    config.min_samples = 1;
    Limiter::new(config, "loom", 1)
}

#[test]
fn loom_limiter_never_admits_more_than_its_limit() {
    model(|| {
        let limiter = limiter(1);
        let shared = limiter.clone();
        let admitted = together(2, move |_| shared.try_acquire(at(1), Stripe(0)).ok());
        assert_eq!(admitted.iter().flatten().count(), 1);
        drop(admitted);
        assert_eq!(limiter.snapshot().in_flight, 0);
    });
}

#[test]
fn loom_limiter_counts_what_is_in_flight_across_a_change_of_its_configuration() {
    model(|| {
        let before = limiter(2);
        let held = before.try_acquire(at(1), Stripe(0)).unwrap();
        let changes = before.clone();
        let other = thread::spawn(move || {
            let mut config = limiter::Config::default();
            config.min_samples = 7;
            let after = changes.successor(config, "loom", 1);
            let permit = after.try_acquire(at(1), Stripe(0)).ok();
            assert!(
                permit.is_some(),
                "one of two is free, whoever holds the other"
            );
            drop(permit);
            after
        });
        held.finish(at(2), Outcome::Success);
        let after = other.join().unwrap();
        assert_eq!(after.snapshot().in_flight, 0);
        assert_eq!(before.snapshot().limit, after.snapshot().limit);
    });
}

#[test]
fn loom_limiter_counts_every_call_of_a_new_window() {
    model(|| {
        let mut config = limiter::Config::new(limiter::Algorithm::Classic({
            let mut classic = limiter::aimd::ClassicConfig::default();
            classic.initial = NonZeroU32::new(16).unwrap();
            classic
        }));
        config.min_window = Duration::from_millis(1);
        config.min_samples = 3;
        let limiter = Limiter::new(config, "loom", 1);
        let permit = || limiter.try_acquire(at(1), Stripe(0)).unwrap();
        // The first to end begins the window, the third ends it: the next is a new one for all.
        for ends in [1, 1, 2] {
            permit().finish(at(ends), Outcome::Overload);
        }
        assert_eq!(limiter.snapshot().limit, 8);
        let others = [permit(), permit()]
            .map(|permit| thread::spawn(move || permit.finish(at(3), Outcome::Overload)));
        others.into_iter().for_each(|other| other.join().unwrap());
        // With this one they are enough, if both were counted.
        permit().finish(at(3), Outcome::Overload);
        assert_eq!(limiter.snapshot().limit, 4);
    });
}

#[test]
fn loom_limiter_steps_once_however_many_notice_the_end_of_its_window() {
    model(|| {
        let limiter = limiter(8);
        // The first to end begins the window.
        let first = limiter.try_acquire(at(1), Stripe(0)).unwrap();
        first.finish(at(1), Outcome::Overload);
        let permits: Vec<_> = (0..2)
            .map(|_| limiter.try_acquire(at(1), Stripe(0)).unwrap())
            .collect();
        let others: Vec<_> = permits
            .into_iter()
            .map(|permit| thread::spawn(move || permit.finish(at(2), Outcome::Overload)))
            .collect();
        others.into_iter().for_each(|other| other.join().unwrap());
        // One step for both, or one for each: the second window may have been closed by the second.
        let after = limiter.snapshot();
        assert_eq!(after.in_flight, 0);
        assert!(matches!(after.limit, 2 | 4), "{}", after.limit);
    });
}

#[test]
fn loom_outlier_ejects_no_more_hosts_than_may_be_away() {
    model(|| {
        let mut config = outlier::Config::default();
        config.consecutive = Some(1);
        config.jitter = Ratio::ZERO;
        let outliers = Outliers::new(config, "loom", 3, 1);
        let shared = outliers.clone();
        let ejected = together(2, move |host| {
            let failed = Finished::failed(Class::Transient);
            let host = usize::try_from(host).unwrap();
            shared.record(host, Stripe(0), at(0), &failed)
        });
        assert_eq!(ejected.iter().flatten().count(), 1);
        let away = (0..3).filter(|&host| !outliers.is_available(host, at(0)));
        assert_eq!(away.count(), 1);
    });
}

#[test]
fn loom_outlier_counts_a_host_once_however_many_see_it_fail_and_come_back() {
    model(|| {
        let mut config = outlier::Config::default();
        config.consecutive = Some(1);
        config.jitter = Ratio::ZERO;
        let outliers = Outliers::new(config, "loom", 6, 1);
        let failed = Finished::failed(Class::Transient);
        let shared = outliers.clone();
        let told = together(2, move |_| shared.record(0, Stripe(0), at(0), &failed));
        assert_eq!(told.iter().flatten().count(), 1);
        let shared = outliers.clone();
        let back = together(2, move |_| shared.is_available(0, at(5_000)));
        assert_eq!(back, [true, true]);
        // Both places are free again: two others may be away.
        let eject = |host| outliers.record(host, Stripe(0), at(5_000), &failed);
        assert!(eject(1).is_some() && eject(2).is_some() && eject(3).is_none());
    });
}

#[test]
fn loom_progress_knows_the_oldest_of_two_that_register_together() {
    model(|| {
        let progress = Progress::new(progress::Config::default(), 1);
        let shared = progress.clone();
        let runs = together(2, move |number| {
            let mut run = shared.begin(at(10 * number), Stripe(0));
            run.on_pending();
            run
        });
        let seen = progress.snapshot(at(100));
        assert_eq!(
            (seen.in_flight, seen.oldest),
            (2, Some(Duration::from_millis(100)))
        );
        drop(runs);
        let seen = progress.snapshot(at(100));
        assert_eq!(
            (seen.begun, seen.abandoned, seen.in_flight, seen.oldest),
            (2, 2, 0, None)
        );
    });
}
