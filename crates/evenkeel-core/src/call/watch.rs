//! Whether an attempt that still runs is slow already.
//!
//! A call is asked what to do next only while its attempt is pending, and then sets a timer anyway. So that
//! is when the question is asked, and the timer is set for the moment at which the answer changes: an
//! attempt that ends at once pays nothing, and nobody keeps a list of what runs.

use crate::breaker::{Admission, Breaker, RunningSlow, Transition};
use crate::time::Instant;

/// What is known of a running attempt.
#[derive(Debug)]
pub(super) enum Watch {
    /// Nothing depends on how long it runs: it is a probe, which has a lease, or its answer has come.
    Off,
    /// It was admitted then, and has not been found slow.
    Running(Admission, Instant),
    /// It is slow, and counts as such for as long as it runs.
    Slow {
        /// Counts it until it is dropped.
        _counted: RunningSlow,
    },
}

impl Watch {
    pub(super) fn new(admission: Option<Admission>, now: Instant) -> Self {
        match admission {
            Some(admission) if !admission.is_probe() => Self::Running(admission, now),
            _ => Self::Off,
        }
    }

    /// Looks at the attempt; answers when to look again, and what that moved.
    pub(super) fn look(
        &mut self,
        breaker: Option<&Breaker>,
        now: Instant,
    ) -> (Instant, Option<Transition>) {
        let (Self::Running(admission, started), Some(breaker)) = (&*self, breaker) else {
            return (Instant::MAX, None);
        };
        let at = started.plus_nanos(breaker.slow_after(now));
        if now < at {
            return (at, None);
        }
        let (slow, transition) = breaker.enter_slow(*admission, now);
        *self = slow.map_or(Self::Off, |counted| Self::Slow { _counted: counted });
        (Instant::MAX, transition)
    }
}
