//! A service's dependencies, from one policy file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use evenkeel_policy::{LoadError, Look, Policy};

use crate::clock::Clock;
use crate::dependency::Dependency;

/// The bounds of all calls of a service, live. Cheap to clone; clones share them.
///
/// ```
/// use evenkeel::Evenkeel;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
/// let evenkeel = Evenkeel::from_path(folder.join("library.yaml"))?;
/// let postgres = evenkeel.dependency("postgres")?;
/// assert_eq!(postgres.name(), "postgres");
///
/// let unknown = evenkeel.dependency("postgers").unwrap_err();
/// assert!(unknown.to_string().contains("did you mean `postgres`?"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Evenkeel {
    dependencies: BTreeMap<String, Dependency>,
}

impl Evenkeel {
    /// Reads a policy file and brings its bounds to life. What is worth a warning in it is logged.
    ///
    /// # Errors
    /// The file cannot be read, or says something that cannot hold: then all of what cannot, at once, each
    /// with its line. Nothing is started.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let loaded = evenkeel_policy::load(path.as_ref())?;
        let warnings = loaded.render_warnings(Look::Plain);
        if !warnings.is_empty() {
            tracing::warn!(target: "evenkeel::policy", "{warnings}");
        }
        Ok(Self::new(&loaded.policy))
    }

    /// Brings the bounds of a policy to life.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Self::with_clock(policy, Clock::default())
    }

    /// The same, telling time by `clock`.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a clock is handed over, as to a dependency"
    )]
    pub fn with_clock(policy: &Policy, clock: Clock) -> Self {
        let service = policy.service.as_str();
        let live = policy.dependencies.iter().map(|(name, config)| {
            let dependency =
                Dependency::with_clock(service, name.as_str(), config.clone(), clock.clone());
            (name.as_str().to_owned(), dependency)
        });
        Self {
            dependencies: live.collect(),
        }
    }

    /// The dependency called `name`. Ask once, when the service starts, and keep it.
    ///
    /// # Errors
    /// The policy knows no such dependency; the error says which names it knows.
    pub fn dependency(&self, name: &str) -> Result<Dependency, UnknownDependency> {
        self.dependencies.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.dependencies.keys().map(String::as_str).collect();
            let hint = evenkeel_policy::suggestion(name, &known, "the policy names none");
            UnknownDependency {
                name: name.to_owned(),
                hint,
            }
        })
    }

    /// All dependencies, by name.
    pub fn dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.values()
    }
}

/// A dependency that the policy does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDependency {
    name: String,
    hint: String,
}

impl fmt::Display for UnknownDependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the policy has no dependency `{}`: {}",
            self.name, self.hint
        )
    }
}

impl std::error::Error for UnknownDependency {}
