//! Who waits for slots, in the order in which they came.
//!
//! What waking or dropping a waker does is its owner's affair, and may come back here: no waker is woken
//! or dropped under the lock.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use crate::time::Instant;

/// The waiting callers of one bulkhead. A lock guards it; it is touched only while somebody has to wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// Waiters whose slots are theirs and not yet fetched, and how many.
    granted: BTreeMap<WaiterId, u32>,
    last: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaiterId(u64);

#[derive(Debug)]
struct Waiting {
    id: WaiterId,
    weight: u32,
    since: Instant,
    waker: Option<Waker>,
}

impl Queue {
    pub(super) fn push(&mut self, weight: u32, since: Instant) -> WaiterId {
        self.last += 1;
        let id = WaiterId(self.last);
        self.waiting.push_back(Waiting {
            id,
            weight,
            since,
            waker: None,
        });
        id
    }

    /// One who need not wait: as many slots were free after all.
    pub(super) fn push_granted(&mut self, weight: u32) -> WaiterId {
        self.last += 1;
        let id = WaiterId(self.last);
        self.granted.insert(id, weight);
        id
    }

    /// The slots that each waiter wants, first come first.
    pub(super) fn weights(&self) -> impl Iterator<Item = u32> {
        self.waiting.iter().map(|waiting| waiting.weight)
    }

    /// Grants their slots to the `count` who have waited longest; answers how to wake them.
    pub(super) fn grant(&mut self, count: usize) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for waiting in self.waiting.drain(..count) {
            self.granted.insert(waiting.id, waiting.weight);
            wakers.extend(waiting.waker);
        }
        wakers
    }

    /// Fetches granted slots; answers how many they are.
    pub(super) fn fetch(&mut self, id: WaiterId) -> Option<u32> {
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

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|first| first.since)
    }
}
