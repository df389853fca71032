//! Durations, counted by size to within a hundredth.

/// Sub-buckets of each doubling: `2^6`, so a bucket is at most 1.6 % wide.
const FINE_BITS: u32 = 6;
const FINE: u64 = 1 << FINE_BITS;

/// How many durations of each size there were.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: Vec<u32>,
    total: u64,
    sum: u128,
}

impl Histogram {
    /// Counts a duration.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        let at = bucket(nanos);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.sum += u128::from(nanos);
    }

    /// How many were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// Their mean in nanoseconds; zero if there are none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.total == 0 {
            0.0
        } else {
            self.sum as f64 / self.total as f64
        }
    }

    /// The duration that this share of them does not exceed, in nanoseconds; none if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.total == 0 {
            return None;
        }
        let rank = share * self.total as f64;
        let mut below = 0.0;
        for (at, count) in self.counts.iter().enumerate() {
            let count = f64::from(*count);
            if count > 0.0 && below + count >= rank {
                let (low, high) = (floor_of(at), floor_of(at + 1));
                let into = ((rank - below) / count).clamp(0.0, 1.0);
                return Some(low + (high - low) * into);
            }
            below += count;
        }
        Some(floor_of(self.counts.len()))
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.total += other.total;
        self.sum += other.sum;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below 64 * 64")]
fn bucket(nanos: u64) -> usize {
    if nanos < FINE {
        return nanos as usize;
    }
    let doublings = u64::from(nanos.ilog2() - FINE_BITS);
    ((doublings + 1) * FINE + ((nanos >> doublings) - FINE)) as usize
}

fn floor_of(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket as f64;
    }
    let doublings = bucket / FINE - 1;
    ((FINE + bucket % FINE) as u128 * (1_u128 << doublings)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_a_hundredth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for nanos in 1..=100_000_u64 {
            histogram.record(nanos * 997);
        }
        for share in [0.01, 0.5, 0.9, 0.99, 0.999] {
            let (found, exact) = (histogram.quantile(share).unwrap(), share * 1e5 * 997.0);
            assert!(
                (found / exact - 1.0).abs() < 0.01,
                "{share}: {found} {exact}"
            );
        }
        assert!((histogram.mean() / (50_000.5 * 997.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn every_duration_falls_into_the_bucket_that_begins_below_it() {
        for shift in 0..64 {
            for nanos in [1_u64 << shift, (1 << shift) + 1, u64::MAX >> shift] {
                let at = bucket(nanos);
                assert!(floor_of(at) <= nanos as f64 && nanos as f64 <= floor_of(at + 1));
            }
        }
    }
}
