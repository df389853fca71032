//! What a map that many threads share costs: papaya, scc, dashmap, and a mutex or two around a plain one.
//!
//! ```sh
//! cargo run --release -p evenkeel-benches --example maps
//! ```

#![expect(
    clippy::print_stdout,
    reason = "it is a program, and this is its answer"
)]

use std::hash::BuildHasher;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use hashbrown::DefaultHashBuilder;
use parking_lot::{Mutex, RwLock};

/// As many as fit a service's sessions, and not a core's cache.
const KEYS: u64 = 100_000;
/// Of each map and mix; they take turns, so that what else the machine does hits all. The median counts.
const ROUNDS: usize = 7;
/// Long enough that starting the threads does not count.
const OPERATIONS: u64 = 400_000;
const THREADS: [u64; 3] = [1, 2, 4];
/// Of a hundred operations, so many are reads; the others insert and remove by turns.
const READS: [u64; 3] = [100, 95, 50];

trait Contender: Sync {
    fn read(&self, key: u64) -> Option<u64>;
    fn insert(&self, key: u64, value: u64);
    fn remove(&self, key: u64);
}

struct Papaya(papaya::HashMap<u64, u64, DefaultHashBuilder>);

impl Contender for Papaya {
    fn read(&self, key: u64) -> Option<u64> {
        self.0.pin().get(&key).copied()
    }
    fn insert(&self, key: u64, value: u64) {
        self.0.pin().insert(key, value);
    }
    fn remove(&self, key: u64) {
        self.0.pin().remove(&key);
    }
}

struct Scc(scc::HashMap<u64, u64, DefaultHashBuilder>);

impl Contender for Scc {
    fn read(&self, key: u64) -> Option<u64> {
        self.0.read_sync(&key, |_, value| *value)
    }
    fn insert(&self, key: u64, value: u64) {
        self.0.upsert_sync(key, value);
    }
    fn remove(&self, key: u64) {
        self.0.remove_sync(&key);
    }
}

struct Dash(dashmap::DashMap<u64, u64, DefaultHashBuilder>);

impl Contender for Dash {
    fn read(&self, key: u64) -> Option<u64> {
        self.0.get(&key).map(|value| *value)
    }
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }
    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }
}

type Plain = hashbrown::HashMap<u64, u64, DefaultHashBuilder>;

/// 64 mutexes, by hash.
struct Sharded(Vec<Mutex<Plain>>, DefaultHashBuilder);

impl Sharded {
    fn shard(&self, key: u64) -> &Mutex<Plain> {
        let hash = self.1.hash_one(key) >> 32;
        &self.0[usize::try_from(hash).unwrap_or_default() % self.0.len()]
    }
}

impl Contender for Sharded {
    fn read(&self, key: u64) -> Option<u64> {
        self.shard(key).lock().get(&key).copied()
    }
    fn insert(&self, key: u64, value: u64) {
        self.shard(key).lock().insert(key, value);
    }
    fn remove(&self, key: u64) {
        self.shard(key).lock().remove(&key);
    }
}

struct OneLock(RwLock<Plain>);

impl Contender for OneLock {
    fn read(&self, key: u64) -> Option<u64> {
        self.0.read().get(&key).copied()
    }
    fn insert(&self, key: u64, value: u64) {
        self.0.write().insert(key, value);
    }
    fn remove(&self, key: u64) {
        self.0.write().remove(&key);
    }
}

fn contenders() -> Vec<(&'static str, Box<dyn Contender>)> {
    let hasher = DefaultHashBuilder::default;
    let shards = (0..64).map(|_| Mutex::new(Plain::with_hasher(hasher())));
    vec![
        (
            "papaya 0.2",
            Box::new(Papaya(papaya::HashMap::with_hasher(hasher()))),
        ),
        (
            "scc 3.8",
            Box::new(Scc(scc::HashMap::with_hasher(hasher()))),
        ),
        (
            "dashmap 6.1",
            Box::new(Dash(dashmap::DashMap::with_hasher(hasher()))),
        ),
        ("64 mutexes", Box::new(Sharded(shards.collect(), hasher()))),
        (
            "one RwLock",
            Box::new(OneLock(RwLock::new(Plain::with_hasher(hasher())))),
        ),
    ]
}

/// A step of xorshift: cheap beside any map.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The time of one operation, as each thread has it.
fn round(map: &dyn Contender, threads: u64, reads: u64) -> Duration {
    let barrier = Barrier::new(usize::try_from(threads).unwrap_or(1));
    let took = std::thread::scope(|scope| {
        let runners: Vec<_> = (0..threads)
            .map(|number| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut dice = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number + 1);
                    barrier.wait();
                    let began = Instant::now();
                    for _ in 0..OPERATIONS {
                        let drawn = next(&mut dice);
                        let key = drawn % KEYS;
                        let kind = (drawn >> 32) % 200;
                        if kind < 2 * reads {
                            std::hint::black_box(map.read(key));
                        } else if kind.is_multiple_of(2) {
                            map.insert(key, drawn);
                        } else {
                            map.remove(key);
                        }
                    }
                    began.elapsed()
                })
            })
            .collect();
        let took = runners
            .into_iter()
            .map(|runner| runner.join().unwrap_or_default());
        took.max().unwrap_or_default()
    });
    took / u32::try_from(OPERATIONS).unwrap_or(u32::MAX)
}

fn main() {
    let maps = contenders();
    for (_, map) in &maps {
        (0..KEYS).for_each(|key| map.insert(key, key));
    }
    println!(
        "| reads | threads | {} |",
        maps.iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(" | ")
    );
    println!("|---|---|{}", "---|".repeat(maps.len()));
    for reads in READS {
        for threads in THREADS {
            let mut times = vec![Vec::new(); maps.len()];
            for _ in 0..ROUNDS {
                for (times, (_, map)) in times.iter_mut().zip(&maps) {
                    times.push(round(&**map, threads, reads));
                }
            }
            let medians = times.iter_mut().map(|times| {
                times.sort();
                format!("{} ns", times[ROUNDS / 2].as_nanos())
            });
            println!(
                "| {reads} % | {threads} | {} |",
                medians.collect::<Vec<_>>().join(" | ")
            );
        }
    }
}
