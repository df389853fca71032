//! What is kept for one kind of call: its progress, and how long its attempts take.

use core::time::Duration;

use crate::budget;
use crate::hedge::{self, Hedges};
use crate::outcome::{Class, Finished, Outcome};
use crate::progress::{self, Progress};
use crate::stripe::Stripe;
use crate::time::Instant;
use crate::window::{QuantileConfig, QuantileWindow, Quantiles};

/// What is shown of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationSnapshot {
    /// The operation's name; empty: of the calls that name none.
    pub name: Box<str>,
    /// Whether its work gets done.
    pub progress: progress::Snapshot,
    /// How long its attempts took of late, to the head of their answers; none while nothing is known.
    pub latency: Option<Quantiles>,
    /// The hedges' own budget, if it has hedges.
    pub hedges: Option<budget::Snapshot>,
}

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: Box<str>,
    pub(crate) progress: Progress,
    pub(crate) latency: Latency,
}

/// How long attempts take, and what is done with that knowledge.
#[derive(Debug)]
pub(crate) enum Latency {
    Shown(QuantileWindow),
    Hedged(Hedges),
}

impl Operation {
    pub(crate) fn new(
        name: &str,
        progress: progress::Config,
        hedge: Option<hedge::Config>,
        stripes: usize,
    ) -> Self {
        Self {
            name: name.into(),
            progress: Progress::new(progress, stripes),
            latency: match hedge {
                None => Latency::Shown(QuantileWindow::new(&QuantileConfig::default(), stripes)),
                Some(hedge) => Latency::Hedged(Hedges::new(hedge, stripes)),
            },
        }
    }

    #[inline]
    pub(crate) fn hedges(&self) -> Option<&Hedges> {
        match &self.latency {
            Latency::Shown(_) => None,
            Latency::Hedged(hedges) => Some(hedges),
        }
    }

    /// Records how long an attempt took whose answer was accepted.
    #[inline]
    pub(crate) fn record(&self, stripe: Stripe, now: Instant, took: Duration) {
        match &self.latency {
            Latency::Shown(window) => window.record(stripe, now, took),
            Latency::Hedged(hedges) => hedges.record(stripe, now, took),
        }
    }

    /// Records an attempt that ended as `finished` says, if it says how long attempts take: served, or
    /// timed out. A failure or a refusal is quick, and would pass for speed.
    #[inline]
    pub(crate) fn record_end(
        &self,
        stripe: Stripe,
        now: Instant,
        took: Duration,
        finished: &Finished,
    ) {
        let timed_out =
            finished.outcome == Outcome::Overload && finished.class != Some(Class::Rejected);
        if finished.outcome == Outcome::Success || timed_out {
            self.record(stripe, now, took);
        }
    }

    /// Records a loser, which would have taken at least `took`. Where that is less than the wait before a
    /// hedge, it tells nothing about what lies above the wait, and the wait would shrink.
    pub(crate) fn record_lost(&self, stripe: Stripe, now: Instant, took: Duration) {
        let delay = self.hedges().and_then(|hedges| hedges.delay(now));
        if delay.is_some_and(|delay| took >= delay) {
            self.record(stripe, now, took);
        }
    }

    pub(crate) fn quantiles(&self, now: Instant) -> Option<Quantiles> {
        match &self.latency {
            Latency::Shown(window) => window.quantiles(now),
            Latency::Hedged(hedges) => hedges.latency(now),
        }
    }

    pub(crate) fn snapshot(&self, now: Instant) -> OperationSnapshot {
        OperationSnapshot {
            name: self.name.clone(),
            progress: self.progress.snapshot(now),
            latency: self.quantiles(now),
            hedges: self.hedges().map(|hedges| hedges.snapshot(now)),
        }
    }
}
