//! The decisions of evenkeel, without a runtime, a clock or a random number generator.
//!
//! This crate opens no socket, starts no thread, reads no clock, draws no randomness it was not handed,
//! and logs nothing. It decides: whether a call may be made now, when a failed one may be tried again,
//! when a dependency is left alone. It is handed the time and the dice, so that equal inputs give equal
//! decisions in production, in a simulator and in a test.
//!
//! What makes the decisions happen is elsewhere: the crate `evenkeel` drives them with tokio. Depend on
//! this one to drive them with something else.
//!
//! ```
//! use evenkeel_core::{call::{CallHint, Next, Step}, outcome::{Class, Finished}, policy, retry};
//! use evenkeel_core::{policy::Policy, time::Instant};
//! use std::time::Duration;
//!
//! let mut config = policy::Config::new(Duration::from_secs(1));
//! config.retry = Some(retry::Config::default());
//! let policy = Policy::new(config, "payments", 1);
//!
//! let mut now = Instant::ZERO;
//! let mut call = policy.begin(now, CallHint::new(42).idempotent());
//! let Step::Attempt(first) = call.poll(now) else { unreachable!() };
//! assert_eq!(call.on_finished(first, now, Finished::failed(Class::Transient)), Next::Wait);
//!
//! let Step::WaitUntil(retry_at) = call.poll(now) else { unreachable!() };
//! now = retry_at;
//! let Step::Attempt(second) = call.poll(now) else { unreachable!() };
//! assert_eq!(call.on_finished(second, now, Finished::success()), Next::Done);
//! ```
//!
//! # Reading order
//!
//! [`time`] and [`entropy`], the two inputs; [`outcome`] and [`rejection`], the vocabulary; then the bounds,
//! each alone: [`deadline`], [`criticality`], [`backoff`], [`retry_after`], [`budget`], [`breaker`], [`bulkhead`],
//! [`limiter`], [`rate`], [`throttle`], [`hedge`], and among several hosts [`outlier`] and [`balance`]; then [`policy`], which puts them in order, and [`call`], which
//! walks one call through them. Inbound it is [`admission`], with [`shed`] and [`tenant`]. [`progress`] tells whether
//! work gets done. [`window`] is what they remember with, [`amplification`] what they save.
//!
//! # Four kinds of method
//!
//! *Decide* (`try_acquire`, `poll`), *record* (`finish`, `on_finished`), *read* (`snapshot`; consumes
//! nothing), *build* (`new`). Whatever is admitted is a permit, and a dropped permit gives back what it
//! held: there is no bare `true` to forget.

pub mod admission;
pub mod amplification;
pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod call;
#[cfg(feature = "cases")]
pub mod case;
pub mod counter;
pub mod criticality;
pub mod deadline;
pub mod endpoint;
pub mod entropy;
mod feed;
pub mod grant;
pub mod hedge;
pub mod limiter;
pub mod outcome;
pub mod outlier;
pub mod policy;
pub mod progress;
mod queue;
pub mod rate;
pub mod ratio;
pub mod rejection;
pub mod retry;
pub mod retry_after;
pub mod shed;
mod slots;
mod stop;
pub mod stripe;
mod sync;
pub mod tenant;
pub mod throttle;
pub mod time;
pub mod window;
