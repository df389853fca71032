//! Slots, and the line of those who wait for them.
//!
//! While nobody waits, slots are taken and freed without the line. While somebody waits, whoever frees a slot
//! comes here, and what is free goes to those in line, first come first served: under the line's lock, so
//! that the line and the slots agree about who waits.

use std::sync::PoisonError;
use std::task::Waker;

use super::queue::{Queue, WaiterId};
use crate::progress::Running;
use crate::slots::{Announced, Freed, Slots};
use crate::stripe::Stripe;
use crate::sync::Mutex;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Line {
    pub(super) slots: Slots,
    queue: Mutex<Queue>,
    /// Since when the permits are held that have been held for longer than a moment.
    pub(super) held: Running,
}

impl Line {
    pub(super) fn new(limit: u32, stripes: usize) -> Self {
        Self {
            slots: Slots::new(limit, stripes),
            queue: Mutex::new(Queue::default()),
            held: Running::new(),
        }
    }

    /// Queues for slots, unless `most` wait already; they may be the waiter's at once.
    pub(super) fn enqueue(&self, weight: u32, now: Instant, most: u32) -> Option<WaiterId> {
        let (id, wakers) = self.with_queue(|queue| {
            // Under the lock, so that whoever frees a slot and sees this waiter finds it in the queue.
            match self.slots.announce_waiter(weight, most) {
                Announced::Full => None,
                Announced::HasSlot => Some((queue.push_granted(weight), Vec::new())),
                Announced::Waits => {
                    let id = queue.push(weight, now);
                    Some((id, self.serve(queue, 0)))
                }
            }
        })?;
        wake(wakers);
        Some(id)
    }

    /// Frees slots: for whoever has waited longest, or for anyone.
    #[inline]
    pub(super) fn free(&self, stripe: Stripe, weight: u32) {
        let freed = if weight == 1 {
            self.slots.release(stripe)
        } else {
            self.slots.release_many(weight)
        };
        if freed == Freed::ForWaiter {
            self.hand_over(weight);
        }
    }

    /// Sets how many slots there are. Waiters for whom there is room now are served; what is held beyond a
    /// smaller number is held until it is freed.
    pub(super) fn resize(&self, limit: u32) {
        let wakers = self.with_queue(|queue| {
            self.slots.resize(limit);
            self.serve(queue, 0)
        });
        wake(wakers);
    }

    pub(super) fn fetch(&self, id: WaiterId) -> Option<u32> {
        self.with_queue(|queue| queue.fetch(id))
    }

    pub(super) fn set_waker(&self, id: WaiterId, waker: &Waker) {
        drop(self.with_queue(|queue| queue.set_waker(id, waker)));
    }

    pub(super) fn oldest_wait(&self) -> Option<Instant> {
        self.with_queue(|queue| queue.oldest())
    }

    /// Gives up a place in the queue, or the slots that were just granted.
    pub(super) fn leave(&self, id: WaiterId) {
        // Of the one who left, to be dropped; of those behind, to be woken.
        let (left, wakers) = self.with_queue(|queue| {
            if let Some(waker) = queue.leave(id) {
                self.slots.forget_waiter();
                // It may have wanted many and have been first: those behind it may want fewer.
                return (waker, self.serve(queue, 0));
            }
            // Its turn had come in the meantime: the slots go on.
            let freed = queue.fetch(id).unwrap_or(0);
            (None, self.serve(queue, freed))
        });
        drop(left);
        wake(wakers);
    }

    #[cold]
    fn hand_over(&self, freed: u32) {
        wake(self.with_queue(|queue| self.serve(queue, freed)));
    }

    /// Frees `freed` slots and serves the waiters for whom there is room then, in order; answers how to
    /// wake them.
    fn serve(&self, queue: &mut Queue, freed: u32) -> Vec<Waker> {
        let served = self.slots.serve(freed, || queue.weights());
        queue.grant(served as usize)
    }

    fn with_queue<T>(&self, on: impl FnOnce(&mut Queue) -> T) -> T {
        // Nothing below panics while it holds the lock, so a poisoned queue is still a whole one.
        on(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Outside the lock: what is woken may come straight back.
fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
