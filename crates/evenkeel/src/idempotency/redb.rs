//! Records in a `redb` file: they survive the death of the process, and can be written in the
//! handler's own transaction.
//!
//! A `redb` file is open in one process at a time. So a claim that another process made is that of a dead
//! one: it is abandoned at once, without waiting for its lease.
//!
//! Every step that changes something is on the disk when it returns. Lifetimes are measured by the wall
//! clock, since they must outlast the process; a step of the clock moves when records expire, and nothing
//! else.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use ::redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};

use super::answer::Answer;
use super::record::{self, Record, State};
use super::store::{Begun, Claim, Fingerprint, Place, Store, StoreError, Terms};

/// Fingerprint, token, instance, expiry; a tag of the state; its lease or its answer.
type Row = (&'static [u8; 32], u64, u64, u64, u8, &'static [u8]);

const RECORDS: TableDefinition<'_, &[u8; 32], Row> = TableDefinition::new("evenkeel_idempotency");

const RUNNING: u8 = 0;
const IN_DOUBT: u8 = 1;
const DONE: u8 = 2;

/// When records expire, the soonest first. A record that was extended since is put back when it is met.
const EXPIRIES: TableDefinition<'_, (u64, &[u8; 32]), ()> =
    TableDefinition::new("evenkeel_idempotency_expiries");

/// Expired records that a claim takes out at most: more than it adds, so that the file stops growing, and
/// few enough that no claim is slow.
const SWEPT_BY_A_CLAIM: usize = 4;

/// Keeps records in a file. Cheap to clone; clones are one store.
#[derive(Clone)]
pub struct RedbStore {
    database: Arc<Database>,
    /// Tells this process's claims from those of the dead.
    instance: u64,
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

/// The claim was lost: somebody else does the work, or has done it. Drop the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLost;

impl fmt::Display for ClaimLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claim on the idempotency key was lost to somebody else")
    }
}

impl std::error::Error for ClaimLost {}

impl RedbStore {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// It cannot be opened: it is no such file, or another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(StoreError::new)?;
        Self::in_database(Arc::new(database))
    }

    /// Keeps the records in a table of `database`, beside the work itself: see [`record`](Self::record).
    ///
    /// # Errors
    /// The table cannot be made.
    pub fn in_database(database: Arc<Database>) -> Result<Self, StoreError> {
        let store = Self {
            database,
            instance: Claim::new(Place([0; 32]), &Terms::default()).token,
        };
        store.write(|_| Ok(()))?;
        Ok(store)
    }

    /// Leaves `answer` in the handler's own `transaction`: the work and its record become true together
    /// when it is committed. Then answer the request with it.
    ///
    /// # Errors
    /// [`ClaimLost`], in a [`StoreError`], if somebody else has taken over; or the database's own. Either
    /// way, abort the transaction.
    pub fn record(
        &self,
        transaction: &WriteTransaction,
        claim: &Claim,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        let mut records = transaction.open_table(RECORDS).map_err(StoreError::new)?;
        let found = read(&records, claim.place)?;
        match found {
            Some(mut record) if record.is_held_by(claim) => {
                record.finish(claim, answer, now());
                write(&mut records, claim.place, &record)
            }
            _ => Err(StoreError::new(ClaimLost)),
        }
    }

    /// How many records there are, expired ones among them.
    ///
    /// # Errors
    /// The database's own.
    pub fn count(&self) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read().map_err(StoreError::new)?;
        let records = transaction.open_table(RECORDS).map_err(StoreError::new)?;
        records.len().map_err(StoreError::new)
    }

    /// Changes records in a transaction of their own.
    fn write<R>(
        &self,
        change: impl FnOnce(&mut Table<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let transaction = self.database.begin_write().map_err(StoreError::new)?;
        let changed = {
            let mut records = transaction.open_table(RECORDS).map_err(StoreError::new)?;
            change(&mut records)?
        };
        transaction.commit().map_err(StoreError::new)?;
        Ok(changed)
    }

    /// Changes the record of `claim`, if it still holds.
    async fn change(
        &self,
        claim: &Claim,
        change: impl FnOnce(&mut Table<'_>, Record) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<bool, StoreError> {
        let claim = claim.clone();
        self.blocking(move |store| {
            store.write(|records| match read(records, claim.place)? {
                Some(record) if record.is_held_by(&claim) => {
                    change(records, record)?;
                    Ok(true)
                }
                Some(record) => Ok(record.was_finished_by(&claim)),
                None => Ok(false),
            })
        })
        .await
    }

    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done,
            Err(error) => Err(StoreError::new(error)),
        }
    }
}

type Table<'t> = ::redb::Table<'t, &'static [u8; 32], Row>;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    record::millis(now.unwrap_or_default())
}

fn read(
    records: &impl ReadableTable<&'static [u8; 32], Row>,
    place: Place,
) -> Result<Option<Record>, StoreError> {
    let found = records.get(&place.0).map_err(StoreError::new)?;
    Ok(found.map(|row| {
        let (fingerprint, token, instance, expires, tag, rest) = row.value();
        let lease = || Some(u64::from_be_bytes(rest.try_into().ok()?));
        let state = match tag {
            RUNNING => lease().map(|lease_until| State::Running { lease_until }),
            DONE => Answer::decode(rest).map(State::Done),
            _ => None,
        };
        Record {
            fingerprint: Fingerprint(*fingerprint),
            token,
            instance,
            expires,
            // What cannot be read was written by another version: something was begun.
            state: state.unwrap_or(State::InDoubt),
        }
    }))
}

fn write(records: &mut Table<'_>, place: Place, record: &Record) -> Result<(), StoreError> {
    let (tag, rest) = match &record.state {
        State::Running { lease_until } => (RUNNING, lease_until.to_be_bytes().to_vec()),
        State::InDoubt => (IN_DOUBT, Vec::new()),
        State::Done(answer) => (DONE, answer.encode()),
    };
    let Record {
        fingerprint,
        token,
        instance,
        expires,
        ..
    } = record;
    let row = (&fingerprint.0, *token, *instance, *expires, tag, &*rest);
    records.insert(&place.0, row).map_err(StoreError::new)?;
    Ok(())
}

/// Takes out a few records that have expired.
fn sweep(
    records: &mut Table<'_>,
    expiries: &mut ::redb::Table<'_, (u64, &'static [u8; 32]), ()>,
    now: u64,
) -> Result<(), StoreError> {
    for _ in 0..SWEPT_BY_A_CLAIM {
        let (due, place) = {
            let Some((first, _)) = expiries.first().map_err(StoreError::new)? else {
                return Ok(());
            };
            let (due, place) = first.value();
            (due, *place)
        };
        if due > now {
            return Ok(());
        }
        expiries.remove((due, &place)).map_err(StoreError::new)?;
        match read(records, Place(place))? {
            Some(record) if !record.has_expired(now) => {
                expiries
                    .insert((record.expires, &place), ())
                    .map_err(StoreError::new)?;
            }
            _ => {
                records.remove(&place).map_err(StoreError::new)?;
            }
        }
    }
    Ok(())
}

impl Store for RedbStore {
    async fn begin(
        &self,
        place: Place,
        request: Fingerprint,
        terms: &Terms,
    ) -> Result<Begun, StoreError> {
        let terms = *terms;
        self.blocking(move |store| {
            let now = now();
            // Most requests that are not new only read.
            let transaction = store.database.begin_read().map_err(StoreError::new)?;
            let records = transaction.open_table(RECORDS).map_err(StoreError::new)?;
            let found = read(&records, place)?;
            let begun = record::begin(found.as_ref(), place, request, &terms, store.instance, now);
            if !matches!(begun, Begun::New(_)) {
                return Ok(begun);
            }
            drop((records, transaction));
            let transaction = store.database.begin_write().map_err(StoreError::new)?;
            let begun = {
                let mut records = transaction.open_table(RECORDS).map_err(StoreError::new)?;
                let found = read(&records, place)?;
                let begun =
                    record::begin(found.as_ref(), place, request, &terms, store.instance, now);
                if let Begun::New(claim) = &begun {
                    let record = Record::claimed(claim, request, store.instance, now);
                    write(&mut records, place, &record)?;
                    let mut expiries = transaction.open_table(EXPIRIES).map_err(StoreError::new)?;
                    sweep(&mut records, &mut expiries, now)?;
                    expiries
                        .insert((record.expires, &place.0), ())
                        .map_err(StoreError::new)?;
                }
                begun
            };
            transaction.commit().map_err(StoreError::new)?;
            Ok(begun)
        })
        .await
    }

    async fn is_in_flight(&self, place: Place) -> Result<bool, StoreError> {
        self.blocking(move |store| {
            let transaction = store.database.begin_read().map_err(StoreError::new)?;
            let records = transaction.open_table(RECORDS).map_err(StoreError::new)?;
            let record = read(&records, place)?;
            Ok(record.is_some_and(|record| record.lease_left(store.instance, now()).is_some()))
        })
        .await
    }

    async fn finish(&self, claim: &Claim, answer: &Answer) -> Result<bool, StoreError> {
        let (held, answer) = (claim.clone(), answer.clone());
        self.change(claim, move |records, mut record| {
            record.finish(&held, &answer, now());
            write(records, held.place, &record)
        })
        .await
    }

    async fn abandon(&self, claim: &Claim) -> Result<(), StoreError> {
        let place = claim.place;
        self.change(claim, move |records, _| {
            records.remove(&place.0).map_err(StoreError::new)?;
            Ok(())
        })
        .await
        .map(drop)
    }

    async fn doubt(&self, claim: &Claim) -> Result<(), StoreError> {
        let place = claim.place;
        self.change(claim, move |records, mut record| {
            record.state = State::InDoubt;
            write(records, place, &record)
        })
        .await
        .map(drop)
    }

    async fn renew(&self, claim: &Claim) -> Result<bool, StoreError> {
        let held = claim.clone();
        self.change(claim, move |records, mut record| {
            record.renew(&held, now());
            write(records, held.place, &record)
        })
        .await
    }
}
