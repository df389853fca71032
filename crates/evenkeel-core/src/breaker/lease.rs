//! Which probes are under way, and until when each may take.
//!
//! A probe that never reports would hold its place for ever, and a circuit with one place would stay
//! half-open for ever: the best known bug of circuit breakers. So a probe holds a **lease**: a slot with
//! a generation and an expiry. Whoever empties the slot, the probe that reports or a later caller who
//! finds it expired, reports it, and there is one such by the exchange.

use core::num::NonZeroU64;

use super::MAX_PROBES;
use super::word::{Generation, millis};
use crate::sync::{AtomicU64, Ordering, Protocol, exchange};
use crate::time::Instant;

const FREE: u64 = 0;
const TAKEN: u64 = 1 << 63;
const GENERATION_SHIFT: u32 = 48;
const SLOT_SHIFT: u32 = 44;
/// Milliseconds: they last for five centuries.
const EXPIRY_MASK: u64 = (1 << SLOT_SHIFT) - 1;

#[derive(Debug)]
pub(super) struct Leases {
    slots: [AtomicU64; MAX_PROBES as usize],
}

/// What a slot holds: that it is taken, by which generation, which slot it is, and until when. It never
/// recurs while it can still be mistaken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease(NonZeroU64);

impl Lease {
    fn new(generation: Generation, slot: u8, expiry: Instant) -> Option<Self> {
        let expiry = millis(expiry) & EXPIRY_MASK;
        let slot = u64::from(slot) << SLOT_SHIFT;
        NonZeroU64::new(TAKEN | u64::from(generation.0) << GENERATION_SHIFT | slot | expiry)
            .map(Self)
    }

    const fn slot(self) -> usize {
        (self.0.get() >> SLOT_SHIFT & 0xF) as usize
    }
}

impl Leases {
    pub(super) fn new() -> Self {
        Self {
            slots: core::array::from_fn(|_| AtomicU64::new(FREE)),
        }
    }

    /// Takes a slot for a probe of `generation`.
    ///
    /// Slots of earlier generations are up for grabs; those of later ones never, and finding nothing else
    /// means that this generation is over. A free slot exists as long as it is not: the word counts at
    /// most as many probes as there are slots, and a slot is emptied before it is counted down.
    pub(super) fn take(&self, generation: Generation, expiry: Instant) -> Option<Lease> {
        loop {
            let mut all_later = true;
            for (place, slot) in (0_u8..).zip(&self.slots) {
                let held = slot.load(Ordering::Relaxed);
                let free = held == FREE || holder(held).is_before(generation);
                let lease = Lease::new(generation, place, expiry)?;
                if free && exchange(Protocol::Breaker, slot, held, lease.0.get()).is_ok() {
                    return Some(lease);
                }
                all_later &= !free && holder(held) != generation;
            }
            if all_later {
                return None;
            }
        }
    }

    /// Gives a lease back; false if it had been revoked.
    pub(super) fn release(&self, lease: Lease) -> bool {
        let slot = &self.slots[lease.slot()];
        exchange(Protocol::Breaker, slot, lease.0.get(), FREE).is_ok()
    }

    /// Revokes one expired lease of `generation`, if there is one.
    pub(super) fn revoke_expired(&self, generation: Generation, now: Instant) -> bool {
        self.slots.iter().any(|slot| {
            let held = slot.load(Ordering::Relaxed);
            held != FREE
                && holder(held) == generation
                && held & EXPIRY_MASK <= millis(now)
                && exchange(Protocol::Breaker, slot, held, FREE).is_ok()
        })
    }
}

const fn holder(held: u64) -> Generation {
    Generation(((held & !TAKEN) >> GENERATION_SHIFT) as u16)
}
