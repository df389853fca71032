//! Writers that contend for one row, and what each does after it lost.
//!
//! Optimistic concurrency: read the row with its version, write on condition that the version is still
//! the same, begin again if it is not. Of all writers that read one version one wins, and the rest has
//! worked for nothing. How long to wait after that is the question that back-off with jitter answers
//! (Brooker, *Exponential backoff and jitter*, 2015, whose model this is: four messages an attempt, each
//! of which takes |N(10 ms, 2 ms)|).

use core::time::Duration;

use evenkeel_core::backoff;
use evenkeel_core::entropy::Entropy;

use crate::law::{unit, whole};
use crate::math::{exp, ln, normal_quantile};
use crate::measure::Histogram;
use crate::queue::Queue;

/// What a writer does that lost.
#[derive(Debug, Clone, PartialEq)]
pub enum Strategy {
    /// Tries again at once.
    None,
    /// `min(cap, base * 2^n)`.
    Exponential,
    /// Half of that, and evenly up to the other half.
    EqualJitter,
    /// Evenly from zero to that.
    FullJitter,
    /// `min(cap, U(base, 3 * previous))`.
    Decorrelated,
    /// Evenly up to 100 ms.
    ConstantJitter,
    /// Evenly up to `min(4000, 40 * 1.5^(n - 1))`.
    SlowFullJitter,
    /// Evenly up to the time that the writers left need, times this, as the server counts them.
    ServerHint(f64),
    /// In a slot of its own, handed out by the server.
    ServerTicket,
    /// A back-off of evenkeel's.
    Evenkeel(backoff::Config),
}

const BASE_MS: f64 = 5.0;
const CAP_MS: f64 = 2000.0;
/// The row is in doubt for two hops of each attempt.
const WINDOW_MS: f64 = 20.0;
/// An attempt reaches the row with its write after three hops.
const HOPS_TO_WRITE_MS: f64 = 30.0;
/// Slots of the server's tickets: a window, and some for the spread of the hops.
const SLOT: u64 = 26_000_000;

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Contended {
    /// When the last writer had its answer, in nanoseconds.
    pub completed: u64,
    /// Writes that were sent.
    pub writes: u64,
    /// When each writer was done.
    pub writers: Histogram,
    /// Events that happened.
    pub events: u64,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A read reaches the row.
    Read(u32),
    /// What was read reaches the writer, which sends its write.
    Write(u32),
    /// A write reaches the row.
    Commit(u32),
    /// The answer reaches the writer.
    Answer(u32, bool, u64),
    /// A writer begins.
    Begin(u32),
}

struct Writer {
    version: u64,
    failures: u32,
    previous_ms: f64,
    backoff: backoff::Backoff,
    dice: Entropy,
}

/// Runs the story once.
#[must_use]
pub fn run(clients: u32, strategy: &Strategy, seed: u64) -> Contended {
    let root = Entropy::new(seed).split("contention");
    let mut writers: Vec<Writer> = (0..clients)
        .map(|number| Writer {
            version: 0,
            failures: 0,
            previous_ms: BASE_MS,
            backoff: backoff::Backoff::default(),
            dice: root.split(&number.to_string()),
        })
        .collect();
    let mut queue = Queue::default();
    for number in 0..clients {
        queue.push(0, Event::Begin(number));
    }
    let (mut version, mut left, mut last_slot) = (0_u64, clients, 0_u64);
    let mut contended = Contended::default();
    while let Some((now, event)) = queue.pop(u64::MAX) {
        contended.events += 1;
        match event {
            Event::Begin(who) => {
                let arrives = now + hop(&mut writers[who as usize].dice);
                queue.push(arrives, Event::Read(who));
            }
            Event::Read(who) => {
                let writer = &mut writers[who as usize];
                writer.version = version;
                queue.push(now + hop(&mut writer.dice), Event::Write(who));
            }
            Event::Write(who) => {
                contended.writes += 1;
                queue.push(
                    now + hop(&mut writers[who as usize].dice),
                    Event::Commit(who),
                );
            }
            Event::Commit(who) => {
                let writer = &mut writers[who as usize];
                let won = writer.version == version;
                version += u64::from(won);
                left -= u32::from(won);
                let mut told = u64::from(left);
                if !won && *strategy == Strategy::ServerTicket {
                    last_slot = (last_slot + SLOT).max(now + SLOT);
                    told = last_slot;
                }
                queue.push(now + hop(&mut writer.dice), Event::Answer(who, won, told));
            }
            Event::Answer(who, true, _) => {
                let _ = who;
                contended.completed = contended.completed.max(now);
                contended.writers.record(now);
            }
            Event::Answer(who, false, told) => {
                let writer = &mut writers[who as usize];
                writer.failures += 1;
                let at = writer.wait(strategy, now, told);
                queue.push(at, Event::Begin(who));
            }
        }
    }
    contended
}

fn hop(dice: &mut Entropy) -> u64 {
    let drawn = 10e6 + 2e6 * normal_quantile(unit(dice.next_u64()));
    whole(if drawn < 0.0 { -drawn } else { drawn })
}

impl Writer {
    /// When a writer that lost begins again.
    fn wait(&mut self, strategy: &Strategy, now: u64, told: u64) -> u64 {
        let nth = self.failures.min(60);
        let full = CAP_MS.min(BASE_MS * (1_u64 << nth) as f64);
        let even =
            |dice: &mut Entropy, low: f64, high: f64| low + (high - low) * unit(dice.next_u64());
        let dice = &mut self.dice;
        let wait_ms = match strategy {
            Strategy::None => 0.0,
            Strategy::Exponential => full,
            Strategy::EqualJitter => even(dice, full / 2.0, full),
            Strategy::FullJitter => even(dice, 0.0, full),
            Strategy::Decorrelated => {
                self.previous_ms = CAP_MS.min(even(dice, BASE_MS, 3.0 * self.previous_ms));
                self.previous_ms
            }
            Strategy::ConstantJitter => even(dice, 0.0, 100.0),
            Strategy::SlowFullJitter => {
                let grown = 40.0 * exp(f64::from(nth - 1) * ln(1.5));
                even(dice, 0.0, grown.min(4000.0))
            }
            Strategy::ServerHint(share) => {
                let window = told as f64 * WINDOW_MS * share - HOPS_TO_WRITE_MS;
                even(dice, 0.0, window.max(0.0))
            }
            Strategy::ServerTicket => return told.max(now),
            Strategy::Evenkeel(config) => {
                let delay: Duration = self.backoff.next_delay(config, dice);
                return now + u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
            }
        };
        now + whole(wait_ms * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_writer_commits_once_and_equal_seeds_give_equal_stories() {
        for strategy in [Strategy::None, Strategy::FullJitter, Strategy::ServerTicket] {
            let one = run(50, &strategy, 4);
            let again = run(50, &strategy, 4);
            assert_eq!(one.writers.count(), 50);
            assert_eq!((one.completed, one.writes), (again.completed, again.writes));
        }
    }

    #[test]
    fn a_writer_alone_writes_once() {
        let alone = run(1, &Strategy::None, 1);
        assert_eq!(alone.writes, 1);
        assert!(
            (30_000_000..50_000_000).contains(&alone.completed),
            "four hops"
        );
    }
}
