//! How many attempts may be under way at once.
//!
//! When one dependency slows down, the callers that wait for it hold whatever they share with the callers
//! of every other dependency: threads, connections, memory. A pool of a hundred connections and a service
//! that takes 4.8 s serve 21 calls a second, of all kinds. A **bulkhead** gives each dependency a number
//! of slots of its own, so that the water stays in one compartment.
//!
//! A slot is taken by one exchange of one word. When all are taken, a caller is refused at once or waits,
//! in order of arrival, within a queue and a time that are both bounded. A freed slot goes straight to the
//! caller who has waited longest: nobody who came later can snatch it, and no wake-up can be lost, since
//! the number of waiters is in the word that whoever frees a slot must change.
//!
//! A [`Permit`] is a slot. It is free again when the permit is dropped, however that came about; a
//! [`Ticket`] that is dropped leaves the queue, and hands on the slot if it had just been granted one.
//!
//! Source: the manners are those of Go's weighted semaphore (`x/sync`); handing over instead of waking to
//! compete is as in parking_lot's fair unlock.

mod queue;

use core::num::NonZeroU32;
use core::task::Waker;
use core::time::Duration;
use std::sync::PoisonError;

use queue::{Queue, WaiterId};

use crate::ratio::Ratio;
use crate::rejection::{Reason, Rejection};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, Protocol, exchange, update};
use crate::time::Instant;

/// How many attempts may be under way at once, and how a caller may wait for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Attempts in flight at most. By Little's law, calls per second times seconds per call are needed;
    /// twice that leaves room for bursts.
    pub limit: NonZeroU32,
    /// Callers that may wait for a slot at most; zero rejects at once. Default: as many as `limit`, at
    /// most 100.
    pub queue: u32,
    /// A caller waits at most this long. Default 50 ms.
    pub max_wait: Duration,
    /// And at most this share of the time left until its deadline. Default 0.1.
    pub max_wait_share: Ratio,
}

impl Config {
    /// At most `limit` attempts in flight, with the default queue.
    #[must_use]
    pub fn new(limit: NonZeroU32) -> Self {
        Self {
            limit,
            queue: limit.get().min(100),
            max_wait: Duration::from_millis(50),
            max_wait_share: Ratio::from_permille(100),
        }
    }

    /// How long a caller with `remaining` time left may wait for a slot.
    pub(crate) fn wait_within(&self, remaining: Duration) -> Duration {
        let share = self.max_wait_share.of(crate::time::nanos(remaining));
        self.max_wait.min(Duration::from_nanos(share))
    }
}

/// A bulkhead. Cheap to clone; clones are one bulkhead.
///
/// ```
/// use evenkeel_core::bulkhead::{Bulkhead, Config};
/// use std::num::NonZeroU32;
///
/// let bulkhead = Bulkhead::new(Config::new(NonZeroU32::MIN));
/// let permit = bulkhead.try_acquire().unwrap();
/// assert!(bulkhead.try_acquire().is_err());
/// drop(permit);
/// assert!(bulkhead.try_acquire().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Bulkhead(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    /// Slots in use and callers waiting, 32 bits each. Waiters are only ever added while no slot is free,
    /// and a slot freed while there are waiters goes to one of them: free slots and waiters do not meet.
    word: AtomicU64,
    queue: Mutex<Queue>,
}

/// One slot, until it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once admits nothing"]
pub struct Permit(Bulkhead);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A place in the queue for a slot. Dropped, it leaves the queue; a slot it had been granted goes on to
/// the next in line.
#[derive(Debug)]
#[must_use = "a ticket that is dropped at once leaves the queue"]
pub struct Ticket {
    bulkhead: Bulkhead,
    id: Option<WaiterId>,
}

impl Ticket {
    /// Fetches the slot if it is this ticket's turn.
    pub fn try_fetch(&mut self) -> Option<Permit> {
        let fetched = self.fetch();
        fetched.then(|| Permit(self.bulkhead.clone()))
    }

    /// The same without a permit: the slot is the caller's to release.
    pub(crate) fn fetch(&mut self) -> bool {
        let Some(id) = self.id else { return false };
        let fetched = self.bulkhead.with_queue(|queue| queue.fetch(id));
        if fetched {
            self.id = None;
        }
        fetched
    }

    /// Wakes `waker` when it is this ticket's turn. The last one set counts. Call it before
    /// [`Ticket::try_fetch`], so that a turn that comes in between is not missed.
    pub fn wake_by(&mut self, waker: &Waker) {
        if let Some(id) = self.id {
            drop(self.bulkhead.with_queue(|queue| queue.set_waker(id, waker)));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.bulkhead.leave(id);
        }
    }
}

/// What a bulkhead shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Slots there are.
    pub limit: u32,
    /// Slots in use, and granted to a waiter who has not fetched them yet.
    pub in_use: u32,
    /// Callers that wait.
    pub waiting: u32,
    /// How long the first of them has waited.
    pub oldest_wait: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    const fn new(in_use: u32, waiting: u32) -> Self {
        Self(in_use as u64 | (waiting as u64) << 32)
    }

    const fn in_use(self) -> u32 {
        (self.0 << 32 >> 32) as u32
    }

    const fn waiting(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl Bulkhead {
    /// A bulkhead with all its slots free.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Shared {
            config,
            word: AtomicU64::new(0),
            queue: Mutex::new(Queue::default()),
        }))
    }

    /// Takes a slot, if one is free and nobody waits for it.
    ///
    /// # Errors
    /// [`Reason::BulkheadFull`].
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, Rejection> {
        if self.acquire() {
            Ok(Permit(self.clone()))
        } else {
            Err(Rejection::new(Reason::BulkheadFull))
        }
    }

    /// Takes a slot without a permit: the caller releases it.
    #[inline]
    pub(crate) fn acquire(&self) -> bool {
        let limit = self.0.config.limit.get();
        update(Protocol::Bulkhead, &self.0.word, |held| {
            let held = Word(held);
            (held.waiting() == 0 && held.in_use() < limit)
                .then(|| Word::new(held.in_use() + 1, 0).0)
        })
        .is_some()
    }

    /// Queues for a slot; it may be this ticket's turn at once.
    ///
    /// # Errors
    /// [`Reason::QueueFull`], or [`Reason::BulkheadFull`] where nobody may wait.
    pub fn enqueue(&self, now: Instant) -> Result<Ticket, Rejection> {
        let config = &self.0.config;
        if config.queue == 0 {
            return Err(Rejection::new(Reason::BulkheadFull));
        }
        self.with_queue(|queue| {
            // Under the lock, so that whoever frees a slot and sees this waiter finds it in the queue.
            let queued = update(Protocol::Bulkhead, &self.0.word, |held| {
                let held = Word(held);
                let (in_use, waiting) = (held.in_use(), held.waiting());
                if waiting == 0 && in_use < config.limit.get() {
                    return Some(Word::new(in_use + 1, 0).0);
                }
                (waiting < config.queue).then(|| Word::new(in_use, waiting + 1).0)
            });
            let (before, after) = queued.ok_or(Rejection::new(Reason::QueueFull))?;
            let id = queue.push(now);
            if Word(after).in_use() > Word(before).in_use() {
                queue.grant_first();
            }
            Ok(Ticket {
                bulkhead: self.clone(),
                id: Some(id),
            })
        })
    }

    /// Frees a slot: for whoever has waited longest, or for anyone.
    #[inline]
    pub(crate) fn release(&self) {
        let mut held = Word(self.0.word.load(Ordering::Relaxed));
        while held.waiting() == 0 {
            let freed = Word::new(held.in_use() - 1, 0);
            match exchange(Protocol::Bulkhead, &self.0.word, held.0, freed.0) {
                Ok(_) => return,
                Err(other) => held = Word(other),
            }
        }
        self.hand_over();
    }

    /// What the bulkhead shows of itself.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let held = Word(self.0.word.load(Ordering::Relaxed));
        let oldest = self.with_queue(|queue| queue.oldest());
        Snapshot {
            limit: self.0.config.limit.get(),
            in_use: held.in_use(),
            waiting: held.waiting(),
            oldest_wait: oldest.map(|since| now.since(since)),
        }
    }

    /// Whether more than `share` of the slots are in use: too many for attempts that need not be made.
    #[must_use]
    pub fn is_used_beyond(&self, share: Ratio) -> bool {
        let held = Word(self.0.word.load(Ordering::Relaxed));
        u64::from(held.in_use()) > share.of(u64::from(self.0.config.limit.get()))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    #[cold]
    fn hand_over(&self) {
        let waker = self.with_queue(|queue| self.pass_on(queue));
        // Outside the lock: what it wakes may come straight back here.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Gives one slot to the first waiter, or frees it if the last waiter has just left.
    fn pass_on(&self, queue: &mut Queue) -> Option<Waker> {
        let granted = queue.grant_first();
        // Waiters change under the lock only, so the word agrees with the queue about whether one waits.
        update(Protocol::Bulkhead, &self.0.word, |held| {
            let held = Word(held);
            Some(match granted {
                Some(_) => Word::new(held.in_use(), held.waiting() - 1).0,
                None => Word::new(held.in_use() - 1, held.waiting()).0,
            })
        });
        granted.flatten()
    }

    fn leave(&self, id: WaiterId) {
        // Of the one who left, to be dropped; or of the next in line, to be woken.
        let (left, next) = self.with_queue(|queue| {
            if let Some(waker) = queue.leave(id) {
                debug_assert!(queue.len() < u32::MAX as usize, "a queue is bounded");
                update(Protocol::Bulkhead, &self.0.word, |held| {
                    let held = Word(held);
                    Some(Word::new(held.in_use(), held.waiting() - 1).0)
                });
                return (waker, None);
            }
            // Its turn had come in the meantime: the slot goes on.
            (None, queue.fetch(id).then(|| self.pass_on(queue)).flatten())
        });
        drop(left);
        if let Some(next) = next {
            next.wake();
        }
    }

    fn with_queue<T>(&self, on: impl FnOnce(&mut Queue) -> T) -> T {
        // Nothing below panics while it holds the lock, so a poisoned queue is still a whole one.
        on(&mut self.0.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
