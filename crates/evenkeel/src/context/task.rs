//! Tasks that have an owner.

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Context, Ended};
use crate::leaks::{Kind, Live, Name};

/// Spawns a part of the present request: it inherits the context, ends when that ends, and stands in the
/// register under `name` while it runs.
///
/// Outside any context it ends only by itself or with its [`Task`].
///
/// ```
/// use evenkeel::{Context, TaskError, Ended, spawn};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let request = Context::within(Duration::from_secs(1)).with_tenant("acme");
/// let child = request.scope(async {
///     spawn("thumbnail", async {
///         assert_eq!(Context::current().unwrap().tenant(), Some("acme"));
///         std::future::pending::<()>().await // It would never end by itself.
///     })
/// });
/// let outcome = child.await.await;
/// assert_eq!(outcome, Err(TaskError::Ended(Ended::DeadlineExceeded)));
/// # }
/// ```
///
/// # Panics
/// Outside a tokio runtime.
#[track_caller]
pub fn spawn<F>(name: impl Into<Name>, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Context::current().unwrap_or_default().spawn(name, future)
}

impl Context {
    /// As [`spawn`], as a part of this request.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn spawn<F>(&self, name: impl Into<Name>, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_from(Location::caller(), name.into(), future)
    }

    fn spawn_from<F>(
        &self,
        owner: &'static Location<'static>,
        name: Name,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cx = self.child();
        let registered = cx.register().enter_as(Live {
            kind: Kind::Task,
            name: name.clone(),
            owner,
            since: Instant::now(),
            deadline: cx.deadline(),
        });
        let part = cx.clone();
        let handle = tokio::spawn(async move {
            let _registered = registered;
            part.run(future).await
        });
        Task {
            handle,
            cx,
            name,
            owned: true,
        }
    }
}

/// Runs `future` to its end, whatever becomes of the request: neither the request's deadline nor its
/// cancellation reach it, nor does a caller who drops what this returns. Only `time` bounds it.
///
/// For what must not stop half way: a commit, the record of what was done. The tenant, the identity and
/// the criticality of the request are kept.
///
/// ```
/// use evenkeel::{Context, shield};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let request = Context::new();
/// let committed = request.scope(async {
///     request.cancel();
///     shield("commit", Duration::from_secs(5), async { "committed" }).await
/// });
/// assert_eq!(committed.await, Ok("committed"));
/// # }
/// ```
///
/// # Errors
/// `future` outlived `time` and was dropped, or panicked.
///
/// # Cancel safety
/// It begins at the first poll. From then on, dropping it leaves `future` running.
///
/// # Panics
/// Outside a tokio runtime.
#[track_caller]
pub fn shield<F>(
    name: impl Into<Name>,
    time: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, TaskError>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (owner, name) = (Location::caller(), name.into());
    async move {
        let cx = Context::current().unwrap_or_default().shielded(time);
        let mut task = cx.spawn_from(owner, name, future);
        task.owned = false;
        task.await
    }
}

/// A spawned task. Whoever holds it owns the task: dropped, it stops the task at its next await.
#[derive(Debug)]
#[must_use = "dropping it stops the task"]
pub struct Task<T> {
    handle: JoinHandle<Result<T, Ended>>,
    cx: Context,
    name: Name,
    owned: bool,
}

/// Why a task has no output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// Its context ended first.
    Ended(Ended),
    /// It panicked, with this message.
    Panicked(String),
    /// The runtime it ran on was shut down.
    Aborted,
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(ended) => write!(f, "task stopped: {ended}"),
            Self::Panicked(message) => write!(f, "task panicked: {message}"),
            Self::Aborted => f.write_str("task stopped with its runtime"),
        }
    }
}

impl std::error::Error for TaskError {}

impl From<Ended> for TaskError {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl<T> Task<T> {
    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Asks the task to stop: its context is cancelled, and what it runs is dropped at its next await.
    pub fn stop(&self) {
        self.cx.cancel();
    }

    /// Leaves the task to its context, which ends it when the request ends. Without a deadline and
    /// somebody who cancels, nothing does: it then stands in the register for as long as it runs.
    pub fn detach(mut self) {
        self.owned = false;
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle)
            .poll(cx)
            .map(|joined| match joined {
                Ok(output) => output.map_err(TaskError::Ended),
                Err(error) if error.is_panic() => {
                    Err(TaskError::Panicked(panic_message(&*error.into_panic())))
                }
                Err(_) => Err(TaskError::Aborted),
            })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.owned {
            self.handle.abort();
        }
    }
}

/// What a panic said, where that is text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
