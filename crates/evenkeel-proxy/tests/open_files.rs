//! What the process may open is not what its dependencies can do.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says by panicking what it cannot go on without"
)]

mod support;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::collections::BTreeSet;
use support::child::Process;
use support::{Client, Upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn idle_clients_do_not_take_the_files_that_requests_need() {
    let (upstream, _requests) = Upstream::ok();
    let arguments = ["--upstream", &upstream.url(), "--admin", "none"];
    let proxy = Process::start_limited("-n 96", &arguments);
    assert!(
        proxy.before.contains("max_connections=16"),
        "{}",
        proxy.before
    );
    let mut workers: Vec<Client> = (0..12).map(|_| Client::connect(proxy.address)).collect();
    for worker in &mut workers {
        assert_eq!(worker.send(GET).response().status(), 200);
    }
    let _idle: Vec<Client> = (0..60).map(|_| Client::connect(proxy.address)).collect();
    for _ in 0..4 {
        for worker in &mut workers {
            worker.send(GET);
        }
        for worker in &mut workers {
            assert_eq!(worker.response().status(), 200);
        }
    }
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let (upstream, _requests) = Upstream::ok();
    let arguments = ["--upstream", &upstream.url(), "--admin", "none"];
    let proxy = Process::start_limited("-S -n 100", &arguments);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.child.id())).unwrap();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let mut fields = files.split_whitespace();
    assert_eq!(fields.next(), fields.next(), "{files}");
}

#[test]
fn a_connection_that_we_could_not_open_is_not_held_against_the_upstream() {
    let (upstream, _requests) = Upstream::ok();
    let arguments = ["--upstream", &upstream.url(), "--admin", "none"];
    let proxy = Process::start(&arguments);
    let mut client = Client::connect(proxy.address);
    // Ours to answer: the client's connection is there now, and none to the upstream.
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let allow = |current| {
        let limit = Rlimit { current, maximum };
        prlimit(Some(Pid::from_child(&proxy.child)), Resource::Nofile, limit).unwrap();
    };
    allow(Some(lowest_free_file(&proxy)));
    for _ in 0..60 {
        let response = client.send(GET).response();
        assert_eq!(response.status(), 502);
        let why = response.text();
        assert!(why.contains("Too many open files"), "{why}");
    }
    allow(maximum);
    assert_eq!(client.send(GET).response().status(), 200, "not refused");
}

/// The number that the next file would get.
fn lowest_free_file(proxy: &Process) -> u64 {
    let open: BTreeSet<u64> = std::fs::read_dir(format!("/proc/{}/fd", proxy.child.id()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|number| number.parse().unwrap())
        .collect();
    (0..).find(|number| !open.contains(number)).unwrap()
}
