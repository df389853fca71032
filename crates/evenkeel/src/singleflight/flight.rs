//! One flight: who waits for it, how it lands, and what happens when nobody waits any more.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{self, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{Error, Singleflight, Solo};
use crate::context::{Context, panic_message};
use crate::leaks::Kind;

/// A place in a shard's table.
pub(super) struct Slot<K, V, E> {
    pub(super) id: u64,
    pub(super) key: K,
    pub(super) hash: u64,
    /// Whoever comes with this key now does not join.
    pub(super) forgotten: bool,
    pub(super) entry: Entry<V, E>,
}

impl<K: Eq, V, E> Slot<K, V, E> {
    pub(super) fn new(id: u64, key: K, hash: u64) -> Self {
        Self {
            id,
            key,
            hash,
            forgotten: false,
            entry: Entry::Solo,
        }
    }

    pub(super) fn is_open(&self, key: &K) -> bool {
        !self.forgotten && self.key == *key
    }
}

/// What stands under a key.
pub(super) enum Entry<V, E> {
    /// A caller who polls for the first time and is alone: nothing has to be shared yet.
    Solo,
    Flight(Arc<Flight<V, E>>),
}

impl<V, E> Entry<V, E> {
    /// The flight, made if this is the first who needs one; its first waiter is the caller who is alone.
    pub(super) fn upgrade(&mut self) -> &Arc<Flight<V, E>> {
        if let Self::Solo = self {
            *self = Self::Flight(Arc::new(Flight::new()));
        }
        match self {
            Self::Flight(flight) => flight,
            Self::Solo => unreachable!("it was just made"),
        }
    }

    /// Zero while its first poll is under way: there was nothing to wait for yet.
    pub(super) fn age(&self) -> Duration {
        match self {
            Self::Solo => Duration::ZERO,
            Self::Flight(flight) => flight.age(),
        }
    }
}

pub(super) struct Flight<V, E> {
    outcome: OnceLock<Result<V, Error<E>>>,
    landed: Notify,
    /// Changed under the lock of the shard only, so that nobody joins what is being abandoned.
    waiters: AtomicUsize,
    began: Instant,
    task: OnceLock<AbortHandle>,
}

impl<V, E> Flight<V, E> {
    fn new() -> Self {
        Self {
            outcome: OnceLock::new(),
            landed: Notify::new(),
            waiters: AtomicUsize::new(1),
            began: Instant::now(),
            task: OnceLock::new(),
        }
    }

    pub(super) fn waiters(&self) -> usize {
        self.waiters.load(Ordering::Relaxed)
    }

    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn join(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn land(&self, outcome: Result<V, Error<E>>) {
        // The first outcome counts: a flight lands once.
        let _ = self.outcome.set(outcome);
        self.landed.notify_waiters();
    }
}

/// One caller's place in a flight, given back when it is dropped.
pub(super) struct Waiter<K, V, E> {
    group: Singleflight<K, V, E>,
    flight: Arc<Flight<V, E>>,
    hash: u64,
    id: u64,
}

impl<K, V, E> Waiter<K, V, E> {
    /// For a caller that the flight counts already.
    pub(super) fn new(
        group: Singleflight<K, V, E>,
        flight: Arc<Flight<V, E>>,
        hash: u64,
        id: u64,
    ) -> Self {
        Self {
            group,
            flight,
            hash,
            id,
        }
    }

    /// Waits until the flight lands or this caller's context ends.
    pub(super) async fn wait(self, cx: &Context) -> Result<V, Error<E>>
    where
        V: Clone,
        E: Clone,
    {
        let mut landed = pin!(self.flight.landed.notified());
        // From here on a landing is not missed; one before stands in `outcome`.
        landed.as_mut().enable();
        if self.flight.outcome.get().is_none() {
            tokio::select! {
                biased;
                () = landed => {}
                ended = cx.ended() => return Err(Error::Ended(ended)),
            }
        }
        let outcome = self.flight.outcome.get().cloned();
        outcome.unwrap_or(Err(Error::Aborted))
    }
}

impl<K, V, E> Drop for Waiter<K, V, E> {
    fn drop(&mut self) {
        let group = &self.group.0;
        let mut shard = group.shard(self.hash).lock();
        let others = self.flight.waiters.fetch_sub(1, Ordering::Relaxed) - 1;
        if others > 0 || group.config.run_to_completion {
            return;
        }
        // Nobody wants it: out of the table before anybody can join, and then stopped.
        let found = shard.slots.find_entry(self.hash, |slot| slot.id == self.id);
        let removed = found.ok().map(|found| found.remove().0);
        drop(shard);
        drop(removed);
        if let Some(task) = self.flight.task.get() {
            task.abort();
        }
    }
}

impl<K, V, E> Solo<K, V, E>
where
    K: Hash + Eq + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// What was not ready at once becomes a task that belongs to the group; the caller is one of those who
    /// wait for it.
    pub(super) fn take_off(
        self,
        cx: &Context,
        mut future: Pin<Box<impl Future<Output = Result<V, E>> + Send + 'static>>,
    ) -> Waiter<K, V, E> {
        let (group, hash, id) = (self.group, self.hash, self.id);
        let flight = {
            let mut shard = group.0.shard(hash).lock();
            let slot = shard.slots.find_mut(hash, |slot| slot.id == id);
            // It is there: only its landing or its last waiter takes it out, and this is the one.
            slot.map_or_else(
                || Arc::new(Flight::new()),
                |slot| Arc::clone(slot.entry.upgrade()),
            )
        };
        let waiter = Waiter::new(group.clone(), Arc::clone(&flight), hash, id);
        let registered = cx
            .register()
            .enter(Kind::Flight, group.0.name.clone(), None);
        let mut landing = Landing {
            group,
            hash,
            id,
            landed: false,
        };
        let task = tokio::spawn(async move {
            let _registered = registered;
            let outcome =
                std::future::poll_fn(|waker| poll_unwinding(future.as_mut(), waker)).await;
            // Before its waiters know: what it holds is free again by then.
            drop(future);
            landing.land(&outcome);
        });
        // Nobody else can be the last waiter yet: the caller is one.
        let _ = flight.task.set(task.abort_handle());
        waiter
    }
}

/// Lands a flight whose task is dropped, as on the shutdown of a runtime, so that nobody waits for ever.
struct Landing<K, V: Clone, E: Clone> {
    group: Singleflight<K, V, E>,
    hash: u64,
    id: u64,
    landed: bool,
}

impl<K, V: Clone, E: Clone> Landing<K, V, E> {
    fn land(&mut self, outcome: &Result<V, Error<E>>) {
        self.landed = true;
        self.group.0.land(self.hash, self.id, outcome);
    }
}

impl<K, V: Clone, E: Clone> Drop for Landing<K, V, E> {
    fn drop(&mut self) {
        if !self.landed {
            self.land(&Err(Error::Aborted));
        }
    }
}

/// Polls `future`, and answers its panic as an error.
pub(super) fn poll_unwinding<V, E>(
    future: Pin<&mut impl Future<Output = Result<V, E>>>,
    waker: &mut task::Context<'_>,
) -> Poll<Result<V, Error<E>>> {
    // What a panic leaves behind is the future, which is not polled again, and what it shared with others,
    // which is theirs to judge as after any panic.
    match catch_unwind(AssertUnwindSafe(|| future.poll(waker))) {
        Ok(polled) => polled.map(|output| output.map_err(Error::Operation)),
        Err(payload) => Poll::Ready(Err(Error::Panicked(panic_message(&*payload)))),
    }
}
