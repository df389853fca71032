//! Whether something that runs gets anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The heartbeat of one thing that runs. Clones beat together.
#[derive(Debug, Clone)]
pub(crate) struct Pulse(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    since: Instant,
    /// Milliseconds after `since`.
    last: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            since: Instant::now(),
            last: AtomicU64::new(0),
        }))
    }

    pub(crate) fn beat(&self) {
        let after = u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX);
        self.0.last.fetch_max(after, Ordering::Relaxed);
    }

    pub(crate) fn age(&self) -> Duration {
        self.0.since.elapsed()
    }

    /// How long ago it beat last.
    pub(crate) fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.0.last.load(Ordering::Relaxed));
        self.age().saturating_sub(last)
    }
}
