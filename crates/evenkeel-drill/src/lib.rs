//! Drills: a known fault, injected on purpose into real processes on real sockets, and a judgement
//! of what came of it.
//!
//! A policy that was never seen at work is a hope. A drill starts a small system on loopback, puts
//! load on it, breaks one part at an exact time, repairs it, and compares what the users got with
//! thresholds that were named before. There is nothing simulated in it: services are processes of
//! their own, calls are HTTP over TCP, a slow dependency really takes its time.
//!
//! * [`cascade`]: one slow dependency takes a healthy product page down; the same page behind
//!   evenkeel rides it out.
//! * [`load`]: the open-loop load generator, which measures and has no policies of its own.
//! * [`role`]: the services of the stories, each run as a process.
//!
//! Deliberately absent: printing, exit codes and the environment, which belong to the command, and
//! evenkeel's policies, which would falsify what is measured. The protected run puts the real
//! proxy, as a process, between the same services.
//!
//! Reading order: [`cascade`], then [`load`], then [`role`].

pub mod cascade;
mod child;
mod control;
mod draw;
mod error;
pub mod load;
mod loopback;
mod open_files;
pub mod role;

pub use error::DrillError;
