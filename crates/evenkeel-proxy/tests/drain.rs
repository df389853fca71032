//! Stopping under load: whoever was accepted is answered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says by panicking what it cannot go on without"
)]

mod support;

use std::io::{BufRead, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::child::Process;
use support::{Client, PATIENCE, Proxy, Upstream};

/// What one client saw over its life.
#[derive(Default)]
struct Seen {
    answered: usize,
    lost: Vec<String>,
}

/// Requests, one after the other, until the proxy is gone. With `keep_alive` a connection is used
/// until an answer says `Connection: close`.
fn load(address: SocketAddr, keep_alive: bool, answered: &AtomicUsize) -> Seen {
    let mut seen = Seen::default();
    let mut connection: Option<Client> = None;
    loop {
        let mut client = match connection.take() {
            Some(client) => client,
            None => match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => Client::from(stream),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return seen,
                Err(error) => {
                    seen.lost.push(format!("connect: {error}"));
                    return seen;
                }
            },
        };
        let close = if keep_alive {
            ""
        } else {
            "Connection: close\r\n"
        };
        let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n{close}\r\n", seen.answered);
        if let Err(error) = std::io::Write::write_all(client.stream.get_mut(), head.as_bytes()) {
            seen.lost.push(format!("write: {error}"));
            continue;
        }
        match support::read_head(&mut client.stream) {
            Ok(Some(mut answer)) => {
                if let Err(error) = support::read_body(&mut client.stream, &mut answer, true) {
                    seen.lost.push(format!("body: {error}"));
                    continue;
                }
                if answer.status() != 200 {
                    seen.lost.push(format!("{answer:?}"));
                    continue;
                }
                seen.answered += 1;
                answered.fetch_add(1, SeqCst);
                if keep_alive && answer.field("connection") != Some("close") {
                    connection = Some(client);
                }
            }
            Ok(None) => seen.lost.push("closed without an answer".to_owned()),
            Err(error) => seen.lost.push(format!("head: {error}")),
        }
    }
}

const ROUNDS: usize = 5;

/// A policy file that drains with and without all of its phases in a moment.
fn policy(upstream: &Upstream) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let text = format!(
        "version: 1
service: shop
dependencies:
  cart: {{ deadline: 20s, attempt_timeout: 15s, breaker: {{}} }}
proxy:
  listen: 127.0.0.1:0
  admin: none
  drain: {{ delay: 100ms, idle: 200ms }}
  upstreams:
    cart: {{ url: '{}' }}
  routes:
    - upstream: cart
",
        upstream.url()
    );
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    file
}

#[test]
fn a_signal_under_load_loses_no_request() {
    let (upstream, _requests) = Upstream::ok();
    let mut total = 0;
    for round in 0..ROUNDS {
        let file = policy(&upstream);
        let mut proxy = Process::start(&["--config", file.path().to_str().unwrap()]);
        let answered = AtomicUsize::new(0);
        let address = proxy.address;
        let seen: Vec<Seen> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|client| {
                    let answered = &answered;
                    scope.spawn(move || load(address, client % 2 == 0, answered))
                })
                .collect();
            let start = Instant::now();
            while answered.load(SeqCst) < 200 {
                assert!(start.elapsed() < PATIENCE, "no load");
                std::thread::yield_now();
            }
            proxy.signal(if round % 2 == 0 { "TERM" } else { "INT" });
            clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .collect()
        });
        let lost: Vec<&String> = seen.iter().flat_map(|seen| &seen.lost).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
        assert_eq!(proxy.wait().code(), Some(0), "round {round}");
        total += answered.load(SeqCst);
    }
    println!("{ROUNDS} rounds, {total} requests answered, none lost");
}

#[test]
fn a_drain_says_so_at_once_and_finishes_what_runs() {
    let (reached, arrivals) = channel();
    let reached = Mutex::new(reached);
    let go = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&go);
    let (upstream, _requests) = Upstream::recording(move |request| {
        if request.start_line.contains("/slow") {
            reached.lock().unwrap().send(()).unwrap();
            while !released.load(SeqCst) {
                std::thread::yield_now();
            }
        }
        support::OK.to_vec()
    });
    let mut proxy = Proxy::start(&upstream, |config| {
        config.drain.delay = Duration::from_millis(300);
    });
    let mut slow = Client::connect(proxy.address);
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut kept = Client::connect(proxy.address);
    assert_eq!(
        kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .response()
            .field("connection"),
        None
    );
    let mut idle = Client::connect(proxy.address);
    assert_eq!(
        idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .response()
            .status(),
        200
    );
    arrivals.recv_timeout(PATIENCE).unwrap();

    let ready = || support::get(proxy.admin, "/readyz").status();
    assert_eq!(ready(), 200);
    proxy.stop.drain();
    let start = Instant::now();
    while ready() != 503 {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(
        support::get(proxy.admin, "/livez").status(),
        200,
        "alive to the end"
    );
    // Still accepting, and every answer is its connection's last.
    let response = kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!(
        (response.status(), response.field("connection")),
        (200, Some("close"))
    );
    assert!(kept.is_closed());
    let mut fresh = Client::connect(proxy.address);
    let response = fresh.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!(
        (response.status(), response.field("connection")),
        (200, Some("close"))
    );
    assert!(idle.is_closed(), "an idle connection is let go in the end");
    while TcpStream::connect(proxy.address).is_ok() {
        assert!(start.elapsed() < PATIENCE, "the listener closes");
    }
    go.store(true, SeqCst);
    let response = slow.response();
    assert_eq!(
        (response.status(), response.field("connection")),
        (200, Some("close"))
    );
    assert_eq!(proxy.drained().cut, 0);
}

#[test]
fn what_outlives_the_drain_timeout_is_cut_and_counted() {
    let (reached, arrivals) = channel();
    let reached = Mutex::new(reached);
    let upstream = Upstream::start(move |stream| {
        support::read_head(stream).unwrap().unwrap();
        reached.lock().unwrap().send(()).unwrap();
        let _ = stream.fill_buf();
    });
    let mut proxy = Proxy::start(&upstream, |config| {
        config.drain.timeout = Duration::from_millis(100);
    });
    let mut slow = Client::connect(proxy.address);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    arrivals.recv_timeout(PATIENCE).unwrap();
    proxy.stop.drain();
    assert_eq!(proxy.drained().cut, 1);
    assert!(slow.is_closed());
}

#[test]
fn a_second_signal_does_not_wait() {
    let (reached, arrivals) = channel();
    let reached = Mutex::new(reached);
    let upstream = Upstream::start(move |stream| {
        while let Ok(Some(request)) = support::read_head(stream) {
            if request.start_line.contains("/slow") {
                reached.lock().unwrap().send(()).unwrap();
                let _ = stream.fill_buf();
                return;
            }
            std::io::Write::write_all(stream.get_mut(), support::OK).unwrap();
        }
    });
    let mut proxy = Process::start(&["--upstream", &upstream.url(), "--admin", "none"]);
    let mut slow = Client::connect(proxy.address);
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    arrivals.recv_timeout(PATIENCE).unwrap();
    proxy.signal("TERM");
    // The first has been taken when answers begin to say so.
    while support::get(proxy.address, "/x").field("connection") != Some("close") {}
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(143));
}

#[test]
fn a_signal_right_behind_the_announcement_drains() {
    let (upstream, _requests) = Upstream::ok();
    for name in ["INT", "TERM"].iter().cycle().take(20) {
        let file = policy(&upstream);
        let mut proxy = Process::start(&["--config", file.path().to_str().unwrap()]);
        proxy.signal(name);
        assert_eq!(proxy.wait().code(), Some(0), "{name}");
    }
}

#[test]
fn what_the_policy_file_warns_of_is_said_before_anything_is_served() {
    let (upstream, _requests) = Upstream::ok();
    let file = policy(&upstream);
    let text = std::fs::read_to_string(file.path()).unwrap();
    let odd = text.replace("idle: 200ms", "idle: 200ms, timeout: 1s");
    std::fs::write(file.path(), odd).unwrap();
    let proxy = Process::start(&["--config", file.path().to_str().unwrap()]);
    assert!(
        proxy.before.contains("warning: the drain cuts requests")
            && proxy.before.contains("1s < 20s"),
        "{}",
        proxy.before
    );
}

#[test]
fn a_port_in_use_is_named_and_exits_3() {
    let (upstream, _requests) = Upstream::ok();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel-proxy"))
        .args([
            "--upstream",
            &upstream.url(),
            "--listen",
            &address,
            "--admin",
            "none",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains(&address) && message.contains("in use"),
        "{message}"
    );
}

#[test]
fn a_url_that_is_none_exits_2_with_the_way_out() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel-proxy"))
        .args(["--upstream", "127.0.0.1:80"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("help: --upstream http://")
    );
}

#[test]
fn a_policy_file_with_errors_exits_2_naming_them_and_starts_nothing() {
    let (upstream, _requests) = Upstream::ok();
    let file = policy(&upstream);
    let text = std::fs::read_to_string(file.path()).unwrap();
    std::fs::write(
        file.path(),
        text.replace("upstream: cart", "upstream: card"),
    )
    .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel-proxy"))
        .args(["--config", file.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("card") && message.contains("did you mean"),
        "{message}"
    );
    assert!(!message.contains("listening"), "{message}");
}
