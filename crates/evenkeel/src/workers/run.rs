//! A worker: takes a job, does it once, and says what becomes of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_core::call::{Next, Step};
use evenkeel_core::outcome::{Class, Finished};
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::Instant;

use super::config::Restarts;
use super::job::{Job, JobContext, JobFate, Letter, Why};
use super::{Leftover, Pool};
use crate::context::{Ended, panic_message};
use crate::leaks::Name;
use crate::pulse::Pulse;
use crate::retry::Failure;

/// What runs, by the number of its attempt.
#[derive(Default)]
pub(super) struct Running(Mutex<Attempts>);

#[derive(Default)]
struct Attempts {
    next: u64,
    by_number: BTreeMap<u64, Attempt>,
}

struct Attempt {
    name: Name,
    pulse: Pulse,
    abort: AbortHandle,
}

impl Running {
    fn enter(&self, attempt: Attempt) -> u64 {
        let mut attempts = self.lock();
        let number = attempts.next;
        attempts.next += 1;
        attempts.by_number.insert(number, attempt);
        number
    }

    fn leave(&self, number: u64) {
        self.lock().by_number.remove(&number);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().by_number.len()
    }

    pub(super) fn stuck(&self, after: Duration) -> Vec<(Name, Duration)> {
        let attempts = self.lock();
        let silent = attempts.by_number.values();
        let silent = silent.map(|attempt| (attempt.name.clone(), attempt.pulse.silence()));
        silent.filter(|(_, silence)| *silence >= after).collect()
    }

    /// Drops what runs, at its next await, and names it.
    pub(super) fn abort(&self) -> Vec<Leftover> {
        let attempts = self.lock();
        let aborted = attempts.by_number.values().map(|attempt| {
            attempt.abort.abort();
            Leftover {
                name: attempt.name.clone(),
                age: attempt.pulse.age(),
                silence: attempt.pulse.silence(),
                stopped: true,
            }
        });
        aborted.collect()
    }

    pub(super) fn names(&self) -> Vec<Name> {
        let attempts = self.lock();
        let names = attempts.by_number.values();
        names.map(|attempt| attempt.name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Remembers the latest panics.
pub(crate) struct Health {
    restarts: Restarts,
    panics: Mutex<VecDeque<Instant>>,
}

impl Health {
    pub(crate) fn new(restarts: Restarts) -> Self {
        Self {
            restarts,
            panics: Mutex::default(),
        }
    }

    pub(crate) fn panicked(&self) {
        let mut panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.push_back(Instant::now());
        if panics.len() > self.restarts.most as usize + 1 {
            panics.pop_front();
        }
    }

    /// When work may go on, if there were too many panics for it to go on now.
    pub(crate) fn wait(&self) -> Option<Instant> {
        let panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        if panics.len() <= self.restarts.most as usize {
            return None;
        }
        let until = *panics.front()? + self.restarts.within;
        (until > Instant::now()).then_some(until)
    }
}

pub(super) async fn worker<J, F, Fut, E>(pool: Arc<Pool<J>>, handler: Arc<F>)
where
    J: Send + Sync + 'static,
    F: Fn(JobContext, Arc<J>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure<E>>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    loop {
        if let Some(until) = pool.health.wait() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = pool.stop.cancelled() => {}
            }
        }
        let Some(job) = pool.queue.next().await else {
            return;
        };
        attempt(&pool, job, &handler).await;
    }
}

/// Makes one attempt of `job`.
async fn attempt<J, F, Fut, E>(pool: &Arc<Pool<J>>, mut job: Job<J>, handler: &Arc<F>)
where
    J: Send + Sync + 'static,
    F: Fn(JobContext, Arc<J>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure<E>>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    if let Err(ended) = job.context.check() {
        return end(pool, job, ended).await;
    }
    let permit = match job.call.poll(pool.clock.now()) {
        Step::Attempt(permit) => permit,
        // A little early.
        Step::WaitUntil(until) => return put_back(pool, job, until).await,
        Step::GiveUp(_) => {
            let error = job.error.clone().unwrap_or_default();
            return bury(Arc::clone(pool), job, Why::Failed(error)).await;
        }
        _ => return bury(Arc::clone(pool), job, Why::DeadlineExceeded).await,
    };
    job.attempts = permit.id().number();
    if job.attempts > 1 {
        pool.tally.retries.fetch_add(1, Ordering::Relaxed);
    }
    job.pulse.beat();
    let context = job.context.with_attempt(job.attempts);
    let told = JobContext {
        context: context.clone(),
        pulse: job.pulse.clone(),
        attempt: job.attempts,
    };
    let (handler, payload) = (Arc::clone(handler), Arc::clone(&job.payload));
    // A task of its own: its panic is not ours, and it can be aborted while we go on.
    let mut task = tokio::spawn(context.enter(async move { handler(told, payload).await }));
    let number = pool.running.enter(Attempt {
        name: job.name.clone(),
        pulse: job.pulse.clone(),
        abort: task.abort_handle(),
    });
    let finished = finish(pool, &job, &mut task).await;
    pool.running.leave(number);
    let now = pool.clock.now();
    match finished {
        Ok(Ok(())) => {
            job.call.on_finished(permit, now, Finished::success());
            pool.tally.done.fetch_add(1, Ordering::Relaxed);
            job.over(JobFate::Done);
        }
        Ok(Err(failure)) => {
            let class = match failure.is_permanent() {
                true => Class::Fatal,
                false => Class::Transient,
            };
            let error = failure.into_inner().to_string();
            match job.call.on_finished(permit, now, Finished::failed(class)) {
                Next::Wait => {
                    job.error = Some(error);
                    match job.call.poll(now) {
                        Step::WaitUntil(until) => put_back(pool, job, until).await,
                        _ => put_back(pool, job, now).await,
                    }
                }
                Next::Done | Next::Failed(_) => {
                    bury(Arc::clone(pool), job, Why::Failed(error)).await;
                }
            }
        }
        Err(Stopped::Panicked(message)) => {
            drop(permit);
            pool.tally.panics.fetch_add(1, Ordering::Relaxed);
            pool.health.panicked();
            bury(Arc::clone(pool), job, Why::Panicked(message)).await;
        }
        Err(Stopped::Ended(ended)) => {
            drop(permit);
            end(pool, job, ended).await;
        }
    }
}

enum Stopped {
    Panicked(String),
    Ended(Ended),
}

/// Waits for an attempt. At its deadline it is aborted; cancelled, it has its grace first.
async fn finish<J, E>(
    pool: &Pool<J>,
    job: &Job<J>,
    task: &mut JoinHandle<Result<(), Failure<E>>>,
) -> Result<Result<(), Failure<E>>, Stopped> {
    let mut warn_at = Instant::now() + pool.config.stuck_after;
    let ended = loop {
        tokio::select! {
            biased;
            joined = &mut *task => return joined.map_err(|error| stopped(error, Ended::Cancelled)),
            ended = job.context.ended() => break ended,
            () = tokio::time::sleep_until(warn_at) => {
                let silence = job.pulse.silence();
                if silence >= pool.config.stuck_after {
                    tracing::warn!(
                        target: "evenkeel::workers",
                        job = %job.name, ?silence, "job shows no sign of life"
                    );
                }
                warn_at = Instant::now() + pool.config.stuck_after;
            }
        }
    };
    if ended == Ended::Cancelled {
        // A pool that stops measures the grace of all its jobs at once, and names those that exceed it.
        let grace = match pool.stop.is_cancelled() {
            true => None,
            false => Some(pool.config.grace),
        };
        let joined = match grace {
            Some(grace) => tokio::time::timeout(grace, &mut *task).await.ok(),
            None => Some((&mut *task).await),
        };
        if let Some(joined) = joined {
            // Done after all, or it stopped as it was asked to.
            return match joined {
                Ok(Err(_)) => Err(Stopped::Ended(ended)),
                joined => joined.map_err(|error| stopped(error, ended)),
            };
        }
    }
    task.abort();
    match task.await {
        Ok(Ok(())) => Ok(Ok(())),
        Ok(Err(_)) => Err(Stopped::Ended(ended)),
        Err(error) => Err(stopped(error, ended)),
    }
}

fn stopped(error: JoinError, ended: Ended) -> Stopped {
    match error.try_into_panic() {
        Ok(payload) => Stopped::Panicked(panic_message(&*payload)),
        Err(_) => Stopped::Ended(ended),
    }
}

async fn put_back<J: Send + Sync + 'static>(
    pool: &Arc<Pool<J>>,
    job: Job<J>,
    until: evenkeel_core::time::Instant,
) {
    if let Err(job) = pool.queue.put_back(job, pool.clock.timer(until)) {
        bury(Arc::clone(pool), job, Why::Stopped).await;
    }
}

/// Ends a job whose context did.
async fn end<J: Send + Sync + 'static>(pool: &Arc<Pool<J>>, job: Job<J>, ended: Ended) {
    match ended {
        Ended::Cancelled if pool.stop.is_cancelled() => {
            bury(Arc::clone(pool), job, Why::Stopped).await;
        }
        Ended::Cancelled => {
            pool.tally.cancelled.fetch_add(1, Ordering::Relaxed);
            job.over(JobFate::Cancelled);
        }
        Ended::DeadlineExceeded => {
            bury(Arc::clone(pool), job, Why::DeadlineExceeded).await;
        }
    }
}

/// Makes a dead letter of `job`, and then ends it: whoever hears of its end finds the letter.
pub(super) async fn bury<J: Send + Sync + 'static>(pool: Arc<Pool<J>>, job: Job<J>, why: Why) {
    let letter = Letter {
        queue: pool.config.name.clone(),
        job: Arc::clone(&job.payload),
        why: why.clone(),
        attempts: job.attempts,
    };
    tracing::error!(
        target: "evenkeel::workers",
        job = %job.name, attempts = job.attempts, %why, "job is dead"
    );
    let for_burial = Arc::clone(&pool);
    let buried = tokio::task::spawn_blocking(move || (for_burial.bury)(&letter)).await;
    let failed = match buried {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(error) => Some(error.to_string()),
    };
    if let Some(error) = failed {
        pool.tally.lost.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            target: "evenkeel::workers",
            job = %job.name, %error, "dead letter could not be put away"
        );
    }
    pool.tally.dead.fetch_add(1, Ordering::Relaxed);
    let attempts = job.attempts;
    job.over(JobFate::Dead { why, attempts });
}
