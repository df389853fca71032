use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    map
}

fn key(path: &'static str, request: &HeaderMap) -> Option<Key> {
    Key::of(
        0,
        &Method::GET,
        None,
        &PathAndQuery::from_static(path),
        request,
    )
}

fn keep(store: &LastGood, path: &'static str, answer: &HeaderMap, body: &[u8], now: Instant) {
    let request = HeaderMap::new();
    let key = key(path, &request).unwrap();
    let mut capture = store
        .capture(key, &request, StatusCode::OK, answer, None)
        .unwrap();
    assert!(capture.push(body));
    store.keep(capture, now);
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_kept_answer_says_that_it_is_stale_and_how_old_it_is() {
    let store = LastGood::new(100, 10_000);
    let now = Instant::now();
    keep(
        &store,
        "/r?id=1",
        &headers(&[("age", "5"), ("content-type", "text/plain")]),
        b"good",
        now,
    );
    let none = HeaderMap::new();
    let later = now + Duration::from_secs(7);
    let answer = store
        .answer(&key("/r?id=1", &none).unwrap(), &none, HOUR, later)
        .unwrap();
    assert_eq!(answer.body().as_ref(), b"good");
    assert_eq!(answer.headers()["x-evenkeel-degraded"], "stale");
    assert_eq!(answer.headers()["age"], "12");
    assert_eq!(answer.headers()["content-type"], "text/plain");
    let other = key("/r?id=2", &none).unwrap();
    assert!(
        store.answer(&other, &none, HOUR, later).is_none(),
        "another question"
    );
    let too_old = now + HOUR;
    assert!(
        store
            .answer(&key("/r?id=1", &none).unwrap(), &none, HOUR, too_old)
            .is_none()
    );
}

#[test]
fn what_is_somebodys_own_is_neither_kept_nor_served() {
    for request in [
        &[("authorization", "Bearer x")][..],
        &[("cookie", "a=b")],
        &[("range", "bytes=0-1")],
    ] {
        assert_eq!(key("/r", &headers(request)), None, "{request:?}");
    }
    let path = PathAndQuery::from_static("/r");
    assert_eq!(
        Key::of(0, &Method::POST, None, &path, &HeaderMap::new()),
        None
    );
    assert_eq!(
        Key::of(0, &Method::HEAD, None, &path, &HeaderMap::new()),
        key("/r", &HeaderMap::new()),
        "the head of the same answer"
    );
    let store = LastGood::new(100, 10_000);
    let request = HeaderMap::new();
    for answer in [
        &[("set-cookie", "a=b")][..],
        &[("cache-control", "max-age=5, Private")],
        &[("cache-control", "no-store")],
        &[("cache-control", "max-age=60, must-revalidate")],
        &[("cache-control", "no-cache")],
        &[("cache-control", "proxy-revalidate")],
        &[("cache-control", "max-age=60, s-maxage=0")],
        &[("vary", "*")],
        &[("content-range", "bytes 0-1/2")],
    ] {
        let key = key("/r", &request).unwrap();
        let capture = store.capture(key, &request, StatusCode::OK, &headers(answer), None);
        assert!(capture.is_none(), "{answer:?}");
    }
    for status in [201, 301, 404, 500] {
        let status = StatusCode::from_u16(status).unwrap();
        let key = key("/r", &request).unwrap();
        assert!(
            store
                .capture(key, &request, status, &HeaderMap::new(), None)
                .is_none()
        );
    }
}

#[test]
fn an_answer_that_varies_is_served_to_the_like_of_its_request_alone() {
    let store = LastGood::new(100, 10_000);
    let now = Instant::now();
    let german = headers(&[("accept-language", "de")]);
    let answer = headers(&[("vary", "Accept-Language, accept-encoding")]);
    let mut capture = store
        .capture(
            key("/r", &german).unwrap(),
            &german,
            StatusCode::OK,
            &answer,
            None,
        )
        .unwrap();
    assert!(capture.push(b"gut"));
    store.keep(capture, now);
    let question = key("/r", &german).unwrap();
    assert!(store.answer(&question, &german, HOUR, now).is_some());
    assert!(
        store
            .answer(&question, &headers(&[("accept-language", "en")]), HOUR, now)
            .is_none()
    );
    assert!(
        store
            .answer(&question, &HeaderMap::new(), HOUR, now)
            .is_none()
    );
}

#[test]
fn memory_is_bounded_and_the_oldest_answer_goes_first() {
    let store = LastGood::new(100, 350);
    let now = Instant::now();
    let (none, plain) = (HeaderMap::new(), HeaderMap::new());
    for path in ["/1", "/2", "/3"] {
        keep(&store, path, &plain, &[b'x'; 100], now);
    }
    keep(&store, "/1", &plain, &[b'y'; 100], now);
    keep(&store, "/4", &plain, &[b'z'; 100], now);
    let found = |path| {
        store
            .answer(&key(path, &none).unwrap(), &none, HOUR, now)
            .is_some()
    };
    assert_eq!(
        ["/1", "/2", "/3", "/4"].map(found),
        [true, false, true, true]
    );
    let held = store.kept.lock().unwrap();
    assert!(held.size <= 350, "{}", held.size);
    assert_eq!(
        held.size,
        held.answers.values().map(|kept| kept.size).sum::<usize>()
    );
}

#[test]
fn replacing_one_answer_for_ever_does_not_grow_the_order() {
    let store = LastGood::new(100, 100_000);
    let now = Instant::now();
    for _ in 0..1000 {
        keep(&store, "/1", &HeaderMap::new(), b"x", now);
        keep(&store, "/2", &HeaderMap::new(), b"x", now);
    }
    assert!(store.kept.lock().unwrap().order.len() <= 20);
}

#[test]
fn an_answer_that_turns_out_too_large_is_let_go() {
    let store = LastGood::new(4, 1000);
    let request = HeaderMap::new();
    let question = || key("/r", &request).unwrap();
    assert!(
        store
            .capture(
                question(),
                &request,
                StatusCode::OK,
                &HeaderMap::new(),
                Some(5)
            )
            .is_none()
    );
    let mut capture = store
        .capture(
            question(),
            &request,
            StatusCode::OK,
            &HeaderMap::new(),
            None,
        )
        .unwrap();
    assert!(capture.push(b"1234"));
    assert!(!capture.push(b"5"));
}
