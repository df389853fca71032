//! Where records are kept.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::key::add;
use super::record::Recovery;

/// Where a record stands: a digest of the caller's scope, the method, the path and the key. One caller's
/// key never finds another's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(pub(super) [u8; 32]);

/// A digest of a whole request: the same key with another one is a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(super) [u8; 32]);

impl Place {
    /// The place that `parts` name together.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(digest(parts))
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Fingerprint {
    /// The fingerprint of `parts`.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(digest(parts))
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        add(&mut hash, part);
    }
    hash.finalize().into()
}

/// How records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// A claim that is not renewed for so long is taken for abandoned by a process that died.
    pub lease: Duration,
    /// For how long a record is kept, from its claim and again from its answer.
    pub ttl: Duration,
    /// What becomes of a key whose claim was abandoned.
    pub recovery: Recovery,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            ttl: Duration::from_secs(24 * 3600),
            recovery: Recovery::default(),
        }
    }
}

/// The right to do the work of a key, and the duty to say what came of it.
///
/// It is a value: it stands among a request's extensions. What keeps it unique is its token, which each
/// step compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub(super) place: Place,
    pub(super) token: u64,
    pub(super) terms: Terms,
}

impl Claim {
    /// A claim on `place` that nobody else has made.
    pub(super) fn new(place: Place, terms: &Terms) -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // Two draws: the keys of one process's hashers differ by a count only.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write(&place.0);
        hasher.write_u64(RandomState::new().build_hasher().finish());
        Self {
            place,
            token: hasher.finish(),
            terms: *terms,
        }
    }

    /// Where its record stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }
}

/// What a key's record says to a request that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// Nothing yet: the work is this request's to do.
    New(Claim),
    /// It is being done.
    InFlight {
        /// The lease of whoever does it ends by then, unless it is renewed.
        lease_left: Duration,
    },
    /// It was begun, and nobody knows how far it came.
    InDoubt,
    /// It was done, and this was the answer.
    Replay(Answer),
    /// The key was used for another request.
    Mismatch,
}

/// A store cannot do what it was asked to.
#[derive(Debug)]
pub struct StoreError(Box<dyn std::error::Error + Send + Sync>);

impl StoreError {
    /// Because of `cause`.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the idempotency store does not answer")
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Keeps a record for each key. Every step is atomic, whoever else takes one at the same time.
///
/// The engines here are [memory](super::memory), redb and Redis; whoever writes another runs the same
/// conformance suite on it.
///
/// # Cancel safety
/// A step whose future is dropped may or may not have been taken. A claim that is lost that way is
/// abandoned when its lease ends.
pub trait Store: Send + Sync + 'static {
    /// Claims `place` for a request, or says why not.
    fn begin(
        &self,
        place: Place,
        request: Fingerprint,
        terms: &Terms,
    ) -> impl Future<Output = Result<Begun, StoreError>> + Send;

    /// Whether somebody's claim on `place` holds at this time.
    fn is_in_flight(&self, place: Place) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Leaves the answer. False if the claim was lost to somebody else; true as well if the answer stands
    /// there already because the handler left it.
    fn finish(
        &self,
        claim: &Claim,
        answer: &Answer,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives the key back: nothing was done. An answer that stands there is left alone.
    fn abandon(&self, claim: &Claim) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Says that nobody knows how far the work came. An answer that stands there is left alone.
    fn doubt(&self, claim: &Claim) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Extends the lease. False if the claim was lost.
    fn renew(&self, claim: &Claim) -> impl Future<Output = Result<bool, StoreError>> + Send;
}
