//! Measures what one request costs the proxy in processor time, against nginx doing the same work
//! in the same run.
//!
//! ```text
//! cargo build --release -p evenkeel-proxy
//! cargo run --release -p evenkeel-proxy --example proxy_cpu [ROUNDS [SECONDS]]
//! ```
//!
//! Needs `nginx` and `wrk`. Both proxies stand in front of the same upstream (an nginx that answers
//! from memory), with kept-alive connections on both sides, no access log, and as many workers as
//! there are cores. `wrk` loads them in turns; what is read is the user and system time of the
//! proxy's processes from `/proc`, divided by the requests that were answered. Time per request is
//! the processor's, not the clock's: how fast the load generator is does not matter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a measuring script: it prints, and stops at the first thing that is missing"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const CONNECTIONS: u32 = 32;

/// Clock ticks per second in `/proc/PID/stat`: fixed by the kernel's interface.
const TICKS: f64 = 100.0;

struct Running {
    name: &'static str,
    child: Child,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Seconds of processor time so far, of the process and its children.
    fn cpu(&self) -> f64 {
        processes(self.child.id())
            .iter()
            .map(|pid| ticks(*pid))
            .sum::<f64>()
            / TICKS
    }
}

/// A process and its direct children.
fn processes(parent: u32) -> Vec<u32> {
    let mut all = vec![parent];
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        if stat(pid).is_some_and(|fields| fields[1] == parent.to_string()) {
            all.push(pid);
        }
    }
    all
}

/// The fields of `/proc/PID/stat` after the name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = text.rsplit_once(')')?;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

fn ticks(pid: u32) -> f64 {
    let fields = stat(pid).unwrap_or_default();
    [11, 12]
        .iter()
        .filter_map(|at| fields.get(*at)?.parse::<f64>().ok())
        .sum()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn nginx(name: &'static str, folder: &Path, workers: usize, server: &str) -> Running {
    let port = free_port();
    let file = folder.join(format!("{name}.conf"));
    let text = format!(
        "daemon off; worker_processes {workers}; pid {folder}/{name}.pid; error_log stderr crit;
         events {{ worker_connections 1024; }}
         http {{
           access_log off; keepalive_requests 1000000000; keepalive_timeout 75s; tcp_nodelay on;
           client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
           uwsgi_temp_path {folder}; scgi_temp_path {folder};
           {server}
         }}",
        folder = folder.display(),
        server = server.replace("PORT", &port.to_string()),
    );
    std::fs::write(&file, text).unwrap();
    let child = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(folder)
        .spawn();
    let child = child.expect("nginx is installed");
    let running = Running {
        name,
        child,
        url: format!("http://127.0.0.1:{port}"),
    };
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    running
}

fn evenkeel(name: &'static str, upstream: &str, threads: usize) -> Running {
    let binary: PathBuf = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .join("../evenkeel-proxy");
    let mut child = Command::new(&binary)
        .args([
            "--upstream",
            upstream,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ])
        .args(["--threads", &threads.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            println!(
                "{}: {error}; build it first: cargo build --release -p evenkeel-proxy",
                binary.display()
            );
            std::process::exit(3);
        });
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    Running {
        name,
        child,
        url: url.trim_end_matches(',').to_owned(),
    }
}

/// Loads one proxy; answers its microseconds of processor time per request, and requests a second.
fn measure(running: &Running, path: &str, seconds: u32) -> (f64, f64) {
    let before = running.cpu();
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")])
        .arg(format!("{}{path}", running.url))
        .output()
        .expect("wrk is installed");
    let used = running.cpu() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{text}"
    );
    let requests: f64 = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .unwrap_or_else(|| panic!("no count in {text}"));
    (used * 1e6 / requests, requests / f64::from(seconds))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok());
    let rounds: usize = arguments.next().unwrap_or(5);
    let seconds = arguments
        .next()
        .map_or(3, |seconds| u32::try_from(seconds).unwrap());
    let folder = std::env::temp_dir().join(format!("proxy-cpu-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let kilobyte = "x".repeat(1024);
    let upstream = nginx(
        "upstream",
        &folder,
        1,
        &format!(
            "server {{ listen 127.0.0.1:PORT; default_type text/plain;
               location /small {{ return 200 'ok'; }} location /kilobyte {{ return 200 '{kilobyte}'; }} }}"
        ),
    );
    let authority = upstream.url.trim_start_matches("http://");
    let peer = nginx(
        "nginx",
        &folder,
        cores,
        &format!(
            "upstream behind {{ server {authority}; keepalive 128; keepalive_requests 1000000000; }}
             server {{ listen 127.0.0.1:PORT; location / {{
               proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection '';
               proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
               proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host; }} }}"
        ),
    );
    let ours = [
        evenkeel("evenkeel, one thread a core", &upstream.url, cores),
        evenkeel("evenkeel, one thread", &upstream.url, 1),
    ];
    let mut out = std::io::stdout();
    for path in ["/small", "/kilobyte"] {
        let subjects: Vec<&Running> = std::iter::once(&peer).chain(&ours).collect();
        let mut costs = vec![Vec::new(); subjects.len()];
        let mut rates = vec![Vec::new(); subjects.len()];
        for round in 0..rounds {
            for (at, subject) in subjects.iter().enumerate() {
                let (cost, rate) = measure(subject, path, seconds);
                costs[at].push(cost);
                rates[at].push(rate);
            }
            eprint_progress(path, round, rounds);
        }
        let costs: Vec<f64> = costs.iter_mut().map(|all| median(all)).collect();
        for (at, subject) in subjects.iter().enumerate() {
            writeln!(
                out,
                "{path:10} {:28} {:7.1} us of CPU a request  {:8.0} requests/s  {:5.2} x nginx",
                subject.name,
                costs[at],
                median(&mut rates[at]),
                costs[at] / costs[0],
            )
            .unwrap();
        }
    }
    drop((ours, peer, upstream));
    let _ = std::fs::remove_dir_all(&folder);
}

fn eprint_progress(path: &str, round: usize, rounds: usize) {
    let _ = writeln!(std::io::stderr(), "{path}: round {} of {rounds}", round + 1);
}
