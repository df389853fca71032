//! Seeded draws that depend on nothing but seed, stream and ordinal.
//!
//! Two runs can only be compared if the thousandth call is as slow in the one as in the other. A
//! generator that is advanced call by call cannot promise that: the order in which calls arrive
//! differs from run to run. So every draw is a pure function of the seed, the name of the stream
//! and the ordinal of the thing drawn for.
//!
//! The mixing is the finaliser of SplitMix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom
//! Number Generators*, OOPSLA 2014) over an FNV-1a hash of the stream's name.

/// 2^64 divided by the golden ratio: consecutive ordinals land far apart.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

fn hash(stream: &str) -> u64 {
    stream.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// A draw from `0.0..1.0`, uniform, with 53 bits.
pub(crate) fn uniform(seed: u64, stream: &str, ordinal: u64) -> f64 {
    let word = mix(mix(seed ^ hash(stream)).wrapping_add(ordinal.wrapping_mul(GOLDEN)));
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    let share = (word >> 11) as f64 / (1_u64 << 53) as f64;
    share
}

/// A draw from the lognormal distribution with this median and this sigma of the logarithm, by
/// the Box-Muller transform.
pub(crate) fn lognormal(seed: u64, stream: &str, ordinal: u64, median: f64, sigma: f64) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(seed, stream, 2 * ordinal)).ln()).sqrt();
    let angle = std::f64::consts::TAU * uniform(seed, stream, 2 * ordinal + 1);
    median * (sigma * radius * angle.cos()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seed_stream_and_ordinal_give_the_equal_draw_and_any_other_another() {
        let draw = uniform(7, "pricing", 1000);
        assert_eq!(draw.to_bits(), uniform(7, "pricing", 1000).to_bits());
        assert_ne!(draw.to_bits(), uniform(8, "pricing", 1000).to_bits());
        assert_ne!(draw.to_bits(), uniform(7, "inventory", 1000).to_bits());
        assert_ne!(draw.to_bits(), uniform(7, "pricing", 1001).to_bits());
    }

    #[test]
    fn the_median_and_the_spread_are_the_ones_asked_for() {
        let mut draws: Vec<f64> = (0..20_000)
            .map(|ordinal| lognormal(1, "pricing", ordinal, 10.0, 0.3))
            .collect();
        draws.sort_by(f64::total_cmp);
        let median = draws[10_000];
        let p84 = draws[16_827];
        assert!((median - 10.0).abs() < 0.1, "median {median}");
        // One sigma above the median: 10 e^0.3.
        assert!((p84 - 13.5).abs() < 0.2, "one sigma above {p84}");
    }

    #[test]
    fn uniform_draws_fill_the_unit_interval() {
        let mean = (0..10_000).map(|n| uniform(3, "arrivals", n)).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "mean {mean}");
    }
}
