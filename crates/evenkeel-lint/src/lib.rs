//! Finds the loop nobody bounded, in Go and in Rust.
//!
//! # The problem
//!
//! The mistakes that turn a small fault into an outage are short and look harmless: a retry that
//! every client repeats in the same instant, a loop that tries again for ever, a request without a
//! timeout, a task nobody waits for. Compilers accept them, tests pass, and the tools that look for
//! some of them are switched off for noise. This crate looks for them with one aim above all others:
//! what it reports by default is worth reading.
//!
//! # What it is not
//!
//! It knows no types: names are resolved by imports, and one step through helpers of the same
//! package. Where that does not decide, it is silent. It never reads other people's code (`vendor`,
//! `target`, generated files), keeps no cache, and runs nothing.
//!
//! # Example
//!
//! ```
//! use evenkeel_lint::{Config, Linter, SourceText, Spec};
//!
//! let spec = Spec { preview: true, ..Spec::default() };
//! let linter = Linter::new(Config::new(spec)?);
//! let report = linter.lint_texts(&[SourceText {
//!     path: "store/connect.go".to_owned(),
//!     text: r#"package store
//! import "time"
//! func connect(address string) *Conn {
//!   for {
//!     if conn, err := dial(address); err == nil {
//!       return conn
//!     }
//!     time.Sleep(time.Second)
//!   }
//! }
//! "#.to_owned(),
//! }]);
//! assert_eq!(report.findings[0].code, "EK102");
//! # Ok::<(), evenkeel_lint::ConfigError>(())
//! ```
//!
//! # Reading order
//!
//! `syntax` (one tree for two languages), `facts` (what the rules need to know: `flow` judges loops
//! by their paths), `rules` (one file each, with its manual page), `engine` (two phases).

#![expect(
    clippy::cast_possible_truncation,
    reason = "offsets fit in 32 bits: a larger file is refused before it is parsed"
)]

mod baseline;
mod checklist;
mod config;
mod discover;
mod engine;
mod facts;
mod finding;
mod fix;
mod index;
mod lsp;
mod output;
mod rule;
mod rules;
mod source;
mod suppress;
mod syntax;

pub use baseline::Baseline;
pub use checklist::{Answer, Review};
pub use config::{Config, ConfigError, FILE_NAME, PerPath, Spec};
pub use engine::{Crash, LintError, Linter, Notice, Report, SourceText, Suppressed};
pub use finding::{Edit, Finding, Fix, Level, Place, Related};
pub use fix::{FixedFile, fixed_files, with_suppressions};
pub use lsp::serve;
pub use output::{Format, checklist, render, statistics};
pub use rule::{Rule, Standing};
pub use rules::all as rules;
pub use source::Language;
