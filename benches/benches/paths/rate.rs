//! A rate limit that has room lets a call through. The time is given.

use std::cell::Cell;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use evenkeel_benches::{Bar, Contender, Race};
use evenkeel_core::rate::{Config, RateLimit};
use evenkeel_core::time::Instant;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::InMemoryState;
use governor::state::direct::NotKeyed;
use governor::{Quota, RateLimiter};

const PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000_000_000).unwrap();

pub(crate) fn race() -> Race {
    Race {
        path: "rate, one call admitted",
        bars: vec![Bar {
            against: "governor",
            at_most: 1.0,
        }],
        contenders: vec![ours(), governor()],
    }
}

fn ours() -> Contender {
    let limit = RateLimit::new(Config::new(PER_SECOND, Duration::from_secs(1)));
    let mut now = Instant::ZERO;
    Contender::alone("evenkeel", move |n| {
        for _ in 0..n {
            now = now + Duration::from_micros(1);
            _ = black_box(black_box(&limit).try_acquire(now, NonZeroU32::MIN));
        }
    })
}

fn governor() -> Contender {
    let quota = Quota::per_second(PER_SECOND);
    let state = InMemoryState::default();
    let limiter: RateLimiter<NotKeyed, _, _, NoOpMiddleware<Nanos>> =
        RateLimiter::new(quota, state, Ticking::default());
    Contender::alone("governor", move |n| {
        for _ in 0..n {
            _ = black_box(black_box(&limiter).check());
        }
    })
}

/// A microsecond passes from look to look, at the price of an addition.
#[derive(Debug, Clone, Default)]
struct Ticking(Cell<u64>);

impl Clock for Ticking {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        self.0.set(self.0.get() + 1_000);
        Nanos::new(self.0.get())
    }
}
