//! The attempts of one call that are under way.

use super::AttemptId;
use super::watch::Watch;
use crate::breaker::Transition;
use crate::policy::live::Shared;
use crate::time::Instant;

/// One attempt under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: AttemptId,
    /// When it is to be abandoned.
    pub(super) due: Instant,
    /// Another one's answer was accepted.
    pub(super) is_lost: bool,
    watch: Watch,
}

/// All of them. The first has its place here; only hedges need memory.
#[derive(Debug, Default)]
pub(super) struct Flights {
    one: Option<Flight>,
    others: Vec<Flight>,
}

impl Flights {
    #[inline]
    pub(super) fn begin(&mut self, id: AttemptId, due: Instant, watch: Watch) {
        let flight = Flight {
            id,
            due,
            is_lost: false,
            watch,
        };
        if self.one.is_none() {
            self.one = Some(flight);
        } else {
            self.others.push(flight);
        }
    }

    #[inline]
    pub(super) fn end(&mut self, id: AttemptId) -> Option<Flight> {
        if self.one.as_ref().is_some_and(|one| one.id == id) {
            return core::mem::replace(&mut self.one, self.others.pop());
        }
        let at = self.others.iter().position(|flight| flight.id == id)?;
        Some(self.others.swap_remove(at))
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.one.is_none()
    }

    /// The answer of `id` was accepted: it has no timeout any more, and all others have lost.
    pub(super) fn accept(&mut self, id: AttemptId) {
        for flight in self.one.iter_mut().chain(&mut self.others) {
            if flight.id == id {
                flight.due = Instant::MAX;
                flight.watch.answered();
            } else {
                flight.is_lost = true;
            }
        }
    }

    /// The first that has lost, or outlived its timeout.
    pub(super) fn over(&self, now: Instant) -> Option<AttemptId> {
        self.iter()
            .filter(|flight| flight.is_lost || now >= flight.due)
            .map(|flight| flight.id)
            .min()
    }

    /// When the next of them outlives its timeout.
    pub(super) fn due(&self) -> Instant {
        self.iter()
            .map(|flight| flight.due)
            .min()
            .unwrap_or(Instant::MAX)
    }

    /// Looks at each attempt's age; answers when to look again, and what that moved.
    pub(super) fn look(&mut self, shared: &Shared, now: Instant) -> (Instant, Option<Transition>) {
        let (mut again, mut moved) = (Instant::MAX, None);
        for flight in self.one.iter_mut().chain(&mut self.others) {
            let (at, transition) = flight.watch.look(shared, now);
            again = again.min(at);
            moved = transition.or(moved);
        }
        (again, moved)
    }

    pub(super) fn is_lost(&self, id: AttemptId) -> bool {
        self.iter().any(|flight| flight.id == id && flight.is_lost)
    }

    pub(super) fn lowest(&self) -> Option<AttemptId> {
        self.iter().map(|flight| flight.id).min()
    }

    fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.one.iter().chain(&self.others)
    }
}
