//! Tokens taken within a window, and never more than are there.
//!
//! Checking a balance and taking from it in two steps lets threads overdraw it together. Here one word
//! holds all that was taken and has not expired yet, and taking is one exchange of that word against a
//! limit. Ten slots remember in which slice of the window each token was taken, so that it can be handed
//! back to the word when the slice leaves the window.
//!
//! A token is added to the word **before** its slot and taken from the word **after** it. So at every
//! instant the word holds at least what is really out, and no interleaving can overdraw.

use crate::sync::{AtomicU64, Ordering, Protocol, exchange, update};
use crate::time::Instant;
use crate::window::{SLICES, is_ahead, place};

const AMOUNT_BITS: u32 = 36;
const AMOUNT_MASK: u64 = (1 << AMOUNT_BITS) - 1;
const TAG_MASK: u64 = (1 << (64 - AMOUNT_BITS)) - 1;

/// What was taken lately, in thousandths of a token.
#[derive(Debug)]
pub(super) struct Ledger {
    slice: u64,
    taken: AtomicU64,
    slots: [AtomicU64; SLICES],
}

/// What was taken, and when: enough to put it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Debit {
    slice: u64,
    amount: u64,
}

impl Ledger {
    pub(super) fn new(slice: u64) -> Self {
        Self {
            slice: slice.max(1),
            taken: AtomicU64::new(0),
            slots: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// What was taken within the window and not put back.
    pub(super) fn taken(&self, now: Instant) -> u64 {
        let current = now.as_nanos() / self.slice;
        let live = |slot: &AtomicU64| {
            let held = slot.load(Ordering::Relaxed);
            if is_expired(held, current) {
                0
            } else {
                held & AMOUNT_MASK
            }
        };
        self.slots.iter().map(live).sum()
    }

    /// Takes `amount` if no more than `limit` is out with it.
    pub(super) fn take(&self, now: Instant, amount: u64, limit: u64) -> Option<Debit> {
        let slice = now.as_nanos() / self.slice;
        self.expire(slice);
        update(Protocol::Budget, &self.taken, |taken| {
            let with = taken + amount;
            (with <= limit).then_some(with)
        })?;
        self.note(slice, amount);
        Some(Debit { slice, amount })
    }

    /// Puts back what was taken, unless it has expired and so is back already.
    pub(super) fn put_back(&self, debit: Debit) {
        let slot = &self.slots[place(debit.slice)];
        let kept = update(Protocol::Budget, slot, |held| {
            let ours = tag(held) == debit.slice & TAG_MASK && held & AMOUNT_MASK >= debit.amount;
            ours.then(|| held - debit.amount)
        });
        if kept.is_some() {
            self.taken.fetch_sub(debit.amount, Ordering::Relaxed);
        }
    }

    /// Hands back what left the window. Whoever empties a slot hands back what it held.
    fn expire(&self, current: u64) {
        for slot in &self.slots {
            let held = slot.load(Ordering::Relaxed);
            let amount = held & AMOUNT_MASK;
            if amount != 0
                && is_expired(held, current)
                && exchange(Protocol::Budget, slot, held, held - amount).is_ok()
            {
                self.taken.fetch_sub(amount, Ordering::Relaxed);
            }
        }
    }

    /// Remembers in which slice `amount` was taken.
    fn note(&self, slice: u64, amount: u64) {
        let noted = update(Protocol::Budget, &self.slots[place(slice)], |held| {
            let mine = slice & TAG_MASK;
            if tag(held) == mine {
                return Some(held + amount);
            }
            // A later slice has the slot: this one has left the window since the token was taken.
            (!is_ahead(tag(held), slice, TAG_MASK)).then_some(mine << AMOUNT_BITS | amount)
        });
        match noted {
            None => {
                self.taken.fetch_sub(amount, Ordering::Relaxed);
            }
            Some((before, _)) if tag(before) != slice & TAG_MASK => {
                self.taken
                    .fetch_sub(before & AMOUNT_MASK, Ordering::Relaxed);
            }
            Some(_) => {}
        }
    }
}

const fn tag(held: u64) -> u64 {
    held >> AMOUNT_BITS
}

const fn is_expired(held: u64, current: u64) -> bool {
    !is_ahead(tag(held), current, TAG_MASK)
        && current.wrapping_sub(tag(held)) & TAG_MASK >= SLICES as u64
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * SECOND)
    }

    #[test]
    fn what_was_taken_is_back_when_its_slice_leaves_the_window() {
        let ledger = Ledger::new(SECOND);
        assert!(ledger.take(at(0), 1000, 1000).is_some());
        assert_eq!(ledger.take(at(9), 1, 1000), None);
        assert!(ledger.take(at(10), 1000, 1000).is_some());
        assert_eq!(ledger.taken(at(10)), 1000);
    }

    #[test]
    fn what_has_expired_cannot_be_put_back_a_second_time() {
        let ledger = Ledger::new(SECOND);
        let early = ledger.take(at(0), 1000, 1000).unwrap();
        ledger.take(at(10), 1000, 1000).unwrap();
        ledger.put_back(early);
        assert_eq!(ledger.take(at(10), 1, 1000), None);
    }

    #[test]
    fn what_has_expired_cannot_be_put_back_though_nobody_has_its_slot_yet() {
        let ledger = Ledger::new(SECOND);
        let early = ledger.take(at(0), 1000, 1000).unwrap();
        ledger.take(at(11), 1000, 1000).unwrap();
        ledger.put_back(early);
        assert_eq!(ledger.take(at(11), 1, 1000), None);
        assert_eq!(ledger.taken(at(11)), 1000);
    }

    proptest! {
        /// Against a list of debits: never more out than the limit, and nothing lost.
        #[test]
        fn the_ledger_agrees_with_a_list(
            steps in proptest::collection::vec((0..4_u64, 1..3_u64, any::<bool>()), 1..100),
        ) {
            let ledger = Ledger::new(SECOND);
            let limit = 5_000;
            let (mut now, mut list): (u64, Vec<(u64, u64, Debit)>) = (0, Vec::new());
            for (step, tokens, put_back) in steps {
                now += step;
                list.retain(|(when, _, _)| now - when < 10);
                let out: u64 = list.iter().map(|(_, amount, _)| amount).sum();
                prop_assert_eq!(ledger.taken(at(now)), out);
                if put_back && !list.is_empty() {
                    ledger.put_back(list.remove(0).2);
                    continue;
                }
                let taken = ledger.take(at(now), tokens * 1000, limit);
                prop_assert_eq!(taken.is_some(), out + tokens * 1000 <= limit);
                list.extend(taken.map(|debit| (now, tokens * 1000, debit)));
            }
        }
    }
}
