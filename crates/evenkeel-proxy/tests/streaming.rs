//! Bodies pass through: in constant memory, at the pace of whoever is slower, and not one byte
//! further when one side leaves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says by panicking what it cannot go on without"
)]

mod support;

use evenkeel_proxy::config::ProxyConfig;
use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use support::child::Process;
use support::{Client, PATIENCE, Proxy, Upstream, read_head};

const GIB: u64 = 1 << 30;
const MIB: usize = 1 << 20;

#[test]
fn a_gibibyte_passes_each_way_in_constant_memory() {
    let (sunk, counts) = channel();
    let sunk = Mutex::new(sunk);
    let upstream = Upstream::start(move |stream| {
        while let Ok(Some(head)) = read_head(stream) {
            let mut block = vec![0; MIB];
            if head.start_line.starts_with("POST") {
                let mut left = head
                    .field("content-length")
                    .unwrap()
                    .parse::<u64>()
                    .unwrap();
                let mut count = 0;
                while left > 0 {
                    let room = block.len().min(usize::try_from(left).unwrap());
                    let read = stream.read(&mut block[..room]).unwrap();
                    assert_ne!(read, 0, "the upload ended early");
                    left -= read as u64;
                    count += read as u64;
                }
                sunk.lock().unwrap().send(count).unwrap();
                stream.get_mut().write_all(support::OK).unwrap();
            } else {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n");
                stream.get_mut().write_all(head.as_bytes()).unwrap();
                for _ in 0..GIB / MIB as u64 {
                    stream.get_mut().write_all(&block).unwrap();
                }
            }
        }
    });
    let proxy = Process::start(&["--upstream", &upstream.url(), "--admin", "none"]);
    support::get(proxy.address, "/small-first-of-all?no");
    let before = proxy.memory("VmHWM");

    let mut client = Client::connect(proxy.address);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIB}\r\n\r\n"
    ));
    let block = vec![b'x'; MIB];
    for _ in 0..GIB / MIB as u64 {
        client.send(&block);
    }
    assert_eq!(client.response().status(), 200);
    assert_eq!(counts.recv_timeout(PATIENCE).unwrap(), GIB);

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client.head().field("content-length"),
        Some(GIB.to_string().as_str())
    );
    let mut block = block;
    for _ in 0..GIB / MIB as u64 {
        client.stream.read_exact(&mut block).unwrap();
    }
    let grown = proxy.memory("VmHWM") - before;
    println!("peak memory before: {before} KiB; grown by {grown} KiB over 2 GiB");
    assert!(grown < 8 * 1024, "grown by {grown} KiB");
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream_instead_of_filling_memory() {
    let (written, total) = channel();
    let written = Mutex::new(written);
    let upstream = Upstream::start(move |stream| {
        let Ok(Some(_)) = read_head(stream) else {
            return;
        };
        let stream = stream.get_mut();
        stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        let mut chunk = b"10000\r\n".to_vec();
        chunk.resize(chunk.len() + 0x10000, b'x');
        chunk.extend_from_slice(b"\r\n");
        let mut total = 0;
        while stream.write_all(&chunk).is_ok() {
            total += chunk.len();
        }
        written.lock().unwrap().send(total).unwrap();
    });
    let proxy = Proxy::start(&upstream, keeps_connections);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    // What is out are the socket buffers of both connections, which the kernel grows on its own.
    let total = total.recv_timeout(PATIENCE).unwrap();
    assert!(total < 64 * MIB, "the upstream got rid of {total} bytes");
}

/// An upstream that reports how its connections ended.
fn watched(
    serve: impl Fn(&mut std::io::BufReader<std::net::TcpStream>) + Send + Sync + 'static,
) -> (Upstream, Receiver<&'static str>) {
    let (ended, ends) = channel();
    let ended = Mutex::new(ended);
    let upstream = Upstream::start(move |stream| {
        serve(stream);
        let mut rest = Vec::new();
        let end = match stream.read_to_end(&mut rest) {
            Ok(_) => "closed",
            Err(error) if error.kind() == ErrorKind::ConnectionReset => "closed",
            Err(_) => "still open",
        };
        ended.lock().unwrap().send(end).unwrap();
    });
    (upstream, ends)
}

/// Idle connections stay, so that only letting go closes one.
fn keeps_connections(config: &mut ProxyConfig) {
    config.bounds.upstream_idle_timeout = Duration::from_secs(3600);
}

#[test]
fn a_client_that_leaves_before_the_answer_takes_its_upstream_exchange_with_it() {
    let (reached, arrivals) = channel();
    let reached = Mutex::new(reached);
    let (upstream, ends) = watched(move |stream| {
        read_head(stream).unwrap().unwrap();
        reached.lock().unwrap().send(()).unwrap();
    });
    let proxy = Proxy::start(&upstream, keeps_connections);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    arrivals.recv_timeout(PATIENCE).unwrap();
    drop(client);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), "closed");
    proxy.metric_becomes(&support::fate_series("cancelled_by_client"), 1.0);
    proxy.metric_becomes("evenkeel_requests_in_flight{service=\"proxy\"}", 0.0);
}

#[test]
fn a_client_that_leaves_within_the_answer_does_too() {
    let (upstream, ends) = watched(|stream| {
        read_head(stream).unwrap().unwrap();
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            .unwrap();
    });
    let proxy = Proxy::start(&upstream, keeps_connections);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    drop(client);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), "closed");
    proxy.metric_becomes(&support::fate_series("cancelled_by_client"), 1.0);
}

#[test]
fn a_client_that_leaves_within_its_upload_does_too() {
    let (reached, arrivals) = channel();
    let reached = Mutex::new(reached);
    let (upstream, ends) = watched(move |stream| {
        read_head(stream).unwrap().unwrap();
        let mut first = [0; 4];
        stream.read_exact(&mut first).unwrap();
        reached.lock().unwrap().send(()).unwrap();
    });
    let proxy = Proxy::start(&upstream, keeps_connections);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
    arrivals.recv_timeout(PATIENCE).unwrap();
    drop(client);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), "closed");
    proxy.metric_becomes(&support::fate_series("cancelled_by_client"), 1.0);
}

#[test]
fn half_an_answer_is_never_taken_for_a_whole_one() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf";
    let sized = "Content-Length: 100\r\n\r\nhalf";
    // To a client of HTTP/1.0 a chunked answer ends with its connection: only the reset tells.
    for (version, answer) in [
        ("1.1", sized),
        ("1.1", chunked),
        ("1.0", sized),
        ("1.0", chunked),
    ] {
        let upstream = Upstream::start(move |stream| {
            let Ok(Some(_)) = read_head(stream) else {
                return;
            };
            stream
                .get_mut()
                .write_all(format!("HTTP/1.1 200 OK\r\n{answer}").as_bytes())
                .unwrap();
        });
        let proxy = Proxy::start(&upstream, |_| {});
        let mut client = Client::connect(proxy.address);
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
        let mut rest = Vec::new();
        let end = client.stream.read_to_end(&mut rest);
        assert!(
            end.is_err(),
            "a reset, not an end: {version} {answer:?} {end:?}"
        );
        proxy.metric_becomes(&support::fate_series("upstream_error"), 1.0);
    }
}

#[test]
fn the_upstream_decides_whether_a_client_that_asks_first_sends_its_body() {
    let upstream = Upstream::start(|stream| {
        while let Ok(Some(mut head)) = read_head(stream) {
            assert_eq!(head.field("expect"), Some("100-continue"));
            if head.start_line.contains("/refused") {
                let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
                stream.get_mut().write_all(answer).unwrap();
                return;
            }
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .unwrap();
            support::read_body(stream, &mut head, false).unwrap();
            assert_eq!(head.body, b"12345");
            stream.get_mut().write_all(support::OK).unwrap();
        }
    });
    let proxy = Proxy::start(&upstream, |_| {});
    let head = "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = Client::connect(proxy.address);
    client.send(format!("PUT /wanted {head}"));
    assert_eq!(client.any_response().status(), 100);
    client.send("12345");
    assert_eq!(client.any_response().status(), 200);

    let mut client = Client::connect(proxy.address);
    client.send(format!("PUT /refused {head}"));
    assert_eq!(client.any_response().status(), 413, "and no 100 before it");
}

#[test]
fn an_answer_that_comes_before_the_upload_has_ended_reaches_the_client() {
    let upstream = Upstream::start(|stream| {
        read_head(stream).unwrap().unwrap();
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nlate";
        stream.get_mut().write_all(answer).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let proxy = Proxy::start(&upstream, |_| {});
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (413, "late"));
    // Many clients send on before they look. A close here would answer their bytes with a reset,
    // and elsewhere than on Linux a reset takes an answer away that has already arrived.
    for _ in 0..30 {
        client.send(vec![b'x'; 10_000]);
    }
    assert!(client.is_closed());
}
