//! What a thread brings to a call: which stripe it writes, and dice that nobody else throws.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, PoisonError};

use evenkeel_core::stripe::Stripe;

thread_local! {
    static THREAD: Thread = Thread::new();
}

/// The numbers that threads have, which ended threads hand on.
static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers {
    free: BTreeSet::new(),
    next: 0,
});

struct Numbers {
    free: BTreeSet<u32>,
    next: u32,
}

impl Numbers {
    /// The lowest that no living thread has: only the lowest have stripes of their own.
    fn take(&mut self) -> u32 {
        self.free.pop_first().unwrap_or_else(|| {
            let number = self.next;
            self.next += 1;
            number
        })
    }
}

fn numbers<T>(act: impl FnOnce(&mut Numbers) -> T) -> T {
    act(&mut NUMBERS.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Thread {
    number: u32,
    /// Starts at random, so that threads and processes do not draw alike, and then counts calls: the
    /// generator that is made from it mixes neighbours apart.
    seed: Cell<u64>,
}

impl Thread {
    fn new() -> Self {
        Self {
            number: numbers(Numbers::take),
            seed: Cell::new(RandomState::new().build_hasher().finish()),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Under the lock, and so is taking it again: the next thread of this number sees what was counted.
        numbers(|numbers| numbers.free.insert(self.number));
    }
}

/// A stripe that nobody else writes while this thread does not let go of it.
#[inline]
pub(crate) fn own_stripe() -> Stripe {
    // A thread that is ending has none any more.
    THREAD
        .try_with(|thread| Stripe::own(thread.number))
        .unwrap_or_default()
}

/// A shared stripe that this thread prefers, and a seed that it has not used before.
#[inline]
pub(crate) fn stripe_and_seed() -> (Stripe, u64) {
    THREAD
        .try_with(|thread| {
            let seed = thread.seed.get();
            thread.seed.set(seed.wrapping_add(1));
            (Stripe(thread.number), seed)
        })
        .unwrap_or_else(|_| {
            (
                Stripe::default(),
                RandomState::new().build_hasher().finish(),
            )
        })
}

/// As many stripes as threads can run at once, and one for the thread that started them.
pub(crate) fn stripes() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_threads_at_a_time() {
        let here = own_stripe();
        let there = || std::thread::spawn(own_stripe).join().unwrap();
        let (first, second) = (there(), there());
        assert!(here != first && here != second);
        assert_eq!(own_stripe(), here);
        assert_eq!(here.shared(), stripe_and_seed().0);
    }
}
