//! Sharing without meeting.
//!
//! A counter that every thread increments is one cache line that every core fetches from the next: at 64
//! threads an increment costs a microsecond instead of two nanoseconds. So what is written on every call
//! exists once per **stripe**, each on cache lines of its own, and is added up by whoever reads. Which
//! stripe a thread uses is its driver's choice; the core knows no threads.

use core::ops::Deref;

/// Which copy of a striped value a caller writes. Any number will do: it is taken modulo the stripes
/// that exist; callers that run at the same time do best with different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stripe(pub u32);

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
    stripes: Box<[Padded<T>]>,
}

impl<T> Striped<T> {
    /// At least `at_least` stripes, each made by `make`.
    pub(crate) fn new(at_least: usize, mut make: impl FnMut() -> T) -> Self {
        let stripes = at_least.clamp(1, 1 << 10).next_power_of_two();
        Self {
            stripes: (0..stripes).map(|_| Padded(make())).collect(),
        }
    }

    #[inline]
    pub(crate) fn of(&self, stripe: Stripe) -> &T {
        &self.stripes[stripe.0 as usize & (self.stripes.len() - 1)].0
    }

    pub(crate) const fn len(&self) -> usize {
        self.stripes.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.stripes.iter().map(|padded| &padded.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stripe_number_finds_a_place() {
        let striped = Striped::new(3, || ());
        assert_eq!(striped.iter().count(), 4, "rounded up to a power of two");
        striped.of(Stripe(u32::MAX));
        assert_eq!(align_of::<Padded<u8>>(), 128);
    }
}
