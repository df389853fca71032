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

mod config;
pub(crate) mod live;

use std::sync::Arc;

pub use config::Config;
use live::{Local, Shared};

use crate::call::{Call, CallHint};
use crate::counter::Tally;
use crate::stripe::{Padded, Stripe};
use crate::time::Instant;
use crate::{breaker, budget, bulkhead};

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
        let shared = Arc::new(Shared::new(config, identity, stripes));
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

    /// Sets who decides about the circuit, if there is one; answers the change of state that this made.
    pub fn set_breaker_mode(
        &self,
        mode: breaker::Mode,
        now: Instant,
    ) -> Option<breaker::Transition> {
        let breaker = self.stripes[0].shared.breaker.as_ref()?;
        breaker.set_mode(mode, now)
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
