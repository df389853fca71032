//! A slot is taken and given back.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use evenkeel_benches::{Bar, Contender, Race};
use evenkeel_core::bulkhead::{Bulkhead, Config};
use tokio::sync::Semaphore;

pub(crate) fn race() -> Race {
    Race {
        path: "bulkhead, acquire and release",
        bars: vec![Bar {
            against: "tokio Semaphore",
            at_most: 1.0,
        }],
        contenders: vec![ours(), semaphore(), owned_semaphore()],
    }
}

fn ours() -> Contender {
    let bulkhead = Bulkhead::new(Config::new(NonZeroU32::new(64).unwrap_or(NonZeroU32::MIN)));
    Contender::alone("evenkeel", move |n| {
        for _ in 0..n {
            _ = black_box(black_box(&bulkhead).try_acquire());
        }
    })
}

fn semaphore() -> Contender {
    let semaphore = Semaphore::new(64);
    Contender::alone("tokio Semaphore", move |n| {
        for _ in 0..n {
            _ = black_box(black_box(&semaphore).try_acquire());
        }
    })
}

fn owned_semaphore() -> Contender {
    let semaphore = Arc::new(Semaphore::new(64));
    Contender::alone("tokio Semaphore, owned", move |n| {
        for _ in 0..n {
            _ = black_box(Arc::clone(black_box(&semaphore)).try_acquire_owned());
        }
    })
}
