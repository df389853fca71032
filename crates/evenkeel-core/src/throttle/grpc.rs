//! Holding back retries as gRPC does.
//!
//! A service of gRPC may publish a `retryThrottling` setting, and its clients are expected to keep to it
//! whatever library they use. It is one counter: a failure that could be retried takes a token, a success
//! adds [`Config::token_ratio`] of one, and retries are allowed while more than half of the tokens are
//! there.
//!
//! Tokens are kept in binary floating point, as grpc-go keeps them, so that both decide alike at the edge:
//! where tenths add up to a hair more than half, retries are allowed. Equal events in equal order give equal
//! tokens on every machine.
//!
//! Limits: what it allows is no share of the calls. With ten tokens and 0.1, five failures stop retries,
//! and eleven successes after a sixth let them begin again; the [budget](crate::budget) bounds a share and
//! is the better choice where no service config asks for this.
//!
//! Sources: gRFC A6, "Throttling Retry Attempts and Hedged RPCs"; grpc-go, `retryThrottler`.

use core::num::NonZeroU32;

use crate::ratio::Ratio;
use crate::sync::{Arc, AtomicU64, Ordering, Protocol, update};

/// The `retryThrottling` of a service config.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Tokens there are at first and at most. Larger: more failures are retried before retries stop. The
    /// protocol wants 1 to 1000.
    pub max_tokens: NonZeroU32,
    /// What a success adds, of one token. Larger: retries come back sooner. The protocol reads three
    /// decimals.
    pub token_ratio: Ratio,
}

impl Config {
    /// The setting `max_tokens`, `token_ratio`.
    #[must_use]
    pub const fn new(max_tokens: NonZeroU32, token_ratio: Ratio) -> Self {
        Self {
            max_tokens,
            token_ratio,
        }
    }
}

/// The tokens of one server name. Cheap to clone; clones are one throttle.
///
/// ```
/// use evenkeel_core::{ratio::Ratio, throttle::grpc::{Config, RetryThrottle}};
/// use std::num::NonZeroU32;
///
/// let config = Config::new(NonZeroU32::new(10).unwrap(), Ratio::from_permille(100));
/// let throttle = RetryThrottle::new(config);
/// for _ in 0..4 {
///     assert!(throttle.on_failure());
/// }
/// assert!(!throttle.on_failure(), "five failures leave half of the tokens: not more than half");
/// ```
#[derive(Debug, Clone)]
pub struct RetryThrottle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    /// The bits of a number of tokens.
    tokens: AtomicU64,
}

impl RetryThrottle {
    /// A throttle with all its tokens.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Shared {
            tokens: AtomicU64::new(most(&config).to_bits()),
            config,
        }))
    }

    /// Counts an attempt that failed and could be retried, or whose server asked not to be retried.
    /// Answers whether a retry is allowed.
    pub fn on_failure(&self) -> bool {
        update(Protocol::Throttle, &self.0.tokens, |tokens| {
            let tokens = f64::from_bits(tokens);
            (tokens > 0.0).then(|| (tokens - 1.0).max(0.0).to_bits())
        });
        self.allows_retry()
    }

    /// Counts an attempt that succeeded, or failed in a way that is not retried.
    pub fn on_success(&self) {
        let most = most(&self.0.config);
        let ratio = f64::from(self.0.config.token_ratio.permille()) / 1000.0;
        // While all tokens are there, as they are in a healthy service, nothing is written.
        update(Protocol::Throttle, &self.0.tokens, |tokens| {
            let tokens = f64::from_bits(tokens);
            (tokens < most).then(|| (tokens + ratio).min(most).to_bits())
        });
    }

    /// Whether more than half of the tokens are there.
    #[must_use]
    pub fn allows_retry(&self) -> bool {
        self.tokens() > most(&self.0.config) / 2.0
    }

    /// The tokens that are there.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        f64::from_bits(self.0.tokens.load(Ordering::Relaxed))
    }
}

fn most(config: &Config) -> f64 {
    f64::from(config.max_tokens.get())
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;

    fn throttle(tokens: u32, permille: u32) -> RetryThrottle {
        let tokens = NonZeroU32::new(tokens).unwrap();
        RetryThrottle::new(Config::new(tokens, Ratio::from_permille(permille)))
    }

    #[test]
    fn eleven_successes_make_up_for_a_sixth_failure() {
        let throttle = throttle(10, 100);
        let allowed: Vec<_> = (0..6).map(|_| throttle.on_failure()).collect();
        assert_eq!(allowed, [true, true, true, true, false, false]);
        let successes = (1..).find(|_| {
            throttle.on_success();
            throttle.allows_retry()
        });
        assert_eq!(successes, Some(11));
    }

    #[test]
    fn tokens_stay_between_nothing_and_all() {
        let throttle = throttle(2, 600);
        throttle.on_success();
        assert_eq!(throttle.tokens().to_bits(), 2.0_f64.to_bits());
        for _ in 0..5 {
            throttle.on_failure();
        }
        assert_eq!(throttle.tokens().to_bits(), 0);
        throttle.on_success();
        throttle.on_failure();
        assert_eq!(
            throttle.tokens().to_bits(),
            0,
            "what is left of a token is taken whole"
        );
    }
}
