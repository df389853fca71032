//! When the calls began that are still running, without a lock.

use crate::sync::{AtomicU64, Ordering, Protocol, exchange};
use crate::time::Instant;

/// As many calls of a stripe are kept. A model has fewer: it tries every interleaving of every slot.
const SLOTS: usize = if cfg!(evenkeel_loom) { 2 } else { 64 };

/// A place that holds when a call began, in nanoseconds and one: zero is a free one.
#[derive(Debug)]
pub(crate) struct Running([AtomicU64; SLOTS]);

/// Where a call is registered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot(u8);

impl Running {
    pub(crate) fn new() -> Self {
        Self(core::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Registers a call that began at `began`; none where all places are taken, by older ones as a rule.
    pub(crate) fn enter(&self, began: Instant) -> Option<Slot> {
        let entry = began.as_nanos().saturating_add(1);
        (0_u8..)
            .zip(&self.0)
            .find(|(_, slot)| {
                slot.load(Ordering::Relaxed) == 0
                    && exchange(Protocol::Progress, slot, 0, entry).is_ok()
            })
            .map(|(at, _)| Slot(at))
    }

    pub(crate) fn leave(&self, slot: Slot) {
        self.0[usize::from(slot.0)].store(0, Ordering::Relaxed);
    }

    /// When the oldest of them began.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let entries = self.0.iter().map(|slot| slot.load(Ordering::Relaxed));
        let oldest = entries.filter(|entry| *entry != 0).min()?;
        Some(Instant::from_nanos(oldest - 1))
    }
}
