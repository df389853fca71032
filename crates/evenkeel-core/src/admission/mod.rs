//! Which inbound requests are served, in which order, and which are refused.
//!
//! A server that is offered more than it can do finishes, if it takes everything, nothing in time: every
//! request waits until its caller has given up, is served all the same, and the next one waits longer. At
//! one and a quarter times what it can do, first come, first served has served nobody in time after a second,
//! and stays there for as long as the callers retry. The same server can serve at its full capacity at ten
//! times the load, if it begins only what it can end in time, prefers what is fresh when not everything can be
//! served, and refuses the rest at the cost of a microsecond.
//!
//! [`Admission`] is told what the caller said, the deadline, and measures the rest: how services are
//! distributed, how often requests arrive, how long they may take. From that it plans how many of the newest to serve in order, and how much time
//! somebody must have left to be begun at all; [`criticality`](crate::criticality) and
//! [`tenant`](crate::tenant)s decide who comes first before either matters.
//!
//! ```
//! use evenkeel_core::admission::{Admission, Arrived, Arrival, Concurrency, Config};
//! use evenkeel_core::{outcome::Outcome, time::Instant};
//! use std::{num::NonZeroU32, time::Duration};
//!
//! let admission = Admission::new(Config::new(Concurrency::Fixed(NonZeroU32::MIN)), "api", 1);
//! let now = Instant::ZERO;
//! let soon = Arrival::new(now + Duration::from_millis(100));
//! let Ok(Arrived::Admitted(permit)) = admission.arrive(now, soon) else { panic!("one is served at once") };
//! let Ok(Arrived::Queued(mut place)) = admission.arrive(now, soon) else { panic!("the next one waits") };
//! assert!(place.poll(now).is_none());
//! let later = now + Duration::from_millis(10);
//! permit.finish(later, Outcome::Success);
//! assert!(matches!(place.poll(later), Some(Ok(_))), "its turn has come");
//! ```
//!
//! # The contract
//!
//! [`Admission::arrive`] admits, queues or refuses. A [`Place`] is polled when woken, and at its
//! [deadline](Place::deadline); it answers with a [`Permit`], or with why not. A permit is finished with the
//! time and an outcome when the work is really over: it is a worker. Dropped, each gives back what it holds,
//! and whoever is next is woken.
//!
//! # How it is kept
//!
//! One word counts who is served and who waits; nobody waits while a worker is free. So while nobody waits
//! admission is one exchange of that word. Whoever must wait, or frees a worker while somebody does, takes a
//! lock. What services were like is learned behind a `try_lock`: whoever does not get it goes on.
//!
//! Limits: work that has begun is not cancelled here, and late work costs as much as any. In a small server with tight
//! deadlines randomness alone loses a part at full load, whatever is done: two workers and a deadline of three mean
//! services lose a fifth of it. Which requests are long is not known, so long ones are not told from short ones.

mod config;
mod counts;
mod load;
mod permit;
mod word;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::PoisonError;

pub use config::{Arrival, Concurrency, Config};
use counts::Counts;
pub use counts::{ClassCounts, Snapshot};
use load::Measured;
use permit::Held;
pub use permit::{Permit, Place};
use word::Word;

use crate::criticality::level;
use crate::limiter::Limiter;
use crate::outcome::Outcome;
use crate::queue::{Next, Queue, Waiter, WaiterId};
use crate::rejection::{Reason, Rejection};
use crate::shed::{Pressure, Threshold};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, Protocol, exchange, update};
use crate::tenant::{Rates, Shares};
use crate::time::{Instant, nanos};

/// Whoever is refused for want of a worker comes back no sooner than this.
const BACK_IN: Duration = Duration::from_millis(100);

/// The admission of one server. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

/// What became of an arrival that was not refused.
#[derive(Debug)]
pub enum Arrived {
    /// Serve it now.
    Admitted(Permit),
    /// It waits for a worker.
    Queued(Place),
}

#[derive(Debug)]
struct Shared {
    /// Requests that are served, and that wait, 32 bits each. While somebody waits, no worker is free.
    word: AtomicU64,
    /// Served at once at most, unless there is a limiter.
    fixed: AtomicU64,
    limiter: Option<Limiter>,
    shed: Option<Threshold>,
    rates: Option<Rates>,
    /// Whether tenants have groups, whose workers are counted under the lock.
    grouped: bool,
    /// All that passed the threshold.
    offered: AtomicU64,
    /// Nanoseconds that somebody must have left to be begun: the plan's, for those who need not wait.
    floor: AtomicU64,
    counts: Counts,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Of groups of tenants, where there are any.
    shares: Shares,
    measured: Measured,
    /// Of those who have not asked yet.
    verdicts: BTreeMap<WaiterId, Verdict>,
    /// The latest time it was told, for those who leave without one.
    latest: Instant,
}

/// What became of somebody who waited.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// Begun then, as one of so many.
    Begun(Instant, u32),
    Refused(Rejection),
}

/// Who is to be woken once the lock is free: what it wakes may come straight back here.
type Wakers = Vec<core::task::Waker>;

impl Admission {
    /// An admission with all its workers free, for the server called `identity`. `stripes`: as many as
    /// threads call at once.
    #[must_use]
    pub fn new(config: Config, identity: &str, stripes: usize) -> Self {
        let (fixed, limiter) = match config.concurrency {
            Concurrency::Fixed(workers) => (workers.get(), None),
            Concurrency::Adaptive(config) => (0, Some(Limiter::new(config, identity, stripes))),
        };
        Self(Arc::new(Shared {
            word: AtomicU64::new(0),
            fixed: AtomicU64::new(u64::from(fixed)),
            limiter,
            shed: config.shed.as_ref().map(Threshold::new),
            rates: config.tenants.rate.as_ref().map(Rates::new),
            grouped: !config.tenants.groups.is_empty(),
            offered: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            counts: Counts::new(),
            state: Mutex::new(State {
                queue: Queue::new(),
                shares: Shares::new(&config.tenants.groups, fixed),
                measured: Measured::new(),
                verdicts: BTreeMap::new(),
                latest: Instant::ZERO,
            }),
        }))
    }

    /// Admits a request, queues it, or refuses it. What it took of its tenant's rate is given back if it is
    /// refused, whenever that is.
    ///
    /// # Errors
    /// [`Reason::DeadlineTooClose`]: it could not be served in time. [`Reason::Shed`]: what is more
    /// important needs the server.
    /// [`Reason::Overloaded`]: more wait than can be served in time. All but the first say when to come
    /// back.
    #[inline]
    pub fn arrive(&self, now: Instant, arrival: Arrival) -> Result<Arrived, Rejection> {
        let arrived = self.try_arrive(now, &arrival);
        if let Err(rejection) = &arrived {
            self.0
                .counts
                .on_refused(arrival.criticality, rejection.reason);
        }
        arrived
    }

    fn try_arrive(&self, now: Instant, arrival: &Arrival) -> Result<Arrived, Rejection> {
        let shared = &*self.0;
        let left = arrival.deadline.nanos_since(now);
        // A floor comes from those who had more time left; it does not hold where nobody is served.
        let floor = shared.floor.load(Ordering::Relaxed);
        if left == 0 || (left <= floor && !self.is_idle()) {
            return Err(Rejection::new(Reason::DeadlineTooClose));
        }
        if let Some(shed) = &shared.shed {
            let tenant = arrival.tenant.map(|tenant| tenant.id);
            if shed.refuses(now, level(arrival.criticality, arrival.cohort), tenant) {
                return Err(Rejection::new(Reason::Shed).retry_after(shed.back_in()));
            }
        }
        let mut held = Held::new(now, arrival);
        if let (Some(rates), Some(tenant)) = (&shared.rates, arrival.tenant) {
            held.taken = Some(rates.take(now, tenant)?);
        }
        shared.offered.fetch_add(1, Ordering::Relaxed);
        match self.try_begin() {
            Some(serving) => Ok(Arrived::Admitted(Permit::new(self, held, now, serving))),
            None => self.enqueue(now, arrival, held),
        }
    }

    /// Gives back what a request took of its tenant's rate, since it was refused after all.
    fn give_back(&self, held: &Held) {
        if let (Some(rates), Some(taken)) = (&self.0.rates, held.taken) {
            rates.give_back(taken);
        }
    }

    /// Tells what the driver has measured. Call it about as often as it changes, ten times a second or so.
    pub fn on_pressure(&self, now: Instant, pressure: Pressure) {
        if let Some(shed) = &self.0.shed {
            shed.on_pressure(now, pressure);
        }
    }

    /// Serves as many at once from now on, if their number is fixed. Whoever is being served stays; fewer workers
    /// come about as they finish.
    pub fn resize(&self, now: Instant, workers: core::num::NonZeroU32) {
        if self.0.limiter.is_none() {
            self.0
                .fixed
                .store(u64::from(workers.get()), Ordering::Relaxed);
            self.locked(|state| self.dispatch(state, now));
        }
    }

    /// What the admission shows of itself.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let word = self.word();
        let shared = &*self.0;
        let state = self.lock();
        let plan = state.queue.plan();
        Snapshot {
            limit: self.limit(),
            serving: word.serving(),
            waiting: word.waiting(),
            oldest_wait: state.queue.oldest().map(|since| now.since(since)),
            window: u32::try_from(plan.window).unwrap_or(u32::MAX),
            floor: Duration::from_nanos(plan.floor),
            mean_service: Duration::from_nanos(state.measured.mean()),
            shed_share: shared.shed.as_ref().map(Threshold::share),
            shed_level: shared.shed.as_ref().map(Threshold::level),
            limiter: shared.limiter.as_ref().map(Limiter::snapshot),
            groups: state.shares.snapshot(),
            classes: shared.counts.read(),
        }
    }

    /// Takes a worker that nobody waits for; answers how many are busy with it.
    #[inline]
    fn try_begin(&self) -> Option<u32> {
        if self.0.grouped {
            return None;
        }
        let limit = self.limit();
        let taken = update(Protocol::Admission, &self.0.word, |held| {
            let held = Word(held);
            (held.waiting() == 0 && held.serving() < limit)
                .then(|| Word::new(held.serving() + 1, 0).0)
        });
        taken.map(|(_, now)| Word(now).serving())
    }

    #[cold]
    fn enqueue(&self, now: Instant, arrival: &Arrival, held: Held) -> Result<Arrived, Rejection> {
        let arrived = self.locked(|state| {
            state.latest = state.latest.max(now);
            state.measured.on_allowed(held.allowed);
            // Under the lock, so that whoever frees a worker and sees this waiter finds it in the queue.
            self.moved(0, 1);
            let mean = state.measured.mean().max(1);
            let tenant = held.tenant.unwrap_or_default();
            let id = state.queue.push(Waiter {
                since: now,
                deadline: arrival.deadline,
                class: arrival.criticality,
                tenant: tenant.id,
                weight: tenant.weight.get(),
                group: tenant.group,
                cost: arrival.cost.map_or(mean, |cost| nanos(cost).max(1)),
                waker: None,
            });
            if self.0.grouped {
                state.shares.on_waiting(tenant.group.into(), 1);
            }
            // A worker that came free meanwhile has found nobody.
            let mut wakers = self.dispatch(state, now).1;
            wakers.extend(self.refuse_excess(state));
            let arrived = match state.verdicts.remove(&id) {
                None => Ok(Arrived::Queued(Place::new(
                    self,
                    id,
                    arrival.deadline,
                    held,
                ))),
                Some(Verdict::Begun(began, serving)) => {
                    Ok(Arrived::Admitted(Permit::new(self, held, began, serving)))
                }
                Some(Verdict::Refused(rejection)) => Err(rejection),
            };
            (arrived, wakers)
        });
        if arrived.is_err() {
            self.give_back(&held);
        }
        arrived
    }

    /// Refuses whoever waits beyond what can be served.
    fn refuse_excess(&self, state: &mut State) -> Wakers {
        let limit = self.limit();
        let mut wakers = Wakers::new();
        while let Some((id, waiter)) = state.queue.pop_excess() {
            let waiting = u64::try_from(state.queue.len()).unwrap_or(u64::MAX);
            let drained = state.measured.mean().saturating_mul(waiting) / u64::from(limit.max(1));
            let back_in = Duration::from_nanos(drained).max(BACK_IN);
            let rejection = Rejection::new(Reason::Overloaded).retry_after(back_in);
            self.moved(0, -1);
            self.left(state, &waiter);
            wakers.extend(waiter.waker);
            state.verdicts.insert(id, Verdict::Refused(rejection));
        }
        wakers
    }

    /// Gives free workers to whoever is next. Afterwards no worker is free, or nobody waits who
    /// may use it.
    fn dispatch(&self, state: &mut State, now: Instant) -> ((), Wakers) {
        let limit = self.limit();
        let mut wakers = Wakers::new();
        if self.0.grouped {
            state.shares.resize(limit);
            state.shares.fit(now);
        }
        while self.word().serving() < limit {
            let (grouped, shares) = (self.0.grouped, &state.shares);
            let is_own = |group: u8| !grouped || shares.is_own(group.into());
            let next = state.queue.pop(now, is_own).or_else(|| {
                let admits = |group: u8| grouped && shares.admits(group.into());
                state.queue.pop(now, admits)
            });
            let Some(next) = next else {
                break;
            };
            let (id, waiter, verdict) = match next {
                Next::Begin(id, waiter) => {
                    let serving = self.moved(1, -1).serving();
                    if grouped {
                        state.shares.on_begun(waiter.group.into());
                    }
                    (id, waiter, Verdict::Begun(now, serving))
                }
                Next::TooLate(id, waiter) => {
                    self.moved(0, -1);
                    let rejection = Rejection::new(Reason::DeadlineTooClose);
                    (id, waiter, Verdict::Refused(rejection))
                }
            };
            self.left(state, &waiter);
            state.verdicts.insert(id, verdict);
            wakers.extend(waiter.waker);
        }
        ((), wakers)
    }

    /// Somebody waits no longer.
    fn left(&self, state: &mut State, waiter: &Waiter) {
        if self.0.grouped {
            state.shares.on_waiting(waiter.group.into(), -1);
        }
    }

    /// A worker is free: for whoever is next, or for anyone. What came of it is learned.
    fn release(&self, held: &Held, began: Instant, serving: u32, end: Option<(Instant, Outcome)>) {
        if let (Some(limiter), Some((now, outcome))) = (&self.0.limiter, end) {
            limiter.observe(held.stripe, serving, now.since(began), now, outcome);
        }
        let mut word = self.word();
        while word.waiting() == 0 && !self.0.grouped {
            let freed = Word::new(word.serving() - 1, 0);
            match exchange(Protocol::Admission, &self.0.word, word.0, freed.0) {
                Ok(_) => {
                    // Whoever does not get the lock goes on: others learn as well.
                    if let Ok(mut state) = self.0.state.try_lock() {
                        self.learn(&mut state, held, began, end);
                    }
                    return;
                }
                Err(other) => word = Word(other),
            }
        }
        self.locked(|state| {
            self.learn(state, held, began, end);
            self.moved(-1, 0);
            if self.0.grouped {
                let group = held.tenant.unwrap_or_default().group;
                state.shares.on_finished(group.into());
            }
            let now = end.map_or(state.latest, |(now, _)| now);
            self.dispatch(state, now)
        });
    }

    fn learn(
        &self,
        state: &mut State,
        held: &Held,
        began: Instant,
        end: Option<(Instant, Outcome)>,
    ) {
        let Some((now, outcome)) = end else { return };
        state.latest = state.latest.max(now);
        if outcome == Outcome::Ignored {
            return;
        }
        let took = now.since(began);
        state.measured.on_allowed(held.allowed);
        state.measured.on_service(took);
        let thought = held.cost.map_or(state.measured.mean(), nanos);
        let tenant = held.tenant.unwrap_or_default().id;
        state
            .queue
            .correct(held.class, tenant, thought, nanos(took));
        let offered = self.0.offered.load(Ordering::Relaxed);
        if let Some(plan) = state.measured.plan(now, offered, self.limit()) {
            state.queue.set_plan(plan);
            self.0.floor.store(plan.lenient, Ordering::Relaxed);
        }
    }

    /// Leaves the queue; a worker it had been given goes to the next.
    fn leave(&self, id: WaiterId, held: &Held) {
        // Dropped outside the lock.
        let mut left = None;
        let given = self.locked(|state| {
            left = state.queue.remove(id);
            if let Some(waiter) = &left {
                self.moved(0, -1);
                self.left(state, waiter);
                return (None, Wakers::new());
            }
            (state.verdicts.remove(&id), Wakers::new())
        });
        drop(left);
        if let Some(Verdict::Begun(began, serving)) = given {
            self.release(held, began, serving, None);
        }
    }

    /// Moves the counts of the word; under the lock, where waiters come and go.
    fn moved(&self, serving: i32, waiting: i32) -> Word {
        let moved = update(Protocol::Admission, &self.0.word, |word| {
            let word = Word(word);
            let serving = word.serving().wrapping_add_signed(serving);
            Some(Word::new(serving, word.waiting().wrapping_add_signed(waiting)).0)
        });
        Word(moved.map_or(0, |(_, after)| after))
    }

    fn limit(&self) -> u32 {
        match &self.0.limiter {
            Some(limiter) => limiter.limit(),
            None => u32::try_from(self.0.fixed.load(Ordering::Relaxed)).unwrap_or(u32::MAX),
        }
    }

    fn word(&self) -> Word {
        Word(self.0.word.load(Ordering::Relaxed))
    }

    fn is_idle(&self) -> bool {
        self.word().serving() == 0
    }

    fn lock(&self) -> crate::sync::MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so a poisoned state is still a whole one.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked<T>(&self, on: impl FnOnce(&mut State) -> (T, Wakers)) -> T {
        let (answer, wakers) = on(&mut self.lock());
        wakers.into_iter().for_each(core::task::Waker::wake);
        answer
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
