//! Dead letters in a file: what was not done, so that it can be looked at, and done after all.
//!
//! A queue that drops what fails for good loses an order a day and nobody knows which. One that tries for
//! ever stops at the first job that cannot be done. So what cannot be done is put aside, with the reason;
//! somebody mends the reason and [replays](DeadLetters::replay).
//!
//! The file is a `redb` database, by itself or as [tables of your own](DeadLetters::in_database). A letter
//! is on the disk when [`bury`](DeadLetters::bury) returns. Replaying takes a letter out only after its job
//! was done, so a crash in between replays it again: jobs must be idempotent, as they must be for
//! retries.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::job::{JobFate, Letter};
use super::{RefusedBecause, Workers};
use crate::context::Context;

/// Queue, payload, reason, attempts, and the time of burial in milliseconds since 1970.
type Row = (&'static str, &'static [u8], &'static str, u32, u64);

const LETTERS: TableDefinition<'_, u64, Row> = TableDefinition::new("evenkeel_dead_letters");

/// Letters that are kept at most. A queue that fails a hundred thousand times has a problem that no list
/// shows better, and a disk is not endless.
const MOST: u64 = 100_000;

/// A file of dead letters. Cheap to clone; clones are one file. Its methods block on the disk.
#[derive(Clone)]
pub struct DeadLetters {
    database: Arc<Database>,
    most: u64,
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").finish_non_exhaustive()
    }
}

/// A letter as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Buried {
    /// Its number: later ones are larger.
    pub id: u64,
    /// The name of the pool that could not do it.
    pub queue: String,
    /// The job, as it was encoded.
    pub payload: Vec<u8>,
    /// Why it was not done.
    pub why: String,
    /// How many attempts were begun.
    pub attempts: u32,
    /// When it was buried, by the wall clock.
    pub at: SystemTime,
}

/// Why a file of dead letters cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The database: it cannot be opened, read or written.
    Database(redb::Error),
    /// As many letters as may be are in the file. Replay or remove some.
    Full {
        /// How many that is.
        most: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(_) => f.write_str("the file of dead letters cannot be used"),
            Self::Full { most } => {
                write!(
                    f,
                    "the file holds {most} dead letters already; replay or remove some"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Full { .. } => None,
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// What became of the letters that were replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Replayed {
    /// Done, and taken out of the file.
    pub done: u64,
    /// Failed again: the new letter says why, the old one was taken out.
    pub dead_again: u64,
    /// Still in the file: they could not be decoded, were cancelled, or the pool took no more.
    pub left: u64,
}

impl DeadLetters {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// It cannot be opened: it is no such file, or another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::in_database(Arc::new(Database::create(path)?))
    }

    /// Keeps the letters in a table of `database`, which may hold anything else besides.
    ///
    /// # Errors
    /// The table cannot be made.
    pub fn in_database(database: Arc<Database>) -> Result<Self, Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(LETTERS)?;
        transaction.commit()?;
        Ok(Self {
            database,
            most: MOST,
        })
    }

    /// The same, with at most `most` letters; 100,000 otherwise.
    #[must_use]
    pub fn at_most(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// Puts a job's letter into the file, on the disk. Answers its number.
    ///
    /// # Errors
    /// [`Error::Full`], or the database's own.
    pub fn bury(
        &self,
        queue: &str,
        payload: &[u8],
        why: &str,
        attempts: u32,
    ) -> Result<u64, Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        let transaction = self.database.begin_write()?;
        let id = {
            let mut letters = transaction.open_table(LETTERS)?;
            if letters.len()? >= self.most {
                return Err(Error::Full { most: self.most });
            }
            let id = letters.last()?.map_or(1, |(last, _)| last.value() + 1);
            letters.insert(id, (queue, payload, why, attempts, millis))?;
            id
        };
        transaction.commit()?;
        Ok(id)
    }

    /// What [`Workers::start_burying`] takes: jobs are buried as `encode` writes them.
    pub fn for_jobs<J>(
        &self,
        encode: impl Fn(&J) -> Vec<u8> + Send + Sync + 'static,
    ) -> impl Fn(&Letter<J>) -> Result<(), String> + Send + Sync + 'static {
        let letters = self.clone();
        move |letter| {
            let (payload, why) = (encode(&letter.job), letter.why.to_string());
            let buried = letters.bury(&letter.queue, &payload, &why, letter.attempts);
            buried.map(drop).map_err(|error| match error {
                Error::Database(cause) => format!("{cause}"),
                full @ Error::Full { .. } => full.to_string(),
            })
        }
    }

    /// Up to `most` letters of `queue` (of all queues if none), the oldest first, after the letter `after`.
    ///
    /// # Errors
    /// The database's own.
    pub fn list(&self, queue: Option<&str>, after: u64, most: usize) -> Result<Vec<Buried>, Error> {
        let transaction = self.database.begin_read()?;
        let letters = transaction.open_table(LETTERS)?;
        let mut found = Vec::new();
        for row in letters.range(after.saturating_add(1)..)? {
            if found.len() == most {
                break;
            }
            let (id, row) = row?;
            let (of, payload, why, attempts, millis) = row.value();
            if queue.is_none_or(|queue| queue == of) {
                found.push(Buried {
                    id: id.value(),
                    queue: of.to_owned(),
                    payload: payload.to_vec(),
                    why: why.to_owned(),
                    attempts,
                    at: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
                });
            }
        }
        Ok(found)
    }

    /// How many letters there are, of all queues.
    ///
    /// # Errors
    /// The database's own.
    pub fn count(&self) -> Result<u64, Error> {
        let transaction = self.database.begin_read()?;
        Ok(transaction.open_table(LETTERS)?.len()?)
    }

    /// Takes a letter out. Answers whether it was there.
    ///
    /// # Errors
    /// The database's own; then it may still be there.
    pub fn remove(&self, id: u64) -> Result<bool, Error> {
        let transaction = self.database.begin_write()?;
        let there = transaction.open_table(LETTERS)?.remove(id)?.is_some();
        transaction.commit()?;
        Ok(there)
    }

    /// Does every letter of the pool's queue that is there now, one after the other, as a job that `decode`
    /// reads; what cannot be read stays. Returns when all of them are over, or `cx` has ended.
    ///
    /// # Errors
    /// The database's own. What was not replayed by then is still in the file.
    ///
    /// # Cancel safety
    /// Dropped, jobs that were submitted go on; their letters stay, and are replayed once more the next
    /// time.
    pub async fn replay<J: Send + Sync + 'static>(
        &self,
        cx: &Context,
        pool: &Workers<J>,
        decode: impl Fn(&[u8]) -> Option<J>,
    ) -> Result<Replayed, Error> {
        let mut replayed = Replayed::default();
        let queue = pool.name().to_owned();
        let letters = self
            .blocking(move |letters| letters.list(Some(&queue), 0, usize::MAX))
            .await?;
        for letter in letters {
            let Some(job) = decode(&letter.payload) else {
                replayed.left += 1;
                continue;
            };
            let submitted = match pool.submit(cx, job).await {
                Ok(submitted) => submitted,
                Err(refused) => {
                    replayed.left += 1;
                    match refused.reason {
                        RefusedBecause::Full => continue,
                        RefusedBecause::Ended(_) | RefusedBecause::Draining => break,
                    }
                }
            };
            match submitted.finished().await {
                JobFate::Done => replayed.done += 1,
                JobFate::Dead { .. } => replayed.dead_again += 1,
                JobFate::Cancelled => {
                    replayed.left += 1;
                    continue;
                }
            }
            self.blocking(move |letters| letters.remove(letter.id))
                .await?;
        }
        Ok(replayed)
    }

    #[cfg(test)]
    pub(super) fn watch(&self) -> std::sync::Weak<Database> {
        Arc::downgrade(&self.database)
    }

    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let letters = self.clone();
        match tokio::task::spawn_blocking(move || work(&letters)).await {
            Ok(done) => done,
            // Only if the runtime is being shut down, or redb panicked: either way the file is not usable.
            Err(error) => Err(Error::Database(redb::Error::Io(std::io::Error::other(
                error,
            )))),
        }
    }
}
