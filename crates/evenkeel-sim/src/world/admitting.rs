//! A replica that is run by an admission of evenkeel's: this module drives it and decides nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use evenkeel_core::admission::{Admission, Arrival, Arrived, Config, Permit, Place};
use evenkeel_core::outcome::Outcome;
use evenkeel_core::tenant::Tenant;
use evenkeel_core::time::Instant;

use super::replica::{Line, Stage};
use super::{Event, World};
use crate::queue::Timer;

/// The admission of one replica, and what it handed out.
#[derive(Debug)]
pub(super) struct Admitting {
    admission: Admission,
    /// By attempt: who waits, until when at the latest.
    places: BTreeMap<u32, (Place, Timer)>,
    /// By attempt: who is served.
    permits: BTreeMap<u32, Permit>,
}

impl Admitting {
    pub(super) fn new(config: Config, name: &str) -> Self {
        Self {
            admission: Admission::new(config, name, 1),
            places: BTreeMap::new(),
            permits: BTreeMap::new(),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.places.len()
    }

    pub(super) fn resize(&self, workers: u32, now: u64) {
        if let Some(workers) = NonZeroU32::new(workers) {
            self.admission.resize(Instant::from_nanos(now), workers);
        }
    }

    pub(super) fn served(&mut self, attempt: u32, now: u64, succeeded: bool) {
        let outcome = if succeeded {
            Outcome::Success
        } else {
            Outcome::Failure
        };
        if let Some(permit) = self.permits.remove(&attempt) {
            permit.finish(Instant::from_nanos(now), outcome);
        }
    }

    /// Everything it handed out is void. Answers who waited, with the timers that went with that.
    pub(super) fn crash(&mut self) -> Vec<(u32, Timer)> {
        self.permits.clear();
        let places = core::mem::take(&mut self.places);
        places
            .into_iter()
            .map(|(attempt, (_, timer))| (attempt, timer))
            .collect()
    }
}

impl World<'_> {
    /// An attempt asks the admission of its replica.
    pub(super) fn ask_admission(&mut self, id: u32) {
        let attempt = &mut self.attempts[id];
        attempt.stage = Stage::Waits;
        let deadline = Instant::from_nanos(attempt.deadline);
        let tenant = Tenant::new(u64::from(attempt.tenant));
        let (service, place) = (attempt.service as usize, attempt.replica as usize);
        let waker = self.waker(Event::Turn(id));
        let Line::Admission(admitting) = &mut self.replicas[place].line else {
            return;
        };
        let now = Instant::from_nanos(self.now);
        match admitting
            .admission
            .arrive(now, Arrival::new(deadline).tenant(tenant))
        {
            Err(_) => self.reject(id),
            Ok(Arrived::Admitted(permit)) => self.admitted(id, permit),
            Ok(Arrived::Queued(mut waits)) => {
                waits.wake_by(&waker);
                let until = waits.deadline().as_nanos();
                let timer = if until < self.fleet.ends {
                    self.queue.push_timer(until, Event::Turn(id))
                } else {
                    Timer::NONE
                };
                admitting.places.insert(id, (waits, timer));
                let longest = &mut self.measures.longest_queue[service];
                *longest = (admitting.places.len() as u64).max(*longest);
            }
        }
    }

    /// What waits is woken, or its deadline has come.
    pub(super) fn turn(&mut self, id: u32) {
        let place = self.attempts[id].replica as usize;
        let Line::Admission(admitting) = &mut self.replicas[place].line else {
            return;
        };
        let Some((waits, timer)) = admitting.places.get_mut(&id) else {
            return;
        };
        let verdict = waits.poll(Instant::from_nanos(self.now));
        let Some(verdict) = verdict else { return };
        self.queue.cancel(*timer);
        admitting.places.remove(&id);
        match verdict {
            Ok(permit) => self.admitted(id, permit),
            Err(_) => self.reject(id),
        }
    }

    fn admitted(&mut self, id: u32, permit: Permit) {
        let place = self.attempts[id].replica as usize;
        let replica = &mut self.replicas[place];
        let stall = replica.stalled_until.saturating_sub(self.now);
        let debt = core::mem::take(&mut replica.debt);
        if let Line::Admission(admitting) = &mut replica.line {
            admitting.permits.insert(id, permit);
        }
        self.begin_work(id, stall + debt);
    }

    /// An attempt whose caller has left is taken out of the queue.
    pub(super) fn leave_admission(&mut self, id: u32) {
        let place = self.attempts[id].replica as usize;
        let Line::Admission(admitting) = &mut self.replicas[place].line else {
            return;
        };
        if let Some((_, timer)) = admitting.places.remove(&id) {
            self.queue.cancel(timer);
            self.forget(id);
        }
    }
}
