//! Sharing without meeting.
//!
//! A counter that every thread increments is one cache line that every core fetches from the next: at 64
//! threads an increment costs a microsecond instead of two nanoseconds. So what is written on every call
//! exists once per **stripe**, each on cache lines of its own, and is added up by whoever reads. Which
//! stripe a thread uses is its driver's choice; the core knows no threads.
//!
//! Even on a line that no other core touches, an atomic addition locks it and costs as much as twenty plain
//! ones; a call makes a dozen. So a driver whose thread has a stripe **of its own** may say so
//! ([`Stripe::own`]): what only one thread writes is loaded, added to and stored, and readers on other
//! threads see each value whole. Own stripes are others than the shared ones of the same number, so that
//! those who make the promise and those who do not never write the same word.

use core::ops::Deref;

use crate::sync::{AtomicU64, Ordering};

/// Which copy of a striped value a caller writes. Any number will do: it is taken modulo the stripes
/// that exist; callers that run at the same time do best with different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stripe(pub u32);

const OWN: u32 = 1 << 31;

impl Stripe {
    /// A stripe that the present thread alone uses, until it hands it to another in a way that both know of.
    ///
    /// Promised falsely, events are lost from counts: what is in flight is then wrong for good. What crosses to
    /// another thread [is shared](Stripe::shared) first.
    #[must_use]
    pub const fn own(number: u32) -> Self {
        Self(number | OWN)
    }

    /// The stripe of the same number that any thread may use at any time.
    #[must_use]
    pub const fn shared(self) -> Self {
        Self(self.number())
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 & !OWN
    }

    const fn is_own(self) -> bool {
        self.0 & OWN != 0
    }
}

/// Who writes a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writers {
    /// One thread alone.
    One,
    Many,
}

impl Writers {
    /// Adds to a word.
    #[inline]
    pub(crate) fn add(self, word: &AtomicU64, amount: u64) {
        match self {
            Self::One => {
                let held = word.load(Ordering::Relaxed);
                word.store(held.wrapping_add(amount), Ordering::Relaxed);
            }
            Self::Many => {
                word.fetch_add(amount, Ordering::Relaxed);
            }
        }
    }

    /// Raises a word to `least`, unless it holds more.
    #[inline]
    pub(crate) fn raise(self, word: &AtomicU64, least: u64) {
        match self {
            Self::One if word.load(Ordering::Relaxed) < least => {
                word.store(least, Ordering::Relaxed);
            }
            Self::One => {}
            Self::Many => {
                word.fetch_max(least, Ordering::Relaxed);
            }
        }
    }
}

/// A value on cache lines of its own. 128 bytes, since the hardware fetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// One value per stripe; their number is a power of two.
#[derive(Debug)]
pub(crate) struct Striped<T> {
    /// The shared ones, and then as many own ones, or none.
    stripes: Box<[Padded<T>]>,
    shared: usize,
}

impl<T> Striped<T> {
    /// At least `at_least` stripes, each made by `make`; all of them shared.
    pub(crate) fn new(at_least: usize, make: impl FnMut() -> T) -> Self {
        Self::of_each(at_least, 1, make)
    }

    /// The same, and as many for threads that have one of their own.
    pub(crate) fn with_own(at_least: usize, make: impl FnMut() -> T) -> Self {
        Self::of_each(at_least, 2, make)
    }

    fn of_each(at_least: usize, kinds: usize, mut make: impl FnMut() -> T) -> Self {
        let shared = at_least.clamp(1, 1 << 10).next_power_of_two();
        Self {
            stripes: (0..shared * kinds).map(|_| Padded(make())).collect(),
            shared,
        }
    }

    /// The shared one.
    #[inline]
    pub(crate) fn of(&self, stripe: Stripe) -> &T {
        &self.stripes[stripe.number() as usize & (self.shared - 1)].0
    }

    /// The one to write, and who else may: the thread's own, if there are as many.
    #[inline]
    pub(crate) fn at(&self, stripe: Stripe) -> (&T, Writers) {
        if stripe.is_own() {
            let own = self.stripes.get(self.shared + stripe.number() as usize);
            if let Some(own) = own {
                return (&own.0, Writers::One);
            }
        }
        (self.of(stripe), Writers::Many)
    }

    /// How many shared ones there are.
    pub(crate) const fn len(&self) -> usize {
        self.shared
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.stripes.iter().map(|padded| &padded.0)
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;

    #[test]
    fn any_stripe_number_finds_a_place() {
        let striped = Striped::new(3, || ());
        assert_eq!(striped.iter().count(), 4, "rounded up to a power of two");
        striped.of(Stripe(u32::MAX));
        assert_eq!(align_of::<Padded<u8>>(), 128);
    }

    #[test]
    fn a_stripe_of_ones_own_is_nobody_elses() {
        let striped = Striped::with_own(2, || AtomicU64::new(0));
        let stripes = [Stripe(0), Stripe(1), Stripe::own(0), Stripe::own(1)];
        for (at, stripe) in (1_u64..).zip(stripes) {
            let (word, writers) = striped.at(stripe);
            writers.add(word, at);
            writers.raise(word, at);
        }
        let held: Vec<_> = striped
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .collect();
        assert_eq!(held, [1, 2, 3, 4]);
        assert_eq!(striped.at(Stripe::own(1)).1, Writers::One);
        assert_eq!(striped.at(Stripe::own(1).shared()).1, Writers::Many);
        assert_eq!(
            striped.at(Stripe::own(2)).1,
            Writers::Many,
            "there are not as many"
        );
    }
}
