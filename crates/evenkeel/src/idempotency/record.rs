//! What a record says: one decision for the engines that decide in this process.

use std::time::Duration;

use super::answer::Answer;
use super::store::{Begun, Claim, Fingerprint, Place, Terms};

/// What becomes of a key whose claim was abandoned: its process died, or its handler left no word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Recovery {
    /// It is in doubt until its record expires: 409, and a person looks. Default.
    #[default]
    HoldInDoubt,
    /// The work is done again: right only where it is done in one transaction with its record.
    RunAgain,
}

/// A record, with instants in milliseconds of its engine's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) fingerprint: Fingerprint,
    pub(super) token: u64,
    /// Which process claimed it, where only one at a time can.
    pub(super) instance: u64,
    pub(super) expires: u64,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Running { lease_until: u64 },
    InDoubt,
    Done(Answer),
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Record {
    /// The record of a new claim.
    pub(super) fn claimed(
        claim: &Claim,
        fingerprint: Fingerprint,
        instance: u64,
        now: u64,
    ) -> Self {
        Self {
            fingerprint,
            token: claim.token,
            instance,
            expires: now.saturating_add(millis(claim.terms.ttl)),
            state: State::Running {
                lease_until: now.saturating_add(millis(claim.terms.lease)),
            },
        }
    }

    pub(super) fn has_expired(&self, now: u64) -> bool {
        now >= self.expires
    }

    /// The time for which a claim still holds, as far as `instance` can know.
    pub(super) fn lease_left(&self, instance: u64, now: u64) -> Option<Duration> {
        match self.state {
            State::Running { lease_until } if self.instance == instance && now < lease_until => {
                Some(Duration::from_millis(lease_until - now))
            }
            _ => None,
        }
    }

    /// Whether `claim` still holds.
    pub(super) fn is_held_by(&self, claim: &Claim) -> bool {
        self.token == claim.token && matches!(self.state, State::Running { .. })
    }

    /// Whether the answer stands there, left by `claim`.
    pub(super) fn was_finished_by(&self, claim: &Claim) -> bool {
        self.token == claim.token && matches!(self.state, State::Done(_))
    }

    pub(super) fn finish(&mut self, claim: &Claim, answer: &Answer, now: u64) {
        self.state = State::Done(answer.clone());
        self.expires = now.saturating_add(millis(claim.terms.ttl));
    }

    pub(super) fn renew(&mut self, claim: &Claim, now: u64) {
        self.state = State::Running {
            lease_until: now.saturating_add(millis(claim.terms.lease)),
        };
    }
}

/// What `record` says to a request. A claim is to be written down by the engine.
pub(super) fn begin(
    record: Option<&Record>,
    place: Place,
    request: Fingerprint,
    terms: &Terms,
    instance: u64,
    now: u64,
) -> Begun {
    let Some(record) = record.filter(|record| !record.has_expired(now)) else {
        return Begun::New(Claim::new(place, terms));
    };
    // Before anything else: a mistaken request learns nothing of the right one, and is not told to wait.
    if record.fingerprint != request {
        return Begun::Mismatch;
    }
    if let Some(lease_left) = record.lease_left(instance, now) {
        return Begun::InFlight { lease_left };
    }
    match (&record.state, terms.recovery) {
        (State::Done(answer), _) => Begun::Replay(answer.clone()),
        (_, Recovery::HoldInDoubt) => Begun::InDoubt,
        (_, Recovery::RunAgain) => Begun::New(Claim::new(place, terms)),
    }
}
