//! Names what makes a service slow without errors.
//!
//! Latency up, processors up, errors flat: a livelock, a contended lock, a leak, a deadlock, an
//! unbounded fan-out, a call without a timeout, a retry storm and plain health look alike from
//! outside. This crate looks inside an unmodified Go or Rust service, through what it already
//! exposes, and says which of them it is, where in the code, on what evidence, and what to do first.
//!
//! It never talks to the service more than it must, never runs code of it, and never needs it to be
//! built specially. It is not a profiler, a viewer or a monitor.
//!
//! Reading order: [`Capture`] is the evidence, [`source`] where it comes from, the parsers
//! ([`goroutine`], [`profile`], [`schedtrace`], [`prometheus`], [`procfs`], [`exectrace`], [`log`])
//! return a value and notes and never fail; `fact` derives what several moments say together;
//! `check` holds one failure shape a file; [`diagnose()`] puts their findings into one story.

mod capture;
pub mod check;
mod diagnose;
pub mod exectrace;
mod fact;
mod finding;
pub mod goroutine;
pub mod log;
mod note;
pub mod procfs;
pub mod profile;
pub mod prometheus;
pub mod render;
pub mod scaling;
pub mod schedtrace;
mod score;
pub mod source;
mod stack;
mod watch;

pub use capture::{Capture, Moment};
pub use diagnose::diagnose;
pub use finding::{Diagnosis, Finding, Ingredient, Remedies, Verdict};
pub use note::{Note, Parsed};
pub use score::{Score, score};
pub use stack::{Frame, Owner, Stack};
pub use watch::Watch;
