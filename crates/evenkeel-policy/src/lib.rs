//! The policy file: one text that says how every call of a service is bounded.
//!
//! A service calls ten others, and for each there is a timeout in one place, a retry loop in a second and
//! a pool size in a third, none of which know of each other: three attempts of two seconds under a
//! deadline of one. Here all of it stands in one file that is checked as a whole, before anything starts:
//! every error at once, each with its line, what is wrong, why that matters, and the way out.
//!
//! Three layers, and data flows one way through them:
//!
//! | layer | module | knows |
//! |---|---|---|
//! | as written | [`spec`] | what an author may write; the JSON [`schema`] and its descriptions |
//! | resolved | [`Policy`], [`proxy`], the `Config` types of `evenkeel-core` | valid values, defaults filled in |
//! | explained | [`explain`] | who decided each value: a line of the file, a preset, a default |
//!
//! This crate runs nothing: it hands out configuration. It reads the one file it is told to, and neither
//! prints nor looks at the environment.
//!
//! ```
//! let loaded = evenkeel_policy::parse("policy.yaml", "
//! version: 1
//! service: shop
//! dependencies:
//!   payments:
//!     deadline: 2s
//!     attempt_timeout: 500ms
//!     retry: {}
//! ")?;
//! let payments = &loaded.policy.dependencies["payments"];
//! assert_eq!(payments.retry.as_ref().map(|retry| retry.max_attempts.get()), Some(3));
//! assert!(payments.breaker.is_none(), "an absent section is off");
//!
//! let error = evenkeel_policy::parse("policy.yaml", "version: 1\nservice: shop\ndependencis: {}").unwrap_err();
//! assert!(error.to_string().contains("did you mean `dependencies`?"));
//! # Ok::<(), evenkeel_policy::LoadError>(())
//! ```
//!
//! Reading order: [`spec`], then [`Policy`], then the private modules `yaml`, `decode` and `resolve` in
//! the order in which a text passes through them.

mod decode;
pub mod document;
pub mod explain;
mod finding;
mod load;
mod name;
mod path;
pub mod proxy;
mod quote;
mod render;
mod resolve;
pub mod schema;
mod source;
pub mod spec;
mod tree;
mod yaml;

use std::collections::BTreeMap;

pub use finding::{Error, Finding, Invalid, LoadError, Place, Warning};
pub use load::{Loaded, load, parse, read};
pub use name::Name;
pub use path::Path;
pub use quote::suggestion;
pub use render::Look;

/// A policy file, resolved: every value valid, every name known, every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The service that calls. To be mixed into the seed of every random choice.
    pub service: Name,
    /// The bounds of the calls to each dependency.
    pub dependencies: BTreeMap<Name, evenkeel_core::policy::Config>,
    /// What the proxy is told; none: the file has no `proxy` section.
    pub proxy: Option<proxy::Config>,
}
