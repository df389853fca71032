//! A count that every thread adds to.
//!
//! One atomic that all threads increment is one cache line that each core takes from the next: the more
//! cores, the slower each of them. A [`Counter`] is one such word for each of several stripes, on cache
//! lines of its own, and is added up by whoever reads; a thread keeps to its stripe. It is the right
//! primitive for what is counted often and read seldom. What is read to decide something (a limit, a
//! sequence number) needs a single word: a sum of stripes is no instant's.
//!
//! Where which primitive wins is measured in `docs/guide/which-primitive-when.md`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::local;

/// Stripes for each core. More than one, since threads meet by chance: with as many stripes as threads that
/// run, a third of them would share; with four times as many, few do.
const STRIPES_PER_CORE: usize = 4;

/// A pair of cache lines, since the hardware fetches them in pairs.
#[repr(align(128))]
struct Padded(AtomicU64);

/// A counter for many threads.
///
/// ```
/// use evenkeel::counter::Counter;
///
/// let pages = Counter::new();
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| (0..1000).for_each(|_| pages.add(1)));
///     }
/// });
/// assert_eq!(pages.sum(), 4000);
/// ```
pub struct Counter {
    stripes: Box<[Padded]>,
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.sum()).finish()
    }
}

impl Counter {
    /// A counter at zero. It takes 128 bytes for each of its stripes, which are a power of two and at least
    /// four a core: 512 bytes a core.
    #[must_use]
    pub fn new() -> Self {
        let stripes = (local::stripes() * STRIPES_PER_CORE).next_power_of_two();
        Self {
            stripes: (0..stripes).map(|_| Padded(AtomicU64::new(0))).collect(),
        }
    }

    /// Adds `amount`; past `u64::MAX` the sum begins anew.
    #[inline]
    pub fn add(&self, amount: u64) {
        let stripe = local::own_stripe().number() as usize & (self.stripes.len() - 1);
        self.stripes[stripe].0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum: everything that was added before the call by this thread, or by others in a way this one
    /// knows of, and perhaps some of what is added meanwhile.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let stripes = self.stripes.iter();
        stripes.fold(0, |sum, stripe| {
            sum.wrapping_add(stripe.0.load(Ordering::Relaxed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_are_a_power_of_two_at_least_four_a_core_and_lie_apart() {
        let counter = Counter::new();
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!(counter.stripes.len().is_power_of_two());
        assert!(counter.stripes.len() >= 4 * cores);
        assert_eq!(size_of::<Padded>(), 128);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let counter = Counter::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add(1)));
            }
        });
        assert_eq!(counter.sum(), 80_000);
    }
}
