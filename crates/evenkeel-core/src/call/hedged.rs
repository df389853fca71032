//! Attempts beside one that has not answered yet.

use super::attempt::{Extra, Kind};
use super::{AttemptPermit, Call};
use crate::budget::Cost;
use crate::hedge::{Conditions, Hedges};
use crate::outcome::{Class, Finished};
use crate::time::Instant;

impl Call {
    /// When the attempts under way get company; never, if they get none. Found out when an attempt is first
    /// waited for: one that answers at once does not ask.
    #[cold]
    pub(super) fn arm(&mut self, now: Instant) {
        let delay = self
            .hedges()
            .filter(|_| self.may_hedge())
            .and_then(|hedges| hedges.delay(now));
        self.hedge_at = delay.map_or(Instant::MAX, |delay| self.round_began + delay);
    }

    /// Makes a hedge that is due, if all bounds allow. A refusal is nobody's failure: the call goes on with
    /// what it has, and does not ask again before its next attempt.
    #[cold]
    pub(super) fn hedge(&mut self, now: Instant) -> Option<AttemptPermit> {
        let interval = self.hedge_at.since(self.round_began);
        self.hedge_at = Instant::MAX;
        let extra = self.withdraw_hedge(now)?;
        let permit = self.admit(now, Kind::Hedge, false).ok()?;
        let permit = self.launch(permit, Some(Box::new(extra)));
        self.hedged += 1;
        if self.may_hedge() {
            self.hedge_at = now + interval;
        }
        Some(permit)
    }

    /// Whether a failure is answered by the hedge that was waiting to be made: at once, and as the retry.
    /// Not where the dependency asked for less, or asked to wait.
    pub(super) fn fires_hedge(&mut self, now: Instant, class: Class, finished: &Finished) -> bool {
        if class == Class::Rejected || finished.retry_after.is_some() || !self.may_hedge() {
            return false;
        }
        if self.hedge_at == Instant::ZERO {
            self.arm(now);
        }
        let shared = &self.local.shared;
        let is_busy = |hedges: &Hedges| shared.is_used_beyond(hedges.config().max_used);
        self.hedge_at != Instant::MAX && self.hedges().is_some_and(|hedges| !is_busy(hedges))
    }

    /// Asks both ledgers: the hedges' own, and the one of all extra attempts.
    pub(super) fn withdraw_hedge(&self, now: Instant) -> Option<Extra> {
        let (hedges, shared) = (self.hedges()?, &self.local.shared);
        shared.feed(now);
        self.local.operation.feed(now);
        let in_flight = shared.tally().in_flight();
        let conditions = Conditions {
            idempotent: self.idempotent && self.replayable && !self.sequential,
            hedges: self.hedged,
            in_flight,
            is_busy: shared.is_used_beyond(hedges.config().max_used),
            // Where it would go is settled when it is admitted.
            host_is_well: true,
        };
        let own = hedges.try_hedge(now, conditions).ok()?;
        let budget = match &shared.budget {
            Some(budget) => Some(budget.try_withdraw(now, in_flight, Cost::Ordinary).ok()?),
            None => None,
        };
        Some(Extra {
            kind: Kind::Hedge,
            budget,
            hedge: Some(own),
        })
    }

    /// Whether one more hedge is within what one call may make.
    fn may_hedge(&self) -> bool {
        self.idempotent
            && self.replayable
            && !self.sequential
            && !self.caller_retries
            && !self.is_grant_spent()
            && self.attempts < self.local.shared.max_attempts
            && self
                .hedges()
                .is_some_and(|hedges| self.hedged < hedges.config().max_hedges)
    }

    fn hedges(&self) -> Option<&Hedges> {
        self.local.operation.hedges()
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
