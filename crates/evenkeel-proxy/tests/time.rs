//! Nothing lasts for ever: heads, idle connections, answers, readers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says by panicking what it cannot go on without"
)]

mod support;

use evenkeel::core::breaker;
use evenkeel_proxy::config::Fallback;
use http::{HeaderValue, StatusCode};
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use support::{Client, PATIENCE, Proxy, Upstream, read_head};

const SHORT: Duration = Duration::from_millis(200);

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";

#[test]
fn no_answer_within_the_deadline_is_a_504_that_says_whose_it_is() {
    let upstream = Upstream::start(|stream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let proxy = Proxy::start(&upstream, |config| config.routes[0].deadline = SHORT);
    let start = Instant::now();
    let response = support::get(proxy.address, "/");
    assert_eq!(response.status(), 504);
    assert_eq!(
        response.field("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        response.field("x-evenkeel-reason"),
        Some("deadline_exceeded")
    );
    assert!(start.elapsed() >= SHORT && start.elapsed() < PATIENCE);
    assert!((proxy.fate("deadline_exceeded") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_caller_can_shorten_the_deadline_and_not_lengthen_it() {
    let (upstream, requests) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |config| {
        config.routes[0].fallbacks = vec![Fallback::fixed(
            StatusCode::OK,
            HeaderValue::from_static("text/plain"),
            "",
        )];
        config.routes[0].deadline = Duration::from_secs(9);
    });
    let ask = |field: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\nConnection: close\r\n\r\n");
        support::once(proxy.address, head).status()
    };
    let left = || -> u64 {
        let request = requests.recv_timeout(PATIENCE).unwrap();
        request
            .field("x-request-timeout-ms")
            .unwrap()
            .parse()
            .unwrap()
    };
    assert_eq!(ask("x-request-timeout-ms: 5000"), 200);
    assert!((4000..5000).contains(&left()));
    assert_eq!(ask("grpc-timeout: 3S"), 200);
    assert!((2000..3000).contains(&left()));
    assert_eq!(ask("x-envoy-expected-rq-timeout-ms: 2000"), 200);
    assert!((1000..2000).contains(&left()));
    assert_eq!(ask("x-request-timeout-ms: 60000"), 200);
    assert!((8000..9000).contains(&left()));
    assert_eq!(ask("x-request-timeout-ms: soon"), 200);
    assert!((8000..9000).contains(&left()));
    let malformed = proxy.metric("evenkeel_malformed_deadlines_total{service=\"proxy\"}");
    assert!((malformed - 1.0).abs() < f64::EPSILON);
    for over in ["0", "-5"] {
        assert_eq!(
            ask(&format!("x-request-timeout-ms: {over}")),
            504,
            "and no substitute"
        );
    }
    assert!(
        requests.recv_timeout(Duration::ZERO).is_err(),
        "nobody was called"
    );
}

/// An upstream that sends half a body and then waits until it is let go.
fn half_a_body() -> (Upstream, std::sync::mpsc::Receiver<()>) {
    let (closed, closes) = channel();
    let closed = Mutex::new(closed);
    let upstream = Upstream::start(move |stream| {
        let Ok(Some(_)) = read_head(stream) else {
            return;
        };
        stream.get_mut().write_all(HALF).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        let _ = closed.lock().unwrap().send(());
    });
    (upstream, closes)
}

#[test]
fn the_deadline_covers_the_body() {
    let (upstream, closes) = half_a_body();
    let proxy = Proxy::start(&upstream, |config| config.routes[0].deadline = SHORT);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    let mut rest = Vec::new();
    assert!(
        client.stream.read_to_end(&mut rest).is_err(),
        "cut, visibly"
    );
    assert_eq!(rest, b"half");
    closes.recv_timeout(PATIENCE).unwrap();
    proxy.metric_becomes(&support::fate_series("deadline_exceeded"), 1.0);
}

#[test]
fn an_upload_that_stalls_ends_at_the_deadline() {
    let (closed, closes) = channel();
    let closed = Mutex::new(closed);
    let upstream = Upstream::start(move |stream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        let _ = closed.lock().unwrap().send(rest.ends_with(b"half"));
    });
    let proxy = Proxy::start(&upstream, |config| {
        config.routes[0].deadline = SHORT;
    });
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
    let response = client.response();
    assert_eq!(response.status(), 408, "{response:?}");
    assert_eq!(response.field("x-evenkeel-reason"), Some("body_timeout"));
    assert_eq!(response.field("connection"), Some("close"));
    assert!(
        client.is_closed(),
        "the rest of the body would be taken for a request"
    );
    assert!(closes.recv_timeout(PATIENCE).unwrap());
    proxy.metric_becomes(&support::fate_series("cancelled_by_client"), 1.0);
}

/// An upstream that answers each request once it has all of it.
fn reads_first() -> Upstream {
    Upstream::start(|stream| {
        while let Ok(Some(mut request)) = read_head(stream) {
            if support::read_body(stream, &mut request, false).is_err()
                || stream.get_mut().write_all(support::OK).is_err()
            {
                return;
            }
        }
    })
}

#[test]
fn clients_that_owe_their_bodies_do_not_open_the_breaker_of_a_healthy_upstream() {
    let upstream = reads_first();
    let proxy = Proxy::start(&upstream, |config| {
        let policy = &mut config.upstreams[0].policy;
        policy.attempt_timeout = Some(SHORT);
        let mut breaker = breaker::Config::default();
        breaker.consecutive = Some(3);
        policy.breaker = Some(breaker);
    });
    let mut stalled: Vec<Client> = ["Content-Length: 1000", "Transfer-Encoding: chunked"]
        .iter()
        .cycle()
        .take(10)
        .map(|framing| {
            let mut client = Client::connect(proxy.address);
            // PUT: what is safe to try again must not be tried again either.
            client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
            client
        })
        .collect();
    for client in &mut stalled {
        assert_eq!(client.response().status(), 408);
    }
    assert_eq!(
        support::get(proxy.address, "/").status(),
        200,
        "not refused"
    );
    assert!((proxy.fate("cancelled_by_client") - 10.0).abs() < f64::EPSILON);
    let series = |kind: &str| {
        proxy.metric(&format!(
            "dependency_errors_total{{service=\"proxy\",dependency=\"upstream\",kind=\"{kind}\"}}"
        ))
    };
    assert!(series("timeout").abs() < f64::EPSILON, "nobody's timeout");
}

#[test]
fn an_upstream_that_is_late_with_all_of_the_body_is_still_to_blame() {
    let upstream = Upstream::start(|stream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let proxy = Proxy::start(&upstream, |config| {
        let policy = &mut config.upstreams[0].policy;
        policy.attempt_timeout = Some(SHORT);
        let mut breaker = breaker::Config::default();
        breaker.consecutive = Some(2);
        policy.breaker = Some(breaker);
    });
    let ask = || {
        let mut client = Client::connect(proxy.address);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        client.response().status()
    };
    assert_eq!([ask(), ask(), ask()], [504, 504, 503]);
}

#[test]
fn an_answer_that_waits_for_the_rest_of_its_question_is_not_held_against_the_upstream() {
    let upstream = Upstream::start(|stream| {
        let Ok(Some(head)) = read_head(stream) else {
            return;
        };
        let whole = head.field("content-length").is_none();
        let answer = if whole { support::OK } else { HALF };
        stream.get_mut().write_all(answer).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let proxy = Proxy::start(&upstream, |config| {
        config.routes[0].deadline = SHORT;
        let mut breaker = breaker::Config::default();
        breaker.consecutive = Some(2);
        config.upstreams[0].policy.breaker = Some(breaker);
    });
    for _ in 0..4 {
        let mut client = Client::connect(proxy.address);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
        assert_eq!(client.head().status(), 200);
        let mut rest = Vec::new();
        assert!(client.stream.read_to_end(&mut rest).is_err(), "cut");
    }
    assert_eq!(support::get(proxy.address, "/").status(), 200);
    proxy.metric_becomes(&support::fate_series("cancelled_by_client"), 4.0);
}

#[test]
fn a_body_without_a_deadline_ends_when_nothing_moves() {
    let (upstream, closes) = half_a_body();
    let proxy = Proxy::start(&upstream, |config| {
        config.routes[0].deadline = Duration::from_millis(50);
        config.routes[0].deadline_covers_body = false;
        config.bounds.stall_timeout = SHORT;
    });
    let mut client = Client::connect(proxy.address);
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    let mut rest = Vec::new();
    assert!(client.stream.read_to_end(&mut rest).is_err());
    assert!(start.elapsed() >= SHORT, "outlived its deadline of 50 ms");
    closes.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_client_that_does_not_read_is_cut_at_the_deadline() {
    let (closed, closes) = channel();
    let closed = Mutex::new(closed);
    let upstream = Upstream::start(move |stream| {
        let Ok(Some(_)) = read_head(stream) else {
            return;
        };
        let stream = stream.get_mut();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            .unwrap();
        let block = vec![b'x'; 1 << 20];
        while stream.write_all(&block).is_ok() {}
        let _ = closed.lock().unwrap().send(());
    });
    let proxy = Proxy::start(&upstream, |config| {
        config.routes[0].deadline = Duration::from_millis(500);
    });
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    closes
        .recv_timeout(Duration::from_secs(10))
        .expect("the upstream is let go while nobody reads");
    drop(client);
}

#[test]
fn a_head_sent_byte_by_byte_is_given_up_and_an_idle_connection_is_closed() {
    let (upstream, _requests) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |config| {
        config.bounds.head_timeout = SHORT;
        config.bounds.idle_timeout = Duration::from_millis(400);
    });
    let mut slow = Client::connect(proxy.address);
    let start = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: "
        .iter()
        .chain(std::iter::repeat(&b'x'))
    {
        if slow.stream.get_mut().write_all(&[*byte]).is_err() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "still reading");
        std::thread::yield_now();
    }
    assert!(start.elapsed() >= SHORT);

    let mut idle = Client::connect(proxy.address);
    assert_eq!(
        idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .response()
            .status(),
        200
    );
    let start = Instant::now();
    assert!(idle.is_closed());
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn more_connections_than_allowed_wait_outside() {
    let (upstream, _requests) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |config| config.bounds.max_connections = 1);
    let mut first = Client::connect(proxy.address);
    assert_eq!(
        first
            .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .response()
            .status(),
        200
    );
    let mut second = Client::connect(proxy.address);
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    second
        .stream
        .get_ref()
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut byte = [0];
    assert!(
        second.stream.read(&mut byte).is_err(),
        "not served while the first is there"
    );
    second
        .stream
        .get_ref()
        .set_read_timeout(Some(PATIENCE))
        .unwrap();
    drop(first);
    assert_eq!(second.response().status(), 200);
}

#[test]
fn half_a_head_behind_a_request_has_no_longer_than_a_whole_one() {
    let (upstream, _requests) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |config| config.bounds.head_timeout = SHORT);
    let mut client = Client::connect(proxy.address);
    let response = client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /")
        .response();
    assert_eq!(response.status(), 200);
    assert!(client.is_closed(), "long before an idle connection is");
}

#[test]
fn a_connection_that_idles_for_longer_than_a_head_may_take_is_used_again() {
    let (upstream, _requests) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |config| config.bounds.head_timeout = SHORT);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        let response = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
        assert_eq!(response.status(), 200);
        assert_nothing_comes(&mut client, SHORT * 3);
    }
}

/// Neither a byte nor a close.
fn assert_nothing_comes(client: &mut Client, within: Duration) {
    let tcp = client.stream.get_ref();
    tcp.set_read_timeout(Some(within)).unwrap();
    assert!(client.stream.read(&mut [0]).is_err(), "something came");
    let tcp = client.stream.get_ref();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
}

#[test]
fn half_a_head_behind_a_request_survives_the_closing_of_the_listener() {
    let (upstream, _requests) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |_| {});
    let mut client = Client::connect(proxy.address);
    let response = client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /")
        .response();
    assert_eq!(response.status(), 200);
    proxy.stop.drain();
    while std::net::TcpStream::connect(proxy.address).is_ok() {}
    // Three times as long as an idle connection is kept now.
    assert_nothing_comes(&mut client, Duration::from_millis(300));
    let response = client.send(" HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!(
        (response.status(), response.field("connection")),
        (200, Some("close"))
    );
}
