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
//! A call that costs more than others may take several slots at once, all or none: the bulkhead is a
//! weighted semaphore. First come is first served there too: while a heavy caller waits, lighter ones that
//! came later wait behind it, or it would wait for ever. One that asks for more slots than there are is
//! refused and told so.
//!
//! The number of slots can change while it runs ([`Bulkhead::resize`]). Growing serves those who wait;
//! shrinking takes nothing away: what is held beyond the new number is held until it is given back, and
//! nobody is admitted meanwhile.
//!
//! A [`Permit`] is its slots. They are free again when the permit is dropped, however that came about; a
//! [`Ticket`] that is dropped leaves the queue, and hands on the slots if it had just been granted them.
//! A permit that is held for ever is a leak: [`Snapshot::oldest_permit`] shows it.
//!
//! Source: the manners are those of Go's weighted semaphore (`x/sync`); handing over instead of waking to
//! compete is as in parking_lot's fair unlock.

mod line;
mod queue;

use core::num::NonZeroU32;
use core::task::Waker;
use core::time::Duration;

use line::Line;
use queue::WaiterId;

use crate::progress::Slot;
use crate::ratio::Ratio;
use crate::rejection::{Reason, Rejection};
use crate::stripe::Stripe;
use crate::sync::Arc;
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
pub struct Bulkhead {
    config: Arc<Config>,
    line: Arc<Line>,
}

/// One slot, or several, until it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once admits nothing"]
pub struct Permit {
    line: Arc<Line>,
    stripe: Stripe,
    weight: u32,
    held: Option<Slot>,
}

impl Permit {
    /// How many slots it is.
    #[must_use]
    pub const fn weight(&self) -> u32 {
        self.weight
    }

    /// Lets [`Snapshot::oldest_permit`] know how long it has been held: since `since`. For permits that are
    /// held for longer than a moment; whoever gives theirs back at once need not pay for it.
    pub fn register(&mut self, since: Instant) {
        if self.held.is_none() {
            self.held = self.line.held.enter(since);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.line.held.leave(held);
        }
        self.line.free(self.stripe, self.weight);
    }
}

/// How long a slot has been held that was taken without a [`Permit`]; known until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    line: Arc<Line>,
    place: Slot,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.line.held.leave(self.place);
    }
}

/// A place in the queue for slots. Dropped, it leaves the queue; slots it had been granted go on to the
/// next in line.
#[derive(Debug)]
#[must_use = "a ticket that is dropped at once leaves the queue"]
pub struct Ticket {
    line: Arc<Line>,
    id: Option<WaiterId>,
}

impl Ticket {
    /// Fetches the slots if it is this ticket's turn.
    pub fn try_fetch(&mut self) -> Option<Permit> {
        let weight = self.line.fetch(self.id?)?;
        self.id = None;
        Some(Permit {
            line: self.line.clone(),
            stripe: Stripe::default(),
            weight,
            held: None,
        })
    }

    /// The same without a permit: the slots are the caller's to release.
    pub(crate) fn fetch(&mut self) -> bool {
        let fetched = self.id.is_some_and(|id| self.line.fetch(id).is_some());
        if fetched {
            self.id = None;
        }
        fetched
    }

    /// Wakes `waker` when it is this ticket's turn. The last one set counts. Call it before
    /// [`Ticket::try_fetch`], so that a turn that comes in between is not missed.
    pub fn wake_by(&mut self, waker: &Waker) {
        if let Some(id) = self.id {
            self.line.set_waker(id, waker);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.line.leave(id);
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
    /// How long the oldest permit has been held, of those that are [registered](Permit::register): a leak
    /// shows here as an age that only grows.
    pub oldest_permit: Option<Duration>,
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
        Self {
            line: Arc::new(Line::new(config.limit.get(), stripes)),
            config: Arc::new(config),
        }
    }

    /// The same slots under another configuration: what is held and who waits stay what they are.
    #[must_use]
    pub fn successor(&self, config: Config) -> Self {
        self.resize(config.limit);
        Self {
            line: self.line.clone(),
            config: Arc::new(config),
        }
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
            Ok(self.permit(stripe, 1))
        } else {
            Err(Rejection::new(Reason::BulkheadFull))
        }
    }

    fn permit(&self, stripe: Stripe, weight: u32) -> Permit {
        Permit {
            line: self.line.clone(),
            stripe,
            weight,
            held: None,
        }
    }

    /// Takes `weight` slots at once, if as many are free and nobody waits for one.
    ///
    /// # Errors
    /// [`Reason::BulkheadFull`], or [`Reason::ExceedsLimit`] where there are not as many slots at all.
    #[inline]
    pub fn try_acquire_many(&self, weight: NonZeroU32) -> Result<Permit, Rejection> {
        if self.line.slots.acquire_many(weight.get()) {
            return Ok(self.permit(Stripe::default(), weight.get()));
        }
        self.holds(weight)?;
        Err(Rejection::new(Reason::BulkheadFull))
    }

    /// Takes a slot without a permit: the caller releases it.
    #[inline]
    pub(crate) fn acquire(&self, stripe: Stripe) -> bool {
        self.line.slots.acquire(stripe)
    }

    /// Queues for a slot; it may be this ticket's turn at once.
    ///
    /// # Errors
    /// [`Reason::QueueFull`], or [`Reason::BulkheadFull`] where nobody may wait.
    pub fn enqueue(&self, now: Instant) -> Result<Ticket, Rejection> {
        self.enqueue_many(NonZeroU32::MIN, now)
    }

    /// Queues for `weight` slots at once; it may be this ticket's turn at once.
    ///
    /// ```
    /// use evenkeel_core::bulkhead::{Bulkhead, Config};
    /// use evenkeel_core::{rejection::Reason, time::Instant};
    /// use std::num::NonZeroU32;
    ///
    /// let [two, three, four] = [2, 3, 4].map(|slots| NonZeroU32::new(slots).unwrap());
    /// let bulkhead = Bulkhead::new(Config::new(three));
    /// let light = bulkhead.try_acquire_many(two).unwrap();
    /// let mut heavy = bulkhead.enqueue_many(three, Instant::ZERO).unwrap();
    /// assert!(bulkhead.try_acquire().is_err(), "one is free, and promised");
    /// drop(light);
    /// assert_eq!(heavy.try_fetch().unwrap().weight(), 3);
    /// let refused = bulkhead.enqueue_many(four, Instant::ZERO).unwrap_err();
    /// assert_eq!(refused.reason, Reason::ExceedsLimit);
    /// ```
    ///
    /// # Errors
    /// [`Reason::QueueFull`], or [`Reason::BulkheadFull`] where nobody may wait, or
    /// [`Reason::ExceedsLimit`] where there are not as many slots at all.
    pub fn enqueue_many(&self, weight: NonZeroU32, now: Instant) -> Result<Ticket, Rejection> {
        self.holds(weight)?;
        if self.config.queue == 0 {
            return Err(Rejection::new(Reason::BulkheadFull));
        }
        let id = self.line.enqueue(weight.get(), now, self.config.queue);
        let id = id.ok_or(Rejection::new(Reason::QueueFull))?;
        Ok(Ticket {
            line: self.line.clone(),
            id: Some(id),
        })
    }

    /// Frees a slot: for whoever has waited longest, or for anyone.
    #[inline]
    pub(crate) fn release(&self, stripe: Stripe) {
        self.line.free(stripe, 1);
    }

    /// Sets how many slots there are.
    ///
    /// Waiters for whom there is room now are served at once. Slots that are held beyond a smaller number
    /// are held until they are given back; a waiter who wants more than are left gets them when all are
    /// free.
    pub fn resize(&self, limit: NonZeroU32) {
        self.line.resize(limit.get());
    }

    /// Shows since when a slot is held that was taken without a permit.
    pub(crate) fn register(&self, since: Instant) -> Option<Held> {
        let place = self.line.held.enter(since)?;
        Some(Held {
            line: self.line.clone(),
            place,
        })
    }

    /// What the bulkhead shows of itself.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let slots = &self.line.slots;
        let oldest_wait = self.line.oldest_wait();
        let oldest_permit = self.line.held.oldest();
        Snapshot {
            limit: slots.limit(),
            in_use: slots.in_use(),
            waiting: slots.waiting(),
            oldest_wait: oldest_wait.map(|since| now.since(since)),
            oldest_permit: oldest_permit.map(|since| now.since(since)),
        }
    }

    /// Whether more than `share` of the slots are in use: too many for attempts that need not be made.
    #[must_use]
    pub fn is_used_beyond(&self, share: Ratio) -> bool {
        let slots = &self.line.slots;
        u64::from(slots.in_use()) > share.of(u64::from(slots.limit()))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether there are as many slots at all.
    fn holds(&self, weight: NonZeroU32) -> Result<(), Rejection> {
        if weight.get() > self.line.slots.limit() {
            return Err(Rejection::new(Reason::ExceedsLimit));
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
