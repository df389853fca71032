//! `evenkeel doctor` as it is called: what it prints first, and how it exits.

#![expect(clippy::unwrap_used, reason = "a helper of tests runs the command too")]

use assert_cmd::Command;

const STUCK: &str = "\
goroutine 7 [chan send, 49 minutes]:
shop/feed.(*Reader).push(0xc000012345)
\tshop/feed/feed.go:66 +0xd2
created by shop/feed.Start in goroutine 1
\tshop/feed/feed.go:39 +0x1a
";

const IDLE: &str = "\
goroutine 1 [chan receive]:
main.main()
\tshop/main.go:12 +0x1d
";

fn doctor(arguments: &[&str], input: impl Into<Vec<u8>>) -> (Option<i32>, String, String) {
    let output = Command::cargo_bin("evenkeel")
        .unwrap()
        .arg("doctor")
        .args(arguments)
        .write_stdin(input)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn the_first_line_names_verdict_function_and_line() {
    let (code, out, _) = doctor(&["-"], STUCK);
    assert_eq!(code, Some(1));
    assert_eq!(
        out.lines().next().unwrap(),
        "standard input: leak at shop/feed.(*Reader).push (shop/feed/feed.go:66): possible [EKD010]"
    );
}

#[test]
fn a_healthy_dump_exits_with_zero() {
    let (code, out, _) = doctor(&["-"], IDLE);
    assert_eq!(
        (code, out.lines().next().unwrap()),
        (Some(0), "standard input: healthy")
    );
}

#[test]
fn no_form_changes_the_exit_code() {
    for form in ["text", "json", "html", "github"] {
        assert_eq!(doctor(&["--format", form, "-"], STUCK).0, Some(1), "{form}");
        assert_eq!(doctor(&["--format", form, "-"], IDLE).0, Some(0), "{form}");
    }
}

#[test]
fn what_cannot_be_read_is_noted_and_exits_with_three() {
    for input in [
        b"".as_slice(),
        b"\xff\xfe\0binary",
        b"<html>404</html>\n",
        b"\x1f\x8b\x08broken",
    ] {
        let (code, out, err) = doctor(&["-"], input);
        assert_eq!((code, out.as_str()), (Some(3), ""), "{input:?}");
        assert!(err.starts_with("note: standard input: "), "{err}");
        assert!(
            err.ends_with("error: standard input: nothing could be read\n"),
            "{err}"
        );
    }
}

#[test]
fn a_missing_file_a_dead_process_and_a_silent_host_exit_with_three() {
    assert_eq!(doctor(&["no-such-folder"], "").0, Some(3));
    assert_eq!(doctor(&["--pid", "4294967295"], "").0, Some(3));
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert_eq!(
        doctor(&[&format!("http://127.0.0.1:{port}")], "").0,
        Some(3)
    );
}

#[test]
fn wrong_usage_exits_with_two() {
    assert_eq!(doctor(&["--format", "yaml", "-"], "").0, Some(2));
    assert_eq!(doctor(&["explain", "EKD999"], "").0, Some(2));
    assert_eq!(
        doctor(&["http://127.0.0.1:1", "also-a-file"], "").0,
        Some(2)
    );
}

#[test]
fn an_encrypted_url_is_refused_with_the_way_out() {
    let (code, _, err) = doctor(&["https://shop.example"], "");
    assert_eq!(code, Some(3));
    assert!(err.contains("plain HTTP only"), "{err}");
    assert!(err.contains("port-forward"), "{err}");
    assert!(
        err.contains("'https://shop.example/debug/pprof/goroutine?debug=2'"),
        "{err}"
    );
}

#[test]
fn a_capture_that_fails_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("before.tar.zst");
    std::fs::write(&file, "precious").unwrap();
    let name = file.display().to_string();
    let (code, _, _) = doctor(&["capture", "http://127.0.0.1:1", "-o", &name], "");
    assert_eq!(code, Some(3));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_a_newcomer_gets_wrong_is_answered_with_the_way_out() {
    let (code, _, err) = doctor(&["localhost:6060"], "");
    assert_eq!(code, Some(3));
    assert!(err.contains("starts with http://"), "{err}");
    let (code, _, err) = doctor(&["--watch", "some-folder"], "");
    assert_eq!(code, Some(2));
    assert!(err.contains("running service"), "{err}");
    let empty = tempfile::tempdir().unwrap();
    let (code, _, err) = doctor(&[&empty.path().display().to_string()], "");
    assert_eq!(code, Some(3));
    assert!(err.contains("holds no files"), "{err}");
}

/// Eleven scrapes of a service that tries and gets done so much a second.
fn scrapes(folder: &std::path::Path, name: &str, attempts: u32, successes: u32) -> String {
    let mut text = String::new();
    for second in 0..=10_u32 {
        text.push_str(&format!(
            "# scrape_t_ms {}\nswap_attempts_total {}\nswap_success_total {}\n",
            second * 1000,
            second * attempts,
            second * successes
        ));
    }
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn halving_tells_a_livelock_from_a_saturated_lock() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, attempts, successes| scrapes(folder.path(), name, attempts, successes);
    let all = format!("24={}", file("a", 7200, 300));
    let half = format!("12={}", file("b", 3600, 300));
    let (code, out, err) = doctor(&["halve", &all, &half], "");
    assert_eq!(code, Some(1), "{err}");
    assert!(out.starts_with("livelock"), "{out}");
    let all = format!("24={}", file("c", 200, 200));
    let half = format!("12={}", file("d", 200, 200));
    let (code, out, _) = doctor(&["halve", &all, &half, "--critical-section", "5"], "");
    assert_eq!(code, Some(1));
    assert!(out.starts_with("contention"), "{out}");
    let half = format!("12={}", file("e", 100, 100));
    assert_eq!(doctor(&["curve", &all, &half], "").0, Some(0));
    let (code, out, _) = doctor(&["curve", &all, "--json"], "");
    assert_eq!(code, Some(3), "one point tells nothing");
    let object: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(object["verdict"], serde_json::Value::Null);
    assert_eq!(object["points"][0]["actors"], 24);
}

#[test]
fn an_experiment_that_cannot_be_carried_out_says_why() {
    assert_eq!(doctor(&["halve"], "").0, Some(2));
    assert_eq!(doctor(&["halve", "full.prom"], "").0, Some(2));
    assert_eq!(doctor(&["halve", "24=no-such-file"], "").0, Some(3));
    let url = "http://127.0.0.1:1/metrics";
    let (code, _, err) = doctor(&["halve", "--metrics", url, "--actors", "8"], "");
    assert_eq!(code, Some(3));
    assert!(err.contains(url), "{err}");
}

#[test]
fn every_check_listed_has_a_page() {
    let (code, list, _) = doctor(&["explain"], "");
    assert_eq!(code, Some(0));
    for line in list.lines() {
        let check = line.split_whitespace().next().unwrap();
        let (code, page, _) = doctor(&["explain", check], "");
        assert_eq!(code, Some(0), "{check}");
        assert!(page.starts_with(check), "{page}");
    }
}
