//! Slots that threads take and give back without meeting.
//!
//! A limit on what may be in flight is a number that every call changes twice. Kept in one word, that word's
//! cache line travels from core to core on every call, and two threads that never wait for each other still
//! cost each other ten times what the call itself does. So a freed slot stays with the **stripe** that freed
//! it, and the next call there takes it from under its own hand. The word that all share is touched only when
//! a stripe has none left, or has more than its [reserve](Bounds::reserve).
//!
//! What is nearly full must be exact, or it refuses calls while slots lie idle on another stripe. A caller who
//! finds none on its own stripe and none in the shared word looks through all the other stripes; and a refusal
//! holds only if, while it looked, nothing moved: every word counts its changes, and the sums before and after
//! have to agree. There is no moment at which a slot is in no word and in nobody's hands: they move one at a
//! time, in one exchange.
//!
//! **Waiters** have to be seen by whoever frees a slot. One who is about to wait announces itself in the
//! shared word and then looks through the stripes; one who frees a slot leaves it on its stripe and then looks
//! whether somebody waits. Both do so in the single order that `SeqCst` gives, so at least one of the two sees
//! the other. While somebody waits, nobody takes from a stripe: who comes later gets in line.
//!
//! Limits: 8 million slots, a million waiters. With several stripes, what is in flight is known exactly only
//! by looking through all of them; [`Slots::issued`] counts slots that lie on stripes as if they were in use.

use crate::stripe::{Padded, Stripe, Striped};
use crate::sync::{Announcement, AtomicU64, Ordering, Protocol, announced, exchange, update};

/// A stripe keeps no more than this, however high the limit.
const MAX_RESERVE: u32 = 16;

/// A stripe keeps at most this part of its share of the limit.
const RESERVE_PART: u32 = 4;

/// How often a search through the stripes is begun anew because something moved.
const SEARCHES: u32 = 8;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Slots {
    word: Padded<AtomicU64>,
    /// Written when the limit changes, read by everybody.
    bounds: Padded<AtomicU64>,
    kept: Striped<AtomicU64>,
}

/// What becomes of a slot that is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freed {
    /// It is free.
    ForAnyone,
    /// Somebody waits: the slot is still in use, and whoever gave it back passes it on.
    ForWaiter,
}

/// What is free for all, how many wait, and how often that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word(u64);

const FREE_BITS: u32 = 24;
const WAITING_BITS: u32 = 20;
const TURNS_BITS: u32 = 64 - FREE_BITS - WAITING_BITS;
const MAX_WAITING: u32 = (1 << WAITING_BITS) - 1;

/// How a word writes that none is free: less is written while more are in use than a lowered limit allows.
const NONE_FREE: u32 = 1 << (FREE_BITS - 1);

impl Word {
    /// Free slots, counted from [`NONE_FREE`] on.
    const fn free(self) -> u32 {
        (self.0 << (64 - FREE_BITS) >> (64 - FREE_BITS)) as u32
    }

    /// The word after `weight` slots are taken, if as many are free and nobody was here first.
    fn taken(self, weight: u32) -> Option<Self> {
        let fits = self.waiting() == 0 && self.free() >= NONE_FREE.saturating_add(weight);
        fits.then(|| self.with(self.free() - weight, 0))
    }

    const fn is_overdrawn(self) -> bool {
        self.free() < NONE_FREE
    }

    const fn waiting(self) -> u32 {
        (self.0 << TURNS_BITS >> (64 - WAITING_BITS)) as u32
    }

    /// The same with one more change counted.
    const fn with(self, free: u32, waiting: u32) -> Self {
        let turns = (self.0 >> (64 - TURNS_BITS)).wrapping_add(1) << (64 - TURNS_BITS);
        Self(free as u64 | (waiting as u64) << FREE_BITS | turns)
    }
}

/// What lies on a stripe, and how often that changed.
#[derive(Debug, Clone, Copy)]
struct Kept(u64);

/// One more slot, one more change.
const KEEP: u64 = 1 | 1 << 32;

impl Kept {
    const fn slots(self) -> u32 {
        (self.0 << 32 >> 32) as u32
    }

    const fn without(self, slots: u32) -> Self {
        Self((self.0 - slots as u64).wrapping_add(1 << 32))
    }
}

/// How many slots there are, and how many of them a stripe may keep.
#[derive(Debug, Clone, Copy)]
struct Bounds(u64);

impl Bounds {
    fn new(limit: u32, stripes: usize) -> Self {
        let stripes = u32::try_from(stripes).unwrap_or(u32::MAX);
        let share = limit / stripes.max(1);
        // Alone, a stripe shares with nobody: what it keeps would only be in the way.
        let alone = stripes <= 1;
        let reserve = if alone {
            0
        } else {
            (share / RESERVE_PART).min(MAX_RESERVE)
        };
        // A model with more slots than threads has more interleavings than anyone can wait for.
        let reserve = if cfg!(evenkeel_loom) && !alone {
            reserve.max(1)
        } else {
            reserve
        };
        Self(u64::from(limit) | u64::from(reserve) << 32)
    }

    const fn limit(self) -> u32 {
        (self.0 << 32 >> 32) as u32
    }

    /// How many slots a stripe may keep; zero where all share one word.
    const fn reserve(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl Slots {
    /// The most slots there can be.
    pub(crate) const MAX: u32 = (1 << (FREE_BITS - 1)) - 1;

    /// `limit` free slots, at most [`Slots::MAX`], for callers on `stripes` stripes.
    pub(crate) fn new(limit: u32, stripes: usize) -> Self {
        let kept = Striped::new(stripes, || AtomicU64::new(0));
        let limit = limit.min(Self::MAX);
        Self {
            word: Padded(AtomicU64::new(Word(0).with(NONE_FREE + limit, 0).0)),
            bounds: Padded(AtomicU64::new(Bounds::new(limit, kept.len()).0)),
            kept,
        }
    }

    /// Takes a slot, if one is free and nobody waits for it.
    #[inline]
    pub(crate) fn acquire(&self, stripe: Stripe) -> bool {
        let kept = self.kept.of(stripe);
        let held = Kept(kept.load(Ordering::Relaxed));
        if held.slots() != 0
            && self.word().waiting() == 0
            && exchange(Protocol::Slots, kept, held.0, held.without(1).0).is_ok()
        {
            return true;
        }
        // Not by the reserve: it may have been higher a moment ago.
        self.acquire_shared() || (self.kept.len() > 1 && self.acquire_anywhere())
    }

    /// Takes one that is free for all.
    #[inline]
    fn acquire_shared(&self) -> bool {
        let taken = update(Protocol::Slots, &self.word, |word| {
            let word = Word(word);
            word.taken(1).map(|taken| taken.0)
        });
        taken.is_some()
    }

    /// Looks everywhere, until it finds a slot or has seen that there is none.
    #[cold]
    fn acquire_anywhere(&self) -> bool {
        for _ in 0..SEARCHES {
            let before = self.word();
            if before.waiting() != 0 {
                return false;
            }
            if self.acquire_shared() || self.kept.iter().any(take) {
                return true;
            }
            let turns = self.turns();
            // Between these two sums nothing moved, and in between all stripes were found empty.
            if !self.anything_kept() && self.turns() == turns && self.word() == before {
                return false;
            }
        }
        false
    }

    /// Gives a slot back.
    #[inline]
    pub(crate) fn release(&self, stripe: Stripe) -> Freed {
        let kept = self.kept.of(stripe);
        let held = Kept(kept.load(Ordering::Relaxed));
        if held.slots() >= self.bounds().reserve() {
            return self.release_many(1);
        }
        let word = self.word();
        if word.waiting() != 0 || word.is_overdrawn() {
            return self.release_many(1);
        }
        // SeqCst, with the load below: pairs with `announce_waiter`, which announces and then looks here.
        kept.fetch_add(KEEP, Ordering::SeqCst);
        announced(Announcement::Ordered);
        // SeqCst: see above.
        let word = Word(self.word.load(Ordering::SeqCst));
        if (word.waiting() != 0 || word.is_overdrawn()) && take(kept) {
            return self.release_many(1);
        }
        Freed::ForAnyone
    }

    /// Takes `weight` slots at once, if as many are free and nobody waits for one.
    pub(crate) fn acquire_many(&self, weight: u32) -> bool {
        for _ in 0..SEARCHES {
            let taken = update(Protocol::Slots, &self.word, |word| {
                let word = Word(word);
                word.taken(weight).map(|taken| taken.0)
            });
            if taken.is_some() {
                return true;
            }
            if self.word().waiting() != 0 || !self.gather() {
                return false;
            }
        }
        false
    }

    /// Gives slots back to all.
    pub(crate) fn release_many(&self, weight: u32) -> Freed {
        let freed = update(Protocol::Slots, &self.word, |word| {
            let word = Word(word);
            (word.waiting() == 0).then(|| word.with(word.free() + weight, 0).0)
        });
        if freed.is_some() {
            Freed::ForAnyone
        } else {
            Freed::ForWaiter
        }
    }

    /// Announces one who is about to wait for `weight` slots, unless as many are free, or `most` wait
    /// already.
    ///
    /// Whoever was announced [serves](Slots::serve) those who wait before it does: what was freed before it
    /// was announced may lie on a stripe.
    pub(crate) fn announce_waiter(&self, weight: u32, most: u32) -> Announced {
        let changed = update(Protocol::Slots, &self.word, |word| {
            let word = Word(word);
            let waits = || {
                let waits = word.with(word.free(), word.waiting() + 1);
                (word.waiting() < most.min(MAX_WAITING)).then_some(waits)
            };
            word.taken(weight).or_else(waits).map(|word| word.0)
        });
        announced(Announcement::Relaxed);
        match changed {
            Some((before, after)) if Word(after).waiting() > Word(before).waiting() => {
                Announced::Waits
            }
            Some(_) => Announced::HasSlot,
            None => Announced::Full,
        }
    }

    /// One left that waited.
    pub(crate) fn forget_waiter(&self) {
        update(Protocol::Slots, &self.word, |word| {
            let word = Word(word);
            Some(word.with(word.free(), word.waiting() - 1).0)
        });
    }

    /// Frees `freed` slots and gives what is free to those who wait, who want `weights`, in this order;
    /// answers how many of them were served. One at a time may do this, and announce.
    pub(crate) fn serve<W>(&self, freed: u32, weights: impl Fn() -> W) -> u32
    where
        W: Iterator<Item = u32>,
    {
        self.gather();
        let (all, mut served) = (NONE_FREE + self.limit(), 0);
        update(Protocol::Slots, &self.word, |word| {
            let word = Word(word);
            let mut free = word.free() + freed;
            served = 0;
            for weight in weights() {
                // Who wants more than a cut has left gets it when all are free: no waiter is lost.
                if free < NONE_FREE + weight && free != all {
                    break;
                }
                free -= weight;
                served += 1;
            }
            Some(word.with(free, word.waiting() - served).0)
        });
        served
    }

    /// Makes what lies on stripes free for all; answers whether anything did.
    fn gather(&self) -> bool {
        let mut found = false;
        for kept in self.kept.iter() {
            while take(kept) {
                found = true;
                update(Protocol::Slots, &self.word, |word| {
                    let word = Word(word);
                    Some(word.with(word.free() + 1, word.waiting()).0)
                });
            }
        }
        found
    }

    /// From now on there are `limit` slots. Slots in use stay in use: after a cut, more of them than there
    /// are, until they come back. One at a time may do this.
    ///
    /// What this frees is free for all, although somebody may wait: [serve](Slots::serve) them next.
    pub(crate) fn resize(&self, limit: u32) {
        let limit = limit.min(Self::MAX);
        let bounds = Bounds::new(limit, self.kept.len());
        let before = Bounds(self.bounds.swap(bounds.0, Ordering::Relaxed)).limit();
        update(Protocol::Slots, &self.word, |word| {
            let word = Word(word);
            Some(word.with(word.free() + limit - before, word.waiting()).0)
        });
        if self.word().is_overdrawn() {
            self.gather();
        }
    }

    /// Slots there are.
    pub(crate) fn limit(&self) -> u32 {
        self.bounds().limit()
    }

    /// Who wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.word().waiting()
    }

    /// Slots in use; exact while nothing moves.
    pub(crate) fn in_use(&self) -> u32 {
        let kept: u32 = self.all_kept().map(Kept::slots).sum();
        self.issued().saturating_sub(kept)
    }

    /// Slots in use or kept by a stripe, seen with one look: what is in use, or a little more.
    #[inline]
    pub(crate) fn issued(&self) -> u32 {
        (self.bounds().limit() + NONE_FREE).saturating_sub(self.word().free())
    }

    /// The same without what lies on the stripe that looks: nothing too many where that is the only one.
    #[inline]
    pub(crate) fn in_use_seen_from(&self, stripe: Stripe) -> u32 {
        let kept = Kept(self.kept.of(stripe).load(Ordering::Relaxed));
        self.issued().saturating_sub(kept.slots())
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    #[inline]
    fn bounds(&self) -> Bounds {
        Bounds(self.bounds.load(Ordering::Relaxed))
    }

    fn all_kept(&self) -> impl Iterator<Item = Kept> {
        let kept = self.kept.iter();
        kept.map(|kept| Kept(kept.load(Ordering::Relaxed)))
    }

    fn anything_kept(&self) -> bool {
        self.all_kept().any(|kept| kept.slots() != 0)
    }

    /// How often anything changed on a stripe.
    fn turns(&self) -> u64 {
        self.all_kept()
            .fold(0, |sum: u64, kept| sum.wrapping_add(kept.0 >> 32))
    }
}

/// What [`Slots::announce_waiter`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It took a slot that was free.
    HasSlot,
    /// Whoever frees a slot will know that somebody waits.
    Waits,
    /// As many wait as may.
    Full,
}

/// Takes a slot from one stripe.
fn take(kept: &AtomicU64) -> bool {
    let taken = update(Protocol::Slots, kept, |held| {
        let held = Kept(held);
        (held.slots() != 0).then(|| held.without(1).0)
    });
    taken.is_some()
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Stripe = Stripe(0);
    const OTHER: Stripe = Stripe(1);

    #[test]
    fn a_word_keeps_its_parts_apart() {
        let word = Word(0).with(NONE_FREE - 3, 7);
        assert_eq!((word.free(), word.waiting()), (NONE_FREE - 3, 7));
        assert!(word.is_overdrawn() && word.taken(1).is_none());
        let most = NONE_FREE + Slots::MAX;
        let word = word.with(most, MAX_WAITING);
        assert_eq!((word.free(), word.waiting()), (most, MAX_WAITING));
        let turned = (0..1 << 20).fold(word, |word, _| word.with(1, 0));
        assert_eq!(
            (turned.free(), turned.waiting()),
            (1, 0),
            "turns begin anew"
        );
    }

    #[test]
    fn a_stripe_takes_back_what_it_left_without_touching_the_shared_word() {
        let slots = Slots::new(64, 2);
        assert!(slots.acquire(ONE));
        let shared = slots.word();
        for _ in 0..10 {
            assert_eq!(slots.release(ONE), Freed::ForAnyone);
            assert!(slots.acquire(ONE));
        }
        assert_eq!(slots.word(), shared);
    }

    #[test]
    fn a_stripe_keeps_no_more_than_its_reserve() {
        let slots = Slots::new(64, 2);
        for _ in 0..64 {
            assert!(slots.acquire(ONE));
        }
        for _ in 0..64 {
            slots.release(ONE);
        }
        assert_eq!(slots.issued(), slots.bounds().reserve());
        assert_eq!(slots.in_use(), 0);
    }

    #[test]
    fn what_lies_on_one_stripe_is_found_from_another() {
        let slots = Slots::new(64, 2);
        let all = (0..64).filter(|_| slots.acquire(ONE)).count();
        slots.release(ONE);
        slots.release(ONE);
        assert_eq!((all, slots.in_use()), (64, 62));
        assert!(slots.acquire(OTHER) && slots.acquire(OTHER));
        assert!(!slots.acquire(OTHER) && !slots.acquire(ONE));
    }

    #[test]
    fn whoever_waits_is_served_before_anyone_else() {
        let slots = Slots::new(32, 2);
        let taken = (0..32).filter(|_| slots.acquire(ONE)).count();
        assert_eq!(slots.announce_waiter(1, 1), Announced::Waits);
        assert_eq!(slots.announce_waiter(1, 1), Announced::Full);
        assert_eq!(slots.serve(0, || [1].into_iter()), 0);
        assert_eq!((taken, slots.release(ONE)), (32, Freed::ForWaiter));
        assert!(!slots.acquire(ONE), "it is not for those who came later");
        assert_eq!(slots.serve(1, || [1].into_iter()), 1);
        assert_eq!((slots.waiting(), slots.in_use()), (0, 32));
    }

    #[test]
    fn several_at_once_are_gathered_from_all_stripes() {
        let slots = Slots::new(64, 2);
        let taken = (0..64).filter(|_| slots.acquire(ONE)).count();
        for _ in 0..2 {
            slots.release(ONE);
            slots.release(OTHER);
        }
        assert!(taken == 64 && slots.acquire_many(4) && !slots.acquire_many(1));
        assert_eq!(slots.in_use(), 64);
    }

    proptest! {
        /// On one thread, a slot is refused if and only if none is free, whichever stripe asks.
        #[test]
        fn nothing_is_refused_falsely_and_nothing_is_granted_twice(
            first in 1..200_u32,
            stripes in 1..5_usize,
            steps in proptest::collection::vec((0..8_u32, 0..5_u32, 1..200_u32), 1..400),
        ) {
            let slots = Slots::new(first, stripes);
            let (mut limit, mut in_use) = (first, 0_u32);
            for (what, stripe, new_limit) in steps {
                match what {
                    0..4 => {
                        let granted = slots.acquire(Stripe(stripe));
                        prop_assert_eq!(granted, in_use < limit);
                        in_use += u32::from(granted);
                    }
                    4..7 if in_use > 0 => {
                        prop_assert_eq!(slots.release(Stripe(stripe)), Freed::ForAnyone);
                        in_use -= 1;
                    }
                    4..7 => {}
                    _ => {
                        slots.resize(new_limit);
                        limit = new_limit;
                    }
                }
                prop_assert_eq!(slots.in_use(), in_use);
                prop_assert!(slots.issued() >= in_use);
            }
        }
    }
}
