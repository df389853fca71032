//! What a client can do to a message, and what the upstream must see of it: never more than one
//! request where the proxy saw one, never another body than the client's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says by panicking what it cannot go on without"
)]

mod support;

use std::sync::mpsc::Receiver;
use std::time::Duration;
use support::{Client, Message, Proxy, Upstream, once};

fn setup() -> (Proxy, Receiver<Message>, Upstream) {
    let (upstream, requests) = Upstream::ok();
    (Proxy::start(&upstream, |_| {}), requests, upstream)
}

/// Everything the upstream has seen, once a marker sent last has arrived.
fn seen(proxy: &Proxy, requests: &Receiver<Message>) -> Vec<Message> {
    assert_eq!(support::get(proxy.address, "/marker").status(), 200);
    let mut seen = Vec::new();
    loop {
        let request = requests
            .recv_timeout(support::PATIENCE)
            .expect("the marker arrives");
        if request.start_line.starts_with("GET /marker ") {
            return seen;
        }
        seen.push(request);
    }
}

#[test]
fn a_malformed_head_is_refused_and_nothing_is_sent_on() {
    let (proxy, requests, _upstream) = setup();
    for (what, head) in [
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (
            "two different hosts",
            "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        ),
        ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ("a host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (
            "a space before the colon",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        ),
        (
            "a folded field",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        ),
        (
            "a bare CR in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        ),
        (
            "a NUL in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
        ),
        (
            "a field without a name",
            "GET / HTTP/1.1\r\nHost: a\r\n: c\r\n\r\n",
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        ),
        (
            "a list of lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
        ),
        (
            "a signed length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
        ),
        (
            "a hexadecimal length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx",
        ),
        (
            "a length beyond numbers",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        ),
        (
            "not chunked last",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        ),
        (
            "an unknown coding",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a version nobody speaks",
            "GET / HTTP/3.7\r\nHost: a\r\n\r\n",
        ),
        ("no version", "GET /\r\nHost: a\r\n\r\n"),
        (
            "a method with a comma",
            "GE,T( / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("a dot segment", "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "a control character in the path",
            "GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a host without a path",
            "GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
    ] {
        let response = once(proxy.address, head);
        assert_eq!(response.status(), 400, "{what}: {response:?}");
    }
    for (what, head, status) in [
        (
            "a tunnel",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            501,
        ),
        (
            "https on a plain listener",
            "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            421,
        ),
        (
            "a coding we cannot undo",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
    ] {
        assert_eq!(once(proxy.address, head).status(), status, "{what}");
    }
    assert_eq!(seen(&proxy, &requests), [], "nothing of it was sent on");
}

#[test]
fn a_head_that_is_too_large_is_answered_431_and_a_uri_414() {
    let (upstream, _requests) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |config| config.bounds.max_head_bytes = 16 * 1024);
    let many = "X: y\r\n".repeat(101);
    let long = "y".repeat(17 * 1024);
    let endless = "y".repeat(80 * 1024);
    for head in [
        format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {endless}"),
    ] {
        let response = once(proxy.address, &head);
        assert_eq!(response.status(), 431, "{}", &head[..40]);
    }
    let proxy = Proxy::start(&upstream, |config| {
        config.bounds.max_buffer_bytes = 256 * 1024;
    });
    let uri = "y".repeat(65_536);
    let response = once(
        proxy.address,
        format!("GET /{uri} HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    assert!([414, 431].contains(&response.status()), "{response:?}");
}

#[test]
fn a_length_beside_chunked_is_ignored_and_the_connection_ends() {
    let (proxy, requests, _upstream) = setup();
    for fields in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    ] {
        let mut client = Client::connect(proxy.address);
        // Read by its length, what follows the last chunk would be another request.
        client.send(format!(
            "POST /one HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        assert_eq!(client.response().status(), 200);
        assert!(client.is_closed(), "what follows is not to be trusted");
        let seen = seen(&proxy, &requests);
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].all("content-length"), Vec::<&str>::new());
    }
}

#[test]
fn ways_to_hide_a_coding_are_refused() {
    let (proxy, requests, _upstream) = setup();
    for fields in [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\x0c",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\rTransfer-Encoding: chunked",
    ] {
        let mut client = Client::connect(proxy.address);
        client.send(format!(
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n{fields}\r\n\r\n\
             0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        let status = client.response().status();
        assert!([400, 501].contains(&status), "{fields:?}: {status}");
        assert!(client.is_closed(), "{fields:?}");
    }
    assert_eq!(seen(&proxy, &requests), []);
}

#[test]
fn what_may_be_written_in_two_ways_arrives_in_one() {
    let (proxy, requests, _upstream) = setup();
    for (head, body) in [
        ("POST /1 HTTP/1.1\nHost: a\nContent-Length: 2\n\nok", "ok"),
        (
            "\r\nPOST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        (
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        (
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 02\r\n\r\nok",
            "ok",
        ),
        (
            "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tCHUNKED \r\n\r\n02;x=y\r\nok\r\n0\r\n\r\n",
            "ok",
        ),
        (
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "",
        ),
    ] {
        let mut client = Client::connect(proxy.address);
        assert_eq!(client.send(head).response().status(), 200, "{head:?}");
        let seen = seen(&proxy, &requests);
        assert_eq!(seen.len(), 1, "{head:?}");
        assert_eq!(seen[0].text(), body, "{head:?}");
        let framing = seen[0].all("content-length").len() + seen[0].all("transfer-encoding").len();
        assert_eq!(framing, 1, "{head:?}: {:?}", seen[0]);
        if let Some(length) = seen[0].field("content-length") {
            assert_eq!(length, body.len().to_string());
        }
    }
}

#[test]
fn chunks_that_are_garbage_end_the_exchange() {
    let (proxy, requests, _upstream) = setup();
    for chunks in [
        "g\r\nx\r\n0\r\n\r\n",
        "1\nx\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "1 1\r\nx\r\n",
        "1\r\nxx\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nx",
        "\r\n0\r\n\r\n",
    ] {
        let mut client = Client::connect(proxy.address);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        // Whatever is answered, the connection is not used again and no upstream saw a whole one.
        let answered = support::read_head(&mut client.stream).ok().flatten();
        assert!(
            answered.is_none_or(|head| head.status() == 400),
            "{chunks:?}"
        );
    }
    assert_eq!(seen(&proxy, &requests), []);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_stay_two() {
    let (proxy, requests, _upstream) = setup();
    let mut client = Client::connect(proxy.address);
    client.send(
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.response().status(), 200);
    let seen = seen(&proxy, &requests);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, b"abc");
    assert!(seen[1].start_line.starts_with("GET /2 "));
}

#[test]
fn a_body_arrives_as_it_was_sent_whatever_the_method() {
    let (proxy, requests, _upstream) = setup();
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY", "PROPFIND",
    ] {
        let mut client = Client::connect(proxy.address);
        client.send(format!(
            "{method} /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        ));
        assert_eq!(client.response().status(), 200, "{method}");
        client.send(format!(
            "{method} /l HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"
        ));
        assert_eq!(client.response().status(), 200, "{method}");
        for framing in ["transfer-encoding", "content-length"] {
            let request = requests.recv_timeout(support::PATIENCE).unwrap();
            assert_eq!(request.body, b"abcde", "{method} {request:?}");
            assert_eq!(request.all(framing).len(), 1, "{method}: {request:?}");
            assert!(request.start_line.starts_with(method));
        }
    }
}

#[test]
fn an_explicit_empty_body_stays_explicit() {
    let (proxy, requests, _upstream) = setup();
    once(
        proxy.address,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let request = requests.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(request.all("content-length"), ["0"]);
}

#[test]
fn trailers_pass_both_ways() {
    let (upstream, requests) = Upstream::recording(|_| {
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
            .to_vec()
    });
    let proxy = Proxy::start(&upstream, |_| {});
    let response = once(
        proxy.address,
        "PUT / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te, close\r\nTrailer: X-Md\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Md: 9\r\n\r\n",
    );
    assert_eq!(
        response.trailers,
        [("x-sum".to_owned(), "7".to_owned())],
        "{response:?}"
    );
    let request = requests.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(
        request.trailers,
        [("x-md".to_owned(), "9".to_owned())],
        "{request:?}"
    );
    assert_eq!(request.field("te"), Some("trailers"));
}

#[test]
fn an_absolute_target_becomes_the_host() {
    let (proxy, requests, _upstream) = setup();
    let head = "GET http://real:8080/x?y=1 HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n";
    assert_eq!(once(proxy.address, head).status(), 200);
    let request = requests.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(request.start_line, "GET /x?y=1 HTTP/1.1");
    assert_eq!(request.all("host"), ["real:8080"]);
}

#[test]
fn http_1_0_is_spoken_to_old_clients_and_1_1_to_the_upstream() {
    let (proxy, requests, upstream) = setup();
    let mut client = Client::connect(proxy.address);
    client.send("GET /x HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert!(
        response.start_line.starts_with("HTTP/1.0 200"),
        "{response:?}"
    );
    assert!(client.is_closed());
    let request = requests.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(request.start_line, "GET /x HTTP/1.1");
    assert_eq!(request.all("host"), [upstream.address.to_string()]);
    assert_eq!(
        request
            .field("via")
            .map(|via| via.starts_with("1.0 evenkeel-")),
        Some(true)
    );
}

#[test]
fn head_204_and_304_have_no_body_and_keep_what_they_say() {
    let (upstream, _requests) =
        Upstream::recording(|request| match request.start_line.split(' ').nth(1) {
            Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            Some("/304") => {
                b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n".to_vec()
            }
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_vec(),
        });
    let proxy = Proxy::start(&upstream, |_| {});
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        let head = client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").head();
        assert_eq!(
            (head.status(), head.field("content-length")),
            (200, Some("7"))
        );
        let head = client.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n").head();
        assert_eq!((head.status(), head.field("content-length")), (204, None));
        let head = client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n").head();
        assert_eq!((head.status(), head.field("etag")), (304, Some("\"x\"")));
    }
}

#[test]
fn an_upgrade_is_ignored_as_rfc_9110_allows() {
    let (proxy, requests, _upstream) = setup();
    for protocol in ["h2c", "websocket"] {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: {protocol}\r\n\r\n"
        );
        assert_eq!(once(proxy.address, head).status(), 200);
        let request = requests.recv_timeout(support::PATIENCE).unwrap();
        assert_eq!(request.all("upgrade"), Vec::<&str>::new());
        assert_eq!(request.all("connection"), Vec::<&str>::new());
    }
}

#[test]
fn an_upstream_that_switches_protocols_unasked_is_a_bad_gateway() {
    let (upstream, _requests) = Upstream::recording(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_vec()
    });
    let proxy = Proxy::start(&upstream, |_| {});
    assert_eq!(support::get(proxy.address, "/").status(), 502);
}

#[test]
fn an_answer_with_a_length_beside_chunked_is_framed_anew() {
    let (upstream, _requests) = Upstream::recording(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec()
    });
    let proxy = Proxy::start(&upstream, |_| {});
    let response = support::get(proxy.address, "/");
    assert_eq!(response.text(), "ok");
    assert_eq!(response.all("content-length"), Vec::<&str>::new());
}

#[test]
fn an_answer_that_ends_with_its_connection_is_passed_on_whole() {
    let upstream = Upstream::start(|stream| {
        let _ = support::read_head(stream);
        let _ =
            std::io::Write::write_all(stream.get_mut(), b"HTTP/1.0 200 OK\r\n\r\nuntil the end");
    });
    let proxy = Proxy::start(&upstream, |_| {});
    for _ in 0..2 {
        assert_eq!(support::get(proxy.address, "/").text(), "until the end");
    }
}

#[test]
fn max_forwards_ends_at_the_proxy() {
    let (proxy, requests, _upstream) = setup();
    let ask = |method: &str, left: u32| {
        once(
            proxy.address,
            format!(
                "{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {left}\r\nConnection: close\r\n\r\n"
            ),
        )
    };
    assert_eq!(ask("TRACE", 0).status(), 405);
    assert_eq!(ask("OPTIONS", 0).status(), 200);
    assert_eq!(ask("OPTIONS", 1).status(), 200);
    let request = requests.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(request.field("max-forwards"), Some("0"));
    assert!(
        requests.recv_timeout(Duration::ZERO).is_err(),
        "one of the three went on"
    );
}

#[test]
fn a_client_cannot_nominate_away_what_the_proxy_says_of_it() {
    let (proxy, requests, _upstream) = setup();
    let head = "GET / HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 6.6.6.6\r\n\
                Connection: close, X-Forwarded-For, X-Request-Timeout-Ms, Host, Via\r\n\r\n";
    assert_eq!(once(proxy.address, head).status(), 200);
    let request = requests.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(request.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.all("host"), ["shop"]);
    assert_eq!(request.all("via").len(), 1);
    let left: u64 = request
        .field("x-request-timeout-ms")
        .unwrap()
        .parse()
        .unwrap();
    assert!((25_000..30_000).contains(&left), "{left}");
}

#[test]
fn a_body_is_not_lost_on_an_upstream_that_once_spoke_http_1_0() {
    let (upstream, requests) = Upstream::recording(|_| {
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let proxy = Proxy::start(&upstream, |_| {});
    assert_eq!(support::get(proxy.address, "/").status(), 200);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(once(proxy.address, chunked).status(), 200);
    requests.recv_timeout(support::PATIENCE).unwrap();
    let request = requests.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(request.text(), "hello", "{request:?}");
}

#[test]
fn what_is_not_http_is_counted_as_invalid_and_as_no_request_of_a_route() {
    let (upstream, _requests) = Upstream::ok();
    let proxy = Proxy::start(&upstream, |_| {});
    let invalid = |reason: &str, count: f64| {
        proxy.metric_becomes(
            &format!("evenkeel_invalid_requests_total{{service=\"proxy\",reason=\"{reason}\"}}"),
            count,
        );
    };
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(40_000)
    );
    for (head, status) in [("GARBAGE\r\n\r\n", 400), (long.as_str(), 431)] {
        assert_eq!(once(proxy.address, head).status(), status);
    }
    invalid("bad_head", 2.0);
    let chunk = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n";
    let response = once(proxy.address, chunk);
    assert_eq!(
        (response.status(), response.field("x-evenkeel-reason")),
        (400, Some("bad_body"))
    );
    invalid("bad_body", 1.0);
    invalid("bad_head", 2.0);
    assert!(proxy.fate("cancelled_by_client").abs() < f64::EPSILON);
    assert!(proxy.fate("upstream_error").abs() < f64::EPSILON);
}
