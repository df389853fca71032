//! Scenarios: stories in a file, with what is expected to come of them.
//!
//! ```yaml
//! version: 1
//! title: Two servers' worth of load on one
//! ends: 62s
//! seeds: [42, 43, 44]
//! windows: { measured: { from: 12s, to: 60s } }
//! services: { api: { workers: 8, work: { exponential: 10ms } } }
//! clients: { web: { arrivals: { poisson: 1600 }, deadline: 100ms, calls: [{ service: api }] } }
//! variants:
//!   as_it_comes: { expect: { web.measured.goodput_pct: { at_most: 1 } } }
//!   short_queue:
//!     set: { services.api.server: { gate: { queue: 16 } } }
//!     expect: { web.measured.goodput_pct: { about: 100, within: 2 } }
//! ```
//!
//! Everything that varies is a change to the file itself: a *variant* changes paths, a *point* of the
//! sweep changes paths, a *layer* that is taken away changes paths, and so does `--set`. What is left is
//! read as strictly as a policy file, and errors have their line. [`Scenario::cells`] makes the changes;
//! [`crate::outcome`] runs what comes of them.

mod expect;
mod load;
mod parts;
mod resolve;
pub mod spec;

pub(crate) use expect::short;
pub use expect::{Bound, Expectation};
pub use load::{Cell, Choice, Scenario, Story, schema};

#[cfg(test)]
mod tests;
