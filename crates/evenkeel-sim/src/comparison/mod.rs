//! What others do, to compare with.
//!
//! A default is only as good as what it was measured against. These are the policies that texts
//! recommend and libraries ship, rebuilt from their descriptions: [`client`] for whoever calls,
//! [`server`] for whoever is called. They are not evenkeel's, nobody outside the simulator can use them,
//! and a row of a table that comes from here measures this rebuilding, not the product it is named after.
//! Only the limiters are the core's own, which it ships sample for sample as their source has them.

pub mod client;
pub mod server;
