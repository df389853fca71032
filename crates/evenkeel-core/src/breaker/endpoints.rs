//! A circuit for each endpoint of one dependency, and what happens when too many are open.
//!
//! One bad endpoint of ten should cost a tenth of the traffic its answers, no more: a circuit of its own
//! keeps the calls away from it. But circuits that judge alone can agree on nothing: when most of them are
//! open, the few endpoints left get all the traffic and go down next, and the fault was hardly each
//! endpoint's own. So when more than [`PANIC`] of the circuits are not closed, they are **ignored**: every
//! endpoint takes its share of the calls again, and what becomes of calls let through like that is not
//! counted. A breaker over the whole dependency, where there is one, still stands before all of this.

use super::word::Kind;
use super::{Admission, Breaker, Config, Permit};
use crate::entropy::Entropy;
use crate::ratio::Ratio;
use crate::rejection::Rejection;
use crate::sync::Arc;
use crate::time::Instant;

/// When more than this share of the circuits are not closed, they are ignored (Envoy's panic threshold).
pub const PANIC: Ratio = Ratio::from_permille(500);

/// The circuits of one dependency's endpoints. Cheap to clone; clones are the same circuits.
///
/// ```
/// use evenkeel_core::breaker::{Config, Endpoints};
/// use evenkeel_core::{entropy::Entropy, outcome::Outcome, time::Instant};
///
/// let (endpoints, now) = (Endpoints::new(&Config::classic(), "search", 3, 1), Instant::ZERO);
/// let mut dice = Entropy::new(1);
/// for _ in 0..5 {
///     endpoints.try_acquire(2, now, &mut dice).unwrap().finish(now, Outcome::Failure);
/// }
/// assert!(endpoints.try_acquire(2, now, &mut dice).is_err());
/// assert!(endpoints.try_acquire(0, now, &mut dice).is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Endpoints(Arc<Vec<Breaker>>);

impl Endpoints {
    /// Closed circuits for `endpoints` endpoints, numbered from zero, of the dependency called `identity`.
    #[must_use]
    pub fn new(config: &Config, identity: &str, endpoints: usize, stripes: usize) -> Self {
        let breaker = |endpoint| {
            // Each spreads its open interval by itself: they would all be probed together otherwise.
            Breaker::new(config.clone(), &format!("{identity}/{endpoint}"), stripes)
        };
        Self(Arc::new((0..endpoints).map(breaker).collect()))
    }

    /// The circuit of one endpoint; none beyond the last.
    #[must_use]
    pub fn of(&self, endpoint: usize) -> Option<&Breaker> {
        self.0.get(endpoint)
    }

    /// Asks for the right to one attempt at `endpoint`.
    ///
    /// # Errors
    /// [`Reason::BreakerOpen`](crate::rejection::Reason::BreakerOpen), while that circuit is open and no
    /// more than [`PANIC`] of all are, or when a person forced it open; without a time for an endpoint that
    /// does not exist.
    pub fn try_acquire(
        &self,
        endpoint: usize,
        now: Instant,
        dice: &mut Entropy,
    ) -> Result<Permit, Rejection> {
        let Some(breaker) = self.of(endpoint) else {
            return Err(super::refused_by_hand());
        };
        breaker.try_acquire(now, dice).or_else(|refused| {
            let word = breaker.word();
            if word.kind() == Kind::Forced || !self.is_panicking() {
                return Err(refused);
            }
            Ok(Permit {
                breaker: breaker.clone(),
                started: now,
                admission: Some(Admission::uncounted(word)),
            })
        })
    }

    /// Whether so many circuits are not closed that none is heeded. One endpoint alone never panics: its
    /// circuit is all there is.
    #[must_use]
    pub fn is_panicking(&self) -> bool {
        let all = self.0.len() as u64;
        let is_away = |breaker: &&Breaker| !super::is_closed(breaker.word());
        let away = self.0.iter().filter(is_away).count() as u64;
        all > 1 && away > PANIC.of(all)
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use crate::breaker::{Mode, State};
    use crate::outcome::Outcome;
    use core::time::Duration;

    fn open(endpoints: &Endpoints, which: &[usize]) {
        for &endpoint in which {
            let breaker = endpoints.of(endpoint).unwrap();
            while breaker.snapshot(Instant::ZERO).state == State::Closed {
                let permit = breaker.try_acquire(Instant::ZERO, &mut Entropy::new(1));
                permit.unwrap().finish(Instant::ZERO, Outcome::Failure);
            }
        }
    }

    fn admits(endpoints: &Endpoints, endpoint: usize) -> bool {
        let permit = endpoints.try_acquire(endpoint, Instant::ZERO, &mut Entropy::new(1));
        permit.is_ok()
    }

    #[test]
    fn half_of_the_circuits_may_be_open_and_no_more() {
        let endpoints = Endpoints::new(&Config::classic(), "search", 4, 1);
        open(&endpoints, &[0, 1]);
        assert!(!endpoints.is_panicking());
        assert!(!admits(&endpoints, 0) && admits(&endpoints, 3));
        open(&endpoints, &[2]);
        assert!(endpoints.is_panicking());
        assert!((0..4).all(|endpoint| admits(&endpoints, endpoint)));
    }

    #[test]
    fn what_panic_lets_through_moves_no_circuit() {
        let endpoints = Endpoints::new(&Config::classic(), "search", 2, 1);
        open(&endpoints, &[0, 1]);
        let permit = endpoints
            .try_acquire(0, Instant::ZERO, &mut Entropy::new(1))
            .unwrap();
        assert!(!permit.is_probe());
        assert_eq!(permit.finish(Instant::ZERO, Outcome::Success), None);
        let after = endpoints.of(0).unwrap().snapshot(Instant::ZERO);
        assert_eq!(after.state, State::Open);
    }

    #[test]
    fn one_endpoint_alone_keeps_its_circuit() {
        let endpoints = Endpoints::new(&Config::classic(), "search", 1, 1);
        open(&endpoints, &[0]);
        assert!(!admits(&endpoints, 0));
    }

    #[test]
    fn panic_does_not_overrule_a_person() {
        let endpoints = Endpoints::new(&Config::classic(), "search", 2, 1);
        open(&endpoints, &[0]);
        let drained = endpoints.of(1).unwrap();
        drained.set_mode(Mode::ForcedOpen, Instant::ZERO);
        assert!(endpoints.is_panicking());
        assert!(admits(&endpoints, 0) && !admits(&endpoints, 1));
    }

    #[test]
    fn an_endpoint_that_does_not_exist_is_refused() {
        let endpoints = Endpoints::new(&Config::classic(), "search", 2, 1);
        assert!(!admits(&endpoints, 2));
    }

    #[test]
    fn endpoints_that_opened_together_are_not_probed_together() {
        let config = Config {
            consecutive: Some(1),
            ..Config::default()
        };
        let endpoints = Endpoints::new(&config, "search", 8, 1);
        open(&endpoints, &[0, 1, 2, 3, 4, 5, 6, 7]);
        let mut waits: Vec<Option<Duration>> = (0..8)
            .map(|at| {
                endpoints
                    .of(at)
                    .unwrap()
                    .snapshot(Instant::ZERO)
                    .retry_after
            })
            .collect();
        waits.sort_unstable();
        waits.dedup();
        assert_eq!(waits.len(), 8);
    }
}
