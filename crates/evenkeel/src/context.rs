//! What a request carries with it wherever it goes.
//!
//! A user gives up after two seconds. The page asks a service, that asks another, that asks a database,
//! and each of them works on for its own thirty seconds: the answer has been worthless all the while, and
//! the slots it holds are what the next user would need. The cure is to hand the request's own bounds
//! down with it: the instant at which its answer is worthless, and the news that its caller left.
//!
//! A [`Context`] is that, with who asks (the tenant), which request it is, and how much it matters. It is
//! present in every task it was entered in, [inherited](spawn) by the tasks that are spawned there, and
//! with the feature `http` sent on over the wire and read from it (`wire`). It can only be narrowed: the
//! earlier deadline wins. What has to happen whatever becomes of the request, such as a commit, says so:
//! [`shield`].
//!
//! Its times are those of tokio's clock, so a test can pause them.

mod split;
mod task;
#[cfg(feature = "http")]
pub mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_core::criticality::Criticality;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use split::Split;
pub(crate) use task::panic_message;
pub use task::{Task, TaskError, shield, spawn};

use crate::leaks::Register;

tokio::task_local! {
    static CURRENT: Context;
}

/// The bounds and the identity of one request, or of one service. Cheap to clone; clones end together.
///
/// ```
/// use evenkeel::{Context, Ended};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let request = Context::within(Duration::from_secs(2)).with_tenant("acme");
/// let part = request.with_timeout(Duration::from_secs(60));
/// assert_eq!(part.remaining(), Some(Duration::from_secs(2)), "the tighter wins");
///
/// let answer = request.run(std::future::pending::<()>()).await;
/// assert_eq!(answer, Err(Ended::DeadlineExceeded));
/// # }
/// ```
#[derive(Clone)]
pub struct Context(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    deadline: Option<Instant>,
    cancellation: CancellationToken,
    criticality: Criticality,
    tenant: Option<Arc<str>>,
    request: Option<Arc<str>>,
    attempt: u32,
    register: Register,
}

/// How a context ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// Whoever asked does not want the answer any more.
    Cancelled,
    /// The answer comes too late to be of use.
    DeadlineExceeded,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "cancelled by the caller",
            Self::DeadlineExceeded => "the deadline passed",
        })
    }
}

impl std::error::Error for Ended {}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

impl Context {
    /// A context of its own: without a deadline, cancelled by nobody yet, of normal criticality. It keeps
    /// the register of the context it is made in.
    #[must_use]
    pub fn new() -> Self {
        Self::in_register(Register::current())
    }

    /// The same, whose answer is worthless after `time`.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self::new().with_timeout(time)
    }

    pub(crate) fn in_register(register: Register) -> Self {
        Self(Arc::new(Inner {
            deadline: None,
            cancellation: CancellationToken::new(),
            criticality: Criticality::default(),
            tenant: None,
            request: None,
            attempt: 1,
            register,
        }))
    }

    /// The context that the running code was entered with; none outside any.
    #[must_use]
    pub fn current() -> Option<Self> {
        Self::with_current(Self::clone)
    }

    pub(crate) fn with_current<R>(read: impl FnOnce(&Self) -> R) -> Option<R> {
        CURRENT.try_with(read).ok()
    }

    fn with(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner::clone(&self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// The same request with this deadline, if that is the tighter.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        self.with(|inner| {
            inner.deadline = Some(inner.deadline.map_or(deadline, |own| own.min(deadline)));
        })
    }

    /// The same request with `time` from now, if that is the tighter. A time beyond what the clock can
    /// hold changes nothing.
    #[must_use]
    pub fn with_timeout(&self, time: Duration) -> Self {
        match Instant::now().checked_add(time) {
            Some(deadline) => self.with_deadline(deadline),
            None => self.clone(),
        }
    }

    /// The same request with another criticality.
    #[must_use]
    pub fn with_criticality(&self, criticality: Criticality) -> Self {
        self.with(|inner| inner.criticality = criticality)
    }

    /// The same request on behalf of `tenant`.
    #[must_use]
    pub fn with_tenant(&self, tenant: impl Into<Arc<str>>) -> Self {
        let tenant = tenant.into();
        self.with(|inner| inner.tenant = Some(tenant))
    }

    /// The same request, known as `id` in every log it reaches.
    #[must_use]
    pub fn with_request_id(&self, id: impl Into<Arc<str>>) -> Self {
        let id = id.into();
        self.with(|inner| inner.request = Some(id))
    }

    /// The same request on its attempt number `attempt`; 1 is the first.
    #[must_use]
    pub fn with_attempt(&self, attempt: u32) -> Self {
        self.with(|inner| inner.attempt = attempt)
    }

    /// A part of the request: it ends when the request does, and can be [cancelled](Self::cancel) alone.
    #[must_use]
    pub fn child(&self) -> Self {
        self.with(|inner| inner.cancellation = inner.cancellation.child_token())
    }

    /// The same identity without the bounds: neither the request's deadline nor its cancellation reach
    /// it. It has a deadline of its own, `time` from now.
    #[must_use]
    pub fn shielded(&self, time: Duration) -> Self {
        let unbound = self.with(|inner| {
            inner.deadline = None;
            inner.cancellation = CancellationToken::new();
        });
        unbound.with_timeout(time)
    }

    /// The same identity in other hands: bounded by `time` from now and by whoever holds `cancellation`.
    pub(crate) fn adopted(&self, time: Duration, cancellation: CancellationToken) -> Self {
        let unbound = self.with(|inner| {
            inner.deadline = None;
            inner.cancellation = cancellation;
        });
        unbound.with_timeout(time)
    }

    /// When the answer is worthless; none if nobody said.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// The time that is left, zero at least; none without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = self.0.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// How much the request matters.
    #[must_use]
    pub fn criticality(&self) -> Criticality {
        self.0.criticality
    }

    /// On whose behalf it is made.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.0.tenant.as_deref()
    }

    /// The name the request is known by.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request.as_deref()
    }

    /// Which attempt of the caller's this is; 1 is the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Where what the request holds is registered.
    #[must_use]
    pub fn register(&self) -> &Register {
        &self.0.register
    }

    /// The token behind [`cancel`](Self::cancel), for libraries that take one.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.0.cancellation
    }

    /// Ends the request, with all its parts.
    pub fn cancel(&self) {
        self.0.cancellation.cancel();
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancellation.is_cancelled()
    }

    /// Whether there is still somebody to work for. In a long computation, ask between its steps.
    ///
    /// # Errors
    /// [`Ended`]: stop, and pass it on.
    pub fn check(&self) -> Result<(), Ended> {
        if self.is_cancelled() {
            return Err(Ended::Cancelled);
        }
        match self.0.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Ended::DeadlineExceeded),
            _ => Ok(()),
        }
    }

    /// Waits until the request is cancelled or its deadline passes.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ended(&self) -> Ended {
        let expired = async {
            match self.0.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.0.cancellation.cancelled() => Ended::Cancelled,
            () = expired => Ended::DeadlineExceeded,
        }
    }

    /// Runs `future` with this context as the present one, for as long as somebody wants its answer.
    ///
    /// # Errors
    /// [`Ended`] if the context ended first; then `future` was dropped where it stood, or never begun. An
    /// answer that is there at the same instant is not thrown away.
    ///
    /// # Cancel safety
    /// Dropping it drops `future`.
    ///
    /// # Panics
    /// Where `future` does.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, Ended> {
        self.check()?;
        tokio::select! {
            biased;
            output = self.scope(future) => Ok(output),
            ended = self.ended() => Err(ended),
        }
    }

    /// Runs `future` with this context as the present one, and leaves it to `future` to heed it.
    ///
    /// # Cancel safety
    /// Dropping it drops `future`.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        self.clone().enter(future).await
    }

    /// `future`, with this context as the present one whenever it is polled.
    pub(crate) fn enter<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Divides the time that is left among `calls` calls that are made one after the other.
    #[must_use]
    pub fn split(&self, calls: u32) -> Split {
        Split::new(self.clone(), calls)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("remaining", &self.remaining())
            .field("cancelled", &self.is_cancelled())
            .field("criticality", &self.0.criticality)
            .field("tenant", &self.0.tenant)
            .field("request", &self.0.request)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
