//! A piece of code under contention, in a test.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::Measurement;

/// Counts what the actors try and what they get done.
#[derive(Debug, Default)]
pub struct Tally {
    attempts: AtomicU64,
    successes: AtomicU64,
    over: AtomicBool,
}

impl Tally {
    /// Counts an attempt.
    pub fn attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a success.
    pub fn success(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the time is up. A loop that may never succeed asks this on every turn.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Runs `operation` on as many threads as there are actors, again and again for as long as it is told,
/// once for each number of actors, and counts. [`judge`](super::judge) reads what it returns.
///
/// # Panics
/// When the operation does, after the other threads have ended.
///
/// ```
/// use std::sync::Mutex;
/// use std::time::Duration;
/// use evenkeel_doctor::scaling::{contend, judge};
///
/// let stock = Mutex::new(0_u64);
/// let points = contend(&[1, 2, 4], Duration::from_millis(20), |tally| {
///     tally.attempt();
///     *stock.lock().unwrap() += 1;
///     tally.success();
/// });
/// assert_eq!(points.len(), 3);
/// // Who waits for a lock does not fail: one attempt for each success, however many there are.
/// assert!(points.iter().all(|point| point.attempts_per_success() < 1.01));
/// println!("{:?}", judge(&points, None).evidence);
/// ```
pub fn contend(
    actors: &[u32],
    each: Duration,
    operation: impl Fn(&Tally) + Sync,
) -> Vec<Measurement> {
    actors
        .iter()
        .map(|actors| {
            let tally = Tally::default();
            let begun = Instant::now();
            let caller = std::thread::current();
            std::thread::scope(|scope| {
                let workers: Vec<_> = (0..*actors)
                    .map(|_| {
                        scope.spawn(|| {
                            let _ends_all = EndsAll(&tally, &caller);
                            while !tally.is_over() {
                                operation(&tally);
                            }
                        })
                    })
                    .collect();
                while begun.elapsed() < each && !tally.is_over() {
                    std::thread::park_timeout(each.saturating_sub(begun.elapsed()));
                }
                tally.over.store(true, Ordering::Relaxed);
                drop(workers);
            });
            let seconds = begun.elapsed().as_secs_f64().max(1e-9);
            Measurement {
                actors: *actors,
                attempts: tally.attempts.load(Ordering::Relaxed) as f64 / seconds,
                successes: tally.successes.load(Ordering::Relaxed) as f64 / seconds,
            }
        })
        .collect()
}

/// Ends all actors when one of them ends, by a panic too.
struct EndsAll<'a>(&'a Tally, &'a Thread);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
        self.1.unpark();
    }
}
