//! Small Rust services that each fail in one way, and two that are well.
//!
//! `sick SHAPE ADDRESS` serves metrics of its tokio runtime and of its work at `/metrics`, nothing else:
//! the doctor sees what it would see of any Rust service.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "an example program, run by a person or by a test"
)]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};

const WORKERS: usize = 2;

/// What the service tried and what succeeded.
#[derive(Debug, Default)]
struct Work {
    attempts: AtomicU64,
    success: AtomicU64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let start: fn(&Arc<Work>) = match arguments.get(1).map(String::as_str) {
        Some("executor") => executor,
        Some("inbox") => inbox,
        Some("quote") => quote,
        Some("stock") => stock,
        Some("price") => price,
        Some("workers") => workers,
        Some("encode") => encode,
        _ => {
            eprintln!("usage: sick executor|inbox|quote|stock|price|workers|encode ADDRESS");
            std::process::exit(2);
        }
    };
    let address = arguments.get(2).map_or("127.0.0.1:0", String::as_str);
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime");
    let work = Arc::new(Work::default());
    let handle = runtime.handle().clone();
    let guard = runtime.enter();
    start(&work);
    drop(guard);
    serve(address, &handle, &work);
}

/// A thread blocks tokio's workers: sleeping there is what a blocking driver does.
fn executor(work: &Arc<Work>) {
    let work = Arc::clone(work);
    tokio::spawn(async move {
        loop {
            // One in ten only, so that the producer itself gets a turn now and then.
            for _ in 0..12 {
                let work = Arc::clone(&work);
                work.attempts.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    std::thread::sleep(Duration::from_millis(60));
                    work.success.fetch_add(1, Relaxed);
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// A task per message waits for an answer whose sender is kept for ever.
fn inbox(work: &Arc<Work>) {
    let work = Arc::clone(work);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (sender, answer) = tokio::sync::oneshot::channel::<()>();
            kept.push(sender);
            work.attempts.fetch_add(1, Relaxed);
            let work = Arc::clone(&work);
            tokio::spawn(async move {
                if answer.await.is_ok() {
                    work.success.fetch_add(1, Relaxed);
                }
            });
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
}

/// A call per tick to a peer that accepts and stays silent; nobody set a timeout.
fn quote(work: &Arc<Work>) {
    let work = Arc::clone(work);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    std::thread::spawn(move || {
        let _held: Vec<_> = silent.incoming().collect();
    });
    tokio::spawn(async move {
        loop {
            work.attempts.fetch_add(1, Relaxed);
            let work = Arc::clone(&work);
            tokio::spawn(async move {
                let stream = tokio::net::TcpStream::connect(address)
                    .await
                    .expect("a connection");
                if stream.readable().await.is_ok() {
                    work.success.fetch_add(1, Relaxed);
                }
            });
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
}

/// Many threads recompute the stock and swap it in, while it changes under them all the time.
fn stock(work: &Arc<Work>) {
    let level = Arc::new(AtomicU64::new(0));
    let bumped = Arc::clone(&level);
    std::thread::spawn(move || {
        loop {
            bumped.fetch_add(1, Relaxed);
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    for id in 0..4 {
        let (level, work) = (Arc::clone(&level), Arc::clone(work));
        named(&format!("stock-{id}"), move || {
            loop {
                let seen = level.load(Relaxed);
                work.attempts.fetch_add(1, Relaxed);
                let next = recompute(seen, Duration::from_millis(2));
                if level.compare_exchange(seen, next, Relaxed, Relaxed).is_ok() {
                    work.success.fetch_add(1, Relaxed);
                }
            }
        });
    }
}

/// Many threads need one lock, held for the time of the computation.
fn price(work: &Arc<Work>) {
    let table = Arc::new(Mutex::new(0_u64));
    for id in 0..24 {
        let (table, work) = (Arc::clone(&table), Arc::clone(work));
        named(&format!("price-{id}"), move || {
            loop {
                work.attempts.fetch_add(1, Relaxed);
                let mut row = table.lock().unwrap();
                *row = recompute(*row, Duration::from_millis(2));
                drop(row);
                work.success.fetch_add(1, Relaxed);
            }
        });
    }
}

/// Tasks that wait for work on a shared receiver, and get some.
fn workers(work: &Arc<Work>) {
    let (sender, receiver) = tokio::sync::mpsc::channel::<()>(8);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    for _ in 0..200 {
        let (receiver, work) = (Arc::clone(&receiver), Arc::clone(work));
        tokio::spawn(async move {
            loop {
                let job = receiver.lock().await.recv().await;
                if job.is_none() {
                    return;
                }
                work.attempts.fetch_add(1, Relaxed);
                work.success.fetch_add(1, Relaxed);
            }
        });
    }
    tokio::spawn(async move {
        while sender.send(()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Threads that compute, each for itself.
fn encode(work: &Arc<Work>) {
    for id in 0..4 {
        let work = Arc::clone(work);
        named(&format!("encode-{id}"), move || {
            let mut block = 0;
            loop {
                work.attempts.fetch_add(1, Relaxed);
                block = recompute(block, Duration::from_millis(2));
                work.success.fetch_add(1, Relaxed);
            }
        });
    }
}

fn named(name: &str, body: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("a thread");
}

/// Computes for `time`.
fn recompute(seed: u64, time: Duration) -> u64 {
    let begun = Instant::now();
    let mut value = seed;
    while begun.elapsed() < time {
        value = std::hint::black_box(value.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (value >> 7));
    }
    value
}

/// Answers every request with the metrics.
fn serve(address: &str, handle: &Handle, work: &Work) {
    let listener = TcpListener::bind(address).expect("a free address");
    println!("{}", listener.local_addr().expect("an address"));
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        let mut request = [0; 4096];
        let got = stream.read(&mut request).unwrap_or(0);
        let metrics = request[..got].starts_with(b"GET /metrics ");
        let (status, body) = if metrics {
            ("200 OK", metrics_text(handle, work))
        } else {
            ("404 Not Found", String::new())
        };
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
}

fn metrics_text(handle: &Handle, work: &Work) -> String {
    let runtime = handle.metrics();
    let mut text = String::new();
    let _ = writeln!(text, "tokio_num_workers {}", runtime.num_workers());
    let _ = writeln!(text, "tokio_alive_tasks {}", runtime.num_alive_tasks());
    let _ = writeln!(
        text,
        "tokio_global_queue_depth {}",
        runtime.global_queue_depth()
    );
    for worker in 0..runtime.num_workers() {
        let busy = runtime.worker_total_busy_duration(worker).as_secs_f64();
        let parks = runtime.worker_park_count(worker);
        let _ = writeln!(
            text,
            "tokio_worker_busy_seconds_total{{worker=\"{worker}\"}} {busy}"
        );
        let _ = writeln!(
            text,
            "tokio_worker_park_count_total{{worker=\"{worker}\"}} {parks}"
        );
    }
    let _ = writeln!(text, "ops_attempts_total {}", work.attempts.load(Relaxed));
    let _ = writeln!(text, "ops_success_total {}", work.success.load(Relaxed));
    text
}
