//! `evenkeel proxy` works with no file at all, and stops when it is told to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says by panicking what it cannot go on without"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// Ends with the test, however that ends: a process left behind would hold its output open.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_url_is_enough() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let mut proxy = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args([
            "proxy",
            "--upstream",
            &url,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut said = BufReader::new(proxy.0.stderr.take().unwrap()).lines();
    let line = said
        .find_map(|line| line.ok().filter(|line| line.contains("listening on ")))
        .expect("it says where it listens");
    let address = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("http://"))
        .unwrap_or_else(|| panic!("{line}"))
        .trim_end_matches(',');

    let mut client = TcpStream::connect(address).unwrap();
    client
        .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let (stream, _) = upstream.accept().unwrap();
    let mut request = BufReader::new(stream);
    let mut start = String::new();
    request.read_line(&mut start).unwrap();
    assert_eq!(start, "GET /x HTTP/1.1\r\n");
    request
        .get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");

    let interrupted = Command::new("kill")
        .args(["-INT", &proxy.0.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    assert_eq!(proxy.0.wait().unwrap().code(), Some(0));
}
