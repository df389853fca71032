//! Who waits for a slot, in the order in which they came.
//!
//! What waking or dropping a waker does is its owner's affair, and may come back here: no waker is woken
//! or dropped under the lock.

use std::collections::{BTreeSet, VecDeque};
use std::task::Waker;

use crate::time::Instant;

/// The waiting callers of one bulkhead. A lock guards it; it is touched only while the bulkhead is full.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// Waiters whose slot is theirs and not yet fetched.
    granted: BTreeSet<WaiterId>,
    last: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaiterId(u64);

#[derive(Debug)]
struct Waiting {
    id: WaiterId,
    since: Instant,
    waker: Option<Waker>,
}

impl Queue {
    pub(super) fn push(&mut self, since: Instant) -> WaiterId {
        self.last += 1;
        let id = WaiterId(self.last);
        self.waiting.push_back(Waiting {
            id,
            since,
            waker: None,
        });
        id
    }

    /// One who need not wait: a slot was free after all.
    pub(super) fn push_granted(&mut self) -> WaiterId {
        self.last += 1;
        let id = WaiterId(self.last);
        self.granted.insert(id);
        id
    }

    /// Grants a slot to whoever has waited longest; answers how to wake them.
    pub(super) fn grant_first(&mut self) -> Option<Option<Waker>> {
        let first = self.waiting.pop_front()?;
        self.granted.insert(first.id);
        Some(first.waker)
    }

    /// Fetches a granted slot.
    pub(super) fn fetch(&mut self, id: WaiterId) -> bool {
        self.granted.remove(&id)
    }

    /// Sets the waker of a waiter; answers the one it had, to be dropped outside the lock.
    pub(super) fn set_waker(&mut self, id: WaiterId, waker: &Waker) -> Option<Waker> {
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.id == id)?;
        if waiting
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            return None;
        }
        waiting.waker.replace(waker.clone())
    }

    /// Removes a waiter that has not been granted anything; answers its waker likewise.
    pub(super) fn leave(&mut self, id: WaiterId) -> Option<Option<Waker>> {
        let at = self.waiting.iter().position(|waiting| waiting.id == id)?;
        self.waiting.remove(at).map(|waiting| waiting.waker)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|first| first.since)
    }
}
