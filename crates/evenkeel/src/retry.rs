//! Trying again, in one line, with an end.
//!
//! Every service has this loop, and in most it is wrong in the same ways: it sleeps for the same time in
//! every instance, it goes on when the caller has left, it retries what can never succeed, it sleeps past
//! the deadline, it has no end. [`retry()`] has none of these to get wrong: it takes the [`Context`] whose
//! end ends it, waits with decorrelated jitter, makes at most [three](Retry::new) attempts unless told
//! otherwise, and shares a budget among all calls made with one [`Retry`], so that retries stay a fifth of
//! the calls when everything fails at once. There is no unbounded form.
//!
//! ```
//! use evenkeel::{Context, Retry, retry};
//! use std::time::Duration;
//!
//! # async fn fetch() -> Result<u32, std::io::Error> { Ok(7) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), evenkeel::retry::Error<std::io::Error>> {
//! let (cx, policy) = (Context::within(Duration::from_secs(2)), Retry::new("fetch-rates"));
//! let rates = retry(&cx, &policy, || fetch()).await?;
//! # assert_eq!(rates, 7);
//! # Ok(())
//! # }
//! ```
//!
//! For one dependency with a breaker, slots and attempt timeouts, use a [`Dependency`](crate::Dependency):
//! this is the part of it that needs no name in a policy file. Both are decided by the same machine.

mod error;

use std::future::IntoFuture;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_core::call::{CallHint, Next, Step};
use evenkeel_core::outcome::{Class, Finished};
use evenkeel_core::policy::{Config, Policy};
use evenkeel_core::retry;

pub use error::{Error, Failure};

use crate::clock::Clock;
use crate::context::{Context, Ended};
use crate::leaks::Name;
use crate::local;

/// All attempts and waits of one call together, where its context has no deadline. As long as anybody
/// waits for a page, and much longer than three attempts need.
const LONGEST: Duration = Duration::from_secs(30);

/// How failed operations are tried again, and the budget that their retries share. Make one for each
/// thing that is called and keep it; clones share its budget.
#[derive(Debug, Clone)]
pub struct Retry {
    name: Name,
    identity: u64,
    policy: Policy,
    clock: Clock,
}

impl Retry {
    /// At most three attempts; waits of 50 ms to 2 s with decorrelated jitter; retries at most a fifth of
    /// the calls, or three a second; 30 s in all, or the context's deadline if that is tighter.
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self::with(name, retry::Config::default())
    }

    /// The same, as `config` says.
    ///
    /// ```
    /// use evenkeel::{Retry, core::retry};
    /// use std::num::NonZeroU32;
    /// use std::time::Duration;
    ///
    /// let mut config = retry::Config::new(NonZeroU32::new(5).unwrap());
    /// config.backoff.initial = Duration::from_micros(50); // A loop that is to be over in no time.
    /// let compare_and_swap = Retry::with("compare-and-swap", config);
    /// ```
    #[must_use]
    pub fn with(name: impl Into<Name>, config: retry::Config) -> Self {
        let name = name.into();
        let mut whole = Config::new(LONGEST);
        whole.retry = Some(config);
        Self {
            identity: evenkeel_core::entropy::hash(&name),
            policy: Policy::new(whole, &name, local::stripes()),
            name,
            clock: Clock::runtime(),
        }
    }

    /// The name that errors and logs carry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Calls `operation` until it succeeds, fails for good, or has been tried often or long enough.
///
/// Every error is taken for transient unless [`Retrying::permanent_if`] says otherwise, so `operation`
/// must be safe to do twice. Each attempt runs with `cx` as its context, numbered.
///
/// # Errors
/// [`Error`], with the operation's last error where there is one.
///
/// # Cancel safety
/// Dropping the future drops the attempt in flight, or the wait, and gives back what it took from the
/// budget.
///
/// # Panics
/// Where `operation` does.
pub fn retry<'a, T, E, F, Fut>(
    cx: &'a Context,
    policy: &'a Retry,
    operation: F,
) -> Retrying<'a, F, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    Retrying {
        cx,
        policy,
        operation,
        permanent: Box::new(|_| false),
        notify: None,
    }
}

/// A call that is about to be made: await it, or say more first.
#[must_use = "nothing is called until it is awaited"]
pub struct Retrying<'a, F, E> {
    cx: &'a Context,
    policy: &'a Retry,
    operation: F,
    permanent: Box<dyn Fn(&E) -> bool + Send + 'a>,
    notify: Option<Notify<'a, E>>,
}

type Notify<'a, E> = Box<dyn FnMut(Again<'_, E>) + Send + 'a>;

/// An attempt failed and another follows.
#[derive(Debug)]
#[non_exhaustive]
pub struct Again<'e, E> {
    /// How the attempt failed.
    pub error: &'e E,
    /// Which attempt it was; 1 is the first.
    pub attempt: u32,
    /// The wait before the next one.
    pub wait: Duration,
}

impl<'a, F, E> Retrying<'a, F, E> {
    /// Ends the call with the first error that `is_permanent`: it would only fail again.
    ///
    /// ```
    /// use evenkeel::retry::{Error, Failure};
    /// use evenkeel::{Context, Retry, retry};
    /// # use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let (cx, policy) = (Context::within(Duration::from_secs(1)), Retry::new("parse"));
    /// let error = retry(&cx, &policy, || async { "seven".parse::<u32>().map_err(Failure::Permanent) })
    ///     .permanent_if(Failure::is_permanent)
    ///     .await
    ///     .unwrap_err();
    /// assert!(matches!(error, Error::Failed { attempts, .. } if attempts.get() == 1));
    /// # }
    /// ```
    pub fn permanent_if(mut self, is_permanent: impl Fn(&E) -> bool + Send + 'a) -> Self {
        self.permanent = Box::new(is_permanent);
        self
    }

    /// Calls `notify` before every wait: for the log line and the counter.
    pub fn notify(mut self, notify: impl FnMut(Again<'_, E>) + Send + 'a) -> Self {
        self.notify = Some(Box::new(notify));
        self
    }

    async fn drive<T, Fut>(mut self) -> Result<T, Error<E>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Retry {
            identity,
            policy,
            clock,
            ..
        } = self.policy;
        let began = clock.now();
        let (stripe, seed) = local::stripe_and_seed();
        let mut hint = CallHint::new(seed ^ identity).idempotent();
        hint.stripe = stripe;
        hint.deadline = self.cx.remaining().map(|left| began + left);
        let mut call = policy.begin(began, hint);
        let mut attempts = Attempts::new(self.policy.name.clone());
        loop {
            let now = clock.now();
            if let (None, Err(ended)) = (&attempts.last, self.cx.check()) {
                return Err(attempts.ended(ended));
            }
            match call.poll(now) {
                Step::Attempt(permit) => {
                    attempts.made = permit.id().number();
                    let numbered = match attempts.made {
                        1 => self.cx.clone(),
                        again => self.cx.with_attempt(again),
                    };
                    let due = clock.timer(permit.due());
                    let answer = tokio::select! {
                        biased;
                        answer = numbered.scope((self.operation)()) => answer,
                        () = self.cx.cancellation().cancelled() => {
                            return Err(attempts.ended(Ended::Cancelled));
                        }
                        () = tokio::time::sleep_until(due) => {
                            return Err(attempts.ended(Ended::DeadlineExceeded));
                        }
                    };
                    let error = match answer {
                        Ok(value) => {
                            call.on_finished(permit, clock.now(), Finished::success());
                            return Ok(value);
                        }
                        Err(error) => error,
                    };
                    let class = match (self.permanent)(&error) {
                        true => Class::Fatal,
                        false => Class::Transient,
                    };
                    let next = call.on_finished(permit, clock.now(), Finished::failed(class));
                    if let Next::Failed(reason) = next {
                        return Err(attempts.failed(error, reason));
                    }
                    attempts.last = Some(error);
                }
                Step::WaitUntil(until) | Step::AwaitSlot { until } => {
                    if let (Some(notify), Some(error)) = (&mut self.notify, &attempts.last) {
                        notify(Again {
                            error,
                            attempt: attempts.made,
                            wait: until.since(now),
                        });
                    }
                    tokio::select! {
                        biased;
                        () = self.cx.cancellation().cancelled() => {
                            return Err(attempts.ended(Ended::Cancelled));
                        }
                        () = tokio::time::sleep_until(clock.timer(until)) => {}
                    }
                }
                Step::GiveUp(reason) => match attempts.last.take() {
                    Some(error) => return Err(attempts.failed(error, reason)),
                    None => return Err(attempts.ended(Ended::DeadlineExceeded)),
                },
                // Refused before the first attempt: there is no bound here but the deadline.
                Step::Abandon(_) | Step::Reject(_) | Step::TimedOut => {
                    return Err(attempts.ended(Ended::DeadlineExceeded));
                }
            }
        }
    }
}

/// What is known of a call so far.
struct Attempts<E> {
    name: Name,
    made: u32,
    last: Option<E>,
}

impl<E> Attempts<E> {
    fn new(name: Name) -> Self {
        Self {
            name,
            made: 0,
            last: None,
        }
    }

    fn ended(&mut self, ended: Ended) -> Error<E> {
        Error::Ended {
            name: self.name.clone(),
            ended,
            attempts: self.made,
            last: self.last.take(),
        }
    }

    fn failed(&self, error: E, reason: evenkeel_core::call::StopReason) -> Error<E> {
        Error::Failed {
            name: self.name.clone(),
            error,
            attempts: NonZeroU32::new(self.made).unwrap_or(NonZeroU32::MIN),
            reason,
        }
    }
}

impl<'a, T, E, F, Fut> IntoFuture for Retrying<'a, F, E>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = Result<T, E>> + Send + 'a,
    T: Send + 'a,
    E: Send + Sync + 'a,
{
    type Output = Result<T, Error<E>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.drive())
    }
}

/// Where the policy is shared by tasks.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Arc<Retry>>();
};

#[cfg(test)]
mod tests;
