//! The dependency's policy at work: what is tried again, what is refused, what stands in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says by panicking what it cannot go on without"
)]

mod support;

use evenkeel::core::{breaker, bulkhead, retry};
use evenkeel_proxy::config::{Fallback, ProxyConfig};
use http::{HeaderValue, StatusCode};
use std::io::Write;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Client, Message, OK, PATIENCE, Proxy, Upstream, read_head};

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown";

/// An upstream whose first answers are `first`, one each, and then `ok`.
fn first_then_ok(first: &'static [&'static [u8]]) -> (Upstream, Receiver<Message>) {
    let count = AtomicUsize::new(0);
    Upstream::recording(move |_| {
        first
            .get(count.fetch_add(1, SeqCst))
            .copied()
            .unwrap_or(OK)
            .to_vec()
    })
}

fn patient(config: &mut ProxyConfig) {
    let policy = &mut config.upstreams[0].policy;
    let mut retry = retry::Config::new(NonZeroU32::new(2).unwrap());
    retry.backoff.initial = Duration::from_millis(1);
    retry.throttled.initial = Duration::from_millis(1);
    policy.retry = Some(retry);
}

fn requests(seen: &Receiver<Message>) -> Vec<Message> {
    let mut all = vec![seen.recv_timeout(PATIENCE).unwrap()];
    all.extend(seen.try_iter());
    all
}

fn request(head: &str, body: &str) -> String {
    format!(
        "{head} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn what_is_idempotent_is_tried_again_and_what_is_not_is_not() {
    for (head, retried) in [
        ("GET / HTTP/1.1\r\nX: y", true),
        ("PUT / HTTP/1.1\r\nX: y", true),
        ("DELETE / HTTP/1.1\r\nX: y", true),
        ("QUERY / HTTP/1.1\r\nX: y", true),
        ("POST / HTTP/1.1\r\nIdempotency-Key: \"k\"", true),
        ("POST / HTTP/1.1\r\nX: y", false),
        ("PATCH / HTTP/1.1\r\nX: y", false),
        // Nominated away, the key never reaches the upstream: it protects nothing.
        (
            "POST / HTTP/1.1\r\nConnection: Idempotency-Key\r\nIdempotency-Key: k",
            false,
        ),
    ] {
        let (upstream, seen) = first_then_ok(&[UNAVAILABLE]);
        let proxy = Proxy::start(&upstream, patient);
        let response = support::once(
            proxy.address,
            format!("{head}\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        );
        let seen = requests(&seen);
        if retried {
            assert_eq!((response.status(), seen.len()), (200, 2), "{head}");
            assert_eq!(seen[1].body, b"hello", "{head}");
            assert_eq!(seen[0].field("x-envoy-attempt-count"), None);
            assert_eq!(seen[1].field("x-envoy-attempt-count"), Some("2"));
            proxy.metric_becomes(&support::fate_series("success_after_retry"), 1.0);
        } else {
            assert_eq!((response.status(), seen.len()), (503, 1), "{head}");
            assert_eq!(response.text(), "down", "the upstream's own words");
            assert_eq!(response.field("x-evenkeel-reason"), None);
            proxy.metric_becomes(&support::fate_series("not_retryable"), 1.0);
        }
    }
}

#[test]
fn a_refusal_that_did_nothing_is_tried_again_whatever_the_method() {
    for refusal in [
        &b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 503 Service Unavailable\r\nX-Evenkeel-Overload: bulkhead_full\r\nContent-Length: 0\r\n\r\n",
    ] {
        let first: &'static [&'static [u8]] = Box::leak(Box::new([refusal]));
        let (upstream, seen) = first_then_ok(first);
        let proxy = Proxy::start(&upstream, patient);
        let response = support::once(proxy.address, request("POST /", "hello"));
        let seen = requests(&seen);
        assert_eq!((response.status(), seen.len()), (200, 2));
        assert_eq!(seen[1].body, b"hello");
        assert_eq!(seen[1].field("content-length"), Some("5"));
    }
}

#[test]
fn client_errors_and_plain_500s_are_not_tried_again() {
    for status in [400, 404, 409, 500, 501] {
        let reply = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        let (upstream, seen) = Upstream::recording(move |_| reply.clone().into_bytes());
        let proxy = Proxy::start(&upstream, patient);
        assert_eq!(support::get(proxy.address, "/").status(), status);
        assert_eq!(requests(&seen).len(), 1, "{status}");
        let fate = if status == 500 {
            "upstream_error"
        } else {
            "success"
        };
        proxy.metric_becomes(&support::fate_series(fate), 1.0);
    }
}

#[test]
fn every_attempt_failed_is_said_so_and_the_last_answer_passed_on() {
    let (upstream, seen) = Upstream::recording(|_| UNAVAILABLE.to_vec());
    let proxy = Proxy::start(&upstream, patient);
    assert_eq!(support::get(proxy.address, "/").text(), "down");
    assert_eq!(requests(&seen).len(), 2);
    proxy.metric_becomes(&support::fate_series("retries_exhausted"), 1.0);
    let attempts = |outcome: &str| {
        proxy.metric(&format!(
            "retry_attempts_total{{service=\"proxy\",dependency=\"upstream\",outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!(
        [attempts("first"), attempts("retry"), attempts("hedge")],
        [1.0, 1.0, 0.0]
    );
    let refused =
        "dependency_errors_total{service=\"proxy\",dependency=\"upstream\",kind=\"refused\"}";
    assert!((proxy.metric(refused) - 2.0).abs() < f64::EPSILON);
}

#[test]
fn retry_after_is_a_floor_and_one_beyond_the_deadline_is_the_callers_to_keep() {
    let (upstream, _seen) = first_then_ok(&[
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    ]);
    let proxy = Proxy::start(&upstream, |config| {
        patient(config);
        config.upstreams[0].policy.breaker = None;
    });
    let start = Instant::now();
    assert_eq!(support::get(proxy.address, "/").status(), 200);
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );

    let (upstream, seen) = first_then_ok(&[
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 25\r\nContent-Length: 0\r\n\r\n",
    ]);
    let proxy = Proxy::start(&upstream, |config| {
        patient(config);
        config.routes[0].deadline = Duration::from_secs(5);
    });
    let response = support::get(proxy.address, "/");
    assert_eq!(
        (response.status(), response.field("retry-after")),
        (503, Some("25"))
    );
    assert_eq!(requests(&seen).len(), 1);
}

/// Reads what each connection sends, and breaks the first off after `after` bytes of body.
fn breaks_once(after: usize) -> (Upstream, Receiver<Vec<u8>>) {
    let (bodies, seen) = channel();
    let bodies = Mutex::new(bodies);
    let first = AtomicBool::new(true);
    let upstream = Upstream::start(move |stream| {
        let Ok(Some(mut head)) = read_head(stream) else {
            return;
        };
        if first.swap(false, SeqCst) {
            let mut part = vec![0; after];
            std::io::Read::read_exact(stream, &mut part).unwrap();
            return;
        }
        if support::read_body(stream, &mut head, false).is_ok() {
            bodies.lock().unwrap().send(head.body).unwrap();
            stream.get_mut().write_all(OK).unwrap();
        }
    });
    (upstream, seen)
}

#[test]
fn a_body_within_the_limit_is_sent_again_from_its_beginning() {
    let body: String = (0..6000).map(|n| format!("{n:010}")).collect();
    for framing in ["length", "chunked"] {
        let (upstream, seen) = breaks_once(10_000);
        let proxy = Proxy::start(&upstream, patient);
        let mut client = Client::connect(proxy.address);
        if framing == "length" {
            client.send(request("PUT /", &body));
        } else {
            client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            for chunk in body.as_bytes().chunks(999) {
                client
                    .send(format!("{:x}\r\n", chunk.len()))
                    .send(chunk)
                    .send("\r\n");
            }
            client.send("0\r\n\r\n");
        }
        assert_eq!(client.response().status(), 200, "{framing}");
        assert!(
            seen.recv_timeout(PATIENCE).unwrap() == body.as_bytes(),
            "{framing}"
        );
        proxy.metric_becomes(&support::fate_series("success_after_retry"), 1.0);
        proxy.metric_becomes("evenkeel_replay_bytes{service=\"proxy\"}", 0.0);
    }
}

#[test]
fn a_body_over_the_limit_is_sent_once() {
    let (upstream, seen) = breaks_once(66_000);
    let proxy = Proxy::start(&upstream, patient);
    let response = support::once(proxy.address, request("PUT /", &"x".repeat(70_000)));
    assert_eq!(response.status(), 502);
    assert_eq!(
        response.field("x-evenkeel-reason"),
        Some("unreplayable_body")
    );
    assert!(seen.try_recv().is_err());
    proxy.metric_becomes(&support::fate_series("unreplayable_body"), 1.0);
}

#[test]
fn kept_bodies_share_a_limit() {
    let (upstream, _seen) = breaks_once(2000);
    let proxy = Proxy::start(&upstream, |config| {
        patient(config);
        config.bounds.replay_bytes_total = 1000;
    });
    let response = support::once(proxy.address, request("PUT /", &"x".repeat(5000)));
    assert_eq!(
        response.field("x-evenkeel-reason"),
        Some("unreplayable_body")
    );
    proxy.metric_becomes("evenkeel_replay_bytes{service=\"proxy\"}", 0.0);
}

#[test]
fn a_connection_that_is_refused_was_not_an_attempt_of_anything() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let nobody = Upstream { address };
    let proxy = Proxy::start(&nobody, patient);
    let response = support::once(proxy.address, request("POST /", "x"));
    assert_eq!(response.status(), 502);
    assert_eq!(
        response.field("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        response.field("x-evenkeel-reason"),
        Some("retries_exhausted"),
        "it was retried"
    );
    assert!(
        response.text().contains("could not connect"),
        "{}",
        response.text()
    );
}

#[test]
fn a_pooled_connection_that_was_closed_costs_nobody_anything() {
    let (closed, closes) = channel();
    let closed = Mutex::new(closed);
    let upstream = Upstream::start(move |stream| {
        if read_head(stream).is_ok_and(|head| head.is_some()) {
            // Keeps the connection, by its words; closes it, by its deeds.
            stream.get_mut().write_all(OK).unwrap();
            stream.get_mut().shutdown(std::net::Shutdown::Both).unwrap();
            closed.lock().unwrap().send(()).unwrap();
        }
    });
    let proxy = Proxy::start(&upstream, |config| config.upstreams[0].policy.retry = None);
    for _ in 0..50 {
        // Not idempotent: nothing but a proof that it was not sent lets it go out again.
        let response = support::once(
            proxy.address,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
        );
        assert_eq!(response.status(), 200);
        closes.recv_timeout(PATIENCE).unwrap();
    }
    proxy.metric_becomes(&support::fate_series("success"), 50.0);
}

#[test]
fn connections_to_the_upstream_are_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let upstream = Upstream::start(move |stream| {
        counted.fetch_add(1, SeqCst);
        while let Ok(Some(mut head)) = read_head(stream) {
            support::read_body(stream, &mut head, false).unwrap();
            let chunked =
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
            let sized = head.start_line.contains("/sized");
            stream
                .get_mut()
                .write_all(if sized { OK } else { chunked })
                .unwrap();
        }
    });
    let proxy = Proxy::start(&upstream, |_| {});
    for path in ["/sized", "/chunked"] {
        for _ in 0..20 {
            assert_eq!(
                support::once(proxy.address, request(&format!("POST {path}"), "x")).text(),
                "ok"
            );
        }
    }
    assert_eq!(connections.load(SeqCst), 1);
}

#[test]
fn an_open_breaker_refuses_says_when_to_come_back_and_lets_nothing_through() {
    let (upstream, seen) = Upstream::recording(|_| UNAVAILABLE.to_vec());
    let proxy = Proxy::start(&upstream, |config| {
        let policy = &mut config.upstreams[0].policy;
        policy.retry = None;
        let mut breaker = breaker::Config::default();
        breaker.consecutive = Some(3);
        breaker.open.initial = Duration::from_secs(30);
        breaker.open.max = Duration::from_secs(30);
        policy.breaker = Some(breaker);
    });
    for _ in 0..3 {
        assert_eq!(support::get(proxy.address, "/").text(), "down");
    }
    for _ in 0..5 {
        let response = support::get(proxy.address, "/");
        assert_eq!(response.status(), 503);
        assert_eq!(response.field("x-evenkeel-reason"), Some("breaker_open"));
        assert_eq!(response.field("x-evenkeel-overload"), None);
        let after: u64 = response.field("retry-after").unwrap().parse().unwrap();
        assert!((20..=37).contains(&after), "{after}");
    }
    assert_eq!(requests(&seen).len(), 3);
    assert!((proxy.fate("breaker_open") - 5.0).abs() < f64::EPSILON);
    let state = |state: &str| {
        proxy.metric(&format!(
            "evenkeel_breaker_state{{service=\"proxy\",dependency=\"upstream\",state=\"{state}\"}}"
        ))
    };
    assert_eq!(
        [state("closed"), state("open"), state("half_open")],
        [0.0, 1.0, 0.0]
    );
    let opened = "circuit_breaker_state_changes_total{service=\"proxy\",dependency=\"upstream\",to_state=\"open\"}";
    assert!((proxy.metric(opened) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_slot_is_held_until_the_body_has_ended_and_a_full_bulkhead_refuses() {
    a_slow_body_holds_its_slot(200);
}

#[test]
fn the_slot_of_a_failed_answer_is_held_until_its_body_has_ended_too() {
    a_slow_body_holds_its_slot(500);
}

fn a_slow_body_holds_its_slot(status: u16) {
    let (reached, arrivals) = channel();
    let reached = Mutex::new(reached);
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::start(move |stream| {
        while let Ok(Some(head)) = read_head(stream) {
            if !head.start_line.contains("/slow") {
                stream.get_mut().write_all(OK).unwrap();
                continue;
            }
            stream
                .get_mut()
                .write_all(
                    format!("HTTP/1.1 {status} X\r\nContent-Length: 8\r\n\r\nhalf").as_bytes(),
                )
                .unwrap();
            reached.lock().unwrap().send(()).unwrap();
            let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
            stream.get_mut().write_all(b"half").unwrap();
        }
    });
    let proxy = Proxy::start(&upstream, |config| {
        let mut bulkhead = bulkhead::Config::new(NonZeroU32::MIN);
        bulkhead.queue = 0;
        config.upstreams[0].policy.bulkhead = Some(bulkhead);
    });
    let mut slow = Client::connect(proxy.address);
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        slow.head().status(),
        status,
        "its head is here, its body is not"
    );
    arrivals.recv_timeout(PATIENCE).unwrap();
    let response = support::get(proxy.address, "/");
    assert_eq!(response.status(), 503);
    assert_eq!(response.field("x-evenkeel-reason"), Some("bulkhead_full"));
    assert_eq!(
        response.field("x-evenkeel-overload"),
        Some("bulkhead_full"),
        "nothing was done"
    );
    assert_eq!(response.field("retry-after"), Some("1"));
    let active = "bulkhead_active_calls{service=\"proxy\",dependency=\"upstream\"}";
    assert!((proxy.metric(active) - 1.0).abs() < f64::EPSILON);
    go.send(()).unwrap();
    let mut rest = [0; 8];
    std::io::Read::read_exact(&mut slow.stream, &mut rest).unwrap();
    proxy.metric_becomes(active, 0.0);
    assert_eq!(support::get(proxy.address, "/").status(), 200);
    let rejections = "bulkhead_rejections_total{service=\"proxy\",dependency=\"upstream\"}";
    assert!((proxy.metric(rejections) - 1.0).abs() < f64::EPSILON);
}

fn with_static(config: &mut ProxyConfig) {
    config.upstreams[0].policy.retry = None;
    config.routes[0].fallbacks = vec![Fallback::fixed(
        StatusCode::OK,
        HeaderValue::from_static("application/json"),
        "[]",
    )];
}

#[test]
fn a_static_answer_stands_in_for_failures_and_never_for_client_errors() {
    let (upstream, _seen) =
        Upstream::recording(|request| match request.start_line.split(' ').nth(1) {
            Some("/404") => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            Some("/429") => b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => UNAVAILABLE.to_vec(),
        });
    let proxy = Proxy::start(&upstream, with_static);
    let response = support::get(proxy.address, "/");
    assert_eq!((response.status(), response.text().as_str()), (200, "[]"));
    assert_eq!(response.field("x-evenkeel-degraded"), Some("static"));
    assert_eq!(response.field("content-type"), Some("application/json"));
    for status in [404, 429] {
        let response = support::get(proxy.address, &format!("/{status}"));
        assert_eq!(
            (response.status(), response.field("x-evenkeel-degraded")),
            (status, None)
        );
    }
    assert!((proxy.fate("degraded") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn nothing_stands_in_for_the_answer_to_an_order() {
    let (upstream, _seen) = Upstream::recording(|_| UNAVAILABLE.to_vec());
    let proxy = Proxy::start(&upstream, with_static);
    for (method, substituted) in [
        ("GET", true),
        ("QUERY", true),
        ("POST", false),
        ("PUT", false),
        ("PATCH", false),
        ("DELETE", false),
        ("OPTIONS", false),
    ] {
        let response = support::once(proxy.address, request(&format!("{method} /"), "x"));
        let (status, text) = if substituted {
            (200, "[]")
        } else {
            (503, "down")
        };
        assert_eq!(
            (response.status(), response.text().as_str()),
            (status, text),
            "{method}"
        );
        let degraded = response.field("x-evenkeel-degraded").is_some();
        assert_eq!(degraded, substituted, "{method}");
    }
    let mut client = Client::connect(proxy.address);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    assert!((proxy.fate("degraded") - 3.0).abs() < f64::EPSILON);
}

#[test]
fn a_static_answer_stands_in_when_time_is_over() {
    let upstream = Upstream::start(|stream| {
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(stream, &mut rest);
    });
    let proxy = Proxy::start(&upstream, |config| {
        with_static(config);
        config.upstreams[0].policy.attempt_timeout = Some(Duration::from_millis(100));
    });
    assert_eq!(support::get(proxy.address, "/").text(), "[]");
    let timeouts =
        "dependency_errors_total{service=\"proxy\",dependency=\"upstream\",kind=\"timeout\"}";
    assert!((proxy.metric(timeouts) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn the_last_good_answer_stands_in_with_its_age_and_a_label() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let (upstream, _seen) = Upstream::recording(move |_| {
        if is_down.load(SeqCst) {
            UNAVAILABLE.to_vec()
        } else {
            OK.to_vec()
        }
    });
    let proxy = Proxy::start(&upstream, |config| {
        with_static(config);
        config.routes[0]
            .fallbacks
            .insert(0, Fallback::last_good(Duration::from_secs(60)));
    });
    assert_eq!(
        support::get(proxy.address, "/r?user=1").field("x-evenkeel-degraded"),
        None
    );
    down.store(true, SeqCst);
    let response = support::get(proxy.address, "/r?user=1");
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    assert_eq!(response.field("x-evenkeel-degraded"), Some("stale"));
    assert!(response.field("age").unwrap().parse::<u64>().unwrap() < 60);
    // Another question has no last good answer: the next in line stands in.
    let other = support::get(proxy.address, "/r?user=2");
    assert_eq!(
        (other.text().as_str(), other.field("x-evenkeel-degraded")),
        ("[]", Some("static"))
    );
    let mut client = Client::connect(proxy.address);
    client.send("HEAD /r?user=1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    let head = client.head();
    let degraded = (head.status(), head.field("x-evenkeel-degraded"));
    assert_eq!(
        degraded,
        (200, Some("stale")),
        "the head of the same answer"
    );
    assert!(client.is_closed(), "and no body");
    let private = support::once(
        proxy.address,
        "GET /r?user=1 HTTP/1.1\r\nHost: shop\r\nCookie: a=b\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(
        private.field("x-evenkeel-degraded"),
        Some("static"),
        "not from memory"
    );
}

#[test]
fn what_must_be_asked_for_again_does_not_stand_in() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let (upstream, _seen) = Upstream::recording(move |request| {
        if is_down.load(SeqCst) {
            return UNAVAILABLE.to_vec();
        }
        let path = request.start_line.split(' ').nth(1).unwrap();
        let said = path.trim_start_matches('/');
        format!("HTTP/1.1 200 OK\r\nCache-Control: {said}\r\nContent-Length: 2\r\n\r\nok").into()
    });
    let proxy = Proxy::start(&upstream, |config| {
        config.upstreams[0].policy.retry = None;
        config.upstreams[0].policy.breaker = None;
        config.routes[0].fallbacks = vec![Fallback::last_good(Duration::from_secs(60))];
    });
    let cases = [
        ("max-age=1", 200),
        ("must-revalidate", 503),
        ("no-cache", 503),
        ("proxy-revalidate", 503),
        ("s-maxage=0", 503),
    ];
    let ask = |said: &str| support::get(proxy.address, &format!("/{said}")).status();
    for (said, _) in cases {
        assert_eq!(ask(said), 200);
    }
    down.store(true, SeqCst);
    for (said, status) in cases {
        assert_eq!(ask(said), status, "{said}");
    }
}

#[test]
fn what_no_route_takes_is_a_404_of_ours() {
    let (upstream, seen) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |config| {
        config.routes[0].matches.path_prefix = Some("/api".to_owned());
    });
    let response = support::get(proxy.address, "/other");
    assert_eq!(response.status(), 404);
    assert_eq!(
        response.field("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(response.field("x-evenkeel-reason"), Some("no_route"));
    assert_eq!(support::get(proxy.address, "/api/x").status(), 200);
    assert_eq!(requests(&seen).len(), 1);
}

#[test]
fn a_request_is_retried_within_what_its_caller_granted_and_the_rest_goes_on() {
    for (fields, expected) in [
        // The proxy is the outermost, and grants its own one retry.
        (
            "X: y",
            &["attempts_left=1; depth=1", "attempts_left=0; depth=1"][..],
        ),
        (
            "X-Evenkeel-Retry-Grant: attempts_left=5; depth=2",
            &["attempts_left=5; depth=3", "attempts_left=4; depth=3"],
        ),
        (
            "X-Evenkeel-Retry-Grant: attempts_left=0; depth=2",
            &["attempts_left=0; depth=3"],
        ),
        // What is no grant counts as absent.
        (
            "X-Evenkeel-Retry-Grant: lots",
            &["attempts_left=1; depth=1", "attempts_left=0; depth=1"],
        ),
        // The caller retries, so nobody behind it does.
        ("X-Envoy-Attempt-Count: 2", &["attempts_left=0; depth=1"]),
        (
            "X-Envoy-Attempt-Count: 1",
            &["attempts_left=1; depth=1", "attempts_left=0; depth=1"],
        ),
    ] {
        let (upstream, seen) = first_then_ok(&[UNAVAILABLE, UNAVAILABLE]);
        let proxy = Proxy::start(&upstream, patient);
        let head = format!("GET / HTTP/1.1\r\n{fields}");
        let response = support::once(proxy.address, format!("{head}\r\nHost: a\r\n\r\n"));
        let seen = requests(&seen);
        let granted: Vec<_> = seen
            .iter()
            .map(|message| message.field("x-evenkeel-retry-grant").unwrap())
            .collect();
        assert_eq!(granted, expected, "{fields}");
        assert_eq!(response.status(), 503, "{fields}");
        // Whoever granted something is told what is left of it.
        let left = fields.contains("attempts_left").then(|| {
            let last = expected.last().unwrap();
            last.replace("depth=3", "depth=2")
        });
        assert_eq!(
            response.field("x-evenkeel-retry-grant"),
            left.as_deref(),
            "{fields}"
        );
    }
}

#[test]
fn an_upstream_that_has_nothing_left_is_not_tried_again() {
    const SPENT: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\
        X-Evenkeel-Retry-Grant: attempts_left=0; depth=2\r\n\r\ndown";
    let (upstream, seen) = first_then_ok(&[SPENT]);
    let proxy = Proxy::start(&upstream, patient);
    let response = support::once(proxy.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status(), requests(&seen).len()), (503, 1));
    assert_eq!(
        response.field("x-evenkeel-retry-grant"),
        None,
        "it is told only to whoever granted something"
    );
    proxy.metric_becomes(&support::fate_series("retries_exhausted"), 1.0);
}
