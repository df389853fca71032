//! What evenkeel reports, in one vocabulary for every tool that reports something.
//!
//! A drill, a doctor and a linter all end the same way: somebody reads what was found and has to
//! believe it. This crate holds the words for that and the few ways to draw them:
//!
//! * [`fate`]: the closed set of labels for how a request ended,
//! * [`finding`]: a reported problem, with the evidence it rests on,
//! * [`table`]: plain text tables for terminals and logs,
//! * [`chart`]: line and area charts, timeline bands and sparklines as inline SVG, for light and
//!   dark and for people who tell few colours apart.
//!
//! Deliberately absent: any judgement, any input or output, any knowledge of where figures come
//! from. Values go in, text comes out. Besides serde nothing is needed.
//!
//! Reading order: [`finding`], [`table`], [`chart`].

pub mod chart;
pub mod fate;
pub mod finding;
pub mod table;

pub use chart::{Bands, Chart, Series, Tone, sparkline};
pub use fate::Fate;
pub use finding::{Basis, Confidence, Evidence, Finding, Location, Severity};
pub use table::{Column, Table};
