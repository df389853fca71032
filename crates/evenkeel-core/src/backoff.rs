//! How long to wait before trying again.
//!
//! Clients that fail together and wait equally long come back together, and the service they come back
//! to fails again, together. Waiting longer each time thins the crowd; **jitter** breaks its step, and of
//! the two jitter does more: without it 100 contenders need 19 calls each to get through, with it 8
//! (Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015).
//!
//! A [`Config`] names how the delay grows and how it is spread; a [`Backoff`] is its state for one call.
//! The cap is applied **last**, to what jitter made of the delay: a cap that jitter can exceed is none.
//!
//! | jitter | a delay is drawn from | choose it when |
//! |---|---|---|
//! | [`Jitter::Decorrelated`] (default) | `initial ..= 3 x previous` | in doubt: spreads well and keeps a minimum distance |
//! | [`Jitter::Full`] | `0 ..= delay` | least load on the server matters most |
//! | [`Jitter::Equal`] | `delay/2 ..= delay` | a minimum distance of half the delay is wanted |
//! | [`Jitter::Proportional`] | `delay -+ factor` | compatibility with systems that do this |
//! | [`Jitter::None`] | the delay itself | tests; a lone caller |
//!
//! Where none of these fits, [`Delays`] is a growth of one's own, in two methods; the cap holds for it too.
//!
//! Two parties that back off from each other may do so for ever, each stepping aside as the other does. One
//! of them can be named [authoritative](Config::authoritative): it does not wait.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::entropy::Entropy;
use crate::ratio::Ratio;
use crate::time::nanos;

/// How far decorrelated jitter reaches: at most three times the previous delay.
const DECORRELATED_REACH: u64 = 3;

/// How delays grow and spread.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How the delay grows from one retry to the next. Default: doubling. Not consulted with
    /// [`Jitter::Decorrelated`], whose growth is in its draw.
    pub growth: Growth,
    /// How the delay is spread. Default: [`Jitter::Decorrelated`].
    pub jitter: Jitter,
    /// The first delay, before jitter. Larger: calmer servers, slower answers. Default 50 ms, about one
    /// round trip and one service time within a region.
    pub initial: Duration,
    /// No delay is longer, whatever growth and jitter make of it. Default 2 s.
    pub max: Duration,
    /// Delays of one's own, in place of growth, jitter and `initial`. Default: none.
    pub custom: Option<Custom>,
    /// Whether this party, of two that back off from each other, does not: its delays are zero. For one of
    /// the two, and never for many callers of one server. Default: no.
    pub authoritative: bool,
}

impl Config {
    /// Delays that start at `initial`; everything else as [`Config::default`] has it.
    #[must_use]
    pub fn new(initial: Duration) -> Self {
        Self {
            initial,
            ..Self::default()
        }
    }

    /// For a server that said "too much": 1 s at first, 20 s at most, so that its wish is heard.
    #[must_use]
    pub fn throttled() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(20),
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            growth: Growth::Exponential {
                multiplier: Ratio::from_permille(2000),
            },
            jitter: Jitter::Decorrelated,
            initial: Duration::from_millis(50),
            max: Duration::from_secs(2),
            custom: None,
            authoritative: false,
        }
    }
}

/// Delays of one's own: the state of one call.
///
/// ```
/// use evenkeel_core::backoff::{Backoff, Config, Custom, Delays};
/// use evenkeel_core::entropy::Entropy;
/// use std::time::Duration;
///
/// /// 10 ms, 10 ms, 20 ms, 30 ms, 50 ms, each spread over its upper half.
/// #[derive(Debug, Clone)]
/// struct Fibonacci(u64, u64);
///
/// impl Delays for Fibonacci {
///     fn next_delay(&mut self, dice: &mut Entropy) -> Duration {
///         let delay = self.1;
///         *self = Self(self.1, self.0.saturating_add(self.1));
///         Duration::from_millis(dice.between(delay / 2, delay))
///     }
///
///     fn reset(&mut self) {
///         *self = Self(0, 10);
///     }
/// }
///
/// let mut config = Config::default();
/// config.max = Duration::from_millis(30);
/// config.custom = Some(Custom::new(Fibonacci(0, 10)));
/// let (mut backoff, mut dice) = (Backoff::new(), Entropy::new(1));
/// let delays: Vec<_> = (0..6).map(|_| backoff.next_delay(&config, &mut dice)).collect();
/// assert!(delays[0] <= Duration::from_millis(10) && delays[5] == config.max);
/// ```
pub trait Delays: fmt::Debug + Send + Sync {
    /// The delay before the next retry. It is held to [`Config::max`] afterwards.
    fn next_delay(&mut self, dice: &mut Entropy) -> Duration;

    /// Forgets earlier delays: the next one is the first again.
    fn reset(&mut self);
}

/// A source of [`Delays`], one for each call. Two are equal if one is a clone of the other.
#[derive(Clone)]
pub struct Custom(Arc<dyn Boxed>);

/// [`Delays`] of whatever kind, each call's its own.
trait Boxed: Delays {
    fn boxed(&self) -> Box<dyn Boxed>;
}

impl<D: Delays + Clone + 'static> Boxed for D {
    fn boxed(&self) -> Box<dyn Boxed> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Boxed> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

impl Custom {
    /// Each call begins with a clone of `delays`.
    pub fn new(delays: impl Delays + Clone + 'static) -> Self {
        Self(Arc::new(delays))
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Custom").field(&self.0).finish()
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Custom {}

/// How a delay grows from one retry to the next, before jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Growth {
    /// Always `initial`.
    Constant,
    /// `initial`, then longer by `increment` each time.
    Linear {
        /// What each retry adds.
        increment: Duration,
    },
    /// `initial`, then `multiplier` times longer each time.
    Exponential {
        /// The factor; below one is taken as one, since delays do not shrink.
        multiplier: Ratio,
    },
}

/// How a delay is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// Not at all.
    None,
    /// Evenly over `0 ..= delay`.
    Full,
    /// Evenly over `delay/2 ..= delay`.
    Equal,
    /// Evenly over `initial ..= 3 x previous`, where the first previous delay is `initial`.
    Decorrelated,
    /// Evenly over `delay x (1 - factor) ..= delay x (1 + factor)`.
    Proportional(
        /// The randomisation factor, at most one.
        Ratio,
    ),
}

impl Jitter {
    /// Spreads `delay`, without a cap: what systems that cap the delay before its jitter wait.
    /// [`Jitter::Decorrelated`] spreads what a call waited before, not a delay, and leaves it as it is.
    pub fn spread(self, delay: Duration, dice: &mut Entropy) -> Duration {
        Duration::from_nanos(self.draw(nanos(delay), dice))
    }

    fn draw(self, delay: u64, dice: &mut Entropy) -> u64 {
        match self {
            Self::None | Self::Decorrelated => delay,
            Self::Full => dice.between(0, delay),
            Self::Equal => dice.between(delay - delay / 2, delay),
            Self::Proportional(factor) => {
                let reach = factor.min(Ratio::ONE).of(delay);
                dice.between(delay - reach, delay.saturating_add(reach))
            }
        }
    }
}

/// The back-off of one call: what it waited last, and what it will wait next.
///
/// ```
/// use evenkeel_core::{backoff::{Backoff, Config}, entropy::Entropy};
/// use std::time::Duration;
///
/// let config = Config::default();
/// let (mut backoff, mut dice) = (Backoff::new(), Entropy::new(1));
/// for _ in 0..100 {
///     let delay = backoff.next_delay(&config, &mut dice);
///     assert!(delay >= config.initial && delay <= config.max);
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    /// The undrawn delay of the last retry; for decorrelated jitter, the drawn one. Zero: no retry yet.
    previous: u64,
    /// Made at the first retry of a call with delays of its own.
    custom: Option<Box<dyn Boxed>>,
}

impl Backoff {
    /// The state of a call that has not retried yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            previous: 0,
            custom: None,
        }
    }

    /// The delay before the next retry, never longer than `config.max`.
    pub fn next_delay(&mut self, config: &Config, dice: &mut Entropy) -> Duration {
        if config.authoritative {
            return Duration::ZERO;
        }
        if let Some(Custom(first)) = &config.custom {
            let delays = self.custom.get_or_insert_with(|| first.boxed());
            return delays.next_delay(dice).min(config.max);
        }
        let (initial, max) = (nanos(config.initial), nanos(config.max));
        let drawn = if config.jitter == Jitter::Decorrelated {
            let reach = self
                .previous
                .max(initial)
                .saturating_mul(DECORRELATED_REACH);
            let drawn = dice.between(initial, reach).min(max);
            self.previous = drawn;
            drawn
        } else {
            let delay = if self.previous == 0 {
                initial
            } else {
                grow(config.growth, self.previous)
            };
            // Held at the cap, so that growth does not run away while the cap holds it.
            self.previous = delay.min(max).max(1);
            config.jitter.draw(self.previous, dice)
        };
        Duration::from_nanos(drawn.min(max))
    }

    /// Forgets earlier delays: the next one is the first again.
    pub fn reset(&mut self) {
        self.previous = 0;
        if let Some(delays) = &mut self.custom {
            delays.reset();
        }
    }
}

fn grow(growth: Growth, previous: u64) -> u64 {
    match growth {
        Growth::Constant => previous,
        Growth::Linear { increment } => previous.saturating_add(nanos(increment)),
        Growth::Exponential { multiplier } => multiplier.max(Ratio::ONE).of(previous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delays(config: &Config, seed: u64, count: usize) -> Vec<Duration> {
        let (mut backoff, mut dice) = (Backoff::new(), Entropy::new(seed));
        (0..count)
            .map(|_| backoff.next_delay(config, &mut dice))
            .collect()
    }

    fn plain(growth: Growth) -> Config {
        Config {
            growth,
            jitter: Jitter::None,
            initial: Duration::from_millis(10),
            max: Duration::from_millis(70),
            ..Config::default()
        }
    }

    #[test]
    fn delays_grow_as_their_name_says_and_stop_at_the_cap() {
        let millis = |config: &Config| {
            delays(config, 1, 5)
                .iter()
                .map(Duration::as_millis)
                .collect::<Vec<_>>()
        };
        assert_eq!(millis(&plain(Growth::Constant)), [10, 10, 10, 10, 10]);
        let linear = plain(Growth::Linear {
            increment: Duration::from_millis(20),
        });
        assert_eq!(millis(&linear), [10, 30, 50, 70, 70]);
        let doubling = plain(Growth::Exponential {
            multiplier: Ratio::from_permille(2000),
        });
        assert_eq!(millis(&doubling), [10, 20, 40, 70, 70]);
    }

    #[test]
    fn peer_fault_19_no_jitter_reaches_past_the_cap() {
        for jitter in [
            Jitter::Full,
            Jitter::Equal,
            Jitter::Decorrelated,
            Jitter::Proportional(Ratio::from_permille(500)),
        ] {
            let config = Config {
                jitter,
                max: Duration::from_secs(1),
                ..Config::default()
            };
            let longest = (0..200).flat_map(|seed| delays(&config, seed, 20)).max();
            assert!(
                longest <= Some(config.max),
                "{jitter:?} waited {longest:?} under a cap of 1 s"
            );
        }
    }

    #[test]
    fn each_jitter_draws_from_its_own_range() {
        let of = |jitter| {
            let config = Config {
                growth: Growth::Constant,
                jitter,
                initial: Duration::from_millis(100),
                max: Duration::from_secs(9),
                ..Config::default()
            };
            let drawn: Vec<_> = (0..2000)
                .map(|seed| delays(&config, seed, 1)[0].as_millis())
                .collect();
            (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap())
        };
        let near = |(low, high): (u128, u128), (from, to): (u128, u128)| {
            low >= from && low <= from + 3 && high <= to && high + 3 >= to
        };
        assert!(near(of(Jitter::Full), (0, 100)));
        assert!(near(of(Jitter::Equal), (50, 100)));
        assert!(near(of(Jitter::Decorrelated), (100, 300)));
        assert!(near(
            of(Jitter::Proportional(Ratio::from_permille(500))),
            (50, 150)
        ));
    }

    #[test]
    fn two_seeds_do_not_stay_in_step() {
        let config = Config::default();
        assert_ne!(delays(&config, 1, 3), delays(&config, 2, 3));
    }

    #[test]
    fn a_thousand_pairs_of_services_with_equal_settings_do_not_retry_in_step() {
        use crate::entropy::{hash, seed_of};
        // Equal settings, and threads that drew alike: only the names differ.
        let ticks = |service: &str, drawn: u64| {
            let seed = seed_of(hash(service), drawn);
            let mut at = Duration::ZERO;
            let waits = delays(&Config::default(), seed, 5).into_iter();
            waits
                .map(|wait| {
                    at += wait;
                    at.as_millis()
                })
                .collect::<Vec<_>>()
        };
        let mut met = 0;
        for pair in 0..1_000_u64 {
            let one = ticks(&format!("orders-{pair}/postgres"), pair % 7);
            let other = ticks(&format!("invoices-{pair}/postgres"), pair % 7);
            let equal = one.iter().zip(&other).filter(|(one, other)| one == other);
            let equal = equal.count();
            assert!(
                equal <= 1,
                "pair {pair} retries in step: {one:?} and {other:?}"
            );
            met += equal;
        }
        // Of five thousand ticks of a millisecond, what chance lets meet: about one in a hundred of the
        // first ones, which fall into a tenth of a second, and fewer of the others.
        assert!(met < 50, "{met} of 5000 ticks were shared");
    }

    #[test]
    fn a_server_that_said_too_much_is_given_more_time() {
        let (usual, throttled) = (Config::default(), Config::throttled());
        assert_eq!(throttled.initial, Duration::from_secs(1));
        assert_eq!(throttled.max, Duration::from_secs(20));
        assert_eq!(throttled.jitter, usual.jitter);
    }

    #[test]
    fn a_delay_is_spread_without_its_cap_where_another_system_does_so() {
        let (delay, mut dice) = (Duration::from_millis(100), Entropy::new(1));
        assert_eq!(Jitter::None.spread(delay, &mut dice), delay);
        assert_eq!(Jitter::Decorrelated.spread(delay, &mut dice), delay);
        let spread = Jitter::Equal.spread(delay, &mut dice);
        assert!(spread >= delay / 2 && spread <= delay);
    }

    #[test]
    fn a_reset_starts_over() {
        let config = plain(Growth::Exponential {
            multiplier: Ratio::from_permille(2000),
        });
        let (mut backoff, mut dice) = (Backoff::new(), Entropy::new(1));
        let first = backoff.next_delay(&config, &mut dice);
        backoff.next_delay(&config, &mut dice);
        backoff.reset();
        assert_eq!(backoff.next_delay(&config, &mut dice), first);
    }

    /// 1 s, 2 s, 3 s, ...
    #[derive(Debug, Clone, Default)]
    struct Steps(u64);

    impl Delays for Steps {
        fn next_delay(&mut self, _: &mut Entropy) -> Duration {
            self.0 += 1;
            Duration::from_secs(self.0)
        }

        fn reset(&mut self) {
            self.0 = 0;
        }
    }

    #[test]
    fn delays_of_ones_own_are_capped_like_any_other_and_begin_anew_with_each_call() {
        let config = Config {
            custom: Some(Custom::new(Steps::default())),
            max: Duration::from_secs(3),
            ..Config::default()
        };
        for _ in 0..2 {
            let seconds: Vec<_> = delays(&config, 1, 5)
                .iter()
                .map(Duration::as_secs)
                .collect();
            assert_eq!(seconds, [1, 2, 3, 3, 3]);
        }
        let (mut backoff, mut dice) = (Backoff::new(), Entropy::new(1));
        backoff.next_delay(&config, &mut dice);
        backoff.next_delay(&config, &mut dice);
        backoff.reset();
        assert_eq!(
            backoff.next_delay(&config, &mut dice),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn delays_of_ones_own_are_equal_to_their_clones_alone() {
        let one = Custom::new(Steps::default());
        assert_eq!(one, one.clone());
        assert_ne!(one, Custom::new(Steps::default()));
        assert_eq!(format!("{one:?}"), "Custom(Steps(0))");
    }

    /// A corridor that two people enter from both ends: whoever waits lets the other pass, and those who
    /// wait equally long meet again.
    fn meetings(one: &Config, other: &Config, seed: u64) -> usize {
        let (mut first, mut second) = (Backoff::new(), Backoff::new());
        let mut dice = [Entropy::new(seed), Entropy::new(seed)];
        let mut meets =
            || first.next_delay(one, &mut dice[0]) == second.next_delay(other, &mut dice[1]);
        (0..100).take_while(|_| meets()).count()
    }

    #[test]
    fn of_two_who_step_aside_alike_an_authoritative_one_passes() {
        let polite = Config::default();
        let firm = Config {
            authoritative: true,
            ..Config::default()
        };
        assert_eq!(meetings(&polite, &polite, 7), 100, "equal dice: for ever");
        assert_eq!(meetings(&firm, &polite, 7), 0);
    }

    proptest! {
        #[test]
        fn no_configuration_overflows_or_exceeds_its_cap(
            initial in any::<u64>(), max in any::<u64>(), step in any::<u64>(),
            multiplier in any::<u32>(), pick in 0..15_usize, seed in any::<u64>(),
        ) {
            let growth = [
                Growth::Constant,
                Growth::Linear { increment: Duration::from_nanos(step) },
                Growth::Exponential { multiplier: Ratio::from_permille(multiplier) },
            ][pick % 3];
            let jitter = [
                Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated,
                Jitter::Proportional(Ratio::from_permille(multiplier)),
            ][pick / 3];
            let config = Config {
                growth, jitter,
                initial: Duration::from_nanos(initial), max: Duration::from_nanos(max),
                ..Config::default()
            };
            for delay in delays(&config, seed, 12) {
                prop_assert!(delay <= config.max);
            }
        }
    }
}
