//! A bounded sample of goroutine ids that can be compared between dumps.
//!
//! "The same goroutines are still there eight seconds later" is what tells stuck from busy, but
//! keeping every id would make memory grow with the dump. Keeping the ids with the smallest hashes
//! (a bottom-k sketch, Cohen and Kaplan 2007) picks the *same* ids out of every dump they occur in,
//! so the share that survived can be read off two small samples.

use std::collections::BTreeMap;

/// Ids kept per group. At 256 the share that survived is known within about six points.
const KEPT: usize = 256;

/// The ids with the smallest hashes out of all that were added.
#[derive(Debug, Clone, Default)]
pub struct IdSketch {
    kept: BTreeMap<u64, u64>,
    bound: Option<u64>,
}

impl IdSketch {
    /// Adds an id.
    pub fn insert(&mut self, id: u64) {
        let hash = scramble(id);
        if self.bound.is_some_and(|bound| hash >= bound) {
            return;
        }
        self.kept.insert(hash, id);
        if self.kept.len() > KEPT {
            self.kept.pop_last();
            self.bound = self.kept.last_key_value().map(|(hash, _)| *hash);
        }
    }

    /// Adds all ids of another sample.
    pub fn merge(&mut self, other: &Self) {
        for id in other.kept.values() {
            self.insert(*id);
        }
        if let Some(theirs) = other.bound {
            self.bound = Some(self.bound.map_or(theirs, |ours| ours.min(theirs)));
            if let Some(bound) = self.bound {
                self.kept.retain(|hash, _| *hash <= bound);
            }
        }
    }

    /// Ids held in the sample.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether no id was ever added.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The share of these ids that is also in `later`, from 0 to 1; `None` when nothing can be said.
    pub fn surviving_in(&self, later: &Self) -> Option<f64> {
        // Beyond the smaller bound one of the two samples is blind, so only compare below it.
        let bound = match (self.bound, later.bound) {
            (Some(a), Some(b)) => a.min(b),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => u64::MAX,
        };
        let comparable = || self.kept.keys().filter(|hash| **hash <= bound);
        let total = comparable().count();
        if total == 0 {
            return None;
        }
        let alive = comparable()
            .filter(|hash| later.kept.contains_key(*hash))
            .count();
        Some(alive as f64 / total as f64)
    }
}

/// The finaliser of SplitMix64: consecutive ids land far apart.
fn scramble(id: u64) -> u64 {
    let mut mixed = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: impl IntoIterator<Item = u64>) -> IdSketch {
        let mut sketch = IdSketch::default();
        for id in ids {
            sketch.insert(id);
        }
        sketch
    }

    #[test]
    fn a_cohort_that_stays_survives_whole_even_when_the_crowd_grows() {
        let before = of(1..=10_000);
        let after = of(1..=50_000);
        assert_eq!(before.surviving_in(&after), Some(1.0));
    }

    #[test]
    fn a_cohort_that_left_is_seen_to_have_left() {
        let before = of(1..=10_000);
        let after = of(20_000..=30_000);
        assert_eq!(before.surviving_in(&after), Some(0.0));
    }

    #[test]
    fn half_a_cohort_is_estimated_within_ten_points() {
        let before = of(1..=10_000);
        let after = of(5_001..=40_000);
        let share = before.surviving_in(&after).unwrap();
        assert!((0.4..=0.6).contains(&share), "{share}");
    }

    #[test]
    fn merged_samples_equal_the_sample_of_the_union() {
        let mut left = of(1..=3_000);
        left.merge(&of(3_001..=9_000));
        let whole = of(1..=9_000);
        assert_eq!(whole.surviving_in(&left), Some(1.0));
        assert!(left.len() <= KEPT);
    }

    #[test]
    fn no_ids_say_nothing() {
        assert_eq!(IdSketch::default().surviving_in(&of(1..=3)), None);
    }
}
