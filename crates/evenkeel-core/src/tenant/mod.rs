//! On whose behalf a request comes, and what each of them may use.
//!
//! Where many share a server, one of them can take all of it without meaning to: a loop, a
//! backfill, a retry storm of its own. Three bounds keep the others from noticing, each where it is
//! cheapest:
//!
//! * **Turns.** In the [admission queue](crate::admission), which is where they meet, tenants take turns by weight and
//!   by what their requests cost. Nothing needs to be set, and no capacity is kept idle for it.
//! * [`Rate`]. So many requests a second each, in [fixed memory](table) however many tenants there are. For what is
//!   sold by number, and for what costs something outside of the workers.
//! * [`Group`]s. So many [workers](shares) for each group of tenants, lent while they are idle. For groups that must
//!   not even wait for each other's services to end.
//!
//! Who is unknown is a tenant like any other. Limits: one process; the part of a fleet-wide limit that is one
//! process's own is for its driver to work out.

mod shares;
mod table;

use core::num::NonZeroU32;

pub(crate) use shares::Shares;
pub use shares::{GROUPS_MAX, Group, GroupSnapshot};
pub use table::Rate;
use table::Table;
pub(crate) use table::Taken;

use crate::rejection::{Reason, Rejection};
use crate::time::Instant;

/// A tenant, and how many shares of the server are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tenant {
    /// Tells it from the others: a [`hash`](crate::entropy::hash) of its name.
    pub id: u64,
    /// How many times the share of one.
    pub weight: NonZeroU32,
    /// Which of [`Config::groups`] it belongs to; the first where there is no such one. Default 0.
    pub group: u8,
}

impl Tenant {
    /// The tenant with that id, and one share, in the first group.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self {
            id,
            weight: NonZeroU32::MIN,
            group: 0,
        }
    }

    /// The same, with as many shares.
    #[must_use]
    pub const fn weight(self, weight: NonZeroU32) -> Self {
        Self { weight, ..self }
    }

    /// The same, in that group.
    #[must_use]
    pub const fn group(self, group: u8) -> Self {
        Self { group, ..self }
    }
}

impl Default for Tenant {
    /// Nobody in particular.
    fn default() -> Self {
        Self::new(0)
    }
}

/// What each tenant may use, beside its turns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Config {
    /// Requests of each tenant; none: any number. Default: none.
    pub rate: Option<Rate>,
    /// Workers of each group of tenants; none: all for all. Default: none.
    pub groups: Vec<Group>,
}

/// The rates of all tenants.
#[derive(Debug)]
pub(crate) struct Rates(Table);

impl Rates {
    pub(crate) fn new(rate: &Rate) -> Self {
        Self(Table::new(rate))
    }

    /// Takes a request from the rate of its tenant.
    pub(crate) fn take(&self, now: Instant, tenant: Tenant) -> Result<Taken, Rejection> {
        let taken = self.0.take(now, tenant.id, tenant.weight);
        taken.map_err(|wait| Rejection::new(Reason::TenantLimited).retry_after(wait))
    }

    pub(crate) fn give_back(&self, taken: Taken) {
        self.0.give_back(taken);
    }

    pub(crate) fn charge(&self, now: Instant, taken: Taken, times: u32) {
        self.0.charge(now, taken, times);
    }
}
