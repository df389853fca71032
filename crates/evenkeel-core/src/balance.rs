//! Which of several hosts takes the next call.
//!
//! In turn, a slow host gets as many calls as a fast one and its callers queue; by least calls in flight, a
//! host that fails at once looks idle and attracts everything. Looking at all hosts for the best makes every
//! client pick the same one. **Two choices** are nearly as good as all of them and do not herd: two hosts are
//! drawn, and the one with the lower cost takes the call.
//!
//! The cost is what a call takes there of late, times the calls in flight with this one. Latency follows a
//! rise at once and a fall slowly ([`Ewma::record_peak`]), and fades while nobody asks, so that a host that
//! was slow is tried again. A failure counts as [`Config::penalty`], however quick it was.
//!
//! Limits: hosts that differ in size are told apart by their latency under load alone.
//!
//! Sources: Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 2001; peak EWMA as in
//! Finagle; the penalty is Linkerd's load biaser.

use core::time::Duration;

use crate::entropy::Entropy;
use crate::outcome::Outcome;
use crate::stripe::Padded;
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::time::{Instant, nanos};
use crate::window::Ewma;

/// How a host's latency is remembered, and what a failure counts as.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What is known of a host counts half after this time. Longer: steadier. Shorter: a host that has
    /// recovered is used again sooner. Default 7 s, Finagle's ten seconds to a share of 1/e.
    pub half_life: Duration,
    /// A failed call counts as if it had taken this long, if it did not take longer. Default 5 s.
    pub penalty: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(7),
            penalty: Duration::from_secs(5),
        }
    }
}

/// A choice among hosts. Cheap to clone; clones are one balance.
///
/// ```
/// use evenkeel_core::balance::{Balance, Config};
/// use evenkeel_core::{entropy::Entropy, outcome::Outcome, time::Instant};
/// use std::time::Duration;
///
/// let (balance, mut dice) = (Balance::new(Config::default(), 2), Entropy::new(1));
/// let mut calls = [0, 0];
/// let mut now = Instant::ZERO;
/// for _ in 0..1_000 {
///     let picked = balance.pick(now, &mut dice, |_| true).unwrap();
///     calls[picked.host()] += 1;
///     now = now + Duration::from_millis(if picked.host() == 0 { 10 } else { 100 });
///     picked.finish(now, Outcome::Success);
/// }
/// assert!(calls[0] > 900, "the faster one takes nearly all: {calls:?}");
/// ```
#[derive(Debug, Clone)]
pub struct Balance(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    hosts: Vec<Padded<Load>>,
}

#[derive(Debug)]
struct Load {
    latency: Ewma,
    in_flight: AtomicU64,
}

/// A host that was picked for one call. Report how the attempt ended with [`Picked::finish`]; dropped, it
/// counts for nothing.
#[derive(Debug)]
#[must_use = "a host that is dropped at once takes no call"]
pub struct Picked {
    balance: Balance,
    host: usize,
    began: Instant,
}

impl Picked {
    /// Which host.
    #[must_use]
    pub const fn host(&self) -> usize {
        self.host
    }

    /// Reports how the attempt ended.
    pub fn finish(self, now: Instant, outcome: Outcome) {
        let took = now.since(self.began);
        self.balance.record(self.host, now, took, outcome);
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.balance.leave(self.host);
    }
}

/// What is shown of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostSnapshot {
    /// What a call takes there of late.
    pub latency: Duration,
    /// Calls in flight there.
    pub in_flight: u64,
}

impl Balance {
    /// A choice among `hosts` hosts of which nothing is known.
    #[must_use]
    pub fn new(config: Config, hosts: usize) -> Self {
        let load = || Load {
            latency: Ewma::new(config.half_life),
            in_flight: AtomicU64::new(0),
        };
        let hosts = (0..hosts).map(|_| Padded(load())).collect();
        Self(Arc::new(Shared { hosts, config }))
    }

    /// Picks the less loaded of two hosts that are drawn from those for which `may` holds; none if it holds
    /// for none. `may` leaves out hosts that were ejected, or that have had this call already.
    pub fn pick(
        &self,
        now: Instant,
        dice: &mut Entropy,
        may: impl Fn(usize) -> bool,
    ) -> Option<Picked> {
        let host = self.enter(now, dice, may)?;
        Some(Picked {
            balance: self.clone(),
            host,
            began: now,
        })
    }

    /// The same without a handle: the caller [leaves](Balance::leave) the host.
    pub(crate) fn enter(
        &self,
        now: Instant,
        dice: &mut Entropy,
        may: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let one = self.draw(dice, &may, None)?;
        let host = match self.draw(dice, &may, Some(one)) {
            Some(other) if self.cost(other, now) < self.cost(one, now) => other,
            _ => one,
        };
        // Another may be picking the same: in flight is counted after it was compared, and that is as good
        // as two choices need.
        self.0.hosts[host].in_flight.fetch_add(1, Ordering::Relaxed);
        Some(host)
    }

    /// Ends a call to `host`.
    pub(crate) fn leave(&self, host: usize) {
        self.0.hosts[host].in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Learns how long a call to `host` took.
    pub(crate) fn record(&self, host: usize, now: Instant, took: Duration, outcome: Outcome) {
        let took = match outcome {
            Outcome::Success => took,
            Outcome::Failure | Outcome::Overload => took.max(self.0.config.penalty),
            Outcome::Ignored => return,
        };
        self.0.hosts[host].latency.record_peak(now, took);
    }

    /// What is shown of each host, in order.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Vec<HostSnapshot> {
        let shown = |load: &Padded<Load>| HostSnapshot {
            latency: load.latency.decayed(now),
            in_flight: load.in_flight.load(Ordering::Relaxed),
        };
        self.0.hosts.iter().map(shown).collect()
    }

    /// A host for which `may` holds and that is not `but`, each as likely as any other: the drawn one, or,
    /// if it may not, one of those that may.
    fn draw(
        &self,
        dice: &mut Entropy,
        may: &impl Fn(usize) -> bool,
        but: Option<usize>,
    ) -> Option<usize> {
        let hosts = self.0.hosts.len();
        let may = |host: &usize| Some(*host) != but && may(*host);
        let drawn = below(dice, hosts)?;
        if may(&drawn) {
            return Some(drawn);
        }
        // Not the next one along: the neighbours of ejected hosts would take all of their calls.
        let left = (0..hosts).filter(may).count();
        let nth = below(dice, left)?;
        (0..hosts).filter(may).nth(nth)
    }

    fn cost(&self, host: usize, now: Instant) -> u128 {
        let load = &self.0.hosts[host];
        let in_flight = load.in_flight.load(Ordering::Relaxed);
        // A host that nobody has heard from is tried, and not by everybody at once.
        let latency = nanos(load.latency.decayed(now)).max(1);
        let unheard = load.latency.value().is_zero() && in_flight != 0;
        let latency = if unheard {
            nanos(self.0.config.penalty)
        } else {
            latency
        };
        u128::from(latency) * (u128::from(in_flight) + 1)
    }
}

/// A number below `count`; none below nothing.
fn below(dice: &mut Entropy, count: usize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    usize::try_from(dice.between(0, last as u64)).ok()
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// Calls one after another, each a millisecond after the last began; how many each host took.
    fn run(hosts: usize, calls: u64, takes: impl Fn(usize) -> (u64, Outcome)) -> Vec<u64> {
        let (balance, mut dice) = (Balance::new(Config::default(), hosts), Entropy::new(1));
        let mut under_way: Vec<(u64, Picked, Outcome)> = Vec::new();
        let mut taken = vec![0; hosts];
        for now in 0..calls {
            let (over, left): (Vec<_>, Vec<_>) = under_way
                .into_iter()
                .partition(|(until, _, _)| *until <= now);
            under_way = left;
            for (_, picked, outcome) in over {
                picked.finish(at(now), outcome);
            }
            let picked = balance.pick(at(now), &mut dice, |_| true).unwrap();
            taken[picked.host()] += 1;
            let (took, outcome) = takes(picked.host());
            under_way.push((now + took, picked, outcome));
        }
        taken
    }

    #[test]
    fn equal_hosts_take_equal_shares() {
        let taken = run(5, 10_000, |_| (20, Outcome::Success));
        assert!(
            taken.iter().all(|&calls| (1_800..2_200).contains(&calls)),
            "{taken:?}"
        );
    }

    #[test]
    fn a_slow_host_takes_few_calls_and_is_not_forgotten() {
        let taken = run(5, 60_000, |host| {
            (if host == 3 { 500 } else { 20 }, Outcome::Success)
        });
        assert!((3..2_000).contains(&taken[3]), "{taken:?}");
    }

    #[test]
    fn a_host_that_fails_at_once_attracts_nothing() {
        let taken = run(5, 20_000, |host| {
            if host == 2 {
                (0, Outcome::Failure)
            } else {
                (20, Outcome::Success)
            }
        });
        assert!(taken[2] * 50 < 20_000, "{taken:?}");
    }

    #[test]
    fn a_hung_host_is_avoided_before_its_first_call_ends() {
        let taken = run(2, 1_000, |host| {
            (if host == 1 { 100_000 } else { 5 }, Outcome::Success)
        });
        assert!(taken[1] < 10, "{taken:?}");
    }

    #[test]
    fn what_may_not_be_picked_is_not_and_its_share_goes_to_all() {
        let (balance, mut dice) = (Balance::new(Config::default(), 6), Entropy::new(1));
        let mut taken = [0; 6];
        for _ in 0..6_000 {
            let picked = balance.pick(at(0), &mut dice, |host| host > 1).unwrap();
            taken[picked.host()] += 1;
        }
        assert_eq!(taken[..2], [0, 0]);
        assert!(
            taken[2..]
                .iter()
                .all(|&calls| (1_200..1_800).contains(&calls)),
            "{taken:?}"
        );
        assert!(balance.pick(at(0), &mut dice, |_| false).is_none());
        assert!(
            Balance::new(Config::default(), 0)
                .pick(at(0), &mut dice, |_| true)
                .is_none()
        );
        let lone = balance.pick(at(0), &mut dice, |host| host == 4).unwrap();
        assert_eq!(lone.host(), 4);
    }

    #[test]
    fn a_caller_who_left_says_nothing_of_the_host() {
        let (balance, mut dice) = (Balance::new(Config::default(), 1), Entropy::new(1));
        drop(balance.pick(at(0), &mut dice, |_| true));
        let ignored = balance.pick(at(0), &mut dice, |_| true).unwrap();
        ignored.finish(at(9_000), Outcome::Ignored);
        let shown = balance.snapshot(at(9_000))[0];
        assert_eq!((shown.latency, shown.in_flight), (Duration::ZERO, 0));
    }

    proptest! {
        #[test]
        fn calls_in_flight_are_conserved(
            moves in proptest::collection::vec((any::<bool>(), any::<usize>(), 0..100_u64), 1..200),
        ) {
            let (balance, mut dice) = (Balance::new(Config::default(), 3), Entropy::new(1));
            let (mut now, mut held): (u64, Vec<Picked>) = (0, Vec::new());
            for (begins, which, step) in moves {
                now += step;
                if begins {
                    held.extend(balance.pick(at(now), &mut dice, |_| true));
                } else if !held.is_empty() {
                    held.swap_remove(which % held.len()).finish(at(now), Outcome::Success);
                }
                let shown = balance.snapshot(at(now));
                for (host, shown) in shown.iter().enumerate() {
                    let there = held.iter().filter(|picked| picked.host() == host).count();
                    prop_assert_eq!(shown.in_flight, there as u64);
                }
            }
        }
    }
}
