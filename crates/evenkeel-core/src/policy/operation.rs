//! What is kept for one kind of call: its progress, and how long its attempts take.

use std::sync::Arc;

use super::config::Config;
use crate::budget;
use crate::feed::Feed;
use crate::hedge::{self, Hedges};
use crate::outcome::{Class, Finished, Outcome};
use crate::progress::{self, Progress};
use crate::stripe::Stripe;
use crate::time::{Instant, nanos};
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
    /// What progress and hedges are handed of the calls that are served at once.
    feed: Arc<Feed>,
}

/// How long attempts take, and what is done with that knowledge.
#[derive(Debug, Clone)]
pub(crate) enum Latency {
    Shown(Arc<QuantileWindow>),
    Hedged(Hedges),
}

impl Latency {
    fn new(hedge: Option<hedge::Config>, stripes: usize) -> Self {
        match hedge {
            None => {
                let window = QuantileWindow::new(&QuantileConfig::default(), stripes);
                Self::Shown(Arc::new(window))
            }
            Some(hedge) => Self::Hedged(Hedges::new(hedge, stripes)),
        }
    }
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
            latency: Latency::new(hedge, stripes),
            feed: Arc::new(Feed::new()),
        }
    }

    /// The same operation under another configuration: what is known of it stays known, unless it would be
    /// found out otherwise.
    pub(crate) fn successor(&self, old: &Config, new: &Config, stripes: usize) -> Self {
        Self {
            name: self.name.clone(),
            progress: if old.progress == new.progress {
                self.progress.clone()
            } else {
                Progress::new(new.progress.clone(), stripes)
            },
            latency: if old.hedge == new.hedge {
                self.latency.clone()
            } else {
                Latency::new(new.hedge.clone(), stripes)
            },
            // It tells what progress has counted from what it was handed of it.
            feed: if old.progress == new.progress {
                self.feed.clone()
            } else {
                Arc::new(Feed::new())
            },
        }
    }

    /// Hands over what was counted in the slice before, if a new one has begun.
    #[inline]
    pub(crate) fn feed_if_due(&self, now: Instant) {
        if self.feed.is_due(now) {
            self.feed(now);
        }
    }

    /// Hands progress and hedges what was counted of calls that are served at once.
    #[cold]
    pub(crate) fn feed(&self, now: Instant) {
        self.feed.hand_over(
            now,
            || self.progress.at_once(),
            |fed| {
                let progress = self.progress.take(fed, now);
                let hedges = self.hedges().map(|hedges| hedges.take(fed, now));
                hedges.map_or(progress, |hedges| hedges.min(progress))
            },
        );
    }

    #[inline]
    pub(crate) fn hedges(&self) -> Option<&Hedges> {
        match &self.latency {
            Latency::Shown(_) => None,
            Latency::Hedged(hedges) => Some(hedges),
        }
    }

    /// Records how long, in nanoseconds, an attempt took whose answer was accepted.
    #[inline]
    pub(crate) fn record(&self, stripe: Stripe, now: Instant, took: u64) {
        match &self.latency {
            Latency::Shown(window) => window.record_nanos(stripe, now, took),
            Latency::Hedged(hedges) => hedges.record_nanos(stripe, now, took),
        }
    }

    /// Records an attempt that ended as `finished` says, if it says how long attempts take: served, or
    /// timed out. A failure or a refusal is quick, and would pass for speed.
    #[inline]
    pub(crate) fn record_end(&self, stripe: Stripe, now: Instant, took: u64, finished: &Finished) {
        let timed_out =
            finished.outcome == Outcome::Overload && finished.class != Some(Class::Rejected);
        if finished.outcome == Outcome::Success || timed_out {
            self.record(stripe, now, took);
        }
    }

    /// Records a loser, which would have taken at least `took`. Where that is less than the wait before a
    /// hedge, it tells nothing about what lies above the wait, and the wait would shrink.
    pub(crate) fn record_lost(&self, stripe: Stripe, now: Instant, took: u64) {
        let delay = self.hedges().and_then(|hedges| hedges.delay(now));
        if delay.is_some_and(|delay| took >= nanos(delay)) {
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
        self.feed(now);
        OperationSnapshot {
            name: self.name.clone(),
            progress: self.progress.snapshot(now),
            latency: self.quantiles(now),
            hedges: self.hedges().map(|hedges| hedges.snapshot(now)),
        }
    }
}
