//! Half-open: a few probes, each counted once, decide whether the circuit closes or opens again.

use core::time::Duration;

use super::word::{Generation, Kind, ProbeTally, Word};
use super::{Admission, Breaker, Cause, MAX_PROBES, Transition, refused};
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::sync::{Protocol, exchange};
use crate::time::Instant;

/// When to come back while all probes are under way: nobody knows how long they take.
const PROBES_BUSY: Duration = Duration::from_millis(100);

impl Breaker {
    /// Counts one more probe under way, if one may be; none when the state changed meanwhile.
    pub(super) fn admit_probe(&self, word: Word, now: Instant) -> Option<Result<Word, Rejection>> {
        let limits = &self.config.probes;
        let probes = word.probes();
        let spacing_left = limits
            .spacing
            .saturating_sub(Duration::from_millis(word.elapsed_millis(now)));
        if !spacing_left.is_zero() {
            return Some(Err(refused(spacing_left)));
        }
        if probes.under_way >= limits.concurrent.clamp(1, MAX_PROBES) {
            return Some(Err(refused(limits.spacing.max(PROBES_BUSY))));
        }
        let more = ProbeTally {
            under_way: probes.under_way + 1,
            ..probes
        };
        let counted = word.with_probes(more).probed_at(now);
        exchange(Protocol::Breaker, &self.state.word, word.0, counted.0).ok()?;
        Some(Ok(counted))
    }

    /// Gives a counted probe its lease.
    pub(super) fn probe(&self, word: Word, now: Instant, attempt_timeout: u64) -> Admission {
        // An attempt that has a timeout reports by then, dead or alive: revoking it earlier would take a slow
        // answer for none, and a dependency that is always slow could never come back.
        let lease = if attempt_timeout == u64::MAX {
            self.config.probes.lease
        } else {
            Duration::from_nanos(attempt_timeout)
        };
        // At least a millisecond, the clock's step: a lease must not expire as it begins.
        let expiry = now + lease.max(Duration::from_millis(1));
        let generation = word.generation();
        Admission {
            generation,
            lease: self.state.leases.take(generation, expiry),
        }
    }

    /// A probe ended. One that succeeded slowly, by the rule for slow calls, failed: a dependency that is
    /// as slow as when its circuit opened has not recovered.
    #[cold]
    pub(super) fn settle_probe(
        &self,
        admission: Admission,
        now: Instant,
        took: u64,
        outcome: Outcome,
    ) -> Option<Transition> {
        if !admission
            .lease
            .is_some_and(|lease| self.state.leases.release(lease))
        {
            return None;
        }
        let slow = self.state.slow.as_ref();
        let is_slow = outcome == Outcome::Success && slow.is_some_and(|slow| slow.condemns(took));
        let outcome = if is_slow { Outcome::Overload } else { outcome };
        self.count_probe(admission.generation, now, outcome)
    }

    /// One probe less under way, and what it showed.
    pub(super) fn count_probe(
        &self,
        generation: Generation,
        now: Instant,
        outcome: Outcome,
    ) -> Option<Transition> {
        let limits = &self.config.probes;
        loop {
            let word = self.word();
            if word.generation() != generation || word.kind() != Kind::HalfOpen {
                return None;
            }
            let mut probes = word.probes();
            probes.under_way = probes.under_way.saturating_sub(1);
            probes.successes += u8::from(outcome == Outcome::Success);
            probes.failures += u8::from(outcome.is_bad());
            let moved = if probes.failures > limits.tolerated_failures.min(14) {
                let open = word.next(Kind::Open, word.reopens() + 1, now);
                Some((open, Cause::ProbesFailed))
            } else if probes.successes >= limits.successes.clamp(1, 15) {
                // Before the state, so that nobody who sees it closed looks back past this. If the exchange
                // is lost, nothing reads it before somebody else closes the circuit.
                self.looks_back_to(now);
                let ramps = !self.config.ramp.is_zero();
                let closed = if ramps {
                    word.next(Kind::Ramping, word.reopens(), now)
                } else {
                    word.next(Kind::Closed, 0, now)
                };
                Some((closed, Cause::ProbesSucceeded))
            } else {
                None
            };
            match moved {
                Some((next, cause)) => {
                    if let Some(transition) = self.transit(word, next, cause) {
                        return Some(transition);
                    }
                }
                None => {
                    let counted = word.with_probes(probes);
                    if exchange(Protocol::Breaker, &self.state.word, word.0, counted.0).is_ok() {
                        return None;
                    }
                }
            }
        }
    }
}
