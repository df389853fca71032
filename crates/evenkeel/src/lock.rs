//! Locks that are waited for within a bound, and taken in one order.
//!
//! Two requests that each hold what the other waits for wait for ever, and everybody who needs either
//! waits behind them: no error, no CPU, no end. Two things break the circle. Every wait is bounded, by the
//! caller's context and by the lock's own [time](Lock::new), and an error names the lock, who holds it and
//! since when. And who needs several takes them with [`take_all`], which takes them in one order for
//! everybody, whatever order they are named in.
//!
//! For critical sections of nanoseconds use a mutex that parks the thread; these are for what is held
//! across an await. Waiters are served in the order of their coming (`tokio::sync::Mutex`), and one that
//! leaves takes nobody's turn.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::context::{Context, Ended};
use crate::leaks::{Kind, Live, Name, Register, Registration};

/// A lock with a name, around a value.
///
/// ```
/// use evenkeel::{Context, lock::Lock};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let ledger = Lock::new("ledger", Duration::from_secs(1), 0_u64);
/// let cx = Context::new();
/// let mut held = ledger.take(&cx).await.unwrap();
/// *held += 1;
///
/// let refused = ledger.take(&cx).await.unwrap_err(); // Whoever waits is not left waiting.
/// assert_eq!(refused.lock, "ledger");
/// assert_eq!(refused.waited, Duration::from_secs(1));
/// # }
/// ```
pub struct Lock<T> {
    name: Name,
    within: Duration,
    /// Its place in the one order: locks made earlier are taken earlier.
    rank: u64,
    value: Mutex<T>,
    holder: StdMutex<Option<Holder>>,
}

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The line that took it.
    pub owner: &'static Location<'static>,
    /// When.
    pub since: Instant,
}

/// A lock that was not had in time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotTaken {
    /// The lock's name.
    pub lock: Name,
    /// How long the caller waited for it.
    pub waited: Duration,
    /// How the caller's context ended; none if the lock's own time was over.
    pub ended: Option<Ended>,
    /// Who held it at the end of the wait.
    pub holder: Option<Holder>,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock `{}` not had within {:?}", self.lock, self.waited)?;
        if let Some(Holder { owner, since }) = &self.holder {
            let held = since.elapsed();
            write!(
                f,
                "; held for {held:?} by {}:{}",
                owner.file(),
                owner.line()
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for NotTaken {}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("name", &self.name)
            .field("holder", &self.holder())
            .finish_non_exhaustive()
    }
}

impl<T> Lock<T> {
    /// A lock around `value` that nobody waits for longer than `within`.
    pub fn new(name: impl Into<Name>, within: Duration, value: T) -> Self {
        static RANKS: AtomicU64 = AtomicU64::new(0);
        Self {
            name: name.into(),
            within,
            rank: RANKS.fetch_add(1, Ordering::Relaxed),
            value: Mutex::new(value),
            holder: StdMutex::default(),
        }
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who holds it now.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock, waiting for it until its time is over or `cx` ends.
    ///
    /// # Errors
    /// [`NotTaken`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the line; nobody else's turn is lost.
    #[track_caller]
    pub fn take(&self, cx: &Context) -> impl Future<Output = Result<Held<'_, T>, NotTaken>> {
        self.take_for(cx.clone(), Location::caller(), self.within)
    }

    async fn take_for(
        &self,
        cx: Context,
        owner: &'static Location<'static>,
        within: Duration,
    ) -> Result<Held<'_, T>, NotTaken> {
        let began = Instant::now();
        let ended = tokio::select! {
            biased;
            guard = self.value.lock() => return Ok(self.held(guard, owner, &cx)),
            ended = cx.ended() => Some(ended),
            () = tokio::time::sleep(within) => None,
        };
        Err(NotTaken {
            lock: self.name.clone(),
            waited: began.elapsed(),
            ended,
            holder: self.holder(),
        })
    }

    fn held<'a>(
        &'a self,
        guard: MutexGuard<'a, T>,
        owner: &'static Location<'static>,
        cx: &Context,
    ) -> Held<'a, T> {
        let since = Instant::now();
        let registered = register(cx.register(), &self.name, owner, since, cx.deadline());
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(Holder { owner, since });
        Held {
            lock: self,
            _registered: registered,
            guard,
        }
    }
}

fn register(
    register: &Register,
    name: &Name,
    owner: &'static Location<'static>,
    since: Instant,
    deadline: Option<Instant>,
) -> Registration {
    register.enter_as(Live {
        kind: Kind::Lock,
        name: name.clone(),
        owner,
        since,
        deadline,
    })
}

/// A lock that is held, until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the lock back"]
pub struct Held<'a, T> {
    lock: &'a Lock<T>,
    _registered: Registration,
    /// Last: the next holder finds the note of this one gone.
    guard: MutexGuard<'a, T>,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        let holder = &self.lock.holder;
        *holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Takes several locks, in the one order that everybody takes them in, within `within` and `cx`; answers them
/// in the order in which they are named. If one cannot be had, none is kept.
///
/// ```
/// use evenkeel::{Context, lock::{Lock, take_all}};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (second, cx) = (Duration::from_secs(1), Context::new());
/// let (from, to) = (Lock::new("account 1", second, 100), Lock::new("account 2", second, 0));
/// let mut held = take_all(&cx, second, &[&to, &from]).await.unwrap();
/// *held[1] -= 30;
/// *held[0] += 30;
/// # }
/// ```
///
/// # Errors
/// [`NotTaken`], naming the first lock that could not be had. The same lock named twice is not had the
/// second time.
///
/// # Cancel safety
/// Dropping the future gives back what was taken.
#[track_caller]
pub fn take_all<'a, T>(
    cx: &Context,
    within: Duration,
    locks: &[&'a Lock<T>],
) -> impl Future<Output = Result<Vec<Held<'a, T>>, NotTaken>> {
    let (owner, cx, locks) = (Location::caller(), cx.clone(), locks.to_vec());
    async move {
        let mut order: Vec<usize> = (0..locks.len()).collect();
        order.sort_by_key(|&at| locks[at].rank);
        let deadline = Instant::now() + within;
        let mut held: Vec<(usize, Held<'a, T>)> = Vec::with_capacity(locks.len());
        for at in order {
            let left = deadline.saturating_duration_since(Instant::now());
            let lock = locks[at];
            held.push((at, lock.take_for(cx.clone(), owner, left).await?));
        }
        held.sort_by_key(|(at, _)| *at);
        Ok(held.into_iter().map(|(_, held)| held).collect())
    }
}

#[cfg(test)]
mod tests;
