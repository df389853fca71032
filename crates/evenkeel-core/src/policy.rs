//! The bounds of one dependency, composed.
//!
//! The order of the bounds is fixed, outermost first, cheapest and most final first; what takes a slot
//! comes last, so that no refusal can leak one:
//!
//! 1. **Deadline.** One for the whole call, its waits and retries included; the tighter of the caller's
//!    and the policy's. Nothing starts after it and nothing sleeps past it.
//! 2. **Retry, with its budget.** Around everything below, so that each attempt meets all of it afresh; the
//!    budget is shared by the calls of a dependency and taken before the wait.
//! 3. **Breaker.** A dependency that cannot answer is left alone before a slot is spent on it.
//! 4. **Bulkhead.** The slot is taken last and held until the attempt is really over.
//! 5. **Attempt timeout.** Around the attempt alone: waiting for a slot is not the dependency's fault.
//!
//! Refusals by 1 to 4 are ours: they never reach the breaker's counts. A [`Policy`] is the live form,
//! shared by all calls; [`Policy::begin`] hands out a [`Call`], the machine that walks one call through
//! the order above.

use core::time::Duration;
use std::sync::Arc;

use crate::breaker::{self, Breaker};
use crate::budget::{self, Budget};
use crate::bulkhead::{self, Bulkhead};
use crate::call::{Call, CallHint};
use crate::counter::{Counts, Tally};
use crate::retry;
use crate::stripe::{Padded, Stripe, Striped};
use crate::time::{Instant, nanos};

/// The bounds of every call to one dependency. An absent section means that this bound is off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// A call completes or gets a definite error within this. A caller with less time left brings its own,
    /// tighter deadline. Default 30 s.
    pub deadline: Duration,
    /// One attempt may take this long. None: as long as the deadline leaves.
    pub attempt_timeout: Option<Duration>,
    /// Whether and how failed attempts are repeated.
    pub retry: Option<retry::Config>,
    /// When the dependency is left alone.
    pub breaker: Option<breaker::Config>,
    /// How many attempts may be in flight.
    pub bulkhead: Option<bulkhead::Config>,
}

impl Config {
    /// Calls that take `deadline` at most, with no other bound.
    #[must_use]
    pub const fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            attempt_timeout: None,
            retry: None,
            breaker: None,
            bulkhead: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

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

/// A stripe's view of a policy. Its reference count lies on lines of its own, inside the `Arc`: a call
/// that clones it meets no other thread.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) stripe: Stripe,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// [`Config::deadline`] in nanoseconds, as every call needs it.
    pub(crate) deadline: u64,
    /// [`Config::attempt_timeout`] likewise; `u64::MAX`: none.
    pub(crate) attempt_timeout: u64,
    pub(crate) counts: Striped<Counts>,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) bulkhead: Option<Bulkhead>,
    pub(crate) budget: Option<Budget>,
}

/// What a policy shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What happened to its calls so far.
    pub tally: Tally,
    /// The circuit, if there is one.
    pub breaker: Option<breaker::Snapshot>,
    /// The slots, if they are bounded.
    pub bulkhead: Option<bulkhead::Snapshot>,
    /// The retry budget, if there is one.
    pub budget: Option<budget::Snapshot>,
}

impl Policy {
    /// Live bounds for the dependency called `identity`, which is mixed into every seed that is not a
    /// call's own. `stripes`: as many as threads call at once; rounded up to a power of two.
    #[must_use]
    pub fn new(config: Config, identity: &str, stripes: usize) -> Self {
        let stripes = stripes.clamp(1, 1 << 10).next_power_of_two();
        let budget = config.retry.as_ref().and_then(|retry| retry.budget.clone());
        let shared = Arc::new(Shared {
            breaker: config
                .breaker
                .clone()
                .map(|breaker| Breaker::new(breaker, identity, stripes)),
            bulkhead: config.bulkhead.clone().map(Bulkhead::new),
            budget: budget.map(|budget| Budget::new(budget, stripes)),
            counts: Striped::new(stripes, Counts::new),
            deadline: nanos(config.deadline),
            attempt_timeout: config.attempt_timeout.map_or(u64::MAX, nanos),
            config,
        });
        let local = |stripe| {
            Arc::new(Padded(Local {
                stripe: Stripe(stripe),
                shared: shared.clone(),
            }))
        };
        let stripes: Vec<_> = (0_u32..).take(stripes).map(local).collect();
        Self {
            stripes: stripes.into(),
        }
    }

    /// Begins one call. Nothing is admitted yet: that is the call's first [`poll`](Call::poll).
    #[inline]
    #[must_use]
    pub fn begin(&self, now: Instant, hint: CallHint) -> Call {
        let local = &self.stripes[hint.stripe.0 as usize & (self.stripes.len() - 1)];
        Call::new(Arc::clone(local), now, hint)
    }

    /// The bounds as they were given.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.stripes[0].shared.config
    }

    /// What the policy shows of itself. Consumes no permit and no probe.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let shared = &self.stripes[0].shared;
        Snapshot {
            tally: shared.tally(),
            breaker: shared.breaker.as_ref().map(|breaker| breaker.snapshot(now)),
            bulkhead: shared
                .bulkhead
                .as_ref()
                .map(|bulkhead| bulkhead.snapshot(now)),
            budget: shared.budget.as_ref().map(|budget| budget.snapshot(now)),
        }
    }
}

impl Shared {
    pub(crate) fn tally(&self) -> Tally {
        Tally::of(&self.counts)
    }
}
