//! Leaving a dependency alone while it cannot answer.
//!
//! A dependency that is down costs its callers their timeouts, their slots and their patience, and the
//! calls keep it down. A circuit breaker stops calling after a while, asks carefully whether it is back,
//! and returns the traffic by and by.
//!
//! ```text
//!            failures                   interval over
//!  +--------+ -------------> +------+ -----------------> +-----------+
//!  | closed |                | open |                    | half-open |
//!  +--------+ <--- ramp ---+ +------+ <--- a probe  ---- +-----------+
//!                          |               failed          |
//!                          +------- enough probes succeeded +
//! ```
//!
//! * **Closed** counts calls in a sliding window and opens at a share of failures or of slow calls, given
//!   enough calls and enough time, or after so many failures in a row. Only a failure or a slow call is
//!   cause to look. An attempt that runs for too long is slow **while it runs**: a dependency that hangs is
//!   noticed when its answers should have come, not when their callers give up.
//! * **Open** refuses, and says when to come back. The interval doubles each time the circuit re-opens, is
//!   spread so that a fleet does not probe in step, and is capped after that.
//! * **Half-open** lets a few probes through, each with a lease: one that does not report in time counts
//!   as failed and frees its place. A probe that says nothing about the dependency hands its place back.
//! * After closing, the circuit **ramps**: it admits a share that grows from a tenth to all.
//!
//! A person may take over: [`Mode`] keeps a circuit open, or switches it off, or lets it only observe.
//!
//! Every permit carries the generation of the state that issued it. What it reports later reaches that
//! state only: a slow success from before the trip closes nothing, a late failure re-opens nothing.
//! Refusals are never counted: a breaker that learns from its own answers stays open by itself.
//!
//! Limits: times are kept to the millisecond.
//!
//! Sources: windows and rates as in resilience4j, generations as in gobreaker, growing intervals as in
//! Finagle and Linkerd; leases and the ramp are our own.

mod admit;
mod closed;
mod config;
mod half_open;
mod lease;
mod mode;
mod slow;
mod state;
mod word;

use core::time::Duration;

pub(crate) use closed::RunningSlow;
pub use config::{Config, FailureRate, MAX_PROBES, OpenInterval, Probes, SlowRate, SlowerThan};
use lease::{Lease, Leases};
pub use mode::Mode;
use slow::Slow;
pub use state::{Cause, Snapshot, State, Transition};
use word::{Generation, Kind, ProbeTally, Word};

use crate::entropy::{Entropy, hash};
use crate::outcome::Outcome;
use crate::ratio::Ratio;
use crate::rejection::{Reason, Rejection};
use crate::stripe::Stripe;
use crate::sync::{Arc, AtomicU64, Ordering, Protocol, exchange};
use crate::time::Instant;
use crate::window::{RatioWindow, Totals};

/// A dependency's wish to be left alone is honoured for this long at most.
const MAX_HOLD: Duration = Duration::from_secs(30);

/// A circuit breaker. Cheap to clone; clones are one breaker.
///
/// ```
/// use evenkeel_core::breaker::{Breaker, Config, State};
/// use evenkeel_core::{entropy::Entropy, outcome::Outcome, time::Instant};
/// use std::time::Duration;
///
/// let breaker = Breaker::new(Config::classic(), "payments", 1);
/// let (mut dice, start) = (Entropy::new(1), Instant::ZERO);
/// for _ in 0..5 {
///     breaker.try_acquire(start, &mut dice).unwrap().finish(start, Outcome::Failure);
/// }
/// let refused = breaker.try_acquire(start, &mut dice).unwrap_err();
/// assert_eq!(refused.retry_after, Some(Duration::from_secs(30)));
///
/// let later = start + Duration::from_secs(30);
/// let probe = breaker.try_acquire(later, &mut dice).unwrap();
/// assert!(breaker.try_acquire(later, &mut dice).is_err(), "one probe at a time");
/// probe.finish(later, Outcome::Success);
/// assert_eq!(breaker.snapshot(later).state, State::Closed);
/// ```
#[derive(Debug, Clone)]
pub struct Breaker {
    circuit: Arc<Circuit>,
}

/// One reference to count: a permit has one of its own.
#[derive(Debug)]
struct Circuit {
    config: Config,
    state: Arc<CircuitState>,
}

/// What outlives a change of the configuration.
#[derive(Debug)]
struct CircuitState {
    /// Mixed into the jitter of the open interval, with the generation: whoever wins a race to open the
    /// circuit, the interval is the same.
    identity: u64,
    word: AtomicU64,
    /// What the window looks back on, and when that is enough to go by.
    looks_back: FailureRate,
    window: RatioWindow,
    slow: Option<Slow>,
    /// From how many nanoseconds on a call may be slow; `u64::MAX`: never.
    slow_floor: u64,
    leases: Leases,
    /// Until when, in nanoseconds, the dependency asked to be left alone. Only ever moves forward.
    hold: AtomicU64,
    /// When the circuit last closed, in nanoseconds: what came before is another state's. Only ever moves
    /// forward.
    closed_at: AtomicU64,
    /// Whether refusals are counted and not made: 0 or 1.
    observes: AtomicU64,
    /// Refusals that were not made.
    unenforced: AtomicU64,
    /// Transitions into closed, open and half-open.
    entered: [AtomicU64; 3],
}

/// What an admitted attempt carries: the core's own form of a [`Permit`], without the handle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    generation: Generation,
    lease: Option<Lease>,
}

impl Admission {
    const fn counted(word: Word) -> Self {
        Self {
            generation: word.generation(),
            lease: None,
        }
    }

    /// Let through whatever the circuit says: what becomes of it says nothing to the circuit.
    const fn uncounted(word: Word) -> Self {
        Self {
            generation: word.generation().of_nobody(),
            lease: None,
        }
    }

    /// Whether it was let through while half-open.
    pub(crate) const fn is_probe(&self) -> bool {
        self.lease.is_some()
    }
}

/// The right to one attempt. Report its outcome with [`Permit::finish`]; dropped, it hands its place back
/// and counts for nothing.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once admits nothing"]
pub struct Permit {
    breaker: Breaker,
    started: Instant,
    admission: Option<Admission>,
}

impl Permit {
    /// Reports how the attempt ended; answers the transition that this made, if it made one.
    pub fn finish(mut self, now: Instant, outcome: Outcome) -> Option<Transition> {
        let admission = self.admission.take()?;
        let took = now.nanos_since(self.started);
        self.breaker
            .settle(Stripe::default(), admission, now, took, outcome)
    }

    /// Whether this is a probe, let through while half-open.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.admission
            .is_some_and(|admission| admission.lease.is_some())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            // An ignored outcome moves nothing that needs the time.
            self.breaker.settle(
                Stripe::default(),
                admission,
                Instant::ZERO,
                0,
                Outcome::Ignored,
            );
        }
    }
}

impl Breaker {
    /// A closed circuit for the dependency called `identity`, counting on `stripes` stripes: as many as
    /// threads call it at once.
    #[must_use]
    pub fn new(config: Config, identity: &str, stripes: usize) -> Self {
        let state = CircuitState::new(&config, hash(identity), stripes);
        let breaker = Self::of(config, Arc::new(state));
        breaker.set_mode(breaker.circuit.config.mode, Instant::ZERO);
        breaker
    }

    fn of(config: Config, state: Arc<CircuitState>) -> Self {
        Self {
            circuit: Arc::new(Circuit { config, state }),
        }
    }

    /// The same circuit under another configuration: its state, and what is under way, stay what they are.
    /// Counts begin anew if they would be counted differently; a mode set at run time holds until the
    /// configuration asks for another.
    #[must_use]
    pub fn successor(&self, config: Config, stripes: usize, now: Instant) -> Self {
        let counts_alike = config.window() == self.circuit.config.window()
            && config.slow == self.circuit.config.slow;
        let state = if counts_alike {
            self.circuit.state.clone()
        } else {
            let fresh = CircuitState::new(&config, self.circuit.state.identity, stripes);
            fresh.take_over(&self.circuit.state);
            Arc::new(fresh)
        };
        let mode = (config.mode != self.circuit.config.mode).then_some(config.mode);
        let breaker = Self::of(config, state);
        if let Some(mode) = mode {
            breaker.set_mode(mode, now);
        }
        breaker
    }

    /// Asks for the right to one attempt.
    ///
    /// # Errors
    /// [`Reason::BreakerOpen`], with the time after which asking again is worth it.
    pub fn try_acquire(&self, now: Instant, dice: &mut Entropy) -> Result<Permit, Rejection> {
        let (admitted, _) = self.admit(now, dice, u64::MAX);
        Ok(Permit {
            breaker: self.clone(),
            started: now,
            admission: Some(admitted?),
        })
    }

    /// Keeps the circuit open, once it opens, until `wait` from now: the dependency asked for it. Held to
    /// 30 s.
    pub fn hold(&self, now: Instant, wait: Duration) {
        let until = (now + wait.min(MAX_HOLD)).as_nanos();
        self.circuit.state.hold.fetch_max(until, Ordering::Relaxed);
    }

    /// What the breaker shows of itself. Consumes nothing and moves nothing.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let word = self.word();
        let closed = is_closed(word);
        let totals = if closed {
            self.totals(now)
        } else {
            Totals::default()
        };
        let slow = self.circuit.state.slow.as_ref();
        let (ended, running) = slow.filter(|_| closed).map_or((0, 0), |slow| {
            slow.count(now, self.window_begin(), word.generation())
        });
        Snapshot {
            mode: self.mode(),
            state: state(word.kind()),
            admitted: if word.kind() == Kind::Ramping {
                self.ramp(word, now)
            } else {
                Ratio::ONE
            },
            reopens: word.reopens(),
            calls: totals.calls,
            bad: totals.bad,
            slow: ended,
            running_slow: u32::try_from(running).unwrap_or(u32::MAX),
            slow_after: slow.and_then(Slow::known_threshold),
            consecutive: if closed { word.consecutive() } else { 0 },
            probes: if word.kind() == Kind::HalfOpen {
                word.probes().under_way
            } else {
                0
            },
            retry_after: self.open_until(word, now),
            entered: core::array::from_fn(|at| {
                self.circuit.state.entered[at].load(Ordering::Relaxed)
            }),
            unenforced: self.circuit.state.unenforced.load(Ordering::Relaxed),
        }
    }

    /// Whether calls flow: all of them, or a share that grows.
    pub(crate) fn is_closed(&self) -> bool {
        is_closed(self.word())
    }

    /// Lets an attempt through that the circuit has refused, and learns nothing from it; not against a person.
    pub(crate) fn overrule(&self) -> Option<Admission> {
        let word = self.word();
        (word.kind() != Kind::Forced).then(|| Admission::uncounted(word))
    }

    /// Whether a call that comes at `when` is certain to be refused, unless somebody moves the circuit.
    pub(crate) fn refuses(&self, when: Instant) -> bool {
        let word = self.word();
        let refuses = word.kind() == Kind::Forced || self.open_until(word, when).is_some();
        refuses && !self.observes()
    }

    /// How long a call that came now would be told to stay away.
    fn open_until(&self, word: Word, now: Instant) -> Option<Duration> {
        (word.kind() == Kind::Open)
            .then(|| self.open_for(word, now))
            .filter(|wait| !wait.is_zero())
    }

    /// What happened before `now` is another state's.
    fn looks_back_to(&self, now: Instant) {
        self.circuit
            .state
            .closed_at
            .fetch_max(now.as_nanos(), Ordering::Relaxed);
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.circuit.state.word.load(Ordering::Relaxed))
    }

    /// Moves from one whole state to another, if nobody else did.
    fn transit(&self, from: Word, to: Word, cause: Cause) -> Option<Transition> {
        exchange(Protocol::Breaker, &self.circuit.state.word, from.0, to.0).ok()?;
        let transition = Transition {
            from: state(from.kind()),
            to: state(to.kind()),
            cause,
        };
        self.circuit.state.entered[transition.to as usize].fetch_add(1, Ordering::Relaxed);
        Some(transition)
    }
}

impl CircuitState {
    fn new(config: &Config, identity: u64, stripes: usize) -> Self {
        let looks_back = config.window();
        let slow = config
            .slow
            .as_ref()
            .map(|slow| Slow::new(slow, looks_back.window));
        Self {
            identity,
            word: AtomicU64::new(Word::BORN.0),
            // Without a rule that needs it the window only informs the snapshot.
            window: RatioWindow::new(looks_back.window, stripes),
            looks_back,
            slow_floor: slow.as_ref().map_or(u64::MAX, |slow| slow.floor),
            slow,
            leases: Leases::new(),
            hold: AtomicU64::new(0),
            closed_at: AtomicU64::new(0),
            observes: AtomicU64::new(0),
            unenforced: AtomicU64::new(0),
            entered: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Goes on where `old` is. Probes under way stay with the old state: as if they had been dropped.
    fn take_over(&self, old: &Self) {
        let held = Word(old.word.load(Ordering::Relaxed));
        let kept = if held.kind() == Kind::HalfOpen {
            held.with_probes(ProbeTally::default())
        } else {
            held
        };
        self.word.store(kept.0, Ordering::Relaxed);
        let words = [
            (&self.hold, &old.hold),
            (&self.closed_at, &old.closed_at),
            (&self.observes, &old.observes),
            (&self.unenforced, &old.unenforced),
        ];
        for (new, old) in words
            .into_iter()
            .chain(self.entered.iter().zip(&old.entered))
        {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

fn refused(wait: Duration) -> Rejection {
    Rejection::new(Reason::BreakerOpen).retry_after(wait)
}

/// Nobody knows for how long.
const fn refused_by_hand() -> Rejection {
    Rejection::new(Reason::BreakerOpen)
}

const fn is_closed(word: Word) -> bool {
    matches!(word.kind(), Kind::Closed | Kind::Ramping)
}

const fn state(kind: Kind) -> State {
    match kind {
        Kind::Closed | Kind::Ramping | Kind::Disabled => State::Closed,
        Kind::Open | Kind::Forced => State::Open,
        Kind::HalfOpen => State::HalfOpen,
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
