//! Whether a failed call makes another attempt, and after which wait.

use core::time::Duration;
use std::sync::Arc;

use super::attempt::{Extra, Kind};
use super::{AttemptPermit, AttemptRecord, Call, End, Next, Phase, StopReason};
use crate::backoff::Backoff;
use crate::budget::Cost;
use crate::counter::Event;
use crate::outcome::{Class, Finished, Outcome};
use crate::rejection::Reason;
use crate::retry::Config;
use crate::retry_after::Heeded;
use crate::time::Instant;

/// Latency is not known from fewer attempts than this.
const ENOUGH: u64 = 100;

/// What a call remembers of its failed attempts.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) failed: Vec<AttemptRecord>,
    /// What the attempts of this round that have failed come to, while another one is under way.
    round: Option<Finished>,
    backoff: Backoff,
    throttled: Backoff,
    /// The wait before the present attempt.
    waited: Duration,
    /// The right to the attempt that is waited for.
    pub(super) extra: Option<Box<Extra>>,
}

impl Call {
    #[cold]
    pub(super) fn on_failed(
        &mut self,
        attempt: &AttemptPermit,
        now: Instant,
        finished: Finished,
        class: Class,
    ) -> Next {
        let mut history = self.history.take().unwrap_or_default();
        let waited = match attempt.kind {
            Kind::Hedge => Duration::ZERO,
            Kind::First | Kind::Retry => history.waited,
        };
        history.failed.push(AttemptRecord {
            id: attempt.id,
            kind: attempt.kind,
            endpoint: attempt.endpoint,
            outcome: finished.outcome,
            class,
            waited,
            ran: now.since(attempt.started),
            retry_after: finished.retry_after,
        });
        let breaker = self.shared().breaker(attempt.endpoint);
        if let (Some(breaker), Some(wait)) = (breaker, finished.retry_after) {
            breaker.hold(now, wait);
        }
        if let (Some(grant), Some(told)) = (self.grant, finished.grant_left) {
            // Spent behind it, whoever made them.
            self.grant = Some(grant.at_most(told));
        }
        let next = self.follow(&mut history, now, finished);
        self.history = Some(history);
        next
    }

    /// What follows from a failure: another one of the round may still succeed; else another attempt.
    fn follow(&mut self, history: &mut History, now: Instant, finished: Finished) -> Next {
        let round = match history.round.take() {
            Some(before) => worse(before, finished),
            None => finished,
        };
        if !self.flights.is_empty() {
            history.round = Some(round);
            return Next::Wait;
        }
        let class = round.class.unwrap_or(Class::Fatal);
        match self.plan_retry(history, now, &round, class) {
            Ok((delay, extra)) => {
                history.waited = delay;
                history.extra = Some(Box::new(extra));
                self.phase = Phase::BackingOff { until: now + delay };
                Next::Wait
            }
            Err(reason) => {
                self.count(Event::stop(reason));
                self.end(now, false);
                self.phase = Phase::Over(End::GaveUp(reason));
                Next::Failed(reason)
            }
        }
    }

    /// Whether there is another attempt and after which wait; cheapest and most final question first, and
    /// the budget last, since asking it takes from it.
    fn plan_retry(
        &mut self,
        history: &mut History,
        now: Instant,
        finished: &Finished,
        class: Class,
    ) -> Result<(Duration, Extra), StopReason> {
        let local = Arc::clone(&self.local);
        let shared = &local.shared;
        if class == Class::Fatal {
            return Err(StopReason::NotRetryable);
        }
        if shared.max_attempts == 1 && shared.config.retry.is_none() {
            return Err(StopReason::AttemptsExhausted);
        }
        if finished.no_retry {
            return Err(StopReason::Forbidden);
        }
        if class == Class::Ambiguous && !self.idempotent {
            return Err(StopReason::NotIdempotent);
        }
        if !self.replayable {
            return Err(StopReason::Unreplayable);
        }
        if self.caller_retries && class != Class::NotSent {
            return Err(StopReason::CallerRetries);
        }
        if self.attempts < shared.max_attempts && self.is_grant_spent() {
            return Err(StopReason::GrantExhausted);
        }
        let Some(retry) = &shared.config.retry else {
            return self.plan_hedge(now, class, finished);
        };
        if self.attempts >= retry.max_attempts.get() {
            return Err(StopReason::AttemptsExhausted);
        }
        let (delay, is_hedge) = self.delay(history, retry, now, finished, class)?;
        let resume = now + delay;
        if self.deadline.has_passed(resume + self.usual(now)) {
            return Err(StopReason::DeadlineTooClose);
        }
        let retried_for = resume.since(self.began);
        if retry.max_elapsed.is_some_and(|most| retried_for > most) {
            return Err(StopReason::MaxElapsed);
        }
        if shared.refuses(resume) {
            return Err(StopReason::Refused(Reason::BreakerOpen));
        }
        let timed_out = finished.outcome == Outcome::Overload && class == Class::Ambiguous;
        let cost = if timed_out {
            Cost::AfterTimeout
        } else {
            Cost::Ordinary
        };
        let in_flight = || {
            shared.feed(now);
            shared.tally().in_flight()
        };
        let budget = match &shared.budget {
            None => None,
            Some(budget) => match budget.try_withdraw(now, in_flight(), cost) {
                Ok(withdrawal) => Some(withdrawal),
                Err(_) => return Err(StopReason::BudgetExhausted),
            },
        };
        self.hedged += u32::from(is_hedge);
        let extra = Extra {
            kind: Kind::Retry,
            budget,
            hedge: None,
        };
        Ok((delay, extra))
    }

    /// How long every other attempt takes at least, once that is known: with less time left, another one
    /// is more likely to be wasted than to answer.
    fn usual(&self, now: Instant) -> Duration {
        let known = self.local.operation.quantiles(now);
        let known = known.filter(|known| known.count >= ENOUGH);
        known.map_or(Duration::ZERO, |known| known.p50)
    }

    /// Whether the request may cause no more attempts than it has.
    pub(super) fn is_grant_spent(&self) -> bool {
        self.grant.is_some_and(|grant| grant.attempts_left() == 0)
    }

    /// Where nothing is retried, the hedge that was waiting to be made still answers a failure.
    fn plan_hedge(
        &mut self,
        now: Instant,
        class: Class,
        finished: &Finished,
    ) -> Result<(Duration, Extra), StopReason> {
        if !self.fires_hedge(now, class, finished) {
            return Err(StopReason::AttemptsExhausted);
        }
        let extra = self
            .withdraw_hedge(now)
            .ok_or(StopReason::BudgetExhausted)?;
        self.hedged += 1;
        Ok((Duration::ZERO, extra))
    }

    /// The wait before the next attempt, and whether it is the hedge that was waiting to be made.
    fn delay(
        &mut self,
        history: &mut History,
        retry: &Config,
        now: Instant,
        finished: &Finished,
        class: Class,
    ) -> Result<(Duration, bool), StopReason> {
        if self.fires_hedge(now, class, finished) {
            return Ok((Duration::ZERO, true));
        }
        let own = match class {
            // It never left: another connection may serve it at once. A second time, something is wrong.
            Class::NotSent if self.attempts == 1 => Duration::ZERO,
            Class::Rejected => history
                .throttled
                .next_delay(&retry.throttled, &mut self.dice),
            _ => history.backoff.next_delay(&retry.backoff, &mut self.dice),
        };
        let Some(wish) = finished.retry_after else {
            return Ok((own, false));
        };
        match retry.retry_after.heed(wish, own) {
            Heeded::Wait(least, most) => Ok((self.dice.duration_between(least, most), false)),
            Heeded::GiveUp => Err(StopReason::RetryAfterTooLong),
        }
    }
}

/// What two failed attempts of a round come to: whatever either of them forbids is forbidden, and the wait
/// is the longer of the two that were asked for.
fn worse(one: Finished, other: Finished) -> Finished {
    let weight = |class: Option<Class>| match class {
        Some(Class::NotSent) => 0,
        Some(Class::Transient) => 1,
        Some(Class::Rejected) => 2,
        Some(Class::Ambiguous) => 3,
        Some(Class::Fatal) | None => 4,
    };
    let overload = [one, other]
        .iter()
        .any(|finished| finished.outcome == Outcome::Overload);
    let worse = if weight(other.class) > weight(one.class) {
        other
    } else {
        one
    };
    Finished {
        outcome: if overload {
            Outcome::Overload
        } else {
            worse.outcome
        },
        retry_after: one.retry_after.max(other.retry_after),
        // Told of different grants, or of one that both have drawn on: the smaller one is safe.
        grant_left: match (one.grant_left, other.grant_left) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
        no_retry: one.no_retry || other.no_retry,
        ..worse
    }
}
