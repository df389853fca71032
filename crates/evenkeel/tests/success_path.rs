//! What a call that succeeds at once costs, with every bound on: no allocation and no timer. (That it looks
//! at the clock twice is shown beside the driver, where the looks can be counted.)

use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenkeel::Dependency;
use evenkeel::core::policy::Config;
use evenkeel::core::{breaker, bulkhead, hedge, limiter, rate, retry, throttle};

fn everything_on() -> Dependency {
    let mut config = Config::new(Duration::from_secs(1));
    config.rate = Some(rate::Config::per_second(NonZeroU32::MAX));
    config.throttle = Some(throttle::Config::default());
    config.hedge = Some(hedge::Config::default());
    config.limiter = Some(limiter::Config::default());
    config.attempt_timeout = Some(Duration::from_millis(100));
    config.retry = Some(retry::Config::default());
    config.breaker = Some(breaker::Config::default());
    let mut bulkhead = bulkhead::Config::new(NonZeroU32::MIN);
    // Waiting for a slot takes a timer, and there is no runtime here.
    bulkhead.queue = 0;
    config.bulkhead = Some(bulkhead);
    Dependency::new("orders", "postgres", config)
}

/// Polls a call once, outside any runtime: a timer would panic here.
fn call_at_once(dependency: &Dependency) -> u32 {
    let call = pin!(dependency.call(|attempt| async move { Ok::<_, ()>(attempt.number()) }));
    match call.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.unwrap_or_default(),
        Poll::Pending => 0,
    }
}

#[test]
fn a_call_that_succeeds_at_once_allocates_nothing_and_sets_no_timer() {
    let dependency = everything_on();
    let operation = dependency.operation("lookup");
    for handle in [&dependency, &operation] {
        let number = call_at_once(handle);
        assert_eq!(number, 1, "the first one makes its thread known");
    }
    let allocations = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert_eq!(call_at_once(&dependency), 1);
            assert_eq!(call_at_once(&operation), 1);
        }
    });
    assert_eq!(allocations.count_total, 0);
    let snapshot = dependency.snapshot();
    let served: Vec<_> = snapshot
        .operations
        .iter()
        .map(|operation| operation.progress.succeeded)
        .collect();
    assert_eq!(served, [101, 101], "and all of it was counted");
}

#[test]
fn what_many_threads_count_without_locking_adds_up() {
    const THREADS: u64 = 6;
    const CALLS: u64 = 2_000;
    let dependency = everything_on();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..CALLS {
                    // Where the only slot is another thread's, the call is refused: also counted.
                    call_at_once(&dependency);
                }
            });
        }
    });
    let seen = dependency.snapshot();
    let operation = &seen.operations[0].progress;
    assert_eq!(operation.begun, THREADS * CALLS);
    assert_eq!((seen.tally.in_flight(), operation.in_flight), (0, 0));
    assert_eq!(operation.attempts, seen.tally.first_attempts);
    assert!(seen.tally.first_attempts > 0);
}
