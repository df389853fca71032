//! Dice that show what a vector wants.
//!
//! The core's generator is a permutation of its state, so for every draw there is a seed whose first draw
//! it is. The core needs no way in for tests.

use evenkeel_core::entropy::Entropy;

/// SplitMix64's step and its finisher's constants.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const FIRST: u64 = 0xBF58_476D_1CE4_E5B9;
const SECOND: u64 = 0x94D0_49BB_1331_11EB;

/// Dice whose first draw is `share` of their range, from 0 to 1.
pub(crate) fn showing(share: f64) -> Entropy {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates at both ends of the range, which is meant"
    )]
    let draw = (share * 18_446_744_073_709_551_616.0) as u64;
    Entropy::new(seed_of(draw))
}

/// The seed from which the generator draws `draw` first.
const fn seed_of(draw: u64) -> u64 {
    let bits = unshift(draw, 31);
    let bits = unshift(bits.wrapping_mul(inverse(SECOND)), 27);
    let bits = unshift(bits.wrapping_mul(inverse(FIRST)), 30);
    bits.wrapping_sub(STEP)
}

/// Undoes `bits ^ (bits >> by)`.
const fn unshift(mixed: u64, by: u32) -> u64 {
    let mut bits = mixed;
    let mut known = by;
    while known < u64::BITS {
        bits = mixed ^ (bits >> by);
        known += by;
    }
    bits
}

/// The number by which to multiply to undo a multiplication by `odd`, after Newton: each step doubles the
/// bits that are right, of which an odd number has three to begin with.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut right = 3;
    while right < u64::BITS {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        right *= 2;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_has_its_seed() {
        for draw in [0, 1, 42, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert_eq!(Entropy::new(seed_of(draw)).next_u64(), draw);
        }
    }

    #[test]
    fn dice_show_the_share_they_are_told() {
        assert_eq!(showing(0.0).between(0, 1000), 0);
        assert_eq!(showing(0.5).between(0, 1000), 500);
        assert_eq!(showing(1.0).between(0, 1000), 1000);
    }
}
