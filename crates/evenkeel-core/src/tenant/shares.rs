//! How many workers each group of tenants may use.
//!
//! A wall between groups wastes what one of them does not use; no wall lets one group take everything. A group
//! has a **nominal** part of the workers by its shares. Some of it is **lendable**: others use it
//! while the group does not need it, up to what each may **borrow**. What is not lendable stays free for its
//! owner, so that whoever comes back from a pause does not wait for a borrower to finish.
//!
//! Once a second the parts are fitted to what the groups have asked for: each group's demand rises at once and
//! is forgotten with a half-life of 30 s, and the workers are spread in proportion to it, between
//! the least and the most that each may have. Whoever is within its part comes before whoever is not; a worker that is
//! left is used by whoever waits, but for what others do not lend.
//!
//! Source: Kubernetes API Priority and Fairness, with its lending and borrowing of seats.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::ratio::Ratio;
use crate::time::Instant;

/// The parts are fitted this often.
const PERIOD: Duration = Duration::from_secs(1);

/// What is left of a demand after a second: 2^(-1/30), in 65,536ths.
const KEPT: u64 = 64_039;
const ONE: u64 = 1 << 16;

/// Demands are kept in 1,024ths of a worker.
const WORKER: u64 = 1 << 10;

/// Groups at most.
pub const GROUPS_MAX: usize = 64;

/// A group of tenants and its part of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// Its part, in relation to the others'.
    pub shares: NonZeroU32,
    /// The share of its workers that others may use while it does not. Larger: less is idle; a return from a
    /// pause waits for a service of somebody else's. Default 0.5.
    pub lendable: Ratio,
    /// What it may use of others' at most, as a share of its own. Zero: a hard cap. None: whatever is free.
    /// Default: none.
    pub borrowing: Option<Ratio>,
}

impl Group {
    /// A group with so many shares, half of which may be lent, that borrows whatever is free.
    #[must_use]
    pub const fn new(shares: NonZeroU32) -> Self {
        Self {
            shares,
            lendable: Ratio::from_permille(500),
            borrowing: None,
        }
    }
}

/// What a group uses, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSnapshot {
    /// Workers that are its own by its shares.
    pub nominal: u32,
    /// Workers it may use at present.
    pub current: u32,
    /// Workers it uses.
    pub in_use: u32,
}

/// The parts of all groups.
#[derive(Debug)]
pub(crate) struct Shares {
    groups: Vec<Part>,
    workers: u32,
    fitted: Option<Instant>,
}

#[derive(Debug)]
struct Part {
    config: Group,
    nominal: u32,
    least: u32,
    most: u32,
    current: u32,
    in_use: u32,
    waiting: u32,
    /// The most it used and waited for at once since the last fitting.
    peak: u32,
    /// In [`WORKER`]ths.
    demand: u64,
}

impl Shares {
    pub(crate) fn new(groups: &[Group], workers: u32) -> Self {
        let part = |config: &Group| Part {
            config: config.clone(),
            nominal: 0,
            least: 0,
            most: 0,
            current: 0,
            in_use: 0,
            waiting: 0,
            peak: 0,
            demand: 0,
        };
        let mut shares = Self {
            groups: groups.iter().take(GROUPS_MAX).map(part).collect(),
            workers: 0,
            fitted: None,
        };
        shares.resize(workers);
        shares
    }

    /// There are so many workers from now on.
    pub(crate) fn resize(&mut self, workers: u32) {
        if workers == self.workers {
            return;
        }
        self.workers = workers;
        let all: u64 = self.groups.iter().map(Part::shares).sum();
        for part in &mut self.groups {
            let nominal = (u64::from(workers) * part.shares()).div_ceil(all.max(1));
            part.nominal = to_u32(nominal);
            let lent = part.config.lendable.of(nominal).min(nominal);
            part.least = to_u32(nominal - lent);
            part.most = part.config.borrowing.map_or(workers, |share| {
                to_u32(nominal.saturating_add(share.of(nominal))).min(workers)
            });
            part.current = part.nominal.min(part.most).max(part.least);
        }
    }

    /// The group with that number; one that is not known is the first.
    fn known(&self, group: usize) -> usize {
        if group < self.groups.len() { group } else { 0 }
    }

    pub(crate) fn on_waiting(&mut self, group: usize, more: i32) {
        let group = self.known(group);
        let part = &mut self.groups[group];
        part.waiting = part.waiting.saturating_add_signed(more);
        part.peak = part.peak.max(part.in_use + part.waiting);
    }

    pub(crate) fn on_begun(&mut self, group: usize) {
        let group = self.known(group);
        self.groups[group].in_use += 1;
    }

    pub(crate) fn on_finished(&mut self, group: usize) {
        let group = self.known(group);
        let part = &mut self.groups[group];
        part.in_use = part.in_use.saturating_sub(1);
    }

    /// Whether one worker more is the group's own at present: others who wait come after it.
    pub(crate) fn is_own(&self, group: usize) -> bool {
        let part = &self.groups[self.known(group)];
        part.in_use < part.current && self.admits(group)
    }

    /// Whether the group may use one worker more: one that it lends nobody, or that nobody else may claim.
    pub(crate) fn admits(&self, group: usize) -> bool {
        let group = self.known(group);
        let part = &self.groups[group];
        let in_use: u32 = self.groups.iter().map(|part| part.in_use).sum();
        if part.in_use < part.least {
            return in_use < self.workers;
        }
        let others = self
            .groups
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != group);
        let kept_free: u32 = others
            .map(|(_, other)| other.least.saturating_sub(other.in_use))
            .sum();
        part.in_use < part.most && in_use.saturating_add(kept_free) < self.workers
    }

    /// Fits the parts to what was asked for, if it is time to.
    pub(crate) fn fit(&mut self, now: Instant) {
        let Some(fitted) = self.fitted else {
            self.fitted = Some(now);
            return;
        };
        let seconds = now.since(fitted).as_secs();
        if now.since(fitted) < PERIOD {
            return;
        }
        self.fitted = Some(now);
        for part in &mut self.groups {
            let peak = u64::from(part.peak) * WORKER;
            // After a quarter of an hour nothing is left of it.
            for _ in 0..seconds.min(900) {
                part.demand = (part.demand * KEPT + peak * (ONE - KEPT)) / ONE;
            }
            part.demand = part.demand.max(peak);
            part.peak = part.in_use + part.waiting;
        }
        self.spread();
    }

    /// Spreads the workers in proportion to demand, between the least and the most of each.
    fn spread(&mut self) {
        // The largest factor, in 65,536ths, with which everything fits: found by halving.
        let (mut fits, mut beyond) = (0, ONE * u64::from(self.workers.max(1)));
        while fits + 1 < beyond {
            let factor = fits.midpoint(beyond);
            let needed: u64 = self.groups.iter().map(|part| part.at(factor)).sum();
            if needed <= u64::from(self.workers) {
                fits = factor;
            } else {
                beyond = factor;
            }
        }
        for part in &mut self.groups {
            part.current = to_u32(part.at(fits));
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<GroupSnapshot> {
        let shown = |part: &Part| GroupSnapshot {
            nominal: part.nominal,
            current: part.current,
            in_use: part.in_use,
        };
        self.groups.iter().map(shown).collect()
    }
}

impl Part {
    fn shares(&self) -> u64 {
        u64::from(self.config.shares.get())
    }

    /// Its workers at that factor of what it asks for, which is never less than what it lends nobody.
    fn at(&self, factor: u64) -> u64 {
        let target = self.demand.max(u64::from(self.least) * WORKER);
        (target * factor / (ONE * WORKER)).clamp(self.least.into(), self.most.into())
    }
}

fn to_u32(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn groups(shares: &[u32]) -> Vec<Group> {
        let group = |shares: &u32| Group::new(NonZeroU32::new(*shares).unwrap());
        shares.iter().map(group).collect()
    }

    /// Begins as many as are admitted.
    fn fill(shares: &mut Shares, group: usize, most: u32) -> u32 {
        (0..most)
            .take_while(|_| {
                let admits = shares.admits(group);
                if admits {
                    shares.on_begun(group);
                }
                admits
            })
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn a_group_borrows_what_others_lend_and_leaves_them_the_rest() {
        let mut shares = Shares::new(&groups(&[1, 1]), 8);
        // Four are its own, two are lent by the other, and two are not.
        assert_eq!(fill(&mut shares, 0, 100), 6);
        assert_eq!(fill(&mut shares, 1, 100), 2);
    }

    #[test]
    fn a_hard_cap_leaves_workers_idle() {
        let mut groups = groups(&[1, 1]);
        groups[0].borrowing = Some(Ratio::ZERO);
        let mut shares = Shares::new(&groups, 8);
        assert_eq!(fill(&mut shares, 0, 100), 4);
    }

    #[test]
    fn workers_go_where_they_are_asked_for_and_come_back_slowly() {
        let mut shares = Shares::new(&groups(&[1, 1]), 8);
        shares.fit(at(0));
        shares.on_waiting(0, 50);
        shares.fit(at(1));
        let current = |shares: &Shares| {
            shares
                .snapshot()
                .iter()
                .map(|one| one.current)
                .collect::<Vec<_>>()
        };
        assert_eq!(current(&shares), [6, 2]);
        // The other one comes, as strong: half each at once.
        shares.on_waiting(1, 50);
        shares.fit(at(2));
        assert_eq!(current(&shares), [4, 4]);
        // The first one leaves; thirty seconds later it counts for half as much.
        shares.on_waiting(0, -50);
        shares.fit(at(3));
        for second in 4..=33 {
            shares.fit(at(second));
        }
        assert_eq!(current(&shares), [2, 6]);
    }

    #[test]
    fn a_group_nobody_knows_is_the_first() {
        let mut shares = Shares::new(&groups(&[1]), 2);
        assert_eq!(fill(&mut shares, 63, 100), 2);
        assert_eq!(shares.snapshot()[0].in_use, 2);
    }

    proptest! {
        /// Whatever is asked for, the parts keep within their bounds and together within the workers, and a group that
        /// comes back finds what it does not lend.
        #[test]
        fn parts_keep_within_their_bounds(
            parts in proptest::collection::vec((1..20_u32, 0..=1000_u32, 0..200_i32), 1..6),
            workers in 8..100_u32,
        ) {
            let groups: Vec<_> = parts.iter().map(|(shares, lendable, _)| {
                let mut group = Group::new(NonZeroU32::new(*shares).unwrap());
                group.lendable = Ratio::from_permille(*lendable);
                group
            }).collect();
            let mut shares = Shares::new(&groups, workers);
            shares.fit(at(0));
            for (group, (.., waiting)) in parts.iter().enumerate() {
                shares.on_waiting(group, *waiting);
            }
            shares.fit(at(1));
            let least: u32 = shares.groups.iter().map(|part| part.least).sum();
            let current: u32 = shares.groups.iter().map(|part| part.current).sum();
            // Rounding up gives each group a worker at least: together one more than there are, at most, each.
            prop_assert!(current <= workers.max(least));
            for part in &shares.groups {
                prop_assert!((part.least..=part.most.max(part.least)).contains(&part.current));
            }
            for group in 0..parts.len() {
                fill(&mut shares, group, 1000);
            }
            for part in &shares.groups {
                prop_assert!(part.in_use >= part.least.min(workers) || least > workers);
            }
        }
    }
}
