//! What an admission shows of itself.

use core::time::Duration;

use crate::criticality::Criticality;
use crate::ratio::Ratio;
use crate::rejection::Reason;
use crate::sync::{AtomicU64, Ordering};
use crate::{limiter, tenant};

/// What an admission shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Requests that may be served at once at present.
    pub limit: u32,
    /// Requests that are served, and that were given a worker and have not fetched it yet.
    pub serving: u32,
    /// Requests that wait.
    pub waiting: u32,
    /// How long the first of them has waited.
    pub oldest_wait: Option<Duration>,
    /// The newest of them that are served in order of their deadlines.
    pub window: u32,
    /// Who has no more time left than this is not begun.
    pub floor: Duration,
    /// How long a service takes of late, on average.
    pub mean_service: Duration,
    /// The share of arrivals that is shed by criticality; none where that is off.
    pub shed_share: Option<Ratio>,
    /// The level, class x 128 + cohort, below which arrivals are shed: what callers may be told, so that
    /// they stop early.
    pub shed_level: Option<u32>,
    /// The adaptive limit, if it is one.
    pub limiter: Option<limiter::Snapshot>,
    /// The groups of tenants, in the order in which they were given.
    pub groups: Vec<tenant::GroupSnapshot>,
    /// What became of the requests of each class, least first.
    pub classes: [ClassCounts; Criticality::ALL.len()],
}

/// What became of the requests of one class so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClassCounts {
    /// Begun.
    pub admitted: u64,
    /// Refused, by [`Reason::index`].
    pub refused: [u64; Reason::ALL.len()],
}

impl ClassCounts {
    /// Refused for that reason.
    #[must_use]
    pub const fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason.index()]
    }
}

#[derive(Debug)]
pub(super) struct Counts(Box<[Class]>);

#[derive(Debug)]
struct Class {
    admitted: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl Counts {
    pub(super) fn new() -> Self {
        let class = |_| Class {
            admitted: AtomicU64::new(0),
            refused: core::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self(Criticality::ALL.into_iter().map(class).collect())
    }

    #[inline]
    pub(super) fn on_admitted(&self, class: Criticality) {
        self.0[class.index()]
            .admitted
            .fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn on_refused(&self, class: Criticality, reason: Reason) {
        self.0[class.index()].refused[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> [ClassCounts; Criticality::ALL.len()] {
        core::array::from_fn(|at| &self.0[at]).map(|class| ClassCounts {
            admitted: class.admitted.load(Ordering::Relaxed),
            refused: class
                .refused
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
        })
    }
}
