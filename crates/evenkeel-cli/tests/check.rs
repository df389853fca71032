//! `evenkeel check` and `evenkeel schema` as a shell sees them.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;

const GOOD: &str = "version: 1\nservice: shop\ndependencies:\n  payments: { deadline: 1s }\n";
const ODD: &str = "version: 1\nservice: shop\ndependencies:\n  payments: {}\n";
const BAD: &str =
    "version: 1\nservice: shop\ndependencies:\n  payments: { deadline: 5, retri: {} }\n";

/// What came of running `evenkeel` with `arguments` in `folder`: exit code, stdout, stderr.
fn evenkeel(folder: &Path, arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    let output = command
        .current_dir(folder)
        .args(arguments)
        .write_stdin(stdin)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_valid_policy_exits_with_0_and_a_wrong_one_with_2() {
    let folder = folder_with(&[("good.yaml", GOOD), ("bad.yaml", BAD)]);
    let (code, out, err) = evenkeel(folder.path(), &["check", "good.yaml"], "");
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "", "good.yaml: valid\n")
    );

    let (code, out, err) = evenkeel(folder.path(), &["check", "good.yaml", "bad.yaml"], "");
    assert_eq!((code, out.as_str()), (2, ""));
    for said in [
        "bad.yaml:4:25",
        "a duration needs a unit",
        "did you mean `retry`?",
        "2 errors",
    ] {
        assert!(err.contains(said), "{said} is missing in\n{err}");
    }
    assert!(
        !err.contains('\u{1b}'),
        "colours where no terminal is:\n{err}"
    );
}

#[test]
fn warnings_fail_only_when_asked_to() {
    let folder = folder_with(&[("odd.yaml", ODD)]);
    let (code, _, err) = evenkeel(folder.path(), &["check", "odd.yaml"], "");
    assert_eq!(code, 0);
    assert!(err.contains("warning: no deadline is set"), "{err}");
    assert!(err.ends_with("odd.yaml: valid, with 1 warning\n"), "{err}");
    let (code, ..) = evenkeel(folder.path(), &["check", "--strict", "odd.yaml"], "");
    assert_eq!(code, 1);
}

#[test]
fn explain_shows_every_value_with_its_origin() {
    let folder = folder_with(&[("good.yaml", GOOD)]);
    let (code, out, _) = evenkeel(folder.path(), &["check", "--explain", "good.yaml"], "");
    assert_eq!(code, 0);
    let expected = "\
SETTING                                                  VALUE                         ORIGIN
version                                                  1                             written, line 1
service                                                  shop                          written, line 2
dependencies.payments.deadline                           1s                            written, line 4
dependencies.payments.rate                               off                           default
dependencies.payments.attempt_timeout                    what is left of the deadline  default
dependencies.payments.retry                              off                           default
dependencies.payments.hedge                              off                           default
dependencies.payments.throttle                           off                           default
dependencies.payments.breaker                            off                           default
dependencies.payments.limiter                            off                           default
dependencies.payments.bulkhead                           off                           default
dependencies.payments.endpoints                          off                           default
dependencies.payments.progress.window                    10s                           default
dependencies.payments.progress.min_calls                 20                            default
dependencies.payments.progress.stalled_after             30s                           default
dependencies.payments.progress.max_attempts_per_success  10                            default
dependencies.payments.progress.degraded_below            0.5                           default
";
    assert_eq!(out, expected);
}

#[test]
fn a_policy_may_come_from_stdin() {
    let folder = folder_with(&[]);
    assert_eq!(evenkeel(folder.path(), &["check", "-"], GOOD).0, 0);
    let (code, _, err) = evenkeel(folder.path(), &["check", "-"], BAD);
    assert_eq!(code, 2);
    assert!(err.contains("<stdin>:4:25"), "{err}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = folder_with(&[]);
    let (code, _, err) = evenkeel(folder.path(), &["check", "missing.yaml"], "");
    assert_eq!(code, 2);
    assert!(
        err.contains("cannot read the policy file missing.yaml"),
        "{err}"
    );
}

#[test]
fn the_schema_is_json_and_that_alone() {
    let folder = folder_with(&[]);
    let (code, out, err) = evenkeel(folder.path(), &["schema", "policy"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["title"], "evenkeel policy");
}
