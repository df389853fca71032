//! What depends on how long an attempt has been running.
//!
//! A call is asked what to do next only while its attempt is pending, and then sets a timer anyway. So that
//! is when an attempt's age is registered with its bulkhead and held against its breaker's rule for slow
//! calls, and the timer is set for the moment at which the answer changes: an attempt that ends at once pays
//! for neither.

use crate::breaker::{Admission, RunningSlow, Transition};
use crate::bulkhead::Held;
use crate::endpoint::EndpointId;
use crate::policy::live::Shared;
use crate::time::Instant;

/// What is known of a running attempt.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    endpoint: EndpointId,
    /// What to hold it against; none for a probe, which has a lease, and once it has been found slow.
    admission: Option<Admission>,
    /// Counts it as slow until it is dropped.
    slow: Option<RunningSlow>,
    /// Shows since when it holds its slot.
    held: Option<Held>,
}

impl Watch {
    #[inline]
    pub(super) fn new(admission: Option<Admission>, endpoint: EndpointId, began: Instant) -> Self {
        Self {
            began,
            endpoint,
            admission: admission.filter(|admission| !admission.is_probe()),
            slow: None,
            held: None,
        }
    }

    /// Looks at the attempt; answers when to look again, and what that moved.
    pub(super) fn look(&mut self, shared: &Shared, now: Instant) -> (Instant, Option<Transition>) {
        if let (Some(bulkhead), None) = (&shared.bulkhead, &self.held) {
            self.held = bulkhead.register(self.began);
        }
        let (Some(admission), Some(breaker)) = (self.admission, shared.breaker(self.endpoint))
        else {
            return (Instant::MAX, None);
        };
        let at = self.began.plus_nanos(breaker.slow_after(now));
        if now < at {
            return (at, None);
        }
        self.admission = None;
        let (slow, transition) = breaker.enter_slow(admission, now);
        self.slow = slow;
        (Instant::MAX, transition)
    }

    /// Its answer has come: it is not slow any more, however long that is read.
    pub(super) fn answered(&mut self) {
        (self.admission, self.slow) = (None, None);
    }
}
