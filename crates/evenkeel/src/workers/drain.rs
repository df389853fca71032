//! How a pool ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::job::Why;
use super::{Workers, run};
use crate::leaks::Name;

/// How long an aborted job has to reach its next await and be gone. One that does not is blocking a
/// thread.
const ABORTED_WITHIN: Duration = Duration::from_millis(500);

/// Something that did not stop when it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// Its name.
    pub name: Name,
    /// How old it was.
    pub age: Duration,
    /// How long ago it had shown a sign of life.
    pub silence: Duration,
    /// Whether aborting stopped it. If not, it blocks a thread and is still there.
    pub stopped: bool,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            age,
            silence,
            stopped,
        } = self;
        let how = if *stopped {
            "ignored its cancellation and was aborted"
        } else {
            "blocks a thread and could not be stopped"
        };
        write!(
            f,
            "{name} {how}: {age:?} old, last sign of life {silence:?} ago"
        )
    }
}

impl<J: Send + Sync + 'static> Workers<J> {
    /// Ends the pool: accepts nothing, lets what it has finish for [`Config::drain`](super::Config::drain),
    /// cancels the rest, and after [`Config::grace`](super::Config::grace) aborts what is left. What was
    /// not done is buried. Answers what ignored its cancellation.
    ///
    /// Called twice, the second waits like the first.
    ///
    /// # Cancel safety
    /// Dropped, the pool accepts nothing any more, and goes on with what it has.
    pub async fn drain(&self) -> Vec<Leftover> {
        let time = self.0.config.drain;
        self.drain_until(tokio::time::sleep(time), self.0.config.grace)
            .await
    }

    /// The same, with other ends: jobs may finish until `over`, and have `grace` after that.
    ///
    /// # Cancel safety
    /// As [`drain`](Self::drain).
    pub async fn drain_until(
        &self,
        over: impl Future<Output = ()>,
        grace: Duration,
    ) -> Vec<Leftover> {
        let pool = &self.0;
        pool.room.close();
        let done = tokio::select! {
            biased;
            () = pool.queue.idle() => true,
            () = over => false,
        };
        if !done {
            pool.stop.cancel();
        }
        let burials: Vec<_> = pool
            .queue
            .close()
            .into_iter()
            .map(|job| tokio::spawn(run::bury(Arc::clone(pool), job, Why::Stopped)))
            .collect();
        for burial in burials {
            // A burial that panicked was logged with its panic; its job is over all the same.
            let _ = burial.await;
        }
        if tokio::time::timeout(grace, pool.queue.idle()).await.is_ok() {
            return Vec::new();
        }
        let mut left = pool.running.abort();
        let _ = tokio::time::timeout(ABORTED_WITHIN, pool.queue.idle()).await;
        let there = pool.running.names();
        for leftover in &mut left {
            leftover.stopped = !there.contains(&leftover.name);
        }
        left
    }
}
