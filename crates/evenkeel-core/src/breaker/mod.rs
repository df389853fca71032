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
//! * **Closed** counts calls in a sliding window and opens at a share of failures, given enough calls and
//!   enough time, or after so many failures in a row. Only a failure is cause to look.
//! * **Open** refuses, and says when to come back. The interval doubles each time the circuit re-opens, is
//!   spread so that a fleet does not probe in step, and is capped after that.
//! * **Half-open** lets a few probes through, each with a lease: one that does not report in time counts
//!   as failed and frees its place. A probe that says nothing about the dependency hands its place back.
//! * After closing, the circuit **ramps**: it admits a share that grows from a tenth to all.
//!
//! Every permit carries the generation of the state that issued it. What it reports later reaches that
//! state only: a slow success from before the trip closes nothing, a late failure re-opens nothing.
//! Refusals are never counted: a breaker that learns from its own answers stays open by itself.
//!
//! Limits: times are kept to the millisecond; one breaker judges one dependency, not its single hosts.
//!
//! Sources: windows and rates as in resilience4j, generations as in gobreaker, growing intervals as in
//! Finagle and Linkerd; leases and the ramp are our own.

mod config;
mod half_open;
mod lease;
mod state;
mod word;

use core::time::Duration;

pub use config::{Config, FailureRate, MAX_PROBES, OpenInterval, Probes};
use lease::{Lease, Leases};
pub use state::{Cause, Snapshot, State, Transition};
use word::{Generation, Kind, ProbeTally, Word, millis};

use crate::entropy::{Entropy, hash};
use crate::outcome::Outcome;
use crate::ratio::Ratio;
use crate::rejection::{Reason, Rejection};
use crate::stripe::Stripe;
use crate::sync::{Arc, AtomicU64, Ordering, Protocol, exchange, update};
use crate::time::{Instant, nanos};
use crate::window::RatioWindow;

/// Where a ramp starts: a tenth of the traffic.
const RAMP_START: Ratio = Ratio::from_permille(100);

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
pub struct Breaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    /// Mixed into the jitter of the open interval, with the generation: whoever wins a race to open the
    /// circuit, the interval is the same.
    identity: u64,
    word: AtomicU64,
    window: RatioWindow,
    leases: Leases,
    /// Until when, in nanoseconds, the dependency asked to be left alone. Only ever moves forward.
    hold: AtomicU64,
    /// When the circuit last closed, in nanoseconds: what came before is another state's. Only ever moves
    /// forward.
    closed_at: AtomicU64,
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
    admission: Option<Admission>,
}

impl Permit {
    /// Reports how the attempt ended; answers the transition that this made, if it made one.
    pub fn finish(mut self, now: Instant, outcome: Outcome) -> Option<Transition> {
        let admission = self.admission.take()?;
        self.breaker
            .settle(Stripe::default(), admission, now, outcome)
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
        // Without a rate rule the window only informs the snapshot.
        let window = config
            .rate
            .as_ref()
            .map_or(Duration::from_secs(10), |rate| rate.window);
        Self(Arc::new(Shared {
            window: RatioWindow::new(window, stripes),
            identity: hash(identity),
            word: AtomicU64::new(Word::BORN.0),
            leases: Leases::new(),
            hold: AtomicU64::new(0),
            closed_at: AtomicU64::new(0),
            entered: core::array::from_fn(|_| AtomicU64::new(0)),
            config,
        }))
    }

    /// Asks for the right to one attempt.
    ///
    /// # Errors
    /// [`Reason::BreakerOpen`], with the time after which asking again is worth it.
    pub fn try_acquire(&self, now: Instant, dice: &mut Entropy) -> Result<Permit, Rejection> {
        let (admitted, _) = self.admit(now, dice, u64::MAX);
        Ok(Permit {
            breaker: self.clone(),
            admission: Some(admitted?),
        })
    }

    /// Keeps the circuit open, once it opens, until `wait` from now: the dependency asked for it. Held to
    /// 30 s.
    pub fn hold(&self, now: Instant, wait: Duration) {
        let until = (now + wait.min(MAX_HOLD)).as_nanos();
        self.0.hold.fetch_max(until, Ordering::Relaxed);
    }

    /// What the breaker shows of itself. Consumes nothing and moves nothing.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let word = self.word();
        let closed = matches!(word.kind(), Kind::Closed | Kind::Ramping);
        let totals = self.0.window.totals(now, self.window_begin());
        Snapshot {
            state: state(word.kind()),
            admitted: if word.kind() == Kind::Ramping {
                self.ramp(word, now)
            } else {
                Ratio::ONE
            },
            reopens: word.reopens(),
            calls: if closed { totals.calls } else { 0 },
            bad: if closed { totals.bad } else { 0 },
            consecutive: if closed { word.consecutive() } else { 0 },
            probes: if word.kind() == Kind::HalfOpen {
                word.probes().under_way
            } else {
                0
            },
            retry_after: self.refusal(now),
            entered: core::array::from_fn(|at| self.0.entered[at].load(Ordering::Relaxed)),
        }
    }

    /// Whether calls flow: all of them, or a share that grows.
    pub(crate) fn is_closed(&self) -> bool {
        is_closed(self.word())
    }

    /// How long a call that came now would be told to stay away, if it is certain to be refused.
    pub(crate) fn refusal(&self, now: Instant) -> Option<Duration> {
        let word = self.word();
        (word.kind() == Kind::Open)
            .then(|| self.open_for(word, now))
            .filter(|wait| !wait.is_zero())
    }

    /// Admits an attempt or refuses it; either may have moved the circuit. A probe's lease is
    /// `attempt_timeout`, in nanoseconds, where the attempt has one.
    #[inline]
    pub(crate) fn admit(
        &self,
        now: Instant,
        dice: &mut Entropy,
        attempt_timeout: u64,
    ) -> (Result<Admission, Rejection>, Option<Transition>) {
        let word = self.word();
        if word.kind() == Kind::Closed {
            return (
                Ok(Admission {
                    generation: word.generation(),
                    lease: None,
                }),
                None,
            );
        }
        self.admit_unless_healthy(now, dice, attempt_timeout)
    }

    #[cold]
    fn admit_unless_healthy(
        &self,
        now: Instant,
        dice: &mut Entropy,
        attempt_timeout: u64,
    ) -> (Result<Admission, Rejection>, Option<Transition>) {
        let mut moved = None;
        loop {
            let word = self.word();
            let admitted = match word.kind() {
                Kind::Closed => Ok(Admission {
                    generation: word.generation(),
                    lease: None,
                }),
                Kind::Ramping => match self.admit_ramping(word, now, dice) {
                    Some(admitted) => admitted,
                    None => continue,
                },
                Kind::Open => {
                    let wait = self.open_for(word, now);
                    if !wait.is_zero() {
                        return (Err(refused(wait)), moved);
                    }
                    let first = ProbeTally {
                        under_way: 1,
                        ..ProbeTally::default()
                    };
                    let half_open = word
                        .next(Kind::HalfOpen, word.reopens(), now)
                        .with_probes(first);
                    let Some(transition) = self.transit(word, half_open, Cause::IntervalOver)
                    else {
                        continue;
                    };
                    moved = Some(transition);
                    Ok(self.probe(half_open, now, attempt_timeout))
                }
                Kind::HalfOpen => {
                    if self.0.leases.revoke_expired(word.generation(), now) {
                        moved = self
                            .count_probe(word.generation(), now, Outcome::Overload)
                            .or(moved);
                        continue;
                    }
                    match self.admit_probe(word, now) {
                        Some(Ok(counted)) => Ok(self.probe(counted, now, attempt_timeout)),
                        Some(Err(rejection)) => Err(rejection),
                        None => continue,
                    }
                }
            };
            return (admitted, moved);
        }
    }

    /// Takes back what [`Breaker::admit`] gave, with what became of it; counts on `stripe`.
    #[inline]
    pub(crate) fn settle(
        &self,
        stripe: Stripe,
        admission: Admission,
        now: Instant,
        outcome: Outcome,
    ) -> Option<Transition> {
        if let Some(lease) = admission.lease {
            return if self.0.leases.release(lease) {
                self.count_probe(admission.generation, now, outcome)
            } else {
                None
            };
        }
        let word = self.word();
        if outcome == Outcome::Ignored || word.generation() != admission.generation {
            return None;
        }
        self.0.window.record(stripe, now, outcome.is_bad());
        if outcome.is_bad() {
            return self.count_failure(admission.generation, now);
        }
        if word.consecutive() != 0 {
            update(Protocol::Breaker, &self.0.word, |held| {
                let held = Word(held);
                let ours = is_closed(held) && held.generation() == admission.generation;
                (ours && held.consecutive() != 0).then(|| held.with_consecutive(0).0)
            });
        }
        None
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.0.word.load(Ordering::Relaxed))
    }

    /// Moves from one whole state to another, if nobody else did.
    fn transit(&self, from: Word, to: Word, cause: Cause) -> Option<Transition> {
        exchange(Protocol::Breaker, &self.0.word, from.0, to.0).ok()?;
        let transition = Transition {
            from: state(from.kind()),
            to: state(to.kind()),
            cause,
        };
        self.0.entered[transition.to as usize].fetch_add(1, Ordering::Relaxed);
        Some(transition)
    }

    /// One more failure while closed, which may be one too many.
    #[cold]
    fn count_failure(&self, generation: Generation, now: Instant) -> Option<Transition> {
        loop {
            let word = self.word();
            if word.generation() != generation || !is_closed(word) {
                return None;
            }
            let counted = word.with_consecutive(word.consecutive() + 1);
            let Some(cause) = self.opened_by(counted, now) else {
                if exchange(Protocol::Breaker, &self.0.word, word.0, counted.0).is_ok() {
                    return None;
                }
                continue;
            };
            let reopens = if word.kind() == Kind::Ramping {
                word.reopens() + 1
            } else {
                0
            };
            if let Some(transition) = self.transit(word, word.next(Kind::Open, reopens, now), cause)
            {
                return Some(transition);
            }
        }
    }

    fn opened_by(&self, word: Word, now: Instant) -> Option<Cause> {
        let config = &self.0.config;
        if config
            .consecutive
            .is_some_and(|most| word.consecutive() >= most.max(1))
        {
            return Some(Cause::ConsecutiveFailures);
        }
        let rate = config.rate.as_ref()?;
        let totals = self.0.window.totals(now, self.window_begin());
        let enough =
            totals.calls >= u64::from(rate.min_calls) && totals.observed >= rate.min_observed;
        (enough && rate.threshold.reached_by(totals.bad, totals.calls))
            .then_some(Cause::FailureRate)
    }

    /// Where the window of the present closed state begins: what came before it is another state's.
    fn window_begin(&self) -> Instant {
        Instant::from_nanos(self.0.closed_at.load(Ordering::Relaxed))
    }

    /// What is left of the open interval, and of the dependency's own wish; zero when it is over.
    fn open_for(&self, word: Word, now: Instant) -> Duration {
        let elapsed = Duration::from_millis(word.elapsed_millis(now));
        let left = self.open_interval(word).saturating_sub(elapsed);
        let held = Instant::from_nanos(self.0.hold.load(Ordering::Relaxed)).since(now);
        left.max(held)
    }

    fn open_interval(&self, word: Word) -> Duration {
        let open = &self.0.config.open;
        let (initial, max) = (nanos(open.initial), nanos(open.max));
        let doubled = initial.saturating_mul(1 << word.reopens()).min(max);
        let reach = open.jitter.min(Ratio::ONE).of(doubled);
        let mut dice = Entropy::new(self.0.identity ^ u64::from(word.generation().0));
        // The range ends at the cap, rather than the draw: half a fleet would meet at the cap otherwise.
        Duration::from_nanos(dice.between(doubled - reach, doubled.saturating_add(reach).min(max)))
    }

    fn ramp(&self, word: Word, now: Instant) -> Ratio {
        let (elapsed, whole) = (word.elapsed_millis(now), millis_of(self.0.config.ramp));
        let grown = (1000 - u64::from(RAMP_START.permille())) * elapsed.min(whole) / whole.max(1);
        Ratio::from_permille(RAMP_START.permille() + u32::try_from(grown).unwrap_or(1000))
    }

    fn admit_ramping(
        &self,
        word: Word,
        now: Instant,
        dice: &mut Entropy,
    ) -> Option<Result<Admission, Rejection>> {
        let ramp = self.0.config.ramp;
        let elapsed = Duration::from_millis(word.elapsed_millis(now));
        if elapsed >= ramp {
            // Losing this exchange means that somebody changed the state: look again.
            exchange(Protocol::Breaker, &self.0.word, word.0, word.ramped_up().0).ok()?;
        } else if !dice.chance(self.ramp(word, now)) {
            return Some(Err(refused(ramp.saturating_sub(elapsed))));
        }
        Some(Ok(Admission {
            generation: word.generation(),
            lease: None,
        }))
    }
}

fn refused(wait: Duration) -> Rejection {
    Rejection::new(Reason::BreakerOpen).retry_after(wait)
}

const fn is_closed(word: Word) -> bool {
    matches!(word.kind(), Kind::Closed | Kind::Ramping)
}

const fn state(kind: Kind) -> State {
    match kind {
        Kind::Closed | Kind::Ramping => State::Closed,
        Kind::Open => State::Open,
        Kind::HalfOpen => State::HalfOpen,
    }
}

const fn millis_of(duration: Duration) -> u64 {
    millis(Instant::from_nanos(nanos(duration)))
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
