//! The slots themselves: who has them, who waits for them, and how they change hands.
//!
//! One word holds how many slots are in use and how many callers wait. While nobody waits, taking and
//! freeing are one exchange of it. While somebody waits, only the holder of the queue's lock changes it:
//! taking is refused, and whoever frees a slot goes through the queue. So the word and the queue agree
//! about who waits whenever the lock is held, and a slot that is freed cannot pass a waiter by.

use std::sync::PoisonError;
use std::task::Waker;

use super::queue::{Queue, WaiterId};
use crate::progress::Running;
use crate::sync::{AtomicU64, Mutex, Ordering, Protocol, exchange, update};
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Slots {
    /// How many there are. Read without the lock, so that a slot may still be taken under an old limit for
    /// as long as a shrinking takes to be seen; written under the lock, so that no waiter is served under
    /// one.
    limit: AtomicU64,
    word: AtomicU64,
    queue: Mutex<Queue>,
    /// Since when the permits are held that have been held for longer than a moment.
    pub(super) held: Running,
}

/// Slots in use and callers waiting, 32 bits each.
#[derive(Clone, Copy)]
pub(super) struct Word(u64);

impl Word {
    const fn new(in_use: u32, waiting: u32) -> Self {
        Self(in_use as u64 | (waiting as u64) << 32)
    }

    pub(super) const fn in_use(self) -> u32 {
        (self.0 << 32 >> 32) as u32
    }

    pub(super) const fn waiting(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The word with `weight` more slots in use, if there are as many and nobody was here first.
    fn taken(self, weight: u32, limit: u32) -> Option<Self> {
        let fits = self.waiting() == 0 && is_free(self.in_use(), weight, limit);
        fits.then(|| Self::new(self.in_use() + weight, 0))
    }
}

/// Whether `weight` more slots fit.
fn is_free(in_use: u32, weight: u32, limit: u32) -> bool {
    u64::from(in_use) + u64::from(weight) <= u64::from(limit)
}

impl Slots {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit: AtomicU64::new(limit.into()),
            word: AtomicU64::new(0),
            queue: Mutex::new(Queue::default()),
            held: Running::new(),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "it was stored from 32 bits"
    )]
    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed) as u32
    }

    pub(super) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn take(&self, weight: u32) -> bool {
        let limit = self.limit();
        update(Protocol::Bulkhead, &self.word, |held| {
            Word(held).taken(weight, limit).map(|taken| taken.0)
        })
        .is_some()
    }

    /// Queues for slots, unless `most` wait already; they may be the waiter's at once.
    pub(super) fn enqueue(&self, weight: u32, now: Instant, most: u32) -> Option<WaiterId> {
        self.with_queue(|queue| {
            let limit = self.limit();
            // Under the lock, so that whoever frees a slot and sees this waiter finds it in the queue.
            let (before, after) = update(Protocol::Bulkhead, &self.word, |held| {
                let held = Word(held);
                let waits = || {
                    let waits = Word::new(held.in_use(), held.waiting() + 1);
                    (held.waiting() < most).then_some(waits)
                };
                held.taken(weight, limit).or_else(waits).map(|word| word.0)
            })?;
            let id = queue.push(weight, now);
            if Word(after).waiting() == Word(before).waiting() {
                queue.grant(1);
            }
            Some(id)
        })
    }

    /// Frees slots: for whoever has waited longest, or for anyone.
    #[inline]
    pub(super) fn free(&self, weight: u32) {
        let mut held = self.word();
        while held.waiting() == 0 {
            let freed = Word::new(held.in_use() - weight, 0);
            match exchange(Protocol::Bulkhead, &self.word, held.0, freed.0) {
                Ok(_) => return,
                Err(other) => held = Word(other),
            }
        }
        self.hand_over(weight);
    }

    /// Sets how many slots there are. Waiters for whom there is room now are served; what is held beyond a
    /// smaller number is held until it is freed.
    pub(super) fn resize(&self, limit: u32) {
        let wakers = self.with_queue(|queue| {
            self.limit.store(limit.into(), Ordering::Relaxed);
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
                update(Protocol::Bulkhead, &self.word, |held| {
                    let held = Word(held);
                    Some(Word::new(held.in_use(), held.waiting() - 1).0)
                });
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
        let (limit, mut served) = (self.limit(), 0);
        update(Protocol::Bulkhead, &self.word, |held| {
            let held = Word(held);
            let mut in_use = held.in_use() - freed;
            served = 0;
            for weight in queue.weights() {
                // Who wants more slots than a shrinking left gets them when all are free: no waiter is lost.
                if in_use != 0 && !is_free(in_use, weight, limit) {
                    break;
                }
                in_use += weight;
                served += 1;
            }
            Some(Word::new(in_use, held.waiting() - served).0)
        });
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
