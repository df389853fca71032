//! The hosts behind one name.
//!
//! A dependency is one name and often several hosts, and each of them can be slow, dead or full by itself.
//! A policy that is told of them gives each attempt an [`EndpointId`]: where it is to go. It then has one
//! breaker per endpoint, leaves out the endpoint that stands out ([`outlier`]), and picks the less loaded
//! of two ([`balance`]). A retry goes elsewhere if there is an elsewhere; a hedge goes nowhere else.
//!
//! A policy that is told of no endpoints has one, [`EndpointId::ONLY`], and pays nothing for the idea: no
//! draw, no count, no list.
//!
//! Limits: the endpoints' number is fixed while the policy lives, and at most [`MAX_ENDPOINTS`].

use core::cell::OnceCell;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::balance::{self, Balance};
use crate::breaker::Breaker;
use crate::entropy::Entropy;
use crate::outcome::Finished;
use crate::outlier::{self, Outliers};
use crate::ratio::Ratio;
use crate::stripe::Stripe;
use crate::time::Instant;

/// A policy knows at most so many endpoints: a call remembers in one word where it has been.
pub const MAX_ENDPOINTS: u32 = 64;

/// One of the endpoints of a dependency, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EndpointId(pub(crate) u32);

impl EndpointId {
    /// The endpoint of a dependency that has one.
    pub const ONLY: Self = Self(0);

    /// The endpoint's place, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The hosts behind one name, and how a call chooses among them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How many there are; held to [`MAX_ENDPOINTS`].
    pub count: NonZeroU32,
    /// When one of them is left out. None: only its breaker judges it. Default: on.
    pub outlier: Option<outlier::Config>,
    /// Which of two takes a call.
    pub balance: balance::Config,
    /// When the breakers of more than this share of the endpoints are not closed, and not of all, breakers are
    /// ignored: the few endpoints left would get all the calls and be the next, and the fault is hardly each
    /// endpoint's own. What is let through like that is not counted. When all are open there is nobody left to
    /// spare, and the dependency is left alone. One: breakers are heeded, come what may. Default 0.5, as
    /// Envoy's panic threshold.
    pub panic: Ratio,
}

impl Config {
    /// `count` endpoints; everything else as a default has it.
    #[must_use]
    pub fn new(count: NonZeroU32) -> Self {
        Self {
            count,
            outlier: Some(outlier::Config::default()),
            balance: balance::Config::default(),
            panic: Ratio::from_permille(500),
        }
    }
}

/// What is shown of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its circuit, if the policy has breakers.
    pub breaker: Option<crate::breaker::Snapshot>,
    /// Its load.
    pub balance: balance::HostSnapshot,
    /// How it compares with its peers, if outliers are left out.
    pub outlier: Option<outlier::HostSnapshot>,
}

/// The live endpoints of a policy that has several.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    panic: Ratio,
    balance: Balance,
    outliers: Option<Outliers>,
}

impl Endpoints {
    /// None where there is nothing to choose.
    pub(crate) fn new(config: &Config, identity: &str, stripes: usize) -> Option<Self> {
        let count = config.count.get().min(MAX_ENDPOINTS) as usize;
        (count > 1).then(|| Self {
            panic: config.panic,
            balance: Balance::new(config.balance.clone(), count),
            outliers: config
                .outlier
                .clone()
                .map(|outlier| Outliers::new(outlier, identity, count, stripes)),
        })
    }

    /// Picks where an attempt goes that has been at the endpoints of `tried`, one bit each: preferably to
    /// one that is in good standing, admits calls and is new to the call; then to one that admits calls;
    /// then to any, whose breaker refuses with the time to come back. [`Endpoints::leave`] it afterwards.
    pub(crate) fn enter(
        &self,
        breakers: &[Breaker],
        now: Instant,
        dice: &mut Entropy,
        tried: u64,
    ) -> EndpointId {
        let panics = OnceCell::new();
        let admits = |host: usize| {
            breakers.get(host).is_none_or(|breaker| {
                let overruled = || *panics.get_or_init(|| self.is_panicking(breakers));
                !breaker.refuses(now) || breaker.overrule().is_some() && overruled()
            })
        };
        let stands = |host: usize| self.is_available(host, now);
        let is_new = |host: usize| tried >> host & 1 == 0;
        let picked = self
            .balance
            .enter(now, dice, |host| {
                is_new(host) && admits(host) && stands(host)
            })
            .or_else(|| {
                self.balance
                    .enter(now, dice, |host| admits(host) && stands(host))
            })
            .or_else(|| self.balance.enter(now, dice, admits))
            .or_else(|| self.balance.enter(now, dice, |_| true));
        id(picked.unwrap_or(0))
    }

    /// Picks where a hedge goes: to an endpoint that is new to the call, in good standing and whose circuit
    /// is closed, or nowhere.
    pub(crate) fn enter_elsewhere(
        &self,
        breakers: &[Breaker],
        now: Instant,
        dice: &mut Entropy,
        tried: u64,
    ) -> Option<EndpointId> {
        let may = |host: usize| {
            tried >> host & 1 == 0
                && breakers.get(host).is_none_or(Breaker::is_closed)
                && self.is_available(host, now)
        };
        self.balance.enter(now, dice, may).map(id)
    }

    /// Whether so many breakers are not closed that none is heeded.
    pub(crate) fn is_panicking(&self, breakers: &[Breaker]) -> bool {
        let all = breakers.len() as u64;
        let away = breakers.iter().filter(|breaker| !breaker.is_closed());
        let away = away.count() as u64;
        away > self.panic.of(all) && away < all
    }

    pub(crate) fn leave(&self, endpoint: EndpointId) {
        self.balance.leave(endpoint.index());
    }

    /// Learns how an attempt ended that was answered after `took`.
    pub(crate) fn record(
        &self,
        endpoint: EndpointId,
        stripe: Stripe,
        now: Instant,
        took: Duration,
        finished: &Finished,
    ) {
        let host = endpoint.index();
        self.balance.record(host, now, took, finished.outcome);
        if let Some(outliers) = &self.outliers {
            // An ejection is shown by the snapshot.
            outliers.record(host, stripe, now, finished);
        }
    }

    pub(crate) fn snapshot(&self, breakers: &[Breaker], now: Instant) -> Vec<Snapshot> {
        let outliers = self.outliers.as_ref().map(|judge| judge.snapshot(now));
        let loads = self.balance.snapshot(now).into_iter().enumerate();
        loads
            .map(|(host, balance)| Snapshot {
                breaker: breakers.get(host).map(|breaker| breaker.snapshot(now)),
                balance,
                outlier: outliers.as_ref().and_then(|shown| shown.get(host).copied()),
            })
            .collect()
    }

    fn is_available(&self, host: usize, now: Instant) -> bool {
        self.outliers
            .as_ref()
            .is_none_or(|outliers| outliers.is_available(host, now))
    }
}

fn id(host: usize) -> EndpointId {
    EndpointId(u32::try_from(host).unwrap_or(0))
}
