//! Who waits for a slot, in the order in which they came.

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

    pub(super) fn set_waker(&mut self, id: WaiterId, waker: &Waker) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == id) {
            match &mut waiting.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    /// Removes a waiter that has not been granted anything.
    pub(super) fn leave(&mut self, id: WaiterId) -> bool {
        let at = self.waiting.iter().position(|waiting| waiting.id == id);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|first| first.since)
    }
}
