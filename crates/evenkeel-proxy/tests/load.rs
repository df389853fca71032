//! How much is sent: hedges, rates and the adaptive limit at work.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says by panicking what it cannot go on without"
)]

mod support;

use evenkeel::core::limiter::{self, Algorithm, own::OwnConfig};
use evenkeel::core::{hedge, policy, rate, ratio::Ratio};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use support::{Message, OK, Proxy, Upstream};

/// An upstream that keeps first attempts at `/slow` waiting until the sender is dropped, and says `200 ok`
/// to everything else.
fn slow_at_first() -> (Upstream, Receiver<Message>, Sender<()>) {
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let (upstream, seen) = Upstream::recording(move |request| {
        let is_first = request.field("x-envoy-attempt-count").is_none();
        if is_first && request.start_line.contains("/slow") {
            let _released = held.lock().unwrap().recv();
        }
        OK.to_vec()
    });
    (upstream, seen, release)
}

/// Hedges as soon as one request was measured.
fn hedging(policy: &mut policy::Config) {
    let mut hedge = hedge::Config::default();
    hedge.min_samples = 1;
    hedge.ratio = Ratio::ONE;
    policy.hedge = Some(hedge);
}

#[test]
fn a_slow_request_is_asked_a_second_time_and_the_first_answer_is_passed_on() {
    let (upstream, _seen, release) = slow_at_first();
    let proxy = Proxy::start(&upstream, |config| {
        hedging(&mut config.upstreams[0].policy);
    });
    for _ in 0..5 {
        assert_eq!(support::get(proxy.address, "/usual").status(), 200);
    }
    let response = support::get(proxy.address, "/slow");
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    proxy.metric_becomes(&support::fate_series("success_hedge"), 1.0);
    proxy.metric_becomes(
        r#"retry_attempts_total{service="proxy",dependency="upstream",outcome="hedge"}"#,
        1.0,
    );
    drop(release);
}

#[test]
fn a_body_that_is_streamed_is_never_sent_twice_at_once() {
    let (upstream, seen, release) = slow_at_first();
    let proxy = Proxy::start(&upstream, |config| {
        hedging(&mut config.upstreams[0].policy);
    });
    for _ in 0..5 {
        support::get(proxy.address, "/usual");
    }
    let address = proxy.address;
    let put = "PUT /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    let slow = std::thread::spawn(move || support::once(address, put));
    let in_flight = r#"evenkeel_attempts_in_flight{service="proxy",dependency="upstream"}"#;
    proxy.metric_becomes(in_flight, 1.0);
    // It came later and has no body: once its hedge has answered, the other's would have been due.
    assert_eq!(support::get(address, "/slow").status(), 200);
    drop(release);
    assert_eq!(slow.join().unwrap().status(), 200);
    let puts = seen.try_iter();
    assert_eq!(
        puts.filter(|it| it.start_line.starts_with("PUT")).count(),
        1
    );
}

#[test]
fn what_exceeds_the_rate_is_told_when_to_come_back() {
    let (upstream, _seen) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |config| {
        let one = rate::Config::new(NonZeroU32::MIN, std::time::Duration::from_secs(60));
        config.upstreams[0].policy.rate = Some(one);
    });
    assert_eq!(support::get(proxy.address, "/").status(), 200);
    let refused = support::get(proxy.address, "/");
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.field("x-evenkeel-reason"), Some("rate_limited"));
    assert_eq!(refused.field("retry-after"), Some("60"));
    proxy.metric_becomes(&support::fate_series("rate_limited"), 1.0);
}

#[test]
fn what_exceeds_the_adaptive_limit_is_refused() {
    let (upstream, seen, release) = slow_at_first();
    let proxy = Proxy::start(&upstream, |config| {
        let mut own = OwnConfig::default();
        own.initial = NonZeroU32::MIN;
        let policy = &mut config.upstreams[0].policy;
        policy.limiter = Some(limiter::Config::new(Algorithm::Own(own)));
    });
    let address = proxy.address;
    let slow = std::thread::spawn(move || support::get(address, "/slow"));
    let in_flight = r#"evenkeel_concurrency_inflight{service="proxy",dependency="upstream"}"#;
    proxy.metric_becomes(in_flight, 1.0);
    let refused = support::get(proxy.address, "/");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.field("x-evenkeel-reason"), Some("bulkhead_full"));
    drop(release);
    assert_eq!(slow.join().unwrap().status(), 200);
    proxy.metric_becomes(in_flight, 0.0);
    drop(seen);
}
