//! `evenkeel doctor` as it is called: what it prints first, and how it exits.

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
