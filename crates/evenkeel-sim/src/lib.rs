//! Fleets in virtual time: what ten thousand clients would do, decided by the policies of production.
//!
//! Whether a default is right shows under load that nobody can afford to make: a thousand processes that
//! retry in step, a server at ten times its capacity, an outage of half an hour. Here such a story runs in
//! seconds. Time passes by itself, from event to event; every random number follows from a seed; and each
//! decision to try, wait, refuse or give up is made by the very [`evenkeel_core::policy::Policy`] that the
//! library and the proxy drive.
//!
//! This crate has no clock, no thread, no runtime and no map with a random order: equal seeds give equal
//! runs, on every machine and in every build, and [`measure::Measures::hash`] says so in one number.
//!
//! Reading order: [`fleet`], what can be described; [`law`] and [`arrival`], what is random in it;
//! [`queue`] and [`world`], how it runs; [`measure`], what comes out; [`comparison`], what others do.

pub mod arrival;
pub mod comparison;
pub mod fleet;
pub mod law;
pub mod math;
pub mod measure;
pub mod queue;
mod slab;
pub mod world;
