//! Work that is asked for twice and done once.
//!
//! A client sends a payment, and the connection is cut. Was it made? Sending it again may charge twice, not
//! sending it may not charge at all; nobody but the server can tell. So the client names the operation
//! with a [key](Key) that is the same for every attempt, and the server remembers, for each key, what it
//! answered.
//!
//! On the server, an [`IdempotencyLayer`] stands in front of the handlers. The first request with a key
//! *claims* it in a [`Store`], runs, and leaves its [answer](Answer) there; whoever comes later with the same
//! key gets that answer, marked `Idempotent-Replayed: true`. Who comes while it runs waits a little and is
//! then told 409. The same key with a different request is a mistake of the client's: 422.
//!
//! The handler runs in a task of its own, so that a client who hangs up does not leave the work half done;
//! the claim's lease is renewed while it runs. If the process dies, the lease ends without a word. Then
//! nobody knows how far the work came, and the key is **in doubt**: 409 until its record expires, never a
//! silent second time.
//!
//! That is as good as it gets from outside. From inside, it gets better: a handler whose work is a
//! transaction can write the record *in* that transaction (with redb,
//! `RedbStore::record`; the [`Claim`] is among the request's extensions). Work and record then
//! become true together, a crash at any point leaves the work done once or not at all, and
//! [`Config::transactional`] says so: what was left without a record is done again.
//!
//! Sources: draft-ietf-httpapi-idempotency-key-header-07 for the status codes; the practice of payment
//! services for the rest (bare keys, 24 hours, scoped by credential, later answers not replayed).

mod answer;
mod key;
mod layer;
pub mod memory;
mod problem;
mod record;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "redis")]
pub mod redis;
mod request;
mod service;
mod store;

pub use answer::Answer;
pub use key::Key;
pub use layer::{Config, IdempotencyLayer, OnUnknown, Scope};
pub use record::Recovery;
pub use service::{AnswerBody, BoxError, IdempotencyService};
pub use store::{Begun, Claim, Fingerprint, Place, Store, StoreError, Terms};

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod tests;
