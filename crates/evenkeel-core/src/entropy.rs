//! Dice that can be thrown again.
//!
//! Jitter spreads clients that failed together. Two ways to lose that: one generator behind a lock, so
//! that all callers meet again at the lock; and equal seeds, so that two services with equal settings
//! draw equal delays and stay in step. Here every call carries a generator of its own, eight bytes of
//! state, and generators are made from one another by name: a service's identity is part of every seed,
//! and a new consumer of dice moves nobody else's.
//!
//! The generator is SplitMix64 (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*,
//! OOPSLA 2014). It passes the usual batteries and costs one multiplication chain; it is not for secrets.

use core::time::Duration;

use crate::ratio::Ratio;
use crate::time::nanos;

/// The golden ratio in 64 bits: an odd step that visits every state.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A deterministic source of randomness: equal seeds, equal draws, on every platform.
///
/// ```
/// use evenkeel_core::entropy::Entropy;
///
/// let mut orders = Entropy::new(7).split("orders");
/// let mut orders_again = Entropy::new(7).split("orders");
/// let mut invoices = Entropy::new(7).split("invoices");
/// assert_eq!(orders.next_u64(), orders_again.next_u64());
/// assert_ne!(orders.next_u64(), invoices.next_u64());
/// ```
#[derive(Debug, Clone)]
pub struct Entropy {
    state: u64,
}

impl Entropy {
    /// A source whose every draw follows from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An independent source for the consumer called `name`. Does not advance `self`.
    #[must_use]
    pub const fn split(&self, name: &str) -> Self {
        Self {
            state: mix(self.state ^ hash(name)),
        }
    }

    /// The next 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A whole number drawn evenly from `low..=high`; `low` when the range is empty.
    ///
    /// Multiplies instead of dividing, so that no draw is ever repeated; the bias is below
    /// `(high - low) / 2^64`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        let span = (high - low) as u128 + 1;
        low + ((self.next_u64() as u128 * span) >> 64) as u64
    }

    /// A duration drawn evenly from `low..=high`, to the nanosecond; `low` when the range is empty.
    pub const fn duration_between(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(nanos(low), nanos(high)))
    }

    /// True with probability `ratio`.
    pub const fn chance(&mut self, ratio: Ratio) -> bool {
        self.between(0, 999) < ratio.permille() as u64
    }
}

/// The seed of a call that the service of [`hash`] `identity` makes, from what its thread has `drawn`: two
/// services whose threads drew alike, as forks of one process do, still throw different dice.
#[must_use]
pub const fn seed_of(identity: u64, drawn: u64) -> u64 {
    identity ^ drawn
}

/// Hashes a name into a seed: FNV-1a, 64 bits, then the finisher, since FNV alone leaves short names near
/// one another.
#[must_use]
pub const fn hash(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    mix(hash)
}

pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // First outputs for seed 1234567, as the reference implementation prints them.
        let mut entropy = Entropy::new(1_234_567);
        let drawn = [entropy.next_u64(), entropy.next_u64(), entropy.next_u64()];
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn a_range_is_reached_at_both_ends_and_never_left() {
        let mut entropy = Entropy::new(1);
        let mut seen = [0_u32; 4];
        for _ in 0..4000 {
            seen[usize::try_from(entropy.between(10, 13) - 10).unwrap()] += 1;
        }
        assert!(
            seen.iter().all(|&count| (850..1150).contains(&count)),
            "{seen:?}"
        );
        assert_eq!(entropy.between(5, 5), 5);
        assert_eq!(
            entropy.between(9, 2),
            9,
            "an empty range answers its lower end"
        );
        assert!(entropy.between(0, u64::MAX) > 0);
    }

    #[test]
    fn chance_follows_its_ratio() {
        let mut entropy = Entropy::new(3);
        let hits = (0..10_000)
            .filter(|_| entropy.chance(Ratio::from_permille(100)))
            .count();
        assert!((900..1100).contains(&hits), "{hits}");
    }

    #[test]
    fn splitting_does_not_advance_the_source() {
        let mut one = Entropy::new(9);
        let mut two = Entropy::new(9);
        let _ = two.split("another consumer");
        assert_eq!(one.next_u64(), two.next_u64());
    }
}
