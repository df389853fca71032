use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenkeel_core::policy::Config;
use evenkeel_core::{breaker, bulkhead, hedge, limiter, rate, retry, throttle};

use crate::{Clock, Dependency};

#[test]
fn a_call_that_succeeds_at_once_looks_at_the_clock_twice() {
    let mut config = Config::new(Duration::from_secs(1));
    config.attempt_timeout = Some(Duration::from_millis(100));
    config.rate = Some(rate::Config::per_second(NonZeroU32::MAX));
    config.retry = Some(retry::Config::default());
    config.hedge = Some(hedge::Config::default());
    config.throttle = Some(throttle::Config::default());
    config.breaker = Some(breaker::Config::default());
    config.limiter = Some(limiter::Config::default());
    config.bulkhead = Some(bulkhead::Config::new(NonZeroU32::MIN));
    let looks = Arc::new(AtomicU64::new(0));
    let clock = Clock::counted(Arc::clone(&looks));
    let dependency = Dependency::with_clock("orders", "postgres", config, clock);
    for call in 1..=10 {
        let answer = pin!(dependency.call(|_| async { Ok::<_, ()>(()) }));
        let polled = answer.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(()))));
        assert_eq!(looks.load(Ordering::Relaxed), 2 * call);
    }
}
