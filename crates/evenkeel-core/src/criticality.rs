//! How much a request matters.
//!
//! A server that must refuse some requests should not draw lots: a prefetch and a payment are not alike. And
//! it should not draw new lots at every hop: a page made of ten calls, each admitted with probability one
//! half, is shown one time in a thousand. So a request carries its [`Criticality`], one of five classes,
//! and its [`Cohort`], one of 128 parts of each class, from a hash of the id of the request that began it
//! all. Both travel with the calls made on its behalf: what is shed is whole trees of calls. The hash is
//! rotated every hour, so that nobody is always the last.
//!
//! Sources: DAGOR's business and user priorities; the five classes and 128 cohorts are Cinnamon's.

use core::fmt;

use crate::entropy::hash;
use crate::time::Instant;

/// Cohorts in each class.
pub const COHORTS: usize = 128;

/// All levels there are: classes times cohorts.
pub(crate) const LEVELS: usize = Criticality::ALL.len() * COHORTS;

/// A cohort's place among the others changes this often.
const ROTATION_NANOS: u64 = 3_600_000_000_000;

/// How much a request matters, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Criticality {
    /// Nobody waits for it: it may be refused altogether.
    Batch,
    /// Its absence is hardly noticed.
    Low,
    /// What is not known to be anything else.
    #[default]
    Normal,
    /// Its absence is noticed.
    High,
    /// Without it nothing works. Never believed of a request from outside.
    Critical,
}

impl Criticality {
    /// Every class, least first.
    pub const ALL: [Self; 5] = [
        Self::Batch,
        Self::Low,
        Self::Normal,
        Self::High,
        Self::Critical,
    ];

    /// The class's place in [`Criticality::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The class in one lower-case word, as it stands in headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The class that `word` names, in any case; none if it names none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|class| word.eq_ignore_ascii_case(class.as_str()))
    }

    /// What to believe of a class claimed by someone outside: at most high.
    #[must_use]
    pub fn from_outside(claimed: Option<Self>) -> Self {
        claimed.unwrap_or_default().min(Self::High)
    }

    /// The class of work done on behalf of a request of class `parent`: a call that an important request
    /// waits for is important, whatever it says of itself.
    #[must_use]
    pub fn inherit(self, parent: Self) -> Self {
        self.max(parent)
    }
}

impl fmt::Display for Criticality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request's part of its class, 0 to 127: within a class the lower cohorts are shed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Cohort(u8);

impl Cohort {
    /// The cohort of everything done for the request whose id is `root`, in the hour of `wall`, which is
    /// counted from an origin that all services share (the Unix epoch), so that they agree.
    ///
    /// ```
    /// use evenkeel_core::{criticality::Cohort, time::Instant};
    /// use std::time::Duration;
    ///
    /// let now = Instant::ZERO + Duration::from_secs(1_795_000_000);
    /// assert_eq!(Cohort::of("4bf92f35", now), Cohort::of("4bf92f35", now), "the same at every hop");
    /// ```
    #[must_use]
    pub fn of(root: &str, wall: Instant) -> Self {
        let hour = wall.as_nanos() / ROTATION_NANOS;
        // Moved on by the golden ratio of 128 each hour: near neighbours part, and no cohort stays last.
        Self::new(hash(root).wrapping_add(hour.wrapping_mul(79)))
    }

    /// The cohort with this number, modulo 128.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the remainder is below 128"
    )]
    pub const fn new(number: u64) -> Self {
        Self((number % COHORTS as u64) as u8)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A class and a cohort as one number: whatever has a lower one is shed first.
pub(crate) const fn level(class: Criticality, cohort: Cohort) -> usize {
    class.index() * COHORTS + cohort.0 as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn nobody_outside_is_critical() {
        assert_eq!(Criticality::from_outside(None), Criticality::Normal);
        assert_eq!(
            Criticality::from_outside(Some(Criticality::Critical)),
            Criticality::High
        );
        assert_eq!(
            Criticality::from_outside(Some(Criticality::Batch)),
            Criticality::Batch
        );
    }

    #[test]
    fn work_for_an_important_request_is_important() {
        assert_eq!(
            Criticality::Low.inherit(Criticality::High),
            Criticality::High
        );
        assert_eq!(
            Criticality::High.inherit(Criticality::Batch),
            Criticality::High
        );
    }

    #[test]
    fn every_class_reads_as_it_is_written() {
        for (index, class) in Criticality::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
            assert_eq!(Criticality::parse(class.as_str()), Some(class));
        }
        assert_eq!(Criticality::parse("urgent"), None);
    }

    #[test]
    fn cohorts_are_even_and_change_places_with_the_hour() {
        let at = |hour: u64| Instant::ZERO + Duration::from_secs(3600 * hour);
        let mut counts = [0_u32; COHORTS];
        for id in 0..128_000 {
            counts[usize::from(Cohort::of(&format!("request-{id}"), at(0)).number())] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
        let over_the_day = (0..128).map(|hour| Cohort::of("somebody", at(hour)).number());
        let met: std::collections::BTreeSet<_> = over_the_day.collect();
        assert_eq!(met.len(), COHORTS, "nobody is always the last");
    }

    #[test]
    fn a_class_outweighs_every_cohort_of_the_class_below() {
        let most = level(Criticality::Low, Cohort::new(127));
        assert!(most < level(Criticality::Normal, Cohort::new(0)));
        assert_eq!(level(Criticality::Critical, Cohort::new(127)) + 1, LEVELS);
    }
}
