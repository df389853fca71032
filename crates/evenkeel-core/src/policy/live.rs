//! What the calls of one dependency share.

use std::sync::{Arc, Mutex, PoisonError};

use super::config::Config;
use super::operation::Operation;
use crate::breaker::{Admission, Breaker};
use crate::budget::Budget;
use crate::bulkhead::Bulkhead;
use crate::counter::{Counts, Tally};
use crate::endpoint::{EndpointId, Endpoints};
use crate::feed::Feed;
use crate::limiter::Limiter;
use crate::rate::RateLimit;
use crate::ratio::Ratio;
use crate::stripe::Striped;
use crate::throttle::Throttle;
use crate::time::{Instant, nanos};

/// A stripe's view of a policy. Its reference count lies on lines of its own, inside the `Arc`: a call
/// that clones it meets no other thread.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    pub(crate) operation: Arc<Operation>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    identity: Box<str>,
    /// [`Config::deadline`] in nanoseconds, as every call needs it.
    pub(crate) deadline: u64,
    /// [`Config::attempt_timeout`] likewise; `u64::MAX`: none.
    pub(crate) attempt_timeout: u64,
    /// [`Config::max_attempts`].
    pub(crate) max_attempts: u32,
    /// What the budget and the breaker are handed of it.
    feed: Arc<Feed>,
    /// Whether a first attempt meets nothing but breaker, limit and bulkhead.
    pub(crate) is_plain: bool,
    /// Outlive a change of the configuration, as everything does that attempts in flight will report to.
    pub(crate) counts: Arc<Striped<Counts>>,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) throttle: Option<Throttle>,
    /// One for each endpoint, or none.
    pub(crate) breakers: Box<[Breaker]>,
    pub(crate) endpoints: Option<Endpoints>,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) bulkhead: Option<Bulkhead>,
    pub(crate) budget: Option<Budget>,
    /// Those that were asked for, the nameless one first.
    operations: Mutex<Vec<Arc<Operation>>>,
}

/// A policy keeps at most so many operations apart: names that come out of requests would fill the memory.
const MAX_OPERATIONS: usize = 256;

/// What the operations beyond that share.
const OTHERS: &str = "others";

impl Shared {
    pub(crate) fn new(config: Config, identity: &str, stripes: usize) -> Self {
        let budget = config.retry.as_ref().and_then(|retry| retry.budget.clone());
        let endpoints = config
            .endpoints
            .as_ref()
            .and_then(|endpoints| Endpoints::new(endpoints, identity, stripes));
        Self {
            breakers: breakers(&config, endpoints.is_some(), identity, stripes),
            endpoints,
            rate: config.rate.clone().map(RateLimit::new),
            throttle: config
                .throttle
                .clone()
                .map(|throttle| Throttle::new(throttle, stripes)),
            limiter: config
                .limiter
                .clone()
                .map(|limiter| Limiter::new(limiter, identity, stripes)),
            bulkhead: config
                .bulkhead
                .clone()
                .map(|bulkhead| Bulkhead::striped(bulkhead, stripes)),
            budget: budget.map(|budget| Budget::new(budget, stripes)),
            feed: Arc::new(Feed::new()),
            is_plain: config.rate.is_none()
                && config.throttle.is_none()
                && config.endpoints.is_none(),
            counts: Arc::new(Striped::with_own(stripes, Counts::new)),
            identity: identity.into(),
            operations: Mutex::new(Vec::new()),
            deadline: nanos(config.deadline),
            attempt_timeout: config.attempt_timeout.map_or(u64::MAX, nanos),
            max_attempts: config.max_attempts(),
            config,
        }
    }

    /// Hands over what was counted in the slice before, if a new one has begun.
    #[inline]
    pub(crate) fn feed_if_due(&self, now: Instant) {
        if self.feed.is_due(now) {
            self.feed(now);
        }
    }

    /// Hands the budget and the breaker what was counted of calls that are served at once.
    #[cold]
    pub(crate) fn feed(&self, now: Instant) {
        let counted = || {
            let (served, begun) = Tally::at_once(&self.counts);
            (begun, served)
        };
        self.feed.hand_over(now, counted, |fed| {
            let budget = self.budget.as_ref().map(|budget| budget.take(fed, now));
            let breaker = self.breakers.first().map(|breaker| breaker.take(fed, now));
            budget
                .into_iter()
                .chain(breaker)
                .min()
                .unwrap_or(Instant::MAX)
        });
    }

    /// The same dependency under another configuration.
    pub(crate) fn successor(&self, config: Config, stripes: usize, now: Instant) -> Self {
        let (old, identity) = (&self.config, &*self.identity);
        let fresh = Self::new(config, identity, stripes);
        let config = fresh.config.clone();
        let operations = self.operations().into_iter().map(|operation| {
            if (&old.progress, &old.hedge) == (&config.progress, &config.hedge) {
                return operation;
            }
            Arc::new(operation.successor(old, &config, stripes))
        });
        let budget = config.retry.as_ref().and_then(|retry| retry.budget.clone());
        let same_endpoints = old.endpoints == config.endpoints;
        let mut breakers = fresh.breakers.into_vec();
        if let (Some(breaker), true) = (&config.breaker, same_endpoints) {
            for (next, before) in breakers.iter_mut().zip(&self.breakers) {
                *next = before.successor(breaker.clone(), stripes, now);
            }
        }
        Self {
            operations: Mutex::new(operations.collect()),
            breakers: breakers.into(),
            endpoints: if same_endpoints {
                self.endpoints.clone()
            } else {
                fresh.endpoints
            },
            rate: succeed(
                config.rate.as_ref(),
                self.rate.as_ref(),
                fresh.rate,
                |old, new| old.successor(new, now),
            ),
            throttle: succeed(
                config.throttle.as_ref(),
                self.throttle.as_ref(),
                fresh.throttle,
                |old, new| old.successor(new, stripes),
            ),
            limiter: succeed(
                config.limiter.as_ref(),
                self.limiter.as_ref(),
                fresh.limiter,
                |old, new| old.successor(new, identity, stripes),
            ),
            bulkhead: succeed(
                config.bulkhead.as_ref(),
                self.bulkhead.as_ref(),
                fresh.bulkhead,
                Bulkhead::successor,
            ),
            budget: succeed(
                budget.as_ref(),
                self.budget.as_ref(),
                fresh.budget,
                |old, new| old.successor(new, stripes),
            ),
            counts: Arc::clone(&self.counts),
            feed: Arc::clone(&self.feed),
            is_plain: fresh.is_plain,
            identity: fresh.identity,
            deadline: fresh.deadline,
            attempt_timeout: fresh.attempt_timeout,
            max_attempts: fresh.max_attempts,
            config,
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally::of(&self.counts)
    }

    #[inline]
    pub(crate) fn breaker(&self, endpoint: EndpointId) -> Option<&Breaker> {
        self.breakers.get(endpoint.index())
    }

    /// Whether a call that comes at `when` is certain to be refused by every endpoint's breaker.
    pub(crate) fn refuses(&self, when: Instant) -> bool {
        let mut breakers = self.breakers.iter();
        let panics = || {
            let endpoints = self.endpoints.as_ref();
            endpoints.is_some_and(|endpoints| endpoints.is_panicking(&self.breakers))
        };
        !self.breakers.is_empty() && breakers.all(|breaker| breaker.refuses(when)) && !panics()
    }

    /// Lets an attempt through that the breaker of its endpoint refused, if so many do that none is heeded.
    #[cold]
    pub(crate) fn overrule(&self, endpoint: EndpointId) -> Option<Admission> {
        let endpoints = self.endpoints.as_ref()?;
        let panics = endpoints.is_panicking(&self.breakers);
        self.breaker(endpoint).filter(|_| panics)?.overrule()
    }

    /// Whether more than `share` of what may be in flight is.
    pub(crate) fn is_used_beyond(&self, share: Ratio) -> bool {
        let limiter = self.limiter.as_ref();
        let bulkhead = self.bulkhead.as_ref();
        limiter.is_some_and(|limiter| limiter.is_used_beyond(share))
            || bulkhead.is_some_and(|bulkhead| bulkhead.is_used_beyond(share))
    }

    /// The operation called `name`, which is made if it is new.
    pub(crate) fn operation(&self, name: &str, stripes: usize) -> Arc<Operation> {
        let mut known = self
            .operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let name = if known.len() < MAX_OPERATIONS {
            name
        } else {
            known_or_other(&known, name)
        };
        if let Some(found) = known.iter().find(|operation| &*operation.name == name) {
            return Arc::clone(found);
        }
        let (progress, hedge) = (self.config.progress.clone(), self.config.hedge.clone());
        let made = Arc::new(Operation::new(name, progress, hedge, stripes));
        known.push(Arc::clone(&made));
        made
    }

    pub(crate) fn operations(&self) -> Vec<Arc<Operation>> {
        let known = self
            .operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

/// What was there goes on under its new configuration; what was not begins.
fn succeed<C: Clone, T>(
    config: Option<&C>,
    old: Option<&T>,
    fresh: Option<T>,
    successor: impl FnOnce(&T, C) -> T,
) -> Option<T> {
    match (config, old) {
        (Some(config), Some(old)) => Some(successor(old, config.clone())),
        _ => fresh,
    }
}

fn known_or_other<'a>(known: &[Arc<Operation>], name: &'a str) -> &'a str {
    let is_known = known.iter().any(|operation| &*operation.name == name);
    if is_known { name } else { OTHERS }
}

fn breakers(config: &Config, several: bool, identity: &str, stripes: usize) -> Box<[Breaker]> {
    let Some(breaker) = &config.breaker else {
        return Box::default();
    };
    if !several {
        return Box::new([Breaker::new(breaker.clone(), identity, stripes)]);
    }
    let count = config.endpoints.as_ref().map_or(1, |endpoints| {
        endpoints.count.get().min(crate::endpoint::MAX_ENDPOINTS)
    });
    // Each with dice of its own: endpoints that failed together do not probe in step.
    let of = |endpoint| Breaker::new(breaker.clone(), &format!("{identity}#{endpoint}"), stripes);
    (0..count).map(of).collect()
}
