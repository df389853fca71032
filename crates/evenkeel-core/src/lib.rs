//! Sans-IO resilience policies and the call machine that composes them.
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod entropy;
pub mod outcome;
pub mod policy;
pub mod ratio;
pub mod rejection;
pub mod retry;
pub mod stripe;
mod sync;
pub mod time;
mod window;
