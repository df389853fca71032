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

fn clean(map: &mut HeaderMap) -> Result<(), Problem> {
    let client = HeaderValue::from_static("10.0.0.9");
    let host = HeaderValue::from_static("shop");
    let received = Received {
        client: &client,
        host: Some(&host),
        version: Version::HTTP_11,
        has_body: false,
    };
    clean_request(map, &received, &Pseudonym::new(0xabc))
}

#[test]
fn what_is_for_one_hop_stays_on_that_hop() {
    let mut map = headers(&[
        ("connection", "keep-alive, X-Private"),
        ("connection", "x-more"),
        ("x-private", "1"),
        ("x-more", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eA=="),
        ("te", "gzip"),
        ("upgrade", "h2c"),
        ("accept", "text/html"),
    ]);
    clean(&mut map).unwrap();
    let mut names: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "host",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto"
        ]
    );
    assert_eq!(map["via"], "1.1 evenkeel-00000abc");
}

#[test]
fn a_client_cannot_nominate_our_fields_away() {
    let mut map = headers(&[
        (
            "connection",
            "x-forwarded-for, x-forwarded-host, via, host, content-length",
        ),
        ("x-forwarded-for", "1.2.3.4"),
        ("host", "shop"),
    ]);
    clean(&mut map).unwrap();
    assert_eq!(
        map["x-forwarded-for"], "10.0.0.9",
        "the nominated claim goes, ours stays"
    );
    assert_eq!(map["host"], "shop");
    assert!(map.contains_key("via"));
}

#[test]
fn forwarded_for_grows_on_one_line() {
    let mut map = headers(&[
        ("x-forwarded-for", "1.2.3.4, 5.6.7.8"),
        ("x-forwarded-for", "9.9.9.9"),
    ]);
    clean(&mut map).unwrap();
    assert_eq!(map.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(
        map["x-forwarded-for"],
        "1.2.3.4, 5.6.7.8, 9.9.9.9, 10.0.0.9"
    );
}

#[test]
fn te_keeps_trailers_alone() {
    let mut map = headers(&[("te", "gzip, Trailers"), ("connection", "te")]);
    clean(&mut map).unwrap();
    assert_eq!(map["te"], "trailers");
    assert_eq!(map["connection"], "te");
}

#[test]
fn framing_is_never_copied_and_an_explicit_empty_body_stays_explicit() {
    let mut map = headers(&[("content-length", "0")]);
    clean(&mut map).unwrap();
    assert_eq!(map["content-length"], "0");
    let mut map = headers(&[("transfer-encoding", "chunked")]);
    clean(&mut map).unwrap();
    assert!(!map.contains_key("transfer-encoding"));
    assert!(!map.contains_key("content-length"));
}

#[test]
fn a_transfer_coding_we_cannot_undo_is_refused() {
    for pairs in [
        &[("transfer-encoding", "gzip, chunked")][..],
        &[
            ("transfer-encoding", "gzip"),
            ("transfer-encoding", "chunked"),
        ],
        &[("transfer-encoding", "chunked, chunked")],
    ] {
        let problem = clean(&mut headers(pairs)).unwrap_err();
        assert_eq!(problem.status, StatusCode::NOT_IMPLEMENTED, "{pairs:?}");
        assert!(clean_response(&mut headers(pairs), false).is_err());
    }
}

#[test]
fn our_own_name_in_via_is_a_loop_and_another_evenkeel_is_not() {
    let mut map = headers(&[("via", "1.1 cdn, 1.1 evenkeel-00000abc (x)")]);
    assert_eq!(
        clean(&mut map).unwrap_err().status,
        StatusCode::LOOP_DETECTED
    );
    let mut map = headers(&[("via", "1.1 evenkeel-00000abd")]);
    clean(&mut map).unwrap();
    assert_eq!(map.get_all("via").iter().count(), 2);
}

#[test]
fn an_upstream_cannot_speak_in_our_name() {
    let mut map = headers(&[
        ("x-evenkeel-reason", "breaker_open"),
        ("x-evenkeel-degraded", "stale"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("content-length", "7"),
        ("trailer", "x-sum"),
    ]);
    clean_response(&mut map, false).unwrap();
    let mut names: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["trailer", "x-evenkeel-degraded"],
        "degraded upstream stays degraded"
    );
}

#[test]
fn max_forwards_counts_on_trace_and_options_only() {
    let mut map = headers(&[("max-forwards", "1")]);
    assert_eq!(count_down(&Method::GET, &mut map), Hops::Forward);
    assert_eq!(map["max-forwards"], "1");
    assert_eq!(count_down(&Method::TRACE, &mut map), Hops::Forward);
    assert_eq!(map["max-forwards"], "0");
    assert_eq!(count_down(&Method::OPTIONS, &mut map), Hops::Answer);
    let mut none = HeaderMap::new();
    assert_eq!(count_down(&Method::TRACE, &mut none), Hops::Forward);
}
