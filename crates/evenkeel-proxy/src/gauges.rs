//! What the proxy holds, read at each scrape: connections kept to upstreams, bodies kept for
//! another attempt.

use crate::replay::ReplayMemory;
use crate::upstream::Pool;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// What is held, and by whom.
pub(crate) struct Gauges {
    /// Each upstream's name and connections.
    pub(crate) pools: Vec<(String, Arc<Pool>)>,
    /// The bodies kept.
    pub(crate) replay: Arc<ReplayMemory>,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        encoder
            .encode_descriptor(
                "evenkeel_replay_bytes",
                "Bytes of request bodies kept for another attempt",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&(self.replay.used() as u64))?;
        let mut idle = encoder.encode_descriptor(
            "evenkeel_upstream_idle_connections",
            "Connections kept for the next request",
            None,
            MetricType::Gauge,
        )?;
        for (name, pool) in &self.pools {
            let labels = [("upstream", name.as_str())];
            idle.encode_family(&labels)?
                .encode_gauge(&(pool.idle_connections() as u64))?;
        }
        Ok(())
    }
}
