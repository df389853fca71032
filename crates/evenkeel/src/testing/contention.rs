//! The same piece of code on one thread, on two, and so on.

use std::fmt;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How a piece of code did on so many threads.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Round {
    /// Threads that ran it at once.
    pub threads: usize,
    /// Times it succeeded, on all threads together.
    pub successes: u64,
    /// Times it was tried.
    pub attempts: u64,
    /// How long that took, from the first thread's start to the last one's end.
    pub took: Duration,
}

impl Round {
    /// Attempts for each success: 1 without contention. In a livelock it grows without bound.
    #[must_use]
    pub fn attempts_per_success(&self) -> f64 {
        self.attempts as f64 / self.successes.max(1) as f64
    }

    /// Successes in a second, of all threads together.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.successes as f64 / self.took.as_secs_f64()
    }
}

/// How a piece of code does under contention, by the number of threads.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Contention {
    /// One round for each number of threads, from 1 on.
    pub rounds: Vec<Round>,
}

impl Contention {
    /// The most attempts that a success took on average, on any number of threads. Assert that it is
    /// small: it does not depend on how fast or how busy the machine is, as times do.
    #[must_use]
    pub fn most_attempts_per_success(&self) -> f64 {
        let most = self.rounds.iter().map(Round::attempts_per_success);
        most.fold(0.0, f64::max)
    }

    /// The throughput of the most threads as a share of one thread's. Code that holds a lock all the time
    /// stays near 1, whatever it does; below that, threads cost each other more than they add.
    #[must_use]
    pub fn scaling(&self) -> f64 {
        match (self.rounds.first(), self.rounds.last()) {
            (Some(first), Some(last)) => last.throughput() / first.throughput(),
            _ => 1.0,
        }
    }
}

impl fmt::Display for Contention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "threads  successes/s  attempts/success")?;
        for round in &self.rounds {
            let (rate, tries) = (round.throughput(), round.attempts_per_success());
            writeln!(f, "{:>7}  {rate:>11.0}  {tries:>16.2}", round.threads)?;
        }
        Ok(())
    }
}

/// Runs `code` under contention, on 1 to `most` threads, until it has succeeded `successes` times on each.
/// It answers how many attempts its success took, 1 at least.
///
/// ```
/// use evenkeel::testing::contend;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let counter = AtomicU64::new(0);
/// let contention = contend(4, 1000, || {
///     let mut attempts = 1;
///     let mut seen = counter.load(Ordering::Relaxed);
///     while let Err(now) = counter.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed) {
///         (seen, attempts) = (now, attempts + 1);
///     }
///     attempts
/// });
/// assert_eq!(counter.into_inner(), (1 + 2 + 3 + 4) * 1000);
/// assert!(contention.most_attempts_per_success() < 100.0, "{contention}");
/// ```
///
/// # Panics
/// Where `code` does, once all threads have ended.
pub fn contend(most: usize, successes: u64, code: impl Fn() -> u64 + Sync) -> Contention {
    let round = |threads: usize| {
        let (barrier, code) = (Barrier::new(threads), &code);
        let began = Instant::now();
        let attempts = std::thread::scope(|scope| {
            let runners: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        // All at once, or the first is done before the last has begun.
                        barrier.wait();
                        (0..successes).map(|_| code().max(1)).sum::<u64>()
                    })
                })
                .collect();
            let joined = runners.into_iter().map(|runner| {
                runner
                    .join()
                    .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
            });
            joined.sum()
        });
        Round {
            threads,
            successes: successes * threads as u64,
            attempts,
            took: began.elapsed(),
        }
    };
    Contention {
        rounds: (1..=most).map(round).collect(),
    }
}
