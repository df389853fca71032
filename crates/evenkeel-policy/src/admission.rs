//! What a server admits, resolved.

use std::collections::BTreeMap;

use evenkeel_core::admission;
use evenkeel_core::entropy::hash;
use evenkeel_core::tenant::Tenant;

/// What a server admits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The bounds themselves. Their groups of tenants are in the order of [`Config::groups`].
    pub bounds: admission::Config,
    /// The names of the groups of tenants, `others` first; empty where there are none.
    pub groups: Vec<String>,
    /// Tenants that have more than one share, or a group of their own.
    pub(crate) tenants: BTreeMap<String, Tenant>,
}

impl Config {
    /// The tenant of that name: with its shares and its group; one that nothing is said of has one share, and
    /// is among the others.
    ///
    /// ```
    /// let loaded = evenkeel_policy::parse("policy.yaml", "
    /// version: 1
    /// service: shop
    /// admission:
    ///   api: { tenants: { shares: { acme: 3 } } }
    /// ")?;
    /// let api = &loaded.policy.admission["api"];
    /// assert_eq!(api.tenant("acme").weight.get(), 3);
    /// assert_eq!(api.tenant("anybody").weight.get(), 1);
    /// # Ok::<(), evenkeel_policy::LoadError>(())
    /// ```
    #[must_use]
    pub fn tenant(&self, name: &str) -> Tenant {
        let unknown = || Tenant::new(hash(name));
        self.tenants.get(name).copied().unwrap_or_else(unknown)
    }
}
