//! A closed circuit lets a call through and hears that it went well. The time is given: none of these
//! reads a clock on success.

use std::hint::black_box;
use std::time::Duration;

use evenkeel_benches::{Bar, Contender, Race};
use evenkeel_core::breaker::{Breaker, Config};
use evenkeel_core::entropy::Entropy;
use evenkeel_core::outcome::Outcome;
use evenkeel_core::time::Instant;
use failsafe::CircuitBreaker as _;
use layered::{Execute, Service as _, Stack as _};
use recloser::Recloser;
use seatbelt::{RecoveryInfo, ResilienceContext};
use tower::{Layer as _, Service as _};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;

use super::ready;

pub(crate) fn race() -> Race {
    Race {
        path: "breaker, admit and record",
        bars: vec![Bar {
            against: "recloser",
            at_most: 1.0,
        }],
        contenders: vec![
            ours(),
            recloser(),
            failsafe(),
            seatbelt(),
            tower_resilience(),
        ],
    }
}

fn ours() -> Contender {
    let breaker = Breaker::new(Config::default(), "payments", 1);
    let (mut dice, mut now) = (Entropy::new(1), Instant::ZERO);
    Contender::alone("evenkeel", move |n| {
        for _ in 0..n {
            now = now + Duration::from_micros(1);
            if let Ok(permit) = breaker.try_acquire(black_box(now), &mut dice) {
                black_box(permit.finish(now, Outcome::Success));
            }
        }
    })
}

fn recloser() -> Contender {
    let recloser = Recloser::default();
    Contender::alone("recloser", move |n| {
        for i in 0..n {
            _ = black_box(recloser.call(|| Ok::<_, ()>(black_box(i))));
        }
    })
}

fn failsafe() -> Contender {
    let breaker = failsafe::Config::new().build();
    Contender::alone("failsafe", move |n| {
        for i in 0..n {
            _ = black_box(breaker.call(|| Ok::<_, ()>(black_box(i))));
        }
    })
}

fn seatbelt() -> Contender {
    let clock = tick::Clock::new_tokio();
    let context: ResilienceContext<u64, Result<u64, ()>> = ResilienceContext::new(&clock);
    let service = (
        seatbelt::breaker::Breaker::layer("payments", &context)
            .recovery_with(|output: &Result<u64, ()>, _| match output {
                Ok(_) => RecoveryInfo::never(),
                Err(()) => RecoveryInfo::retry(),
            })
            .rejected_input(|_, _| Err(())),
        Execute::new(|input: u64| async move { Ok::<_, ()>(input) }),
    )
        .into_service();
    Contender::alone("seatbelt", move |n| {
        for i in 0..n {
            _ = black_box(ready(service.execute(black_box(i))));
        }
    })
}

#[expect(
    clippy::expect_used,
    reason = "a peer that cannot be built is not raced"
)]
fn tower_resilience() -> Contender {
    let layer = CircuitBreakerLayer::builder().build().expect("defaults");
    let mut service = layer.layer(tower::service_fn(|i: u64| async move { Ok::<_, ()>(i) }));
    Contender::alone("tower-resilience", move |n| {
        for i in 0..n {
            _ = ready(std::future::poll_fn(|context| service.poll_ready(context)));
            _ = black_box(ready(service.call(black_box(i))));
        }
    })
}
