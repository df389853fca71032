//! Records in memory: for one process that may forget everything when it ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::answer::Answer;
use super::record::{self, Record, State};
use super::store::{Begun, Claim, Fingerprint, Place, Store, StoreError, Terms};

/// Records that are kept at most: at 1 KiB each, 100 MB.
const MOST: usize = 100_000;

/// Keeps records in memory, at most so many. When it is full of records that have not expired, new keys are
/// refused, since forgetting one would let its work be done twice.
#[derive(Debug)]
pub struct MemoryStore {
    records: Mutex<HashMap<Place, Record>>,
    origin: Instant,
    most: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store of at most 100,000 records.
    #[must_use]
    pub fn new() -> Self {
        Self::at_most(MOST)
    }

    /// An empty store of at most `most` records.
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self {
            records: Mutex::default(),
            origin: Instant::now(),
            most,
        }
    }

    fn now(&self) -> u64 {
        record::millis(self.origin.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Record>> {
        // A record is replaced in one step: a panic leaves none half written.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All claims are of one process.
const INSTANCE: u64 = 0;

impl Store for MemoryStore {
    async fn begin(
        &self,
        place: Place,
        request: Fingerprint,
        terms: &Terms,
    ) -> Result<Begun, StoreError> {
        let (now, mut records) = (self.now(), self.lock());
        let begun = record::begin(records.get(&place), place, request, terms, INSTANCE, now);
        if let Begun::New(claim) = &begun {
            if records.len() >= self.most && !records.contains_key(&place) {
                records.retain(|_, record| !record.has_expired(now));
                if records.len() >= self.most {
                    return Err(StoreError::new("it is full of records that must be kept"));
                }
            }
            records.insert(place, Record::claimed(claim, request, INSTANCE, now));
        }
        Ok(begun)
    }

    async fn is_in_flight(&self, place: Place) -> Result<bool, StoreError> {
        let (now, records) = (self.now(), self.lock());
        let record = records.get(&place);
        Ok(record.is_some_and(|record| record.lease_left(INSTANCE, now).is_some()))
    }

    async fn finish(&self, claim: &Claim, answer: &Answer) -> Result<bool, StoreError> {
        let (now, mut records) = (self.now(), self.lock());
        Ok(match records.get_mut(&claim.place) {
            Some(record) if record.is_held_by(claim) => {
                record.finish(claim, answer, now);
                true
            }
            Some(record) => record.was_finished_by(claim),
            None => false,
        })
    }

    async fn abandon(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut records = self.lock();
        let held = records.get(&claim.place);
        if held.is_some_and(|record| record.is_held_by(claim)) {
            records.remove(&claim.place);
        }
        Ok(())
    }

    async fn doubt(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut records = self.lock();
        let held = records.get_mut(&claim.place);
        if let Some(record) = held.filter(|record| record.is_held_by(claim)) {
            record.state = State::InDoubt;
        }
        Ok(())
    }

    async fn renew(&self, claim: &Claim) -> Result<bool, StoreError> {
        let (now, mut records) = (self.now(), self.lock());
        let held = records.get_mut(&claim.place);
        Ok(held
            .filter(|record| record.is_held_by(claim))
            .map(|record| record.renew(claim, now))
            .is_some())
    }
}
