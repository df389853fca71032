//! What the calls of one dependency share.

use std::sync::Arc;

use super::config::Config;
use crate::breaker::Breaker;
use crate::budget::Budget;
use crate::bulkhead::Bulkhead;
use crate::counter::{Counts, Tally};
use crate::stripe::{Stripe, Striped};
use crate::time::nanos;

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

impl Shared {
    pub(crate) fn new(config: Config, identity: &str, stripes: usize) -> Self {
        let budget = config.retry.as_ref().and_then(|retry| retry.budget.clone());
        let breaker = config.breaker.clone();
        Self {
            breaker: breaker.map(|breaker| Breaker::new(breaker, identity, stripes)),
            bulkhead: config
                .bulkhead
                .clone()
                .map(|bulkhead| Bulkhead::striped(bulkhead, stripes)),
            budget: budget.map(|budget| Budget::new(budget, stripes)),
            counts: Striped::new(stripes, Counts::new),
            deadline: nanos(config.deadline),
            attempt_timeout: config.attempt_timeout.map_or(u64::MAX, nanos),
            config,
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally::of(&self.counts)
    }
}
