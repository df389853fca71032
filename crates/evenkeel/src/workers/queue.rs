//! The jobs that wait, and the count of all that are not over.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering as Memory};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::job::Job;

pub(super) struct Queue<J> {
    lines: Mutex<Lines<J>>,
    arrived: Notify,
    outstanding: Arc<Count>,
}

struct Lines<J> {
    ready: VecDeque<Job<J>>,
    waiting: BinaryHeap<Reverse<Waiting<J>>>,
    closed: bool,
}

struct Waiting<J> {
    due: Instant,
    job: Job<J>,
}

impl<J> PartialEq for Waiting<J> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<J> Eq for Waiting<J> {}

impl<J> PartialOrd for Waiting<J> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<J> Ord for Waiting<J> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.due.cmp(&other.due)
    }
}

#[derive(Default)]
struct Count {
    jobs: AtomicUsize,
    idle: Notify,
}

/// One job in the count of those that are not over.
pub(super) struct Outstanding(Arc<Count>);

impl Drop for Outstanding {
    fn drop(&mut self) {
        if self.0.jobs.fetch_sub(1, Memory::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl<J> Queue<J> {
    pub(super) fn new() -> Self {
        Self {
            lines: Mutex::new(Lines {
                ready: VecDeque::new(),
                waiting: BinaryHeap::new(),
                closed: false,
            }),
            arrived: Notify::new(),
            outstanding: Arc::default(),
        }
    }

    pub(super) fn outstanding(&self) -> Outstanding {
        self.outstanding.jobs.fetch_add(1, Memory::AcqRel);
        Outstanding(Arc::clone(&self.outstanding))
    }

    pub(super) async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.outstanding.idle.notified());
            idle.as_mut().enable();
            if self.outstanding.jobs.load(Memory::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Outstanding in all, queued, and waiting for another attempt.
    pub(super) fn lengths(&self) -> (usize, usize, usize) {
        let lines = self.lock();
        let outstanding = self.outstanding.jobs.load(Memory::Acquire);
        (outstanding, lines.ready.len(), lines.waiting.len())
    }

    /// Queues a job; hands it back if nobody would take it any more.
    #[expect(
        clippy::result_large_err,
        reason = "the job itself comes back, to a caller that ends it on the spot"
    )]
    pub(super) fn push(&self, job: Job<J>) -> Result<(), Job<J>> {
        let mut lines = self.lock();
        if lines.closed {
            return Err(job);
        }
        lines.ready.push_back(job);
        drop(lines);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts a job back until `due`.
    #[expect(
        clippy::result_large_err,
        reason = "the job itself comes back, to a caller that ends it on the spot"
    )]
    pub(super) fn put_back(&self, job: Job<J>, due: Instant) -> Result<(), Job<J>> {
        let mut lines = self.lock();
        if lines.closed {
            return Err(job);
        }
        lines.waiting.push(Reverse(Waiting { due, job }));
        drop(lines);
        // Whoever sleeps until a later one is due looks again.
        self.arrived.notify_one();
        Ok(())
    }

    /// The next job that can be run, those that waited for another attempt first; none once closed.
    ///
    /// # Cancel safety
    /// Dropped, it took no job.
    pub(super) async fn next(&self) -> Option<Job<J>> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let due = {
                let mut lines = self.lock();
                if lines.closed {
                    return None;
                }
                let due = lines.waiting.peek().map(|Reverse(first)| first.due);
                if due.is_some_and(|due| due <= Instant::now()) {
                    return lines.waiting.pop().map(|Reverse(first)| first.job);
                }
                if let Some(job) = lines.ready.pop_front() {
                    return Some(job);
                }
                due
            };
            match due {
                Some(due) => {
                    // Whichever comes first; then it looks again.
                    let _ = tokio::time::timeout_at(due, arrived).await;
                }
                None => arrived.await,
            }
        }
    }

    /// Ends the queue: nobody takes from it any more, and what was in it comes back.
    pub(super) fn close(&self) -> Vec<Job<J>> {
        let mut lines = self.lock();
        lines.closed = true;
        let waiting = std::mem::take(&mut lines.waiting);
        let mut left: Vec<_> = waiting
            .into_iter()
            .map(|Reverse(first)| first.job)
            .collect();
        left.extend(std::mem::take(&mut lines.ready));
        drop(lines);
        self.arrived.notify_waiters();
        left
    }

    fn lock(&self) -> MutexGuard<'_, Lines<J>> {
        // Nothing in there is half done when something panics elsewhere.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
