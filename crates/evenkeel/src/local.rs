//! What a thread brings to a call: which stripe it writes, and dice that nobody else throws.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};

use evenkeel_core::stripe::Stripe;

thread_local! {
    static THREAD: Thread = Thread::new();
}

struct Thread {
    stripe: Stripe,
    /// Starts at random, so that threads and processes do not draw alike, and then counts calls: the
    /// generator that is made from it mixes neighbours apart.
    seed: Cell<u64>,
}

impl Thread {
    fn new() -> Self {
        static THREADS: AtomicU32 = AtomicU32::new(0);
        Self {
            stripe: Stripe(THREADS.fetch_add(1, Ordering::Relaxed)),
            seed: Cell::new(RandomState::new().build_hasher().finish()),
        }
    }
}

/// This thread's stripe, and a seed that it has not used before.
#[inline]
pub(crate) fn stripe_and_seed() -> (Stripe, u64) {
    THREAD.with(|thread| {
        let seed = thread.seed.get();
        thread.seed.set(seed.wrapping_add(1));
        (thread.stripe, seed)
    })
}

/// As many stripes as threads can run at once.
pub(crate) fn stripes() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
