//! One named thing that a service calls, and the bounds of every call to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use evenkeel_core::breaker::Mode;
use evenkeel_core::call::CallHint;
use evenkeel_core::entropy::seed_of;
use evenkeel_core::grant::Grant;
use evenkeel_core::outcome::{Class, Finished};
use evenkeel_core::policy::{Config, Policy, Snapshot};

use crate::attempt::{Attempt, OpenAttempt};
use crate::clock::Clock;
use crate::drive::{Drive, Ended, How, Plan};
use crate::error::{CallError, Report};
use crate::fallback::WithFallback;
use crate::local;
use crate::telemetry;

/// One named thing that a service calls. Cheap to clone; clones share their bounds.
///
/// Get one from [`Evenkeel::dependency`](crate::Evenkeel::dependency), or build one by hand:
///
/// ```
/// use evenkeel::{Dependency, core::policy::Config};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let postgres = Dependency::new("orders", "postgres", Config::new(Duration::from_secs(1)));
/// let answer = postgres.call(|attempt| async move {
///     assert!(attempt.remaining() <= Duration::from_secs(1));
///     Ok::<_, std::io::Error>(42)
/// });
/// assert_eq!(answer.await.unwrap(), 42);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Dependency(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) service: Arc<str>,
    pub(crate) name: Arc<str>,
    /// Which kind of call this is the handle for; empty: of those that name none.
    pub(crate) operation: Arc<str>,
    /// The operation's bounds as they are now: replaced whole when the configuration changes. A call reads
    /// them once, when it begins.
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    /// The same of all operations, the nameless one first.
    operations: Arc<Mutex<Vec<Operation>>>,
    pub(crate) clock: Clock,
    /// Mixed into every call's seed: services with equal settings do not draw alike.
    identity: u64,
    pub(crate) degraded: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Operation {
    name: Arc<str>,
    policy: Arc<ArcSwap<Policy>>,
}

impl Operation {
    fn new(name: &str, policy: Policy) -> Self {
        Self {
            name: name.into(),
            policy: Arc::new(ArcSwap::from_pointee(policy)),
        }
    }
}

/// More names than this are those of data, not of code.
const MAX_OPERATIONS: usize = 256;

/// What the operations beyond that share.
const OTHERS: &str = "others";

impl AsRef<Self> for Inner {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Inner {
    fn operations(&self) -> MutexGuard<'_, Vec<Operation>> {
        // Nothing panics while it is held, so what a panic elsewhere left behind is whole.
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Inner> for Dependency {
    fn as_ref(&self) -> &Inner {
        &self.0
    }
}

/// What one call brings with it, beyond its operation.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// Whether the operation may be done twice. Default: no.
    pub idempotent: bool,
    /// Whether it can be sent only once, as a body that is streamed and not kept. Default: no.
    pub unreplayable: bool,
    /// Whether its attempts must not overlap, as those of a body that has one reader: it is retried, and
    /// never hedged. Default: no.
    pub sequential: bool,
    /// The extra attempts that whoever asked us grants, if they said: see
    /// [`grant`](evenkeel_core::grant). Default: none, so that we are the outermost and grant our own.
    pub grant: Option<Grant>,
    /// Whether whoever asked us is retrying already: only what was never sent is then tried again. Default:
    /// no.
    pub caller_retries: bool,
    /// The time that the caller has left; the tighter of it and the policy's deadline counts.
    pub within: Option<Duration>,
    /// The call's dice. None: its thread's.
    pub seed: Option<u64>,
}

/// What [`Dependency::call_open`] answers.
#[derive(Debug)]
#[must_use = "dropping it ends the attempt"]
pub struct Opened<T, E> {
    /// As [`Dependency::call_with`] has it.
    pub result: Result<T, CallError<E>>,
    /// The attempt whose result that is; none if it was abandoned, or there was none.
    pub open: Option<OpenAttempt>,
}

impl CallOptions {
    /// An operation that may be done twice.
    #[must_use]
    pub fn idempotent() -> Self {
        Self {
            idempotent: true,
            ..Self::default()
        }
    }
}

impl Dependency {
    /// The dependency `name` of the service `service`, with live bounds of its own.
    #[must_use]
    pub fn new(service: &str, name: &str, config: Config) -> Self {
        Self::with_clock(service, name, config, Clock::default())
    }

    /// The same, telling time by `clock`.
    #[must_use]
    pub fn with_clock(service: &str, name: &str, config: Config, clock: Clock) -> Self {
        let identity = format!("{service}/{name}");
        let whole = Operation::new("", Policy::new(config, &identity, local::stripes()));
        Self(Arc::new(Inner {
            policy: Arc::clone(&whole.policy),
            operations: Arc::new(Mutex::new(vec![whole])),
            identity: evenkeel_core::entropy::hash(&identity),
            service: service.into(),
            name: name.into(),
            clock,
            operation: "".into(),
            degraded: Arc::default(),
        }))
    }

    /// The handle for one kind of call to this dependency. It shares all bounds, and has progress and
    /// latency of its own, and with them the wait before a hedge. Ask once, when the service starts, and
    /// keep it: names are for code, not for data.
    ///
    /// ```
    /// # use evenkeel::{Dependency, core::policy::Config};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let search = Dependency::new("shop", "search", Config::new(Duration::from_secs(1)));
    /// let suggest = search.operation("suggest");
    /// suggest.call(|_| async { Ok::<_, std::io::Error>("shoes") }).await.unwrap();
    /// assert_eq!(search.snapshot().operations[1].progress.succeeded, 1);
    /// # }
    /// ```
    #[must_use]
    pub fn operation(&self, name: &str) -> Self {
        let inner = &*self.0;
        let mut operations = inner.operations();
        let known = |name: &str| operations.iter().position(|it| &*it.name == name);
        let at = match known(name) {
            None if operations.len() > MAX_OPERATIONS => known(OTHERS),
            found => found,
        };
        let at = at.unwrap_or_else(|| {
            let name = if operations.len() < MAX_OPERATIONS {
                name
            } else {
                OTHERS
            };
            let policy = inner.policy.load().operation(name);
            operations.push(Operation::new(name, policy));
            operations.len() - 1
        });
        let operation = &operations[at];
        Self(Arc::new(Inner {
            service: Arc::clone(&inner.service),
            name: Arc::clone(&inner.name),
            operation: Arc::clone(&operation.name),
            policy: Arc::clone(&operation.policy),
            operations: Arc::clone(&inner.operations),
            clock: inner.clock.clone(),
            identity: inner.identity,
            degraded: Arc::clone(&inner.degraded),
        }))
    }

    /// Changes the bounds of every call that begins from now on, by whichever handle.
    ///
    /// Only configuration changes: what is in flight stays counted, an open circuit stays open, a limit that
    /// was found stays found. Calls that began before go on as they began. See
    /// [`Policy::successor`](crate::core::policy::Policy::successor).
    ///
    /// ```
    /// # use evenkeel::{Dependency, core::policy::Config};
    /// # use std::time::Duration;
    /// let search = Dependency::new("shop", "search", Config::new(Duration::from_secs(5)));
    /// let suggest = search.operation("suggest");
    /// search.reload(Config::new(Duration::from_secs(1)));
    /// assert_eq!(suggest.config().deadline, Duration::from_secs(1));
    /// ```
    pub fn reload(&self, config: Config) {
        let inner = &*self.0;
        // Held throughout: two at a time would each succeed the same policy, and one of them be lost.
        let operations = inner.operations();
        let before = inner.policy.load();
        let next = before.successor(config, inner.clock.now());
        for operation in &*operations {
            let policy = next.operation(&operation.name);
            operation.policy.store(Arc::new(policy));
        }
    }

    /// The bounds as they are now.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.policy.load().config().clone()
    }

    /// The dependency's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Sets who decides about the circuit, until it is set again: to keep every call away during a repair,
    /// or to watch a configuration without its refusals. Without a breaker it does nothing.
    pub fn set_breaker_mode(&self, mode: Mode) {
        let now = self.0.clock.now();
        telemetry::transition(&self.0, self.0.policy.load().set_breaker_mode(mode, now));
    }

    /// The name of the service that calls it.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// Calls `operation` within the bounds: any number of attempts, as the policy allows.
    ///
    /// An `Err` counts as a failure of the dependency and is tried again. Use this for what may safely be
    /// done twice; [`call_once`](Self::call_once) for the rest, and [`call_with`](Self::call_with) to tell
    /// errors apart.
    ///
    /// # Errors
    /// [`CallError`], which tells whether it was sent, who is to blame, when to come back, and what was
    /// tried.
    ///
    /// # Cancel safety
    /// Dropping the future drops the attempt in flight and gives back its slot, its place with the breaker
    /// and its tokens. An attempt that had outlived its timeout still counts against the dependency.
    ///
    /// # Panics
    /// Where `operation` does; the attempt counts as failed.
    pub fn call<T, E, F, Fut>(&self, operation: F) -> impl Future<Output = Result<T, CallError<E>>>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call_with(CallOptions::idempotent(), retry_any_error, operation)
    }

    /// Calls `operation` at most once, within the same bounds: no retry, no hedge.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn call_once<T, E, F, Fut>(&self, operation: F) -> Result<T, CallError<E>>
    where
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut operation = Some(operation);
        // The machine makes no second attempt of what cannot be replayed; should it, this one waits for
        // its timeout rather than do the work twice.
        let once = move |attempt| {
            let made = operation.take().map(|operation| operation(attempt));
            async move {
                match made {
                    Some(made) => made.await,
                    None => std::future::pending().await,
                }
            }
        };
        let plan = self.plan(CallOptions {
            unreplayable: true,
            ..CallOptions::default()
        });
        let ended = Drive::new(&self.0, plan, once, retry_any_error).await;
        self.settle(ended)
    }

    /// Calls `operation`, judging each attempt's result by `classify`.
    ///
    /// A result that is classed as failed and not tried again is handed over as it is: an `Ok` stays one.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn call_with<T, E, F, Fut, C>(
        &self,
        options: CallOptions,
        classify: C,
        operation: F,
    ) -> Result<T, CallError<E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Fn(&Result<T, E>) -> Finished,
    {
        let plan = self.plan(options);
        self.settle(Drive::new(&self.0, plan, operation, classify).await)
    }

    /// The same for answers that go on after they are judged, as an HTTP response whose body is still to
    /// come: beside the result comes its attempt, still open, whose slot is held until
    /// [`OpenAttempt::finish`] or its drop.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn call_open<T, E, F, Fut, C>(
        &self,
        options: CallOptions,
        classify: C,
        operation: F,
    ) -> Opened<T, E>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Fn(&Result<T, E>) -> Finished,
    {
        let (plan, mut permit) = (self.plan(options), None);
        let drive = Drive::new(&self.0, plan, operation, classify);
        let ended = drive.staying_open(&mut permit).await;
        Opened {
            open: permit.map(|permit| OpenAttempt::new(self.clone(), permit)),
            result: self.settle(ended),
        }
    }

    /// Answers with `fallback` where a call fails through no fault of its caller.
    #[must_use]
    pub fn with_fallback<T, E, FB>(&self, fallback: FB) -> WithFallback<'_, T, E, FB>
    where
        FB: Fn(&CallError<E>) -> Option<T>,
    {
        WithFallback::new(self, fallback)
    }

    /// The bounds, how full they are, and what has happened so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.policy.load().snapshot(self.0.clock.now())
    }

    /// How many answers came from a fallback.
    #[must_use]
    pub fn degraded(&self) -> u64 {
        self.0.degraded.load(Ordering::Relaxed)
    }

    fn plan(&self, options: CallOptions) -> Plan {
        let (stripe, thread_seed) = local::stripe_and_seed();
        let mut hint = CallHint::new(
            options
                .seed
                .unwrap_or(seed_of(self.0.identity, thread_seed)),
        );
        hint.stripe = stripe;
        hint.idempotent = options.idempotent;
        hint.replayable = !options.unreplayable;
        hint.sequential = options.sequential;
        hint.grant = options.grant;
        hint.caller_retries = options.caller_retries;
        Plan {
            hint,
            within: options.within,
        }
    }

    fn settle<T, E>(&self, ended: Ended<Result<T, E>>) -> Result<T, CallError<E>> {
        let Ended { how, history } = ended;
        let report = || Report::new(self.0.name.clone(), history);
        Err(match how {
            How::Answered(Ok(value)) | How::Failed(Some(Ok(value)), _) => return Ok(value),
            How::Answered(Err(error)) => CallError::Operation {
                error,
                report: report(),
            },
            How::Failed(Some(Err(error)), reason) => CallError::Operation {
                error,
                report: report().stopped(reason),
            },
            How::Failed(None, reason) => CallError::AttemptTimedOut {
                report: report().stopped(reason),
            },
            How::Rejected(rejection) => CallError::Rejected {
                rejection,
                report: report(),
            },
            How::DeadlineExceeded => CallError::DeadlineExceeded {
                report: report().with_attempt_in_flight(),
            },
        })
    }
}

/// Nobody can tell what an error of unknown kind did, so what is not idempotent is not tried again.
fn retry_any_error<T, E>(result: &Result<T, E>) -> Finished {
    match result {
        Ok(_) => Finished::success(),
        Err(_) => Finished::failed(Class::Ambiguous),
    }
}
