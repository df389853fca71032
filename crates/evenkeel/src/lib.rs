//! Calls to other services, kept inside bounds that have names.
//!
//! A service that slows down without errors is a healthy service outside the bounds its author had in
//! mind: too many retries, too long a queue, no limit where there should have been one. This crate gives
//! each call a deadline, each retry a budget, each dependency a circuit breaker and a number of slots, and
//! tells at any time how full each of them is.
//!
//! What it is not: the decisions themselves are made in [`core`], which has no runtime; the proxy for
//! services in other languages is another program.
//!
//! ```
//! use evenkeel::{Dependency, core::{policy::Config, retry}};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::new(Duration::from_secs(1));
//! config.retry = Some(retry::Config::default());
//! let postgres = Dependency::new("orders", "postgres", config);
//!
//! let invoice = postgres.call(|attempt| async move {
//!     let reset = std::io::ErrorKind::ConnectionReset;
//!     if attempt.number() == 1 { Err(std::io::Error::from(reset)) } else { Ok("invoice 7") }
//! });
//! assert_eq!(invoice.await?, "invoice 7");
//! # Ok(())
//! # }
//! ```

mod attempt;
#[cfg(feature = "cache")]
pub mod cache;
mod clock;
pub mod context;
pub mod counter;
mod dependency;
mod drive;
mod error;
mod evenkeel;
mod fallback;
pub mod fan_out;
#[cfg(feature = "idempotency")]
pub mod idempotency;
pub mod leaks;
pub mod lifecycle;
mod local;
pub mod lock;
#[cfg(feature = "map")]
pub mod map;
mod pulse;
pub mod retry;
#[cfg(feature = "singleflight")]
pub mod singleflight;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod workers;

pub use attempt::{Attempt, OpenAttempt};
pub use clock::Clock;
pub use context::{Context, Ended, Task, TaskError, shield, spawn};
pub use dependency::{CallOptions, Dependency, Opened};
pub use error::{Blame, CallError, Report};
pub use evenkeel::{Evenkeel, Reloaded, UnknownDependency};
pub use evenkeel_core as core;
pub use fallback::{Answer, WithFallback};
pub use retry::{Retry, retry};
