//! The evenkeel data plane: an HTTP proxy that keeps every request inside its bounds.

mod activity;
mod admin;
mod answer;
mod body;
mod classify;
mod client;
pub mod command;
pub mod config;
mod connection;
mod deadline;
mod dependencies;
mod drain;
mod expect;
mod fallback;
pub mod fate;
mod forward;
mod gauges;
mod hygiene;
mod listener;
mod metrics;
mod outgoing;
mod problem;
mod proxy;
mod record;
mod replay;
mod retry;
pub mod route;
pub mod server;
mod target;
pub mod upstream;

use std::time::{Duration, Instant};

/// The time left until `deadline`.
fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
