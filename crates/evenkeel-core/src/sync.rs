//! The one switch between the real atomics and the ones a model checker drives.
//!
//! Every word that threads share is changed by [`exchange`] and by nothing else, so that each transition
//! has exactly one winner. Built with `--cfg evenkeel_loom`, the types are loom's, and the models in
//! `tests/loom.rs` try every interleaving; built with `--cfg evenkeel_mutant="NAME"` as well, the
//! exchange of that protocol is broken into a load and a store, and the model of that name must fail.

#[cfg(evenkeel_loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering, fence},
};
#[cfg(not(evenkeel_loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering, fence},
};

/// Whose word is exchanged; names the mutant that breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Admission,
    Breaker,
    Budget,
    Ewma,
    Limiter,
    Outlier,
    Progress,
    Quantile,
    Rate,
    Slots,
    Tenant,
    Throttle,
    Window,
}

/// Replaces `current` by `new` if the word still holds `current`; answers what it held.
///
/// `Relaxed` on both sides: each word carries its whole meaning in itself and publishes no other memory.
#[inline]
pub(crate) fn exchange(
    protocol: Protocol,
    word: &AtomicU64,
    current: u64,
    new: u64,
) -> Result<u64, u64> {
    if is_mutant(protocol) {
        let held = word.load(Ordering::Relaxed);
        if held != current {
            return Err(held);
        }
        word.store(new, Ordering::Relaxed);
        return Ok(held);
    }
    word.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed)
}

/// Applies `change` until it holds against every other writer, or declines with `None`.
#[inline]
pub(crate) fn update(
    protocol: Protocol,
    word: &AtomicU64,
    mut change: impl FnMut(u64) -> Option<u64>,
) -> Option<(u64, u64)> {
    let mut current = word.load(Ordering::Relaxed);
    loop {
        let new = change(current)?;
        match exchange(protocol, word, current, new) {
            Ok(_) => return Some((current, new)),
            Err(held) => current = held,
        }
    }
}

/// Between an announcement and a look at what others announced: of two who do both, one sees the other.
///
/// Its mutant is without. Where the announcement itself is a `SeqCst` exchange, and the look a `SeqCst` load,
/// the fence is not needed; only loom does not know that, which is why it has one there too.
#[inline]
pub(crate) fn announced(by: Announcement) {
    let needed = match by {
        Announcement::Relaxed => true,
        // Pairs with the fence of the other side.
        Announcement::Ordered => cfg!(evenkeel_loom),
    };
    if needed && !cfg!(evenkeel_mutant = "announce") {
        // SeqCst: pairs with the other side's announcement, by this same function.
        fence(Ordering::SeqCst);
    }
}

/// How an announcement was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announcement {
    Relaxed,
    /// In the single order of all such stores and looks.
    Ordered,
}

const fn is_mutant(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Admission => cfg!(evenkeel_mutant = "admission"),
        Protocol::Breaker => cfg!(evenkeel_mutant = "breaker"),
        Protocol::Budget => cfg!(evenkeel_mutant = "budget"),
        Protocol::Ewma => cfg!(evenkeel_mutant = "ewma"),
        Protocol::Limiter => cfg!(evenkeel_mutant = "limiter"),
        Protocol::Outlier => cfg!(evenkeel_mutant = "outlier"),
        Protocol::Progress => cfg!(evenkeel_mutant = "progress"),
        Protocol::Quantile => cfg!(evenkeel_mutant = "quantile"),
        Protocol::Rate => cfg!(evenkeel_mutant = "rate"),
        Protocol::Slots => cfg!(evenkeel_mutant = "slots"),
        Protocol::Tenant => cfg!(evenkeel_mutant = "tenant"),
        Protocol::Throttle => cfg!(evenkeel_mutant = "throttle"),
        Protocol::Window => cfg!(evenkeel_mutant = "window"),
    }
}
