//! Whether a failed call makes another attempt, and after which wait.

use core::time::Duration;
use std::sync::Arc;

use super::{Call, History, StopReason};
use crate::breaker::Breaker;
use crate::budget::{Cost, Withdrawal};
use crate::outcome::{Class, Finished, Outcome};
use crate::ratio::Ratio;
use crate::rejection::Reason;
use crate::retry::Config;
use crate::time::{Instant, nanos};

/// A server's wish is lengthened by at most this share, and at most [`MAX_UPWARD_JITTER`], so that those
/// who heard it together do not return together.
const UPWARD_JITTER: Ratio = Ratio::from_permille(500);
const MAX_UPWARD_JITTER: Duration = Duration::from_secs(1);

impl Call {
    /// Whether there is another attempt and after which wait; cheapest and most final question first, and
    /// the budget last, since asking it takes from it.
    pub(super) fn plan_retry(
        &mut self,
        history: &mut History,
        now: Instant,
        finished: Finished,
        class: Class,
    ) -> Result<(Duration, Option<Withdrawal>), StopReason> {
        let local = Arc::clone(&self.local);
        let shared = &local.shared;
        if class == Class::Fatal {
            return Err(StopReason::NotRetryable);
        }
        let Some(retry) = &shared.config.retry else {
            return Err(StopReason::AttemptsExhausted);
        };
        if finished.no_retry {
            return Err(StopReason::Forbidden);
        }
        if class == Class::Ambiguous && !self.idempotent {
            return Err(StopReason::NotIdempotent);
        }
        if !self.replayable {
            return Err(StopReason::Unreplayable);
        }
        if self.attempts >= retry.max_attempts.get() {
            return Err(StopReason::AttemptsExhausted);
        }
        let delay = self.delay(history, retry, finished, class)?;
        let resume = now + delay;
        if self.deadline.has_passed(resume) {
            return Err(StopReason::DeadlineTooClose);
        }
        let refuses = |breaker: &Breaker| breaker.refuses(resume);
        if shared.breaker.as_ref().is_some_and(refuses) {
            return Err(StopReason::Refused(Reason::BreakerOpen));
        }
        let Some(budget) = &shared.budget else {
            return Ok((delay, None));
        };
        let timed_out = finished.outcome == Outcome::Overload && class == Class::Ambiguous;
        let cost = if timed_out {
            Cost::AfterTimeout
        } else {
            Cost::Ordinary
        };
        match budget.try_withdraw(now, shared.tally().in_flight(), cost) {
            Ok(withdrawal) => Ok((delay, Some(withdrawal))),
            Err(_) => Err(StopReason::BudgetExhausted),
        }
    }

    fn delay(
        &mut self,
        history: &mut History,
        retry: &Config,
        finished: Finished,
        class: Class,
    ) -> Result<Duration, StopReason> {
        let own = match class {
            // It never left: another connection may serve it at once. A second time, something is wrong.
            Class::NotSent if self.attempts == 1 => Duration::ZERO,
            Class::Rejected => history
                .throttled
                .next_delay(&retry.throttled, &mut self.dice),
            _ => history.backoff.next_delay(&retry.backoff, &mut self.dice),
        };
        let Some(wish) = finished.retry_after else {
            return Ok(own);
        };
        if wish > retry.max_retry_after {
            return Err(StopReason::RetryAfterTooLong);
        }
        if own >= wish {
            return Ok(own);
        }
        let reach = Duration::from_nanos(UPWARD_JITTER.of(nanos(wish))).min(MAX_UPWARD_JITTER);
        Ok(self.dice.duration_between(wish, wish + reach))
    }
}
