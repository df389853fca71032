//! What retries add up to along a chain of services.
//!
//! A service that tries three times, behind a gateway that tries three times, behind a client that does:
//! whoever sets each of these numbers finds it modest, and the database at the end sees 27 times the load
//! on the day it cannot bear the ordinary one. Amplification multiplies along the chain, whatever bounds a
//! single hop keeps to; only what travels with the call, a deadline or a count of attempts that are left,
//! bounds the whole.

use crate::ratio::Ratio;

/// How many times the load of a healthy day reaches the last of `layers` services when every attempt fails
/// and each layer makes `attempts` of them. Held at `u64::MAX`.
///
/// ```
/// use evenkeel_core::amplification::worst_case;
///
/// assert_eq!(worst_case(3, 3), 27);
/// assert_eq!(worst_case(5, 3), 243);
/// ```
#[must_use]
pub const fn worst_case(layers: u32, attempts: u32) -> u64 {
    (attempts as u64).saturating_pow(layers)
}

/// The same where each layer has a budget of `ratio` extra attempts per call, in billionths: local budgets
/// multiply, too. Held at `u64::MAX`.
///
/// ```
/// use evenkeel_core::{amplification::with_budgets, ratio::Ratio};
///
/// assert_eq!(with_budgets(3, Ratio::from_permille(200)), 1_728_000_000);
/// ```
#[must_use]
pub fn with_budgets(layers: u32, ratio: Ratio) -> u64 {
    let factor = 1000 + u128::from(ratio.permille());
    let mut whole: u128 = 1_000_000_000_000_000_000;
    for _ in 0..layers {
        // Beyond what the answer can hold, and low enough for the next product to fit.
        whole = (whole * factor / 1000).min(u128::MAX >> 33);
    }
    u64::try_from(whole / 1_000_000_000).unwrap_or(u64::MAX)
}

/// The share of retries that a token bucket lets through in the long run while every retry fails, in
/// billionths: each call adds `deposit`, each retry takes `cost`. None for a retry that costs nothing: no
/// share bounds it.
///
/// ```
/// use evenkeel_core::amplification::steady_share;
///
/// assert_eq!(steady_share(1, 5), Some(200_000_000));
/// assert_eq!(steady_share(1, 0), None);
/// ```
#[must_use]
pub fn steady_share(deposit: u32, cost: u32) -> Option<u64> {
    (u64::from(deposit) * 1_000_000_000).checked_div(u64::from(cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_chain_overflows() {
        assert_eq!(worst_case(u32::MAX, u32::MAX), u64::MAX);
        assert_eq!(worst_case(0, 3), 1);
        assert_eq!(
            with_budgets(10_000, Ratio::from_permille(u32::MAX)),
            u64::MAX
        );
        assert_eq!(
            with_budgets(10, Ratio::from_permille(3000)),
            1_048_576_000_000_000
        );
        assert_eq!(with_budgets(0, Ratio::ONE), 1_000_000_000);
    }

    #[test]
    fn small_budgets_multiply_without_loss() {
        assert_eq!(with_budgets(5, Ratio::from_permille(100)), 1_610_510_000);
        assert_eq!(with_budgets(4, Ratio::from_permille(1)), 1_004_006_004);
    }
}
