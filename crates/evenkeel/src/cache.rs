//! A cache that is not a herd's gate.
//!
//! A cache hides a slow dependency until an entry expires. Then everybody asks at once; and if the
//! dependency is down by then, everybody is told so, although the value of a minute ago is still there.
//! And they ask again, at once, together.
//!
//! This one is filled by one caller at a time ([`singleflight`]), who
//! [retries](mod@crate::retry) with jitter and a budget. Where filling fails, the old value answers for a
//! while, and says that it is old. And a key whose filling failed is left alone for a back-off that grows,
//! so that a dead dependency is asked once a minute and not once a request.
//!
//! An error that is [permanent](Failure::Permanent), such as "no such article", is an answer: it is
//! neither retried nor hidden behind an old value.
//!
//! The values are kept by `moka`, which evicts what is used least; freshness is decided here. Stale
//! answers after errors are RFC 5861's `stale-if-error`.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_core::backoff::{self, Backoff};
use evenkeel_core::entropy::Entropy;
use tokio::time::Instant;

use crate::context::Context;
use crate::leaks::Name;
use crate::local;
use crate::retry::{self, Failure, Retry, retry};
use crate::singleflight::{self, Singleflight};

/// Keys share a count of invalidations with one in so many others: a value may be fetched once more than
/// needed, and memory stays bounded.
const EPOCHS: usize = 256;

/// What a cache keeps, and for how long.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Values that are kept at most; beyond that the least used go. Also the keys whose failures are
    /// remembered at most.
    pub capacity: u64,
    /// For how long a value answers without anybody being asked. Larger: older answers, fewer questions.
    pub fresh_for: Duration,
    /// For how long after that a value still answers where filling fails. Default 24 h.
    pub stale_for: Duration,
    /// How long filling may take, with all its attempts. Default 5 s.
    pub fill_timeout: Duration,
    /// How filling is retried. Default: at most three attempts.
    pub retry: evenkeel_core::retry::Config,
    /// For how long a key is left alone after its filling failed. Default 1 s, growing to 60 s.
    pub leave_alone: backoff::Config,
}

impl Config {
    /// At most `capacity` values, each fresh for `fresh_for`.
    #[must_use]
    pub fn new(capacity: u64, fresh_for: Duration) -> Self {
        let mut leave_alone = backoff::Config::new(Duration::from_secs(1));
        leave_alone.max = Duration::from_secs(60);
        Self {
            capacity,
            fresh_for,
            stale_for: Duration::from_secs(24 * 3600),
            fill_timeout: Duration::from_secs(5),
            retry: evenkeel_core::retry::Config::default(),
            leave_alone,
        }
    }
}

/// A value, and how old it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cached<V> {
    /// As fresh as asked for.
    Fresh(V),
    /// Older than it should be, because it could not be had anew. Tell whoever sees it.
    Stale {
        /// The value.
        value: V,
        /// How long ago it was right.
        age: Duration,
    },
}

impl<V> Cached<V> {
    /// The value, whatever its age.
    pub fn into_value(self) -> V {
        match self {
            Self::Fresh(value) | Self::Stale { value, .. } => value,
        }
    }

    /// Whether it is older than it should be.
    pub const fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }
}

/// Why there is no value, not even an old one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// Filling failed.
    Fill(singleflight::Error<retry::Error<Failure<E>>>),
    /// Filling failed a moment ago, and the key is left alone for now.
    LeftAlone {
        /// When to come back.
        retry_after: Duration,
    },
}

impl<E> Error<E> {
    /// Whether the error is for good, as the filling said.
    pub fn is_permanent(&self) -> bool {
        let Self::Fill(singleflight::Error::Operation(retry::Error::Failed { error, .. })) = self
        else {
            return false;
        };
        error.is_permanent()
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fill(_) => f.write_str("the value could not be had"),
            Self::LeftAlone { retry_after } => {
                write!(
                    f,
                    "the value could not be had lately, come back in {retry_after:?}"
                )
            }
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fill(error) => Some(error),
            Self::LeftAlone { .. } => None,
        }
    }
}

/// A cache of values by key. Cheap to clone; clones share.
///
/// ```
/// use evenkeel::cache::{Cache, Config};
/// use evenkeel::retry::Failure;
/// use evenkeel::Context;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let config = Config::new(10_000, Duration::from_secs(60));
/// let prices = Cache::<u32, u32, String>::new("prices", config);
/// let cx = Context::new();
///
/// let fresh = prices.get(&cx, 7, || async { Ok(700) }).await.unwrap();
/// assert!(!fresh.is_stale());
///
/// tokio::time::advance(Duration::from_secs(61)).await;
/// let down = || async { Err(Failure::Transient("down".to_owned())) };
/// let old = prices.get(&cx, 7, down).await.unwrap();
/// assert!(old.is_stale());
/// assert_eq!(old.into_value(), 700);
/// # }
/// ```
pub struct Cache<K, V, E>(Arc<Shared<K, V, E>>);

struct Shared<K, V, E> {
    config: Config,
    values: moka::sync::Cache<K, Arc<Entry<V>>>,
    failing: moka::sync::Cache<K, Failing>,
    fills: Singleflight<K, Arc<Entry<V>>, retry::Error<Failure<E>>>,
    policy: Retry,
    stale: AtomicU64,
    hasher: RandomState,
    /// Counts invalidations, by a part of the key's hash: what was being fetched meanwhile is not kept.
    epochs: [AtomicU64; EPOCHS],
}

struct Entry<V> {
    value: V,
    filled: Instant,
}

#[derive(Clone)]
struct Failing {
    backoff: Arc<Mutex<Backoff>>,
    until: Instant,
}

impl<K: Hash, V, E> Shared<K, V, E> {
    fn epoch(&self, key: &K) -> &AtomicU64 {
        let at = self.hasher.hash_one(key) % EPOCHS as u64;
        // Below `EPOCHS`, whatever the width of a pointer.
        &self.epochs[usize::try_from(at).unwrap_or_default()]
    }
}

impl<K, V, E> Clone for Cache<K, V, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V, E> Cache<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An empty cache called `name`.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config) -> Self {
        let name = name.into();
        let kept = config.fresh_for.saturating_add(config.stale_for);
        let values = moka::sync::Cache::builder()
            .max_capacity(config.capacity)
            // Only so that memory does not hold what can no longer answer.
            .time_to_live(kept.min(Duration::from_secs(365 * 24 * 3600)))
            .build();
        Self(Arc::new(Shared {
            values,
            failing: moka::sync::Cache::new(config.capacity),
            fills: Singleflight::new(name.clone()),
            policy: Retry::with(name, config.retry.clone()),
            stale: AtomicU64::new(0),
            hasher: RandomState::new(),
            epochs: [const { AtomicU64::new(0) }; EPOCHS],
            config,
        }))
    }

    /// The value of `key`: the one that is kept, or else what `fill` makes.
    ///
    /// # Errors
    /// [`Error`], if there is not even an old value, or `fill` failed for good.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the filling to the others who wait for it; the last to leave ends it.
    ///
    /// # Panics
    /// Outside a tokio runtime. A panic of `fill` is an error.
    pub async fn get<F, Fut>(&self, cx: &Context, key: K, fill: F) -> Result<Cached<V>, Error<E>>
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, Failure<E>>> + Send + 'static,
    {
        let shared = &self.0;
        let kept = shared.values.get(&key);
        if let Some(entry) = &kept
            && entry.filled.elapsed() <= shared.config.fresh_for
        {
            return Ok(Cached::Fresh(entry.value.clone()));
        }
        let failing = shared.failing.get(&key).map(|failing| failing.until);
        let wait = failing.map(|until| until.saturating_duration_since(Instant::now()));
        let error = match wait.filter(|wait| !wait.is_zero()) {
            Some(retry_after) => Error::LeftAlone { retry_after },
            None => {
                let (cache, own) = (self.clone(), key.clone());
                let flight = move || cache.fill(own, fill);
                match shared.fills.run(cx, key, flight).await {
                    Ok(entry) => return Ok(Cached::Fresh(entry.value.clone())),
                    Err(error) => Error::Fill(error),
                }
            }
        };
        if error.is_permanent() {
            return Err(error);
        }
        let lasts = shared
            .config
            .fresh_for
            .saturating_add(shared.config.stale_for);
        match kept {
            Some(entry) if entry.filled.elapsed() <= lasts => {
                shared.stale.fetch_add(1, Ordering::Relaxed);
                Ok(Cached::Stale {
                    value: entry.value.clone(),
                    age: entry.filled.elapsed(),
                })
            }
            _ => Err(error),
        }
    }

    /// Drops the value of `key`, because it is known to be wrong: whoever asks now waits for a new one,
    /// not for one that is being fetched already.
    pub fn invalidate(&self, key: &K) {
        self.0.epoch(key).fetch_add(1, Ordering::SeqCst);
        self.0.fills.forget(key);
        self.0.values.invalidate(key);
    }

    /// Answers that were older than they should have been, ever.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.0.stale.load(Ordering::Relaxed)
    }

    /// What the shared fillings are doing.
    #[must_use]
    pub fn fills(&self) -> singleflight::Snapshot {
        self.0.fills.snapshot()
    }

    /// Runs as a flight: nobody's request, and everybody's.
    async fn fill<F, Fut>(self, key: K, fill: F) -> Result<Arc<Entry<V>>, retry::Error<Failure<E>>>
    where
        F: Fn() -> Fut + Send,
        Fut: Future<Output = Result<V, Failure<E>>> + Send,
    {
        let shared = &self.0;
        let cx = Context::current().unwrap_or_default();
        let cx = cx.with_timeout(shared.config.fill_timeout);
        // As old as the question: what it was asked for may change while it is on its way.
        let filled = Instant::now();
        let epoch = shared.epoch(&key).load(Ordering::SeqCst);
        let filling = retry(&cx, &shared.policy, fill).permanent_if(Failure::is_permanent);
        match filling.await {
            Ok(value) => {
                let entry = Arc::new(Entry { value, filled });
                shared.failing.invalidate(&key);
                shared.values.insert(key.clone(), Arc::clone(&entry));
                // After the insertion: an invalidation that came before it is seen here, and one that
                // comes after it takes the value out itself.
                if shared.epoch(&key).load(Ordering::SeqCst) != epoch {
                    shared.values.invalidate(&key);
                }
                Ok(entry)
            }
            Err(retry::Error::Failed {
                error,
                name,
                attempts,
                reason,
            }) if error.is_permanent() => {
                shared.failing.invalidate(&key);
                shared.values.invalidate(&key);
                Err(retry::Error::Failed {
                    name,
                    error,
                    attempts,
                    reason,
                })
            }
            Err(error) => {
                self.leave_alone(key);
                Err(error)
            }
        }
    }

    fn leave_alone(&self, key: K) {
        let shared = &self.0;
        let before = shared.failing.get(&key).map(|failing| failing.backoff);
        let backoff = before.unwrap_or_default();
        let mut dice = Entropy::new(local::stripe_and_seed().1);
        let wait = backoff
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_delay(&shared.config.leave_alone, &mut dice);
        let until = Instant::now() + wait;
        shared.failing.insert(key, Failing { backoff, until });
    }
}

#[cfg(test)]
mod tests;
