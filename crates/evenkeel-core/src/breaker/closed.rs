//! What an ended attempt says about a closed circuit.

use super::slow::Slow;
use super::word::{Generation, Kind, Word};
use super::{Admission, Breaker, Cause, Transition, is_closed};
use crate::feed::Fed;
use crate::outcome::Outcome;
use crate::stripe::Stripe;
use crate::sync::{Ordering, Protocol, exchange, update};
use crate::time::Instant;
use crate::window::Totals;

/// An attempt that is slow already and still runs; counted until this is dropped.
#[derive(Debug)]
pub(crate) struct RunningSlow {
    breaker: Breaker,
    generation: Generation,
}

impl Drop for RunningSlow {
    fn drop(&mut self) {
        if let Some(slow) = &self.breaker.circuit.state.slow {
            slow.leave(self.generation);
        }
    }
}

impl Breaker {
    /// Takes back what [`Breaker::admit`] gave, with what became of it after `took` nanoseconds; counts on
    /// `stripe`.
    #[inline]
    pub(crate) fn settle(
        &self,
        stripe: Stripe,
        admission: Admission,
        now: Instant,
        took: u64,
        outcome: Outcome,
    ) -> Option<Transition> {
        if admission.lease.is_some() {
            return self.settle_probe(admission, now, took, outcome);
        }
        let word = self.word();
        if outcome == Outcome::Ignored || word.generation() != admission.generation {
            return None;
        }
        self.circuit
            .state
            .window
            .record(stripe, now, outcome.is_bad());
        if took >= self.circuit.state.slow_floor {
            self.count_long(admission.generation, now, took, outcome)
        } else if outcome.is_bad() {
            self.count_failure(admission.generation, now)
        } else {
            self.end_row(word, admission.generation);
            None
        }
    }

    /// Admits an attempt to a dependency that is well, and only to one.
    #[inline]
    pub(crate) fn admit_if_well(&self) -> Option<Admission> {
        let word = self.word();
        (word.kind() == Kind::Closed).then(|| Admission::counted(word))
    }

    /// Whether a success of `took` nanoseconds is to be counted and changes nothing.
    #[inline]
    pub(crate) fn stays_well(&self, admission: Admission, took: u64) -> bool {
        let word = self.word();
        word.kind() == Kind::Closed
            && word.generation() == admission.generation
            && word.consecutive() == 0
            && took < self.circuit.state.slow_floor
    }

    /// Whether what becomes of an attempt is decided by what is in the window.
    pub(crate) fn looks_back_at(&self, took: u64, outcome: Outcome) -> bool {
        outcome.is_bad() || took >= self.circuit.state.slow_floor
    }

    /// Counts the successes of one slice; answers when the next slice begins.
    pub(crate) fn take(&self, fed: Fed, now: Instant) -> Instant {
        self.circuit.state.window.record_many(fed.at, fed.served);
        self.circuit.state.window.next_slice(now)
    }

    /// From how many nanoseconds on an attempt is slow; `u64::MAX`: no rule says so, or what is usual is
    /// not known yet.
    pub(crate) fn slow_after(&self, now: Instant) -> u64 {
        let Some(slow) = &self.circuit.state.slow else {
            return u64::MAX;
        };
        slow.threshold(now, || {
            let totals = self.totals(now);
            self.is_enough(totals).then_some(totals)
        })
    }

    /// An attempt of `admission` is slow and still runs, which may be one too many; none if the circuit has
    /// moved on since it was admitted.
    pub(crate) fn enter_slow(
        &self,
        admission: Admission,
        now: Instant,
    ) -> (Option<RunningSlow>, Option<Transition>) {
        let word = self.word();
        let ours = is_closed(word) && word.generation() == admission.generation;
        let Some(slow) = self.circuit.state.slow.as_ref().filter(|_| ours) else {
            return (None, None);
        };
        slow.enter(admission.generation);
        let entered = RunningSlow {
            breaker: self.clone(),
            generation: admission.generation,
        };
        let moved = self.judge_slow(admission.generation, now);
        (Some(entered), moved)
    }

    /// What the window holds of the present closed state.
    pub(super) fn totals(&self, now: Instant) -> Totals {
        self.circuit.state.window.totals(now, self.window_begin())
    }

    /// Where the window of the present closed state begins: what came before it is another state's.
    pub(super) fn window_begin(&self) -> Instant {
        Instant::from_nanos(self.circuit.state.closed_at.load(Ordering::Relaxed))
    }

    /// A success ends a row of failures.
    fn end_row(&self, word: Word, generation: Generation) {
        if word.consecutive() == 0 {
            return;
        }
        update(Protocol::Breaker, &self.circuit.state.word, |held| {
            let held = Word(held);
            let ours = is_closed(held) && held.generation() == generation;
            (ours && held.consecutive() != 0).then(|| held.with_consecutive(0).0)
        });
    }

    /// An attempt ended that took long enough to ask whether it was slow.
    #[cold]
    fn count_long(
        &self,
        generation: Generation,
        now: Instant,
        took: u64,
        outcome: Outcome,
    ) -> Option<Transition> {
        let succeeded = !outcome.is_bad();
        let after = self.slow_after(now);
        let slow = self.circuit.state.slow.as_ref();
        let is_slow = slow.is_some_and(|slow| slow.record(now, took, succeeded, after));
        if !succeeded {
            return self.count_failure(generation, now);
        }
        self.end_row(self.word(), generation);
        is_slow.then(|| self.judge_slow(generation, now)).flatten()
    }

    /// One more failure while closed, which may be one too many.
    #[cold]
    fn count_failure(&self, generation: Generation, now: Instant) -> Option<Transition> {
        loop {
            let word = self.word();
            if word.generation() != generation || !is_closed(word) {
                return None;
            }
            let counted = word.with_consecutive(word.consecutive() + 1);
            if let Some(cause) = self.opened_by(counted, now) {
                if let Some(transition) = self.open(word, cause, now) {
                    return Some(transition);
                }
            } else if self.replace(word, counted) {
                return None;
            }
        }
    }

    /// One more slow call while closed, ended or running, which may be one too many.
    #[cold]
    fn judge_slow(&self, generation: Generation, now: Instant) -> Option<Transition> {
        loop {
            let word = self.word();
            if word.generation() != generation || !is_closed(word) {
                return None;
            }
            let cause = self.opened_by(word, now)?;
            if let Some(transition) = self.open(word, cause, now) {
                return Some(transition);
            }
        }
    }

    /// Opens a closed circuit, if nobody else moved it.
    fn open(&self, word: Word, cause: Cause, now: Instant) -> Option<Transition> {
        let reopens = if word.kind() == Kind::Ramping {
            word.reopens() + 1
        } else {
            0
        };
        self.transit(word, word.next(Kind::Open, reopens, now), cause)
    }

    fn opened_by(&self, word: Word, now: Instant) -> Option<Cause> {
        let config = &self.circuit.config;
        if config
            .consecutive
            .is_some_and(|most| word.consecutive() >= most.max(1))
        {
            return Some(Cause::ConsecutiveFailures);
        }
        if config.rate.is_none() && self.circuit.state.slow.is_none() {
            return None;
        }
        let totals = self.totals(now);
        let failed = config.rate.as_ref().is_some_and(|rate| {
            self.is_enough(totals) && rate.threshold.reached_by(totals.bad, totals.calls)
        });
        if failed {
            return Some(Cause::FailureRate);
        }
        let slow = self.circuit.state.slow.as_ref()?;
        self.is_slow(slow, word, totals, now)
            .then_some(Cause::SlowRate)
    }

    fn is_slow(&self, slow: &Slow, word: Word, mut totals: Totals, now: Instant) -> bool {
        let (ended, running) = slow.count(now, self.window_begin(), word.generation());
        totals.calls += running;
        self.is_enough(totals) && slow.reached_by(ended + running, totals.calls)
    }

    fn is_enough(&self, totals: Totals) -> bool {
        let window = &self.circuit.state.looks_back;
        totals.calls >= u64::from(window.min_calls) && totals.observed >= window.min_observed
    }

    /// Writes a word that is no other state, if nobody else did.
    pub(super) fn replace(&self, from: Word, to: Word) -> bool {
        exchange(Protocol::Breaker, &self.circuit.state.word, from.0, to.0).is_ok()
    }
}
