//! What is served at once, and what a request brings with it.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::criticality::{Cohort, Criticality};
use crate::stripe::Stripe;
use crate::tenant::Tenant;
use crate::time::Instant;
use crate::{limiter, shed, tenant};

/// What a server admits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How many requests are served at once. Everything else is measured.
    pub concurrency: Concurrency,
    /// When arrivals are refused by their criticality before they queue; none: never. On by default.
    pub shed: Option<shed::Config>,
    /// What each tenant may use, beside its turns. Default: whatever is free.
    pub tenants: tenant::Config,
}

impl Config {
    /// The bounds that go with that concurrency.
    #[must_use]
    pub fn new(concurrency: Concurrency) -> Self {
        Self {
            concurrency,
            shed: Some(shed::Config::default()),
            tenants: tenant::Config::default(),
        }
    }
}

impl Default for Config {
    /// A limit that is found by watching.
    fn default() -> Self {
        Self::new(Concurrency::Adaptive(limiter::Config::default()))
    }
}

/// How many requests are served at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Concurrency {
    /// As many as there are workers. Say it where it is known.
    Fixed(NonZeroU32),
    /// As many as the server seems to bear.
    Adaptive(limiter::Config),
}

/// A request as admission sees it.
///
/// ```
/// use evenkeel_core::{admission::Arrival, criticality::Criticality, time::Instant};
///
/// let arrival = Arrival::new(Instant::from_nanos(100_000_000)).criticality(Criticality::High);
/// assert_eq!(arrival.tenant, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrival {
    /// When the answer is worthless, as its caller said.
    pub deadline: Instant,
    /// How much it matters. Default normal.
    pub criticality: Criticality,
    /// Which part of its class it belongs to: the cohort of the request at its root. Default 0.
    pub cohort: Cohort,
    /// On whose behalf it comes; none: nobody's in particular, and all those are one tenant.
    pub tenant: Option<Tenant>,
    /// How long it will take a worker, where its caller knows; none: as long as the mean.
    pub cost: Option<Duration>,
    /// Which copy of what is striped the caller's thread writes.
    pub stripe: Stripe,
}

impl Arrival {
    /// A request whose answer is worthless after `deadline`.
    #[must_use]
    pub const fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            criticality: Criticality::Normal,
            cohort: Cohort::new(0),
            tenant: None,
            cost: None,
            stripe: Stripe(0),
        }
    }

    /// The same, of that class.
    #[must_use]
    pub const fn criticality(self, criticality: Criticality) -> Self {
        Self {
            criticality,
            ..self
        }
    }

    /// The same, of that cohort.
    #[must_use]
    pub const fn cohort(self, cohort: Cohort) -> Self {
        Self { cohort, ..self }
    }

    /// The same, on behalf of `tenant`.
    #[must_use]
    pub const fn tenant(self, tenant: Tenant) -> Self {
        Self {
            tenant: Some(tenant),
            ..self
        }
    }

    /// The same, which takes a worker about as long as `cost`.
    #[must_use]
    pub const fn cost(self, cost: Duration) -> Self {
        Self {
            cost: Some(cost),
            ..self
        }
    }

    /// The same, from the thread with that stripe.
    #[must_use]
    pub const fn stripe(self, stripe: Stripe) -> Self {
        Self { stripe, ..self }
    }
}
