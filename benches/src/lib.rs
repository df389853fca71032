//! Measuring one thing beside another on a machine that is never quiet.
//!
//! A figure in nanoseconds says as much about the machine, its neighbours and its temperature as about the
//! code. What carries over is a **ratio** to something known, taken in the same breath: every round runs
//! each contender once, in an order that turns from round to round, and the ratio is taken *within* the
//! round. The median of these ratios is the result; a round that a neighbour disturbed spoils one ratio of
//! many rather than the sum.

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Rounds that a race is run, unless told otherwise. At least ten, so that the median means something.
pub const ROUNDS: usize = 21;

/// How long one contender runs within one round.
const TURN: Duration = Duration::from_millis(6);

/// Something that does `n` operations of its kind.
pub type Worker = Box<dyn FnMut(u64) + Send>;

/// One way to do what a race is about.
pub struct Contender {
    /// Whose way it is, as it stands in the table.
    pub name: &'static str,
    /// One worker for each thread; threads run at the same time.
    workers: Vec<Worker>,
}

impl Contender {
    /// A contender on one thread.
    pub fn alone(name: &'static str, work: impl FnMut(u64) + Send + 'static) -> Self {
        Self {
            name,
            workers: vec![Box::new(work)],
        }
    }

    /// A contender on as many threads as `workers`, which share what they were made with.
    pub fn together(name: &'static str, workers: impl IntoIterator<Item = Worker>) -> Self {
        Self {
            name,
            workers: workers.into_iter().collect(),
        }
    }

    /// Nanoseconds for one operation, each thread doing `n` of them.
    pub fn nanos_per_operation(&mut self, n: u64) -> f64 {
        let took = match self.workers.as_mut_slice() {
            [worker] => timed(|| worker(n)),
            workers => together(workers, n),
        };
        took.as_secs_f64() * 1e9 / n.max(1) as f64
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// How long `workers` take for `n` operations each, from the moment at which all are ready.
fn together(workers: &mut [Worker], n: u64) -> Duration {
    let start = Barrier::new(workers.len() + 1);
    std::thread::scope(|scope| {
        let running: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    worker(n);
                })
            })
            .collect();
        start.wait();
        timed(|| {
            for thread in running {
                // A worker that panics has said so already.
                drop(thread.join());
            }
        })
    })
}

/// What a contender may cost, as a multiple of another one.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// The other one's name.
    pub against: &'static str,
    /// The greatest ratio that meets the bar.
    pub at_most: f64,
}

/// Contenders for one path; the first is ours.
pub struct Race {
    /// What is done, as it stands in the table.
    pub path: &'static str,
    /// What ours has to keep.
    pub bars: Vec<Bar>,
    /// Ours first.
    pub contenders: Vec<Contender>,
}

/// What a race showed of one contender.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Whose.
    pub name: &'static str,
    /// Median of the rounds, in nanoseconds for one operation.
    pub nanos: f64,
    /// Median of what ours cost, as a multiple of it, within one round.
    pub ratio: f64,
    /// The quarters of these ratios.
    pub spread: (f64, f64),
}

impl Race {
    /// Runs `rounds` rounds.
    pub fn run(&mut self, rounds: usize) -> Vec<Figure> {
        let turns: Vec<u64> = self
            .contenders
            .iter_mut()
            .map(operations_in_a_turn)
            .collect();
        let count = self.contenders.len();
        let mut nanos = vec![Vec::with_capacity(rounds); count];
        for round in 0..rounds {
            for place in 0..count {
                let who = (place + round) % count;
                let took = self.contenders[who].nanos_per_operation(turns[who]);
                nanos[who].push(took);
            }
        }
        let ours = nanos[0].clone();
        self.contenders
            .iter()
            .zip(nanos)
            .map(|(contender, theirs)| {
                let mut ratios: Vec<_> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
                ratios.sort_by(f64::total_cmp);
                Figure {
                    name: contender.name,
                    ratio: at(&ratios, Quarter::Middle),
                    spread: (at(&ratios, Quarter::First), at(&ratios, Quarter::Third)),
                    nanos: median(theirs),
                }
            })
            .collect()
    }
}

/// As many operations as roughly fill a turn; finding out is the warm-up.
fn operations_in_a_turn(contender: &mut Contender) -> u64 {
    let mut n = 64;
    while n < 1 << 24 && contender.nanos_per_operation(n) * (n as f64) < TURN.as_secs_f64() * 5e8 {
        n *= 2;
    }
    n
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    at(&values, Quarter::Middle)
}

#[derive(Debug, Clone, Copy)]
enum Quarter {
    First,
    Middle,
    Third,
}

fn at(sorted: &[f64], quarter: Quarter) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = match quarter {
        Quarter::First => last / 4,
        Quarter::Middle => last / 2,
        Quarter::Third => last - last / 4,
    };
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_taken_within_the_round_and_its_median_counts() {
        let twice_the_work = |turns: u64| {
            move |n: u64| {
                for i in 0..n * turns {
                    std::hint::black_box(i);
                }
            }
        };
        let mut race = Race {
            path: "counting",
            bars: Vec::new(),
            contenders: vec![
                Contender::alone("ours", twice_the_work(64)),
                Contender::alone("theirs", twice_the_work(16)),
            ],
        };
        let figures = race.run(5);
        assert!((figures[0].ratio - 1.0).abs() < 1e-9, "of itself");
        assert!(figures[1].ratio > 1.0, "{figures:?}");
    }

    #[test]
    fn quarters_of_five_are_the_second_and_the_fourth() {
        let five = [1.0, 2.0, 3.0, 4.0, 5.0];
        let quarters = [Quarter::First, Quarter::Middle, Quarter::Third];
        assert_eq!(quarters.map(|quarter| at(&five, quarter)), [2.0, 3.0, 4.0]);
        assert!(at(&[], Quarter::Middle).is_nan());
    }
}
