//! The rate of each of very many tenants, in fixed memory.
//!
//! One bucket per tenant is one word: who, and until when what was taken would last at the rate (the theoretical
//! arrival time of the [generic cell rate algorithm](crate::rate)). A word whose time has passed is a full bucket,
//! which is what a tenant that was never seen has: so it can be given to another tenant without anybody
//! gaining or losing by it, and no other word can. Where a tenant finds neither its own word nor such a
//! one among the eight it may use, it shares one bucket with all whom that befalls.
//!
//! A bucket is found and taken from without a lock. A word changes its tenant under one, so that no tenant
//! ever has two.
//!
//! Limits: a tenant is told from others by 34 bits or so of its hash: among a hundred thousand, one in some
//! hundred thousand shares its bucket with another. Times are kept in units of 1.024 µs.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::PoisonError;

use crate::sync::{AtomicU64, Mutex, Ordering, Protocol, exchange};
use crate::time::Instant;

/// Words a tenant may use.
const WAYS: usize = if cfg!(evenkeel_loom) { 2 } else { 8 };

const UNIT_BITS: u32 = 10;
const TIME_BITS: u32 = 44;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// Clocks of two threads differ by less than a second; what is further ahead than a full bucket and this is
/// left from the last turn of the clock.
const LAG: u64 = 1_000_000_000 >> UNIT_BITS;

/// What was taken beyond the rate, when its cost became known, is held against a tenant up to this.
const DEBT_MAX: u64 = 1_000_000_000 >> UNIT_BITS;

/// Requests each tenant may make.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// A second, for each share of the tenant.
    pub per_second: NonZeroU32,
    /// At once, for each share, after a while without any. Default: as many as in a second.
    pub burst: NonZeroU32,
    /// Tenants that are told apart, rounded up; eight bytes each. Default 100,000.
    pub tenants: NonZeroU32,
}

impl Rate {
    /// So many a second, and a burst of as many.
    #[must_use]
    pub const fn per_second(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            burst: per_second,
            tenants: NonZeroU32::MIN.saturating_add(99_999),
        }
    }
}

/// One bucket per tenant.
#[derive(Debug)]
pub(super) struct Table {
    /// Nanoseconds that one request takes up of a single share.
    interval: u64,
    /// Units of time that a full bucket lasts.
    burst: u64,
    words: Box<[AtomicU64]>,
    overflow: AtomicU64,
    /// Held while a word changes its tenant.
    claims: Mutex<()>,
}

/// What was taken, and from which bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Where; none: from the shared one.
    word: Option<usize>,
    tag: u64,
    units: u64,
}

/// A bucket: whose it is, and until when what was taken lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket(u64);

impl Bucket {
    const fn new(tag: u64, until: u64) -> Self {
        Self(tag << TIME_BITS | until & TIME_MASK)
    }

    const fn tag(self) -> u64 {
        self.0 >> TIME_BITS
    }

    /// How far ahead of `now` it is, in units: what is missing from a full bucket.
    const fn ahead(self, now: u64, burst: u64) -> u64 {
        let ahead = self.0.wrapping_sub(now) & TIME_MASK;
        if ahead > burst + DEBT_MAX + LAG {
            0
        } else {
            ahead
        }
    }
}

/// Refused: when there will be enough.
type Wait = Duration;

impl Table {
    pub(super) fn new(rate: &Rate) -> Self {
        let interval = 1_000_000_000 / u64::from(rate.per_second.get());
        // A third more words than tenants, so that nearly every tenant finds one.
        let words = rate.tenants.get() as usize;
        let words = (words + words / 3).max(WAYS).next_power_of_two();
        Self {
            interval: interval.max(1),
            burst: units(interval.max(1)).saturating_mul(u64::from(rate.burst.get())),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            overflow: AtomicU64::new(0),
            claims: Mutex::new(()),
        }
    }

    /// Takes one request of a tenant with `weight` shares.
    pub(super) fn take(&self, now: Instant, id: u64, weight: NonZeroU32) -> Result<Taken, Wait> {
        let now = now.as_nanos() >> UNIT_BITS;
        // A full bucket lasts as long whatever the weight; a request takes up less of it.
        let units = units(self.interval.div_ceil(u64::from(weight.get())));
        let burst = self.burst.max(units);
        let (first, tag) = self.place(id);
        loop {
            let Some(found) = self.find(first, tag) else {
                match self.claim(first, tag, now, units, burst) {
                    Claim::Taken(taken) => return Ok(taken),
                    Claim::Found => continue,
                    Claim::Crowded => return self.take_from(None, 0, now, units, burst),
                }
            };
            match self.take_from(Some(found), tag, now, units, burst) {
                // It has become another tenant's meanwhile, since ours was full.
                Err(Wait::ZERO) => {}
                other => return other,
            }
        }
    }

    /// Gives back what was taken, for a request that was refused after all.
    pub(super) fn give_back(&self, taken: Taken) {
        self.change(taken, |until| until.wrapping_sub(taken.units));
    }

    /// Takes as much again as `times` such requests, which turned out to have been made; up to a second's worth of
    /// what is missing already.
    pub(super) fn charge(&self, now: Instant, taken: Taken, times: u32) {
        let now = now.as_nanos() >> UNIT_BITS;
        let burst = self.burst.max(taken.units);
        self.change(taken, |until| {
            let missing = Bucket(until).ahead(now, burst);
            let most = missing.max(burst + DEBT_MAX);
            let more = taken.units.saturating_mul(u64::from(times));
            now.wrapping_add(missing.saturating_add(more).min(most))
        });
    }

    /// How many of a full bucket's requests a tenant has left.
    #[cfg(test)]
    fn left(&self, now: Instant, id: u64) -> u64 {
        let now = now.as_nanos() >> UNIT_BITS;
        let burst = self.burst;
        let (first, tag) = self.place(id);
        let ahead = self.find(first, tag).map_or(0, |at| {
            Bucket(self.words[at].load(Ordering::Relaxed)).ahead(now, burst)
        });
        (burst - ahead.min(burst)) / units(self.interval)
    }

    fn word(&self, at: Option<usize>) -> &AtomicU64 {
        at.map_or(&self.overflow, |at| &self.words[at])
    }

    fn find(&self, first: usize, tag: u64) -> Option<usize> {
        let is_its = |at: &usize| Bucket(self.words[*at].load(Ordering::Relaxed)).tag() == tag;
        (first..first + WAYS).find(is_its)
    }

    fn take_from(
        &self,
        at: Option<usize>,
        tag: u64,
        now: u64,
        units: u64,
        burst: u64,
    ) -> Result<Taken, Wait> {
        let word = self.word(at);
        let mut held = word.load(Ordering::Relaxed);
        loop {
            if Bucket(held).tag() != tag {
                return Err(Wait::ZERO);
            }
            let ahead = Bucket(held).ahead(now, burst) + units;
            if let Some(beyond) = ahead.checked_sub(burst).filter(|beyond| *beyond > 0) {
                return Err(Duration::from_nanos(beyond << UNIT_BITS));
            }
            let taken = Bucket::new(tag, now.wrapping_add(ahead));
            match exchange(Protocol::Tenant, word, held, taken.0) {
                Ok(_) => {
                    return Ok(Taken {
                        word: at,
                        tag,
                        units,
                    });
                }
                Err(other) => held = other,
            }
        }
    }

    /// Makes a full bucket the tenant's, and takes from it.
    #[cold]
    fn claim(&self, first: usize, tag: u64, now: u64, units: u64, burst: u64) -> Claim {
        let _claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if self.find(first, tag).is_some() {
            return Claim::Found;
        }
        for at in first..first + WAYS {
            let held = self.words[at].load(Ordering::Relaxed);
            // Missing nothing, by anybody's clock: as good as never seen.
            let missing = Bucket(held).ahead(now.saturating_sub(LAG), burst + LAG);
            if held != 0 && missing > 0 {
                continue;
            }
            let taken = Bucket::new(tag, now.wrapping_add(units));
            if exchange(Protocol::Tenant, &self.words[at], held, taken.0).is_ok() {
                let word = Some(at);
                return Claim::Taken(Taken { word, tag, units });
            }
        }
        Claim::Crowded
    }

    /// Changes until when what was taken lasts, while the bucket is still the tenant's.
    fn change(&self, taken: Taken, to: impl Fn(u64) -> u64) {
        let word = self.word(taken.word);
        let mut held = word.load(Ordering::Relaxed);
        while Bucket(held).tag() == taken.tag {
            let changed = Bucket::new(taken.tag, to(held & TIME_MASK));
            match exchange(Protocol::Tenant, word, held, changed.0) {
                Ok(_) => return,
                Err(other) => held = other,
            }
        }
    }

    /// The first of the words a tenant may use, and its tag, which is never zero.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the remainder is below the number of sets"
    )]
    fn place(&self, id: u64) -> (usize, u64) {
        // Ids are hashes, or small numbers: spread them over both ends.
        let spread = crate::entropy::mix(id);
        let sets = self.words.len() / WAYS;
        let set = (spread % sets as u64) as usize;
        (set * WAYS, (spread >> TIME_BITS).max(1))
    }
}

enum Claim {
    Taken(Taken),
    /// Somebody else has just claimed one for the same tenant.
    Found,
    /// No bucket among those the tenant may use is full.
    Crowded,
}

/// Whole units of time, no less than those nanoseconds.
const fn units(nanos: u64) -> u64 {
    nanos.div_ceil(1 << UNIT_BITS)
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn table(per_second: u32, tenants: u32) -> Table {
        let mut rate = Rate::per_second(NonZeroU32::new(per_second).unwrap());
        rate.tenants = NonZeroU32::new(tenants).unwrap();
        Table::new(&rate)
    }

    /// After which every bucket is full, whoever took from it.
    fn full_after(table: &Table) -> Duration {
        Duration::from_nanos((table.burst + DEBT_MAX + 2 * LAG) << UNIT_BITS)
    }

    fn taken(table: &Table, now: Instant, id: u64, tries: u32) -> usize {
        (0..tries)
            .filter(|_| table.take(now, id, ONE).is_ok())
            .count()
    }

    #[test]
    fn each_tenant_has_its_own_rate_and_burst() {
        let table = table(10, 100);
        assert_eq!(taken(&table, at(0), 1, 100), 10);
        assert_eq!(taken(&table, at(0), 2, 100), 10);
        assert_eq!(taken(&table, at(1_001), 1, 100), 10);
        let wait = table.take(at(1_001), 1, ONE).unwrap_err();
        assert!((90..=101).contains(&wait.as_millis()), "{wait:?}");
    }

    #[test]
    fn shares_multiply_the_rate() {
        let table = table(100, 100);
        let five = NonZeroU32::new(5).unwrap();
        let taken = (0..1_000)
            .filter(|_| table.take(at(0), 1, five).is_ok())
            .count();
        assert!((495..=500).contains(&taken), "{taken}");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let table = table(10, 100);
        let one = table.take(at(0), 1, ONE).unwrap();
        let before = table.left(at(0), 1);
        table.give_back(one);
        assert_eq!(table.left(at(0), 1), before + 1);
    }

    #[test]
    fn debts_are_bounded_by_a_second() {
        let table = table(10, 100);
        let one = table.take(at(0), 1, ONE).unwrap();
        table.charge(at(0), one, 1_000_000);
        assert!(
            table.take(at(1_050), 1, ONE).is_err(),
            "a burst and a second"
        );
        assert!(table.take(at(2_100), 1, ONE).is_ok());
    }

    #[test]
    fn peer_fault_21_a_hundred_thousand_tenants_fit_and_as_many_again_share_the_rest() {
        let table = table(10, 100_000);
        let words = table.words.len();
        // Of all that fit, next to none finds no bucket of its own.
        for id in 0..100_000 {
            table.take(at(0), id, ONE).ok();
        }
        let known = (0..100_000).filter(|id| {
            let (first, tag) = table.place(*id);
            table.find(first, tag).is_some()
        });
        assert!(known.count() > 99_000);
        for id in 100_000..300_000 {
            table.take(at(0), id, ONE).ok();
        }
        assert_eq!(table.words.len(), words);
    }

    #[test]
    fn whoever_finds_no_bucket_shares_one_and_is_served_from_it() {
        let table = table(10, 1);
        assert_eq!(table.words.len(), WAYS);
        for id in 1..=8 {
            assert!(table.take(at(0), id, ONE).is_ok());
        }
        let shared: usize = (9..100).map(|id| taken(&table, at(0), id, 3)).sum();
        assert_eq!(shared, 10, "one bucket for all of them");
        // Two seconds later the first ones' buckets are full, and anybody's.
        let later = at(0) + full_after(&table);
        assert_eq!(taken(&table, later, 50, 100), 10);
    }

    #[derive(Debug, Clone)]
    enum Move {
        Take(u64),
        Pass(u64),
        GiveBack,
    }

    proptest! {
        /// Against one bucket a tenant, kept for ever: whatever is evicted and claimed meanwhile, no tenant ever gets
        /// more than its own bucket and the shared one hold.
        #[test]
        fn an_evicted_tenant_never_gains_tokens(
            moves in proptest::collection::vec(
                prop_oneof![
                    8 => (0..24_u64).prop_map(Move::Take),
                    2 => (0..900_u64).prop_map(Move::Pass),
                    1 => Just(Move::GiveBack),
                ],
                1..400,
            ),
        ) {
            // Eight words for two dozen tenants.
            let table = table(10, 1);
            let interval = units(table.interval);
            let burst = table.burst;
            // Until when what each took from a bucket of its own lasts, in units.
            let mut naive: BTreeMap<u64, u64> = BTreeMap::new();
            let (mut now, mut last) = (Instant::ZERO, None);
            for step in moves {
                match step {
                    Move::Take(id) => {
                        let units_now = now.as_nanos() >> UNIT_BITS;
                        let until = naive.entry(id).or_insert(0);
                        let held = (*until).max(units_now);
                        let allowed = held + interval <= units_now + burst;
                        let taken = table.take(now, id, ONE).ok();
                        if let Some(one) = taken {
                            if one.word.is_some() {
                                prop_assert!(allowed, "tenant {id} took more than a bucket of its own holds");
                                *until = held + interval;
                            }
                        }
                        last = taken.map(|taken| (id, taken));
                    }
                    Move::Pass(millis) => now = now + Duration::from_millis(millis),
                    Move::GiveBack => if let Some((id, taken)) = last.take() {
                        table.give_back(taken);
                        if taken.word.is_some() {
                            *naive.entry(id).or_insert(0) -= interval;
                        }
                    },
                }
            }
        }
    }
}
