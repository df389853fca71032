//! What is alive, since when, and whose it is.
//!
//! A service that leaks looks well until it is out of something: a task that nobody awaits, a lock that
//! is held by a request whose caller left an hour ago. Counting them says that there is a leak, never
//! where. So everything that is held here for a while (a task, a lock, a flight, a job) is registered
//! with its kind, its name, its age, its deadline and the line that made it, and leaves the register
//! when it is dropped, however that happens.
//!
//! The register informs and decides nothing. It is found through the [`Context`], so that
//! two tests in one process have each their own; what runs outside any context shares the process's.
//! Registering costs a lock of one shard and no search; reading locks the shards one after the other.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;

/// A name: written in the source in most cases, made from data in some.
pub type Name = Cow<'static, str>;

/// Eight shards are as many as threads meet in while they register; more would only cost the reader.
const SHARDS: usize = 8;

/// Past its deadline by this much, what is still alive is reported: it should have ended by itself, and
/// did not.
const GRACE: Duration = Duration::from_secs(5);

/// What kind of thing is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A spawned task.
    Task,
    /// A part of the service that a [`Lifecycle`](crate::lifecycle::Lifecycle) runs.
    Component,
    /// A job of a worker pool, from its submission to its end.
    Job,
    /// A lock that is held.
    Lock,
    /// A call that several callers share.
    Flight,
    /// A claim on an idempotency key.
    Claim,
}

impl Kind {
    /// The kind in one lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Component => "component",
            Self::Job => "job",
            Self::Lock => "lock",
            Self::Flight => "flight",
            Self::Claim => "claim",
        }
    }
}

/// One thing that is alive.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Live {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The line that made it.
    pub owner: &'static Location<'static>,
    /// When it was made.
    pub since: Instant,
    /// When it should have ended; none if nothing says.
    pub deadline: Option<Instant>,
}

impl Live {
    /// How old it is.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether it outlived its deadline by more than five seconds: it does not heed it.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now().saturating_duration_since(deadline) > GRACE)
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} `{}`, {:?} old, from {}:{}",
            self.kind.as_str(),
            self.name,
            self.age(),
            self.owner.file(),
            self.owner.line()
        )
    }
}

/// A register of what is alive. Cheap to clone; clones are one register.
///
/// ```
/// use evenkeel::leaks::{Kind, Register};
///
/// let register = Register::new();
/// let held = register.enter(Kind::Task, "reindex", None);
/// assert_eq!(register.live().len(), 1);
/// assert_eq!(register.live()[0].name, "reindex");
/// drop(held);
/// assert!(register.live().is_empty());
/// ```
#[derive(Clone, Default)]
pub struct Register(Arc<Shards>);

#[derive(Default)]
struct Shards {
    shards: [Mutex<Slab>; SHARDS],
    next: AtomicUsize,
}

/// Entries at stable places, whose free places are used again: its size is the most that were ever alive
/// at once.
#[derive(Default)]
struct Slab {
    entries: Vec<Option<Live>>,
    free: Vec<usize>,
}

impl Register {
    /// An empty register.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The register of the present context; outside any, the process's.
    #[must_use]
    pub fn current() -> Self {
        Context::with_current(|cx| cx.register().clone()).unwrap_or_else(Self::of_process)
    }

    /// The register of what runs outside any context.
    pub(crate) fn of_process() -> Self {
        static PROCESS: LazyLock<Register> = LazyLock::new(Register::new);
        PROCESS.clone()
    }

    /// Registers something until what is returned is dropped.
    #[track_caller]
    pub fn enter(
        &self,
        kind: Kind,
        name: impl Into<Name>,
        deadline: Option<Instant>,
    ) -> Registration {
        let live = Live {
            kind,
            name: name.into(),
            owner: Location::caller(),
            since: Instant::now(),
            deadline,
        };
        self.enter_as(live)
    }

    pub(crate) fn enter_as(&self, live: Live) -> Registration {
        let shard = self.0.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut slab = lock(&self.0.shards[shard]);
        let place = slab.free.pop().unwrap_or_else(|| {
            slab.entries.push(None);
            slab.entries.len() - 1
        });
        slab.entries[place] = Some(live);
        drop(slab);
        Registration {
            register: self.clone(),
            shard,
            place,
        }
    }

    /// All that is alive, the oldest first.
    #[must_use]
    pub fn live(&self) -> Vec<Live> {
        let mut live: Vec<Live> = Vec::new();
        for shard in &self.0.shards {
            live.extend(lock(shard).entries.iter().flatten().cloned());
        }
        live.sort_by_key(|live| live.since);
        live
    }

    /// What outlived its deadline by more than five seconds, the oldest first.
    #[must_use]
    pub fn overdue(&self) -> Vec<Live> {
        let mut live = self.live();
        live.retain(Live::is_overdue);
        live
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.live()).finish()
    }
}

/// Keeps something in the register while it lives.
#[derive(Debug)]
#[must_use = "dropping it says that what it stands for is over"]
pub struct Registration {
    register: Register,
    shard: usize,
    place: usize,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut slab = lock(&self.register.0.shards[self.shard]);
        slab.entries[self.place] = None;
        slab.free.push(self.place);
    }
}

/// A panic elsewhere leaves a slab whole: nothing in it is ever half written.
fn lock(shard: &Mutex<Slab>) -> std::sync::MutexGuard<'_, Slab> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_outlives_its_deadline_by_five_seconds_is_overdue() {
        let register = Register::new();
        let deadline = Instant::now() + Duration::from_secs(1);
        let _held = register.enter(Kind::Lock, "ledger", Some(deadline));
        let _endless = register.enter(Kind::Task, "server", None);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(register.overdue().is_empty(), "just in time");
        tokio::time::advance(Duration::from_millis(1)).await;
        let overdue = register.overdue();
        assert_eq!(overdue.len(), 1);
        assert!(
            overdue[0]
                .to_string()
                .starts_with("lock `ledger`, 6.001s old, from "),
            "{}",
            overdue[0]
        );
    }

    #[test]
    fn places_are_used_again() {
        let register = Register::new();
        for _ in 0..1000 {
            drop(register.enter(Kind::Task, "short", None));
        }
        let places = |shard: &Mutex<Slab>| lock(shard).entries.len();
        assert_eq!(register.0.shards.iter().map(places).sum::<usize>(), SHARDS);
    }

    #[test]
    fn what_panics_leaves_the_register_too() {
        let register = Register::new();
        let held = register.clone();
        let thread = std::thread::spawn(move || {
            let _held = held.enter(Kind::Task, "doomed", None);
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert!(register.live().is_empty());
    }
}
