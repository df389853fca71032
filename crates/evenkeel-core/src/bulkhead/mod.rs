//! How many attempts may be under way at once.
//!
//! When one dependency slows down, the callers that wait for it hold whatever they share with the callers
//! of every other dependency: threads, connections, memory. A pool of a hundred connections and a service
//! that takes 4.8 s serve 21 calls a second, of all kinds. A **bulkhead** gives each dependency a number
//! of slots of its own, so that the water stays in one compartment.
//!
//! A slot is taken by one exchange of one word; callers on different [stripes](crate::stripe) meet only where
//! few slots are left. When all are taken, a caller is refused at once or waits, in order of arrival, within
//! a queue and a time that are both bounded. A freed slot goes straight to the caller who has waited
//! longest: nobody who came later can snatch it, and no wake-up can be lost, since whoever waits announces
//! itself first and whoever frees a slot looks afterwards.
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
use crate::slots::{Announced, Freed, Slots};
use crate::stripe::Stripe;
use crate::sync::{Arc, Mutex};
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
    slots: Slots,
    queue: Mutex<Queue>,
}

/// One slot, until it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once admits nothing"]
pub struct Permit {
    bulkhead: Bulkhead,
    stripe: Stripe,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.bulkhead.release(self.stripe);
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
        fetched.then(|| self.bulkhead.permit(Stripe::default()))
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

impl Bulkhead {
    /// A bulkhead with all its slots free, for callers on one stripe.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::striped(config, 1)
    }

    /// The same, for callers on `stripes` stripes: as many as threads call at once.
    #[must_use]
    pub fn striped(config: Config, stripes: usize) -> Self {
        Self(Arc::new(Shared {
            slots: Slots::new(config.limit.get(), stripes),
            config,
            queue: Mutex::new(Queue::default()),
        }))
    }

    /// Takes a slot, if one is free and nobody waits for it.
    ///
    /// # Errors
    /// [`Reason::BulkheadFull`].
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, Rejection> {
        self.try_acquire_on(Stripe::default())
    }

    /// The same for a caller on `stripe`.
    ///
    /// # Errors
    /// [`Reason::BulkheadFull`].
    #[inline]
    pub fn try_acquire_on(&self, stripe: Stripe) -> Result<Permit, Rejection> {
        if self.acquire(stripe) {
            Ok(self.permit(stripe))
        } else {
            Err(Rejection::new(Reason::BulkheadFull))
        }
    }

    fn permit(&self, stripe: Stripe) -> Permit {
        Permit {
            bulkhead: self.clone(),
            stripe,
        }
    }

    /// Takes a slot without a permit: the caller releases it.
    #[inline]
    pub(crate) fn acquire(&self, stripe: Stripe) -> bool {
        self.0.slots.acquire(stripe)
    }

    /// Queues for a slot; it may be this ticket's turn at once.
    ///
    /// # Errors
    /// [`Reason::QueueFull`], or [`Reason::BulkheadFull`] where nobody may wait.
    pub fn enqueue(&self, now: Instant) -> Result<Ticket, Rejection> {
        let (config, slots) = (&self.0.config, &self.0.slots);
        if config.queue == 0 {
            return Err(Rejection::new(Reason::BulkheadFull));
        }
        let (id, waker) = self.with_queue(|queue| {
            // Under the lock, so that whoever frees a slot and sees this waiter finds it in the queue.
            match slots.announce_waiter(config.queue) {
                Announced::Full => Err(Rejection::new(Reason::QueueFull)),
                Announced::HasSlot => Ok((queue.push_granted(), None)),
                Announced::Waits => {
                    let id = queue.push(now);
                    // Announced first: what was freed before that may lie on a stripe.
                    let waker = slots.take_kept().then(|| self.pass_on(queue)).flatten();
                    Ok((id, waker))
                }
            }
        })?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(Ticket {
            bulkhead: self.clone(),
            id: Some(id),
        })
    }

    /// Frees a slot: for whoever has waited longest, or for anyone.
    #[inline]
    pub(crate) fn release(&self, stripe: Stripe) {
        if self.0.slots.release(stripe) == Freed::ForWaiter {
            self.hand_over();
        }
    }

    /// From now on there are `limit` slots. More of them go to those who wait; with fewer, those in use
    /// stay in use until they are given back.
    ///
    /// ```
    /// # use evenkeel_core::bulkhead::{Bulkhead, Config};
    /// # use std::num::NonZeroU32;
    /// let bulkhead = Bulkhead::new(Config::new(NonZeroU32::new(2).unwrap()));
    /// let (first, second) = (bulkhead.try_acquire(), bulkhead.try_acquire());
    /// bulkhead.resize(NonZeroU32::MIN);
    /// drop(first);
    /// assert!(bulkhead.try_acquire().is_err(), "the second has the only one");
    /// drop(second);
    /// assert!(bulkhead.try_acquire().is_ok());
    /// ```
    pub fn resize(&self, limit: NonZeroU32) {
        let slots = &self.0.slots;
        let granted = self.with_queue(|queue| {
            slots.resize(limit.get());
            let mut granted = Vec::new();
            while queue.len() != 0 && slots.take_free() {
                granted.extend(self.pass_on(queue));
            }
            granted
        });
        for waker in granted {
            waker.wake();
        }
    }

    /// What the bulkhead shows of itself.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let oldest = self.with_queue(|queue| queue.oldest());
        Snapshot {
            limit: self.0.slots.limit(),
            in_use: self.0.slots.in_use(),
            waiting: self.0.slots.waiting(),
            oldest_wait: oldest.map(|since| now.since(since)),
        }
    }

    /// Whether more than `share` of the slots are in use: too many for attempts that need not be made.
    #[must_use]
    pub fn is_used_beyond(&self, share: Ratio) -> bool {
        let slots = &self.0.slots;
        u64::from(slots.in_use()) > share.of(u64::from(slots.limit()))
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
        if granted.is_some() {
            self.0.slots.forget_waiter();
        } else {
            self.0.slots.add_free();
        }
        granted.flatten()
    }

    fn leave(&self, id: WaiterId) {
        // Of the one who left, to be dropped; or of the next in line, to be woken.
        let (left, next) = self.with_queue(|queue| {
            if let Some(waker) = queue.leave(id) {
                self.0.slots.forget_waiter();
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
