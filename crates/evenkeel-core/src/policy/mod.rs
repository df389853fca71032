//! The bounds of one dependency, composed.
//!
//! The order of the bounds is fixed, outermost first, cheapest and most final first; what takes a slot
//! comes last, so that no refusal can leak one:
//!
//! 1. **Deadline.** One for the whole call, its waits and retries included; the tighter of the caller's
//!    and the policy's. Nothing starts after it and nothing sleeps past it.
//! 2. **Rate.** Once for each call, however many attempts it makes: a quota is about what was asked for.
//! 3. **Retry, with its budget.** Around everything below, so that each attempt meets all of it afresh; the
//!    budget is shared by the calls of a dependency and taken before the wait.
//! 4. **Hedge**, with the same budget and one of its own: an extra attempt is an extra attempt.
//! 5. **Throttle.** A dependency that refuses a part of its calls is not sent that part.
//! 6. **Breaker**, one for each endpoint. A dependency that cannot answer is left alone before a slot is
//!    spent on it.
//! 7. **Adaptive limit, bulkhead**, either or both. The slot is taken last and held until the attempt is
//!    really over.
//! 8. **Attempt timeout.** Around the attempt alone: waiting for a slot is not the dependency's fault.
//!
//! # What each of them learns from
//!
//! Refusals by 1 to 7 are ours: they say nothing about the dependency. What an attempt that was made came
//! to is told as follows, once, when it is judged.
//!
//! | | success | failure | overload: refused | overload: timed out | ignored |
//! |---|---|---|---|---|---|
//! | breaker | good | bad | bad | bad | nothing; a probe's place is free |
//! | limiter | its latency | nothing (a drop for its classic rule) | a drop | a drop | nothing |
//! | throttle | accepted | accepted | refused | half accepted | nothing |
//! | latency, for hedges | its latency | nothing | nothing | its latency, at least | nothing, unless it lost to a hedge |
//! | outliers | good | bad | nothing | bad | nothing |
//!
//! The throttle counts one thing more: what it holds back itself counts as wanted and not as accepted, or
//! the share that is held back would swing. Latency is counted to the head of the answer; the slot is held
//! to the end of its body.
//!
//! A [`Policy`] is the live form, shared by all calls; [`Policy::begin`] hands out a [`Call`], the machine
//! that walks one call through the order above.

mod config;
pub(crate) mod live;
mod operation;

use std::sync::Arc;

pub use config::Config;
use live::{Local, Shared};
pub use operation::OperationSnapshot;

use crate::call::{Call, CallHint, First};
use crate::counter::Tally;
use crate::stripe::Padded;
use crate::time::Instant;
use crate::{breaker, budget, bulkhead, endpoint, limiter, rate, throttle};

/// The live bounds of one dependency. Cheap to clone; clones are one policy.
///
/// ```
/// use evenkeel_core::{call::{CallHint, Next, Step}, outcome::Finished, policy::{Config, Policy}};
/// use evenkeel_core::time::Instant;
///
/// let policy = Policy::new(Config::default(), "payments", 1);
/// let (start, end) = (Instant::ZERO, Instant::from_nanos(5_000_000));
/// let mut call = policy.begin(start, CallHint::new(7));
/// let Step::Attempt(permit) = call.poll(start) else { panic!("nothing refuses") };
/// // … the driver makes the attempt …
/// assert_eq!(call.on_finished(permit, end, Finished::success()), Next::Done);
/// assert_eq!(policy.snapshot(end).tally.first_attempts, 1);
/// ```
#[derive(Debug, Clone)]
pub struct Policy {
    stripes: Arc<[Arc<Padded<Local>>]>,
}

/// What a policy shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What happened to its calls so far.
    pub tally: Tally,
    /// How much of the rate is left, if there is one.
    pub rate: Option<rate::Snapshot>,
    /// The share that is held back, if any may be.
    pub throttle: Option<throttle::Snapshot>,
    /// The circuit, if there is one; of several endpoints, each has its own in [`Snapshot::endpoints`].
    pub breaker: Option<breaker::Snapshot>,
    /// The adaptive limit, if there is one.
    pub limiter: Option<limiter::Snapshot>,
    /// The slots, if they are bounded.
    pub bulkhead: Option<bulkhead::Snapshot>,
    /// The retry budget, if there is one.
    pub budget: Option<budget::Snapshot>,
    /// The endpoints, if there are several.
    pub endpoints: Vec<endpoint::Snapshot>,
    /// The operations that were asked for. The first one is of the calls that name none.
    pub operations: Vec<OperationSnapshot>,
}

impl Policy {
    /// Live bounds for the dependency called `identity`, which is mixed into every seed that is not a
    /// call's own. `stripes`: as many as threads call at once; rounded up to a power of two.
    #[must_use]
    pub fn new(config: Config, identity: &str, stripes: usize) -> Self {
        let stripes = stripes.clamp(1, 1 << 10).next_power_of_two();
        Self::of(
            &Arc::new(Shared::new(config, identity, stripes)),
            "",
            stripes,
        )
    }

    /// The same policy for the calls of one kind: the bounds are shared, while progress and latency, and so
    /// the wait before a hedge, are `name`'s own. Ask once and keep it.
    ///
    /// Names are for code, not for data: beyond 256 of them the rest are counted together.
    ///
    /// ```
    /// use evenkeel_core::{call::{CallHint, Step}, policy::{Config, Policy}, time::Instant};
    ///
    /// let policy = Policy::new(Config::default(), "search", 1);
    /// let suggest = policy.operation("suggest");
    /// let mut call = suggest.begin(Instant::ZERO, CallHint::new(1));
    /// assert!(matches!(call.poll(Instant::ZERO), Step::Attempt(_)));
    /// let shown = policy.snapshot(Instant::ZERO);
    /// assert_eq!((&*shown.operations[1].name, shown.operations[1].progress.attempts), ("suggest", 1));
    /// ```
    #[must_use]
    pub fn operation(&self, name: &str) -> Self {
        Self::of(&self.stripes[0].shared, name, self.stripes.len())
    }

    /// The same dependency under another configuration, for the calls that begin from now on.
    ///
    /// Only configuration changes. What is in flight stays counted: slots, places with the limiter, extra
    /// attempts and calls under way belong to both, and come back to both. A circuit keeps its state, a limiter
    /// the limit that it found, a rate what was spent of it, an operation what is known of it. Statistics begin
    /// anew only where they would be gathered otherwise. Calls that began before go on as they began.
    ///
    /// ```
    /// use evenkeel_core::{call::{CallHint, Step}, policy::{Config, Policy}, time::Instant};
    /// use std::time::Duration;
    ///
    /// let before = Policy::new(Config::new(Duration::from_secs(5)), "search", 1);
    /// let mut call = before.begin(Instant::ZERO, CallHint::new(1));
    /// let Step::Attempt(permit) = call.poll(Instant::ZERO) else { panic!("nothing refuses") };
    /// let after = before.successor(Config::new(Duration::from_secs(1)), Instant::ZERO);
    /// assert_eq!(after.snapshot(Instant::ZERO).tally.in_flight(), 1);
    /// drop(permit);
    /// assert_eq!(after.snapshot(Instant::ZERO).tally.in_flight(), 0);
    /// ```
    #[must_use]
    pub fn successor(&self, config: Config, now: Instant) -> Self {
        let (local, stripes) = (&self.stripes[0], self.stripes.len());
        let shared = Arc::new(local.shared.successor(config, stripes, now));
        Self::of(&shared, &local.operation.name, stripes)
    }

    fn of(shared: &Arc<Shared>, operation: &str, stripes: usize) -> Self {
        let operation = shared.operation(operation, stripes);
        let local = || {
            Arc::new(Padded(Local {
                shared: Arc::clone(shared),
                operation: Arc::clone(&operation),
            }))
        };
        Self {
            stripes: core::iter::repeat_with(local).take(stripes).collect(),
        }
    }

    /// Begins one call. Nothing is admitted yet: that is the call's first [`poll`](Call::poll).
    #[inline]
    #[must_use]
    pub fn begin(&self, now: Instant, hint: CallHint) -> Call {
        let local = &self.stripes[hint.stripe.number() as usize & (self.stripes.len() - 1)];
        Call::new(Arc::clone(local), now, hint)
    }

    /// Begins one call that is expected to end well before anyone has to wait for it.
    ///
    /// # Errors
    /// Not an error: the same call as a machine, because a bound is in the way or has to be asked that only a
    /// machine asks. It has not been polled yet.
    #[expect(
        clippy::result_large_err,
        reason = "the call lives inside its future, which allocates nothing"
    )]
    #[inline]
    pub fn begin_first(&self, now: Instant, hint: CallHint) -> Result<First, Call> {
        let local = &self.stripes[hint.stripe.number() as usize & (self.stripes.len() - 1)];
        First::begin(local, now, hint).ok_or_else(|| Call::new(Arc::clone(local), now, hint))
    }

    /// The bounds as they were given.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.stripes[0].shared.config
    }

    /// Sets who decides about the circuit, or about those of all endpoints; answers a change of state that this
    /// made.
    pub fn set_breaker_mode(
        &self,
        mode: breaker::Mode,
        now: Instant,
    ) -> Option<breaker::Transition> {
        let breakers = &self.stripes[0].shared.breakers;
        let moved = breakers.iter().map(|breaker| breaker.set_mode(mode, now));
        moved.fold(None, |before, moved| moved.or(before))
    }

    /// What the policy shows of itself. Consumes no permit and no probe.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let shared = &self.stripes[0].shared;
        let endpoints = shared.endpoints.as_ref();
        shared.feed(now);
        Snapshot {
            tally: shared.tally(),
            rate: shared.rate.as_ref().map(|rate| rate.snapshot(now)),
            throttle: shared
                .throttle
                .as_ref()
                .map(|throttle| throttle.snapshot(now)),
            breaker: shared
                .breakers
                .first()
                .filter(|_| endpoints.is_none())
                .map(|breaker| breaker.snapshot(now)),
            limiter: shared.limiter.as_ref().map(limiter::Limiter::snapshot),
            bulkhead: shared
                .bulkhead
                .as_ref()
                .map(|bulkhead| bulkhead.snapshot(now)),
            budget: shared.budget.as_ref().map(|budget| budget.snapshot(now)),
            endpoints: endpoints
                .map(|endpoints| endpoints.snapshot(&shared.breakers, now))
                .unwrap_or_default(),
            operations: shared
                .operations()
                .iter()
                .map(|operation| operation.snapshot(now))
                .collect(),
        }
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
