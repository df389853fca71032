//! Leaving out the one host that is worse than its peers.
//!
//! Behind one name stand many hosts, and one of them has a full disk. A circuit breaker that judges the name
//! sees a tenth of the calls fail and does nothing, rightly; the calls that land on that host fail all the
//! same. **Ejection** compares the hosts with one another and sends nothing to the one that stands out, for
//! a while.
//!
//! * A host is ejected after [`Config::consecutive`] failures in a row, or when it fails
//!   [`Config::factor`] times as often as the **median** of its peers, and at least
//!   [`Config::min_failures`] of its calls. A mean and its deviation would grow with the bad hosts: once
//!   22 % of them are equally bad, none is ever beyond two deviations. A median does not move until half
//!   are.
//! * It stays away for 5 s, doubled each time it comes back and fails, spread so that hosts do not return in
//!   step. As long as it stayed away, it must be well for one doubling to be forgiven.
//! * A third of the hosts at most are away at once. Where more fail, the fault is not the host's, and the
//!   others could not carry the load. Should more than half be away by configuration, ejection is ignored.
//!
//! An answer that says "too much" is no reason: a host that sheds load does what it should.
//!
//! Limits: one host alone, or two, are never ejected; that is the breaker's part. Times are kept to the
//! millisecond.
//!
//! Sources: the bounds are Envoy's outlier detection; why not its standard deviation follows from
//! `(1 - p) / p < 1.9^2`, which has no solution for a share p of bad hosts above 0.217.

mod host;

use core::time::Duration;

use host::Host;

use crate::entropy::{Entropy, hash};
use crate::outcome::{Class, Finished, Outcome};
use crate::ratio::Ratio;
use crate::stripe::Stripe;
use crate::sync::{Arc, AtomicU64, Ordering, Protocol, update};
use crate::time::{Instant, nanos};
use crate::window::RatioWindow;

/// When a host is left out, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Ejects after this many failures in a row. None: does not. Default 5 (Envoy).
    pub consecutive: Option<u32>,
    /// Ejects a host that fails this many times as often as the median of its peers. Default 3.
    pub factor: Ratio,
    /// But only if at least this share of its calls failed. Default 0.3.
    pub min_failures: Ratio,
    /// Fewer calls to a host than this in the window prove nothing. Default 20.
    pub min_calls: u32,
    /// The time that is looked back on, in ten slices. Default 10 s.
    pub window: Duration,
    /// How long a host stays away the first time. Default 5 s.
    pub initial: Duration,
    /// And at most, however often it failed before. Default 300 s.
    pub max: Duration,
    /// Spreads the time away by this share up and down. Default 0.2.
    pub jitter: Ratio,
    /// At most this share of the hosts is away at once, rounded down. Default 0.334: a third of three.
    pub max_ejected: Ratio,
    /// If more than this share is away all the same, ejection is ignored. Default 0.5.
    pub panic: Ratio,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            consecutive: Some(5),
            factor: Ratio::from_permille(3000),
            min_failures: Ratio::from_permille(300),
            min_calls: 20,
            window: Duration::from_secs(10),
            initial: Duration::from_secs(5),
            max: Duration::from_secs(300),
            jitter: Ratio::from_permille(200),
            max_ejected: Ratio::from_permille(334),
            panic: Ratio::from_permille(500),
        }
    }
}

/// Which hosts are left out. Cheap to clone; clones are one judge.
///
/// ```
/// use evenkeel_core::outcome::{Class, Finished};
/// use evenkeel_core::outlier::{Config, Outliers};
/// use evenkeel_core::{stripe::Stripe, time::Instant};
/// use std::time::Duration;
///
/// let outliers = Outliers::new(Config::default(), "search", 4, 1);
/// let now = Instant::ZERO;
/// for _ in 0..5 {
///     outliers.record(2, Stripe(0), now, &Finished::failed(Class::Transient));
/// }
/// assert!(!outliers.is_available(2, now) && outliers.is_available(3, now));
/// assert!(outliers.is_available(2, now + Duration::from_secs(6)));
/// ```
#[derive(Debug, Clone)]
pub struct Outliers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    /// Mixed into the spread of the time away.
    identity: u64,
    hosts: Vec<Judged>,
    /// Hosts that are away. Counted up before a host is marked and down after it is cleared: at every
    /// instant at least as many as are marked.
    away: AtomicU64,
}

#[derive(Debug)]
struct Judged {
    host: Host,
    window: RatioWindow,
}

/// A host that was just ejected, told to the one caller whose report did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ejection {
    /// Which host.
    pub host: usize,
    /// For how long.
    pub away: Duration,
    /// What it did.
    pub cause: Cause,
}

/// Why a host was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// It failed so many times in a row.
    Consecutive,
    /// It failed more often than its peers.
    WorseThanPeers,
}

/// What is shown of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostSnapshot {
    /// Calls in the window.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Until when it is away; none: it is not.
    pub away_until: Option<Instant>,
}

impl Outliers {
    /// A judge of `hosts` hosts of the dependency called `identity`, counting on `stripes` stripes: as many
    /// as threads call at once.
    #[must_use]
    pub fn new(config: Config, identity: &str, hosts: usize, stripes: usize) -> Self {
        let judged = || Judged {
            host: Host::new(),
            window: RatioWindow::new(config.window, stripes),
        };
        Self(Arc::new(Shared {
            identity: hash(identity),
            hosts: (0..hosts).map(|_| judged()).collect(),
            away: AtomicU64::new(0),
            config,
        }))
    }

    /// Reports how an attempt at `host` ended; answers the ejection that this made, if it made one.
    pub fn record(
        &self,
        host: usize,
        stripe: Stripe,
        now: Instant,
        finished: &Finished,
    ) -> Option<Ejection> {
        let judged = self.0.hosts.get(host)?;
        let sheds = finished.class == Some(Class::Rejected);
        if finished.outcome == Outcome::Ignored || sheds {
            return None;
        }
        let failed = finished.outcome.is_bad();
        judged.window.record(stripe, now, failed);
        if !failed {
            judged.host.forgive();
            return None;
        }
        let in_a_row = judged.host.count_failure();
        let cause = if self
            .0
            .config
            .consecutive
            .is_some_and(|most| in_a_row >= most.max(1))
        {
            Cause::Consecutive
        } else if self.is_worse_than_peers(host, now) {
            Cause::WorseThanPeers
        } else {
            return None;
        };
        self.eject(host, now, cause)
    }

    /// Whether calls may go to `host`: it is not away, or so many are that nobody counts as away.
    #[must_use]
    pub fn is_available(&self, host: usize, now: Instant) -> bool {
        let Some(judged) = self.0.hosts.get(host) else {
            return false;
        };
        self.bring_back(judged, now);
        if !judged.host.is_away() {
            return true;
        }
        let (away, hosts) = (
            self.0.away.load(Ordering::Relaxed),
            self.0.hosts.len() as u64,
        );
        away > self.0.config.panic.of(hosts)
    }

    /// What is shown of each host, in order.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Vec<HostSnapshot> {
        let shown = |judged: &Judged| {
            let totals = judged.window.totals(now, Instant::ZERO);
            HostSnapshot {
                calls: totals.calls,
                failures: totals.bad,
                away_until: judged.host.away_until().filter(|until| *until > now),
            }
        };
        self.0.hosts.iter().map(shown).collect()
    }

    /// Compares shares exactly: failures over calls, without dividing.
    fn is_worse_than_peers(&self, host: usize, now: Instant) -> bool {
        let config = &self.0.config;
        let failures = |judged: &Judged| {
            let totals = judged.window.totals(now, Instant::ZERO);
            let enough = totals.calls >= u64::from(config.min_calls.max(1));
            enough.then_some((totals.bad, totals.calls))
        };
        let Some((bad, calls)) = failures(&self.0.hosts[host]) else {
            return false;
        };
        if !config.min_failures.reached_by(bad, calls) {
            return false;
        }
        let others = self.0.hosts.iter().enumerate();
        let peers = others.filter(|(at, _)| *at != host);
        let mut shares: Vec<(u64, u64)> = peers.filter_map(|(_, peer)| failures(peer)).collect();
        if shares.is_empty() {
            return false;
        }
        shares.sort_unstable_by(|one, other| {
            let [one_bad, one_calls, bad, calls] = [one.0, one.1, other.0, other.1].map(u128::from);
            (one_bad * calls).cmp(&(bad * one_calls))
        });
        // Of an even number the lower one: half of the peers are no worse.
        let (peer_bad, peer_calls) = shares[(shares.len() - 1) / 2];
        let threshold = u128::from(peer_bad) * u128::from(config.factor.permille());
        u128::from(bad) * u128::from(peer_calls) * 1000 >= threshold * u128::from(calls)
    }

    fn eject(&self, host: usize, now: Instant, cause: Cause) -> Option<Ejection> {
        let shared = &*self.0;
        for judged in &shared.hosts {
            self.bring_back(judged, now);
        }
        let most = shared.config.max_ejected.of(shared.hosts.len() as u64);
        update(Protocol::Outlier, &shared.away, |away| {
            (away < most).then_some(away + 1)
        })?;
        let away = shared.hosts[host]
            .host
            .send_away(now, |times| self.time_away(host, times));
        if away.is_none() {
            // Somebody else sent it away: the place that was counted for it is theirs.
            shared.away.fetch_sub(1, Ordering::Relaxed);
        }
        away.map(|away| Ejection { host, away, cause })
    }

    /// Marks a host as back whose time is over. Whoever clears the mark counts it down.
    fn bring_back(&self, judged: &Judged, now: Instant) {
        if judged.host.come_back(now) {
            self.0.away.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How long a host stays away that was sent away `times` times before.
    fn time_away(&self, host: usize, times: u32) -> Duration {
        let config = &self.0.config;
        let (initial, max) = (nanos(config.initial), nanos(config.max));
        let doubled = initial.saturating_mul(1 << times.min(32)).min(max);
        let reach = config.jitter.min(Ratio::ONE).of(doubled);
        let seed = self.0.identity ^ (host as u64) << 32 ^ u64::from(times);
        let mut dice = Entropy::new(seed);
        Duration::from_nanos(dice.between(doubled - reach, doubled.saturating_add(reach).min(max)))
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
