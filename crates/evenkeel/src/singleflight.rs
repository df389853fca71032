//! One question, asked once.
//!
//! A cached price expires, and the two thousand requests that wanted it in that second all ask the
//! database for it. Asking once and sharing the answer is an old cure with old side effects: the caller
//! who happens to be first does the work for all, so when it hangs up, everybody fails; a caller with two
//! seconds left waits for one with thirty; a panic leaves a key behind that nobody will ever answer.
//!
//! Here a call belongs to nobody. A **flight** is owned by its group and runs as long as at least one
//! caller waits for it; whoever leaves, leaves alone. So its deadline is the latest of its waiters'
//! without anybody computing it. The last one to leave ends it, and from that instant nobody can join it.
//! A panic is an error that every waiter gets, and the key is free again. What runs in a flight sees
//! none of the callers' contexts, since it works for all of them; a key must therefore name everything
//! the answer depends on, the tenant and the rights of the caller before all.
//!
//! A caller who finds nobody polls its flight itself, once: what is ready by then costs one allocation and
//! two short locks. What is not becomes a task.
//!
//! The semantics are those of Go's `x/sync/singleflight` without its leader; the ends that it leaves open
//! (cancellation, panics, the age of what one joins) are decided here.

mod flight;

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;

use crate::context::{Context, Ended};
use crate::leaks::Name;
use flight::{Entry, Slot, Waiter, poll_unwinding};

/// As many shards as make two keys of busy threads rarely meet; a power of two.
const SHARDS: usize = 32;

/// How a group shares its calls.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Callers that one flight answers at most; the others are refused at once. Smaller: a hot key hurts
    /// fewer when its call hangs. Default 10,000.
    pub max_waiters: usize,
    /// The age from which a flight is not joined any more: a caller then begins a new one, and its answer
    /// is not older than this. Default 1 s.
    pub max_age: Duration,
    /// Whether an operation's error is everybody's. If not, the callers who joined try once more by
    /// themselves, again sharing one flight, whose outcome counts. Default: yes.
    pub share_errors: bool,
    /// Whether a flight goes on when nobody waits for it any more, as when its value is cached anyway.
    /// What it calls must then have a bound of its own. Default: no.
    pub run_to_completion: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_waiters: 10_000,
            max_age: Duration::from_secs(1),
            share_errors: true,
            run_to_completion: false,
        }
    }
}

/// Why a shared call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The operation failed.
    Operation(E),
    /// The operation panicked, with this message.
    Panicked(String),
    /// This caller's context ended. The flight goes on for the others.
    Ended(Ended),
    /// As many callers as may are waiting for this flight already.
    TooManyWaiters,
    /// The runtime was shut down under the flight.
    Aborted,
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(_) => f.write_str("the shared call failed"),
            Self::Panicked(message) => write!(f, "the shared call panicked: {message}"),
            Self::Ended(ended) => write!(f, "left the shared call: {ended}"),
            Self::TooManyWaiters => f.write_str("too many callers wait for this call already"),
            Self::Aborted => f.write_str("the shared call stopped with its runtime"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Operation(error) => Some(error),
            _ => None,
        }
    }
}

/// What a group shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Flights under way.
    pub flights: usize,
    /// Callers who wait for one of them.
    pub waiters: usize,
    /// Flights that were begun, ever.
    pub begun: u64,
    /// Callers who joined a flight that somebody else began, ever.
    pub coalesced: u64,
    /// The age of the oldest flight that had to wait for something.
    pub oldest: Duration,
}

/// A group of calls that are shared by key. Cheap to clone; clones share.
///
/// ```
/// use evenkeel::Context;
/// use evenkeel::singleflight::Singleflight;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// static ASKED: AtomicU32 = AtomicU32::new(0);
///
/// async fn price_of(article: u32) -> Result<u32, String> {
///     ASKED.fetch_add(1, Ordering::Relaxed);
///     tokio::task::yield_now().await;
///     Ok(article * 100)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let prices = Singleflight::new("prices");
/// let cx = Context::new();
/// let (one, two) = tokio::join!(
///     prices.run(&cx, 7, || price_of(7)),
///     prices.run(&cx, 7, || price_of(7)),
/// );
/// assert_eq!((one, two), (Ok(700), Ok(700)));
/// assert_eq!(ASKED.load(Ordering::Relaxed), 1);
/// # }
/// ```
pub struct Singleflight<K, V, E>(Arc<Group<K, V, E>>);

struct Group<K, V, E> {
    name: Name,
    config: Config,
    hasher: DefaultHashBuilder,
    shards: Box<[Mutex<Shard<K, V, E>>]>,
    /// What flights run in: nobody's request.
    context: Context,
}

struct Shard<K, V, E> {
    slots: HashTable<Slot<K, V, E>>,
    /// The number of the next flight, and so of those begun.
    next: u64,
    coalesced: u64,
}

/// What a caller finds under its key.
enum Found<K, V, E> {
    Nobody(Solo<K, V, E>),
    Flight(Waiter<K, V, E>),
    Full,
}

impl<K, V, E> Clone for Singleflight<K, V, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V, E> Singleflight<K, V, E>
where
    K: Hash + Eq + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// A group called `name`, with every default of [`Config`].
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self::with(name, Config::default())
    }

    /// The same, as `config` says.
    #[must_use]
    pub fn with(name: impl Into<Name>, config: Config) -> Self {
        let shard = || {
            Mutex::new(Shard {
                slots: HashTable::new(),
                next: 0,
                coalesced: 0,
            })
        };
        Self(Arc::new(Group {
            name: name.into(),
            config,
            hasher: DefaultHashBuilder::default(),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            context: Context::new(),
        }))
    }

    /// The answer to `key`: from the flight that is under way, or else from `operation`.
    ///
    /// # Errors
    /// [`Error`]; the operation's own unless it says otherwise.
    ///
    /// # Cancel safety
    /// Dropping the future, or the end of `cx`, leaves the flight to its other waiters. The last one to
    /// leave drops `operation` where it stands, unless [`Config::run_to_completion`] is set.
    ///
    /// # Panics
    /// Outside a tokio runtime, if `operation` is not ready at once. A panic of `operation` is an error.
    pub async fn run<F, Fut>(&self, cx: &Context, key: K, operation: F) -> Result<V, Error<E>>
    where
        K: Clone,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut again = (!self.0.config.share_errors).then(|| key.clone());
        let mut operation = Some(operation);
        let mut key = key;
        loop {
            let waiter = match self.find(key) {
                Found::Full => return Err(Error::TooManyWaiters),
                Found::Nobody(solo) => {
                    let Some(operation) = operation.take() else {
                        return Err(Error::Aborted);
                    };
                    return solo.fly(cx, operation).await;
                }
                Found::Flight(waiter) => waiter,
            };
            let answer = waiter.wait(cx).await;
            match (answer, again.take()) {
                (Err(Error::Operation(_)), Some(own)) => key = own,
                (answer, _) => return answer,
            }
        }
    }

    /// Lets the flight of `key` go: whoever waits for it gets its answer, whoever comes now begins another.
    /// For when what it asks about has just changed.
    pub fn forget(&self, key: &K) {
        let hash = self.0.hasher.hash_one(key);
        let mut shard = self.0.shard(hash).lock();
        if let Some(slot) = shard.slots.find_mut(hash, |slot| slot.is_open(key)) {
            slot.forgotten = true;
        }
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the group is doing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for shard in &self.0.shards {
            let shard = shard.lock();
            sum.begun += shard.next;
            sum.coalesced += shard.coalesced;
            sum.flights += shard.slots.len();
            for slot in &shard.slots {
                match &slot.entry {
                    Entry::Solo => sum.waiters += 1,
                    Entry::Flight(flight) => {
                        sum.waiters += flight.waiters();
                        sum.oldest = sum.oldest.max(flight.age());
                    }
                }
            }
        }
        sum
    }

    /// Joins the flight of `key`, or enters a new one.
    fn find(&self, key: K) -> Found<K, V, E> {
        let group = &self.0;
        let hash = group.hasher.hash_one(&key);
        let mut guard = group.shard(hash).lock();
        let shard = &mut *guard;
        if let Some(slot) = shard.slots.find_mut(hash, |slot| slot.is_open(&key)) {
            if slot.entry.age() < group.config.max_age {
                let flight = slot.entry.upgrade();
                if flight.waiters() >= group.config.max_waiters {
                    return Found::Full;
                }
                flight.join();
                shard.coalesced += 1;
                let flight = Arc::clone(flight);
                let id = slot.id;
                return Found::Flight(Waiter::new(self.clone(), flight, hash, id));
            }
            slot.forgotten = true;
        }
        let id = shard.next;
        shard.next += 1;
        let slot = Slot::new(id, key, hash);
        shard.slots.insert_unique(hash, slot, |slot| slot.hash);
        drop(guard);
        Found::Nobody(Solo {
            group: self.clone(),
            hash,
            id,
        })
    }
}

impl<K, V, E> Group<K, V, E> {
    fn shard(&self, hash: u64) -> &Mutex<Shard<K, V, E>> {
        // The table takes the low bits and the top seven.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// Takes a flight out: from now on nobody joins it.
    fn take(&self, hash: u64, id: u64) -> Option<Entry<V, E>> {
        let mut shard = self.shard(hash).lock();
        let found = shard.slots.find_entry(hash, |slot| slot.id == id).ok()?;
        Some(found.remove().0.entry)
    }

    /// Lands a flight: its waiters have `outcome`.
    fn land(&self, hash: u64, id: u64, outcome: &Result<V, Error<E>>)
    where
        V: Clone,
        E: Clone,
    {
        if let Some(Entry::Flight(flight)) = self.take(hash, id) {
            flight.land(outcome.clone());
        }
    }
}

/// The caller who found nobody, while it polls its flight for the first time.
struct Solo<K, V, E> {
    group: Singleflight<K, V, E>,
    hash: u64,
    id: u64,
}

impl<K, V, E> Solo<K, V, E>
where
    K: Hash + Eq + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    async fn fly<F, Fut>(self, cx: &Context, operation: F) -> Result<V, Error<E>>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let (group, hash, id) = (&self.group.0, self.hash, self.id);
        // Nothing is awaited before the first poll is over, so it cannot be dropped half way.
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(operation));
        let outcome = match made {
            Err(payload) => Err(Error::Panicked(crate::context::panic_message(&*payload))),
            Ok(future) => {
                let mut future = Box::pin(group.context.clone().enter(future));
                let first = std::future::poll_fn(|waker| {
                    Poll::Ready(poll_unwinding(future.as_mut(), waker))
                });
                match first.await {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => {
                        return self.take_off(cx, future).wait(cx).await;
                    }
                }
            }
        };
        group.land(hash, id, &outcome);
        outcome
    }
}

#[cfg(test)]
mod tests;
