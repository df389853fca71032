//! Stopping without losing anyone.
//!
//! A drain has three phases after serving. First readiness is gone but everything else goes on,
//! and every answer says `Connection: close`: load balancers look away, clients let go of their
//! connections by themselves. Then the listener closes and idle connections are let go. Last, what
//! has outlived the drain timeout is cut. The phases only ever move forward.

use std::future::Future;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No drain.
    Serving,
    /// Not ready, still accepting, each answer is its connection's last.
    Draining,
    /// Nothing is accepted since the instant.
    Closing(Instant),
    /// Everything is cut now.
    Aborting,
}

/// The phase, shared by all connections.
#[derive(Debug)]
pub(crate) struct Drain {
    phase: watch::Sender<Phase>,
    idle: Duration,
}

impl Drain {
    /// `idle`: how long a connection without a request is kept once nothing is accepted.
    pub(crate) fn new(idle: Duration) -> Drain {
        Drain {
            phase: watch::Sender::new(Phase::Serving),
            idle,
        }
    }

    /// How long a connection without a request is kept once nothing is accepted.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    /// The phase now.
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether new work should be sent elsewhere.
    pub(crate) fn is_serving(&self) -> bool {
        self.phase() == Phase::Serving
    }

    /// Moves on to a later phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = rank(phase) > rank(*now);
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// Ready when the phase has changed since this was called.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut phase = self.phase.subscribe();
        async move {
            // An error means the proxy itself is gone, and this connection with it.
            let _ = phase.changed().await;
        }
    }

    /// Ready when everything is to be cut.
    pub(crate) async fn aborting(&self) {
        let _ = self
            .phase
            .subscribe()
            .wait_for(|phase| *phase == Phase::Aborting)
            .await;
    }
}

fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Serving => 0,
        Phase::Draining => 1,
        Phase::Closing(_) => 2,
        Phase::Aborting => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_move_forward() {
        let drain = Drain::new(Duration::ZERO);
        let changed = drain.changed();
        drain.enter(Phase::Draining);
        changed.await;
        assert!(!drain.is_serving());
        drain.enter(Phase::Aborting);
        drain.enter(Phase::Closing(Instant::now()));
        assert_eq!(drain.phase(), Phase::Aborting);
        drain.aborting().await;
    }
}
