//! The evenkeel data plane: an HTTP proxy that keeps every request inside its bounds.
//!
//! A service calls three others, one of them slows down, and a minute later nothing answers any
//! more: the slow one holds every connection, every worker and every caller. This proxy stands
//! between a service and what it calls, and holds each request to the policy of its dependency:
//! a deadline that covers the body too, attempts that are repeated only where HTTP allows it and a
//! budget pays for it, a breaker, a number of slots, and an answer to fall back to. Whatever
//! happens to a request, it ends in time, with exactly one [`fate::Fate`].
//!
//! What it deliberately is not: a web server, a cache, or a place for code of yours. It opens no
//! tunnels and switches no protocols; a request to upgrade is served as the plain request it also
//! is (RFC 9110, 7.8). A client that closes its half of the connection is taken for one that left.
//! Interim answers other than `100 Continue` stay with it.
//!
//! ```
//! use evenkeel_proxy::{config::ProxyConfig, server::Server, upstream::Origin};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let mut config = ProxyConfig::in_front_of(Origin::parse("http://127.0.0.1:8080").unwrap());
//! config.listen = "127.0.0.1:0".to_owned();
//! config.admin = None;
//! config.drain.delay = std::time::Duration::ZERO;
//! let server = Server::bind(config).await.unwrap();
//! assert_ne!(server.address().unwrap().port(), 0);
//! let stop = server.stop_handle();
//! stop.drain();
//! assert_eq!(server.run().await.cut, 0);
//! # });
//! ```
//!
//! A request's way, which is also the reading order: `server` accepts, `connection` keeps time,
//! `answer` checks (`target`, `hygiene`), finds the route (`route`) and its deadline (`deadline`),
//! `outgoing` makes the message (`replay`, `expect`), `forward` lets the library drive attempts
//! over `upstream` and judges them (`classify`, `retry`, `stall`), `body` carries the answer back, and
//! `record` keeps the books.

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
mod open_files;
mod outgoing;
mod problem;
mod proxy;
mod record;
mod replay;
mod retry;
pub mod route;
pub mod server;
mod stall;
mod target;
pub mod upstream;

use std::time::{Duration, Instant};

/// The time left until `deadline`.
fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
