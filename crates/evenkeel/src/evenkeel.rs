//! A service's dependencies, from one policy file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

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
    service: Arc<str>,
    clock: Clock,
    dependencies: Arc<RwLock<BTreeMap<String, Dependency>>>,
}

/// What a change of the policy changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Reloaded {
    /// Dependencies whose bounds are others now.
    pub changed: Vec<String>,
    /// Dependencies that are new.
    pub added: Vec<String>,
    /// Dependencies that the policy does not name any more: handles to them keep their last bounds.
    pub removed: Vec<String>,
}

impl Evenkeel {
    /// Reads a policy file and brings its bounds to life. What is worth a warning in it is logged.
    ///
    /// # Errors
    /// The file cannot be read, or says something that cannot hold: then all of what cannot, at once, each
    /// with its line. Nothing is started.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Ok(Self::new(&load(path.as_ref())?))
    }

    /// Brings the bounds of a policy to life.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Self::with_clock(policy, Clock::default())
    }

    /// The same, telling time by `clock`.
    #[must_use]
    pub fn with_clock(policy: &Policy, clock: Clock) -> Self {
        let evenkeel = Self {
            service: policy.service.as_str().into(),
            clock,
            dependencies: Arc::default(),
        };
        evenkeel.reload(policy);
        evenkeel
    }

    /// Reads the policy file again and changes the bounds of every call that begins from now on.
    ///
    /// All or nothing: a file that cannot be read, or says something that cannot hold, changes nothing.
    ///
    /// # Errors
    /// As [`from_path`](Self::from_path).
    pub fn reload_from_path(&self, path: impl AsRef<Path>) -> Result<Reloaded, LoadError> {
        Ok(self.reload(&load(path.as_ref())?))
    }

    /// Changes the bounds of every call that begins from now on to those of `policy`. What is in flight stays
    /// counted; handles that are in use serve the new bounds.
    ///
    /// The name of the service is mixed into every seed and stays what it was.
    pub fn reload(&self, policy: &Policy) -> Reloaded {
        let mut live = self
            .dependencies
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut reloaded = Reloaded::default();
        for (name, config) in &policy.dependencies {
            let name = name.as_str();
            match live.get(name) {
                Some(known) if known.config() == *config => {}
                Some(known) => {
                    known.reload(config.clone());
                    reloaded.changed.push(name.to_owned());
                }
                None => {
                    let (config, clock) = (config.clone(), self.clock.clone());
                    let new = Dependency::with_clock(&self.service, name, config, clock);
                    live.insert(name.to_owned(), new);
                    reloaded.added.push(name.to_owned());
                }
            }
        }
        live.retain(|known, _| {
            let is_named = policy
                .dependencies
                .keys()
                .any(|name| name.as_str() == known);
            if !is_named {
                reloaded.removed.push(known.clone());
            }
            is_named
        });
        reloaded
    }

    /// The dependency called `name`. Ask once, when the service starts, and keep it.
    ///
    /// # Errors
    /// The policy knows no such dependency; the error says which names it knows.
    pub fn dependency(&self, name: &str) -> Result<Dependency, UnknownDependency> {
        let live = self
            .dependencies
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        live.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = live.keys().map(String::as_str).collect();
            let hint = evenkeel_policy::suggestion(name, &known, "the policy names none");
            UnknownDependency {
                name: name.to_owned(),
                hint,
            }
        })
    }

    /// All dependencies, by name.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        let live = self
            .dependencies
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        live.values().cloned().collect()
    }
}

/// Reads a policy; what is worth a warning in it is logged.
fn load(path: &Path) -> Result<Policy, LoadError> {
    let loaded = evenkeel_policy::load(path)?;
    let warnings = loaded.render_warnings(Look::Plain);
    if !warnings.is_empty() {
        tracing::warn!(target: "evenkeel::policy", "{warnings}");
    }
    Ok(loaded.policy)
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
