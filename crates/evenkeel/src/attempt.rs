//! One attempt, from both sides: what the operation is told, and what keeps its slot.

use std::time::Duration;

use evenkeel_core::call::{AttemptId, AttemptPermit, Call, First, Kind};
use evenkeel_core::deadline;
use evenkeel_core::endpoint::EndpointId;
use evenkeel_core::grant::Grant;
use evenkeel_core::outcome::Outcome;
use evenkeel_core::time::Instant;

use crate::dependency::{Dependency, Inner};
use crate::telemetry;

/// What an operation is told about the attempt it makes.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    number: u32,
    kind: Kind,
    endpoint: EndpointId,
    remaining: Duration,
    grant: Option<Grant>,
}

impl Attempt {
    pub(crate) fn new(permit: &AttemptPermit, now: Instant) -> Self {
        Self {
            number: permit.id().number(),
            kind: permit.kind(),
            endpoint: permit.endpoint(),
            remaining: permit.due().since(now),
            grant: permit.grant(),
        }
    }

    #[inline]
    pub(crate) fn first(first: &First, now: Instant) -> Self {
        Self {
            number: First::ID.number(),
            kind: Kind::First,
            endpoint: EndpointId::ONLY,
            remaining: first.due().since(now),
            grant: first.grant(),
        }
    }

    /// The extra attempts that it may cause where it goes: send it along as
    /// [`grant::FIELD`](evenkeel_core::grant::FIELD). None where nobody counts.
    #[must_use]
    pub const fn grant(&self) -> Option<Grant> {
        self.grant
    }

    /// Which attempt of its call this is: 1 is the first.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Why it is made: as the call's first, after a failure, or beside an attempt that has not answered yet.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is to go, of a dependency with several endpoints: a place in its list of them. Otherwise
    /// [`EndpointId::ONLY`].
    #[must_use]
    pub const fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// How long the attempt may take: until its timeout or the call's deadline, counted from its start.
    /// Hand it to whatever can enforce it independently.
    #[must_use]
    pub const fn remaining(&self) -> Duration {
        self.remaining
    }

    /// What to tell the dependency of the time that is left: [`remaining`](Self::remaining), less the way
    /// back. None: so little that it cannot answer in time.
    #[must_use]
    pub fn remaining_to_send(&self) -> Option<Duration> {
        deadline::to_send(self.remaining)
    }
}

/// An attempt that goes on after its answer was judged: its slot is held until it is over.
///
/// An answer whose head has arrived is not an answer whose body has. Keep this beside the body and end it
/// with [`OpenAttempt::finish`]. Dropped, it ends as an attempt does whose caller left: held against the
/// dependency if it ran for as long as its timeout, else ignored.
#[derive(Debug)]
#[must_use = "dropping it ends the attempt"]
pub struct OpenAttempt {
    guard: Guard<Dependency>,
}

impl OpenAttempt {
    pub(crate) fn new(dependency: Dependency, permit: AttemptPermit) -> Self {
        Self {
            guard: Guard::new(dependency, permit),
        }
    }

    /// Why the attempt was made.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.guard.kind()
    }

    /// Ends the attempt with what became of it.
    pub fn finish(mut self, outcome: Outcome) {
        if let Some(permit) = self.guard.take() {
            let inner = self.guard.inner.as_ref();
            telemetry::transition(inner, permit.finish(inner.clock.now(), outcome));
        }
    }
}

/// Ends an attempt that is dropped, with its true duration: the clock that the permit lacks.
#[derive(Debug)]
pub(crate) struct Guard<I: AsRef<Inner>> {
    inner: I,
    right: Right,
    /// Set while the attempt's code runs: dropped in that state, it panicked.
    pub(crate) running: bool,
}

/// The right to an attempt.
#[derive(Debug)]
enum Right {
    None,
    /// Of a call that is no machine yet.
    First(First),
    Permit(AttemptPermit),
}

impl<I: AsRef<Inner>> Guard<I> {
    pub(crate) const fn new(inner: I, permit: AttemptPermit) -> Self {
        Self {
            inner,
            right: Right::Permit(permit),
            running: false,
        }
    }

    #[inline]
    pub(crate) const fn first(inner: I, first: First) -> Self {
        Self {
            inner,
            right: Right::First(first),
            running: false,
        }
    }

    pub(crate) const fn id(&self) -> Option<AttemptId> {
        match &self.right {
            Right::None => None,
            Right::First(_) => Some(First::ID),
            Right::Permit(permit) => Some(permit.id()),
        }
    }

    /// Why its attempt is made.
    pub(crate) fn kind(&self) -> Kind {
        match &self.right {
            Right::Permit(permit) => permit.kind(),
            Right::None | Right::First(_) => Kind::First,
        }
    }

    /// From now on it may be on any thread.
    pub(crate) const fn share(&mut self) {
        if let Right::Permit(permit) = &mut self.right {
            permit.share();
        }
    }

    pub(crate) fn take(&mut self) -> Option<AttemptPermit> {
        match std::mem::replace(&mut self.right, Right::None) {
            Right::Permit(permit) => Some(permit),
            Right::None => None,
            first @ Right::First(_) => {
                self.right = first;
                None
            }
        }
    }

    #[inline]
    pub(crate) fn take_first(&mut self) -> Option<First> {
        match std::mem::replace(&mut self.right, Right::None) {
            Right::First(first) => Some(first),
            other => {
                self.right = other;
                None
            }
        }
    }

    /// Makes the call a machine, and keeps the permit of its attempt.
    pub(crate) fn adopt(&mut self) -> Option<Call> {
        let (call, permit) = self.take_first()?.into_call();
        self.right = Right::Permit(permit);
        Some(call)
    }
}

impl<I: AsRef<Inner>> Drop for Guard<I> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.right, Right::None) {
            self.abandon();
        }
    }
}

impl<I: AsRef<Inner>> Guard<I> {
    #[cold]
    fn abandon(&mut self) {
        // Dropped behind the permit: a call that was not finished counts as abandoned.
        let _call = self.adopt();
        if let Some(permit) = self.take() {
            let inner = self.inner.as_ref();
            telemetry::transition(inner, permit.abandon(inner.clock.now(), self.running));
        }
    }
}
