use super::*;
use crate::report::{Tally, total};
use std::path::PathBuf;

/// The reference vectors beside the checkout, where there are any.
fn reference() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: there are no reference vectors at {}",
        folder.display()
    );
    None
}

fn tally(name: &str, text: &str) -> Tally {
    file(Path::new(name), text.as_bytes()).tally()
}

fn one_failure(name: &str, text: &str, says: &str) {
    let report = file(Path::new(name), text.as_bytes());
    assert_eq!(report.tally().failed, 1, "{report}");
    assert!(report.failures()[0].contains(says), "{report}");
}

#[test]
fn the_reference_vectors_agree() {
    let Some(folder) = reference() else { return };
    let files = run(&folder).expect("the folder can be read");
    let disagreeing: String = files
        .iter()
        .filter(|file| file.tally().failed != 0)
        .map(ToString::to_string)
        .collect();
    assert_eq!(disagreeing, "");
    let total = total(&files);
    assert!(total.passed > 300 && total.skipped > 100, "{total}");
}

#[test]
fn every_number_that_is_changed_in_a_reference_vector_is_noticed() {
    let Some(folder) = reference() else { return };
    let of = |name: &str| fs::read_to_string(folder.join(name)).expect("a vector file");
    for (name, before, after) in [
        ("aimd.json", "\"limit\": 90", "\"limit\": 91"),
        ("vegas.json", "\"limit\": 32", "\"limit\": 33"),
        (
            "gradient2.json",
            "\"long_rtt_ms\": 23.536",
            "\"long_rtt_ms\": 23.54",
        ),
        ("gradient2.json", "\"limit\": 162", "\"limit\": 161"),
        (
            "rate_limit.json",
            "\"retry_after_ns\": 50000000",
            "\"retry_after_ns\": 50000001",
        ),
        ("backoff.json", "\"sleep_ms\": 575.0", "\"sleep_ms\": 575.1"),
        (
            "backoff.json",
            "\"rand0999_ns\": 749500000",
            "\"rand0999_ns\": 749600000",
        ),
        (
            "client_throttling.json",
            "\"p_reject\": 0.01980198",
            "\"p_reject\": 0.01980298",
        ),
        (
            "grpc_retry_throttling.json",
            "\"tokens\": 4.1",
            "\"tokens\": 4.2",
        ),
        ("retry_after.json", "\"result_s\": 300", "\"result_s\": 301"),
        ("amplification.json", "1.4641", "1.4642"),
    ] {
        let text = of(name).replace(['\n'], " ");
        let spaced: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(spaced.contains(before), "{name} holds {before}");
        let changed = spaced.replacen(before, after, 1);
        assert!(tally(name, &changed).failed > 0, "{name}: {after}");
    }
}

#[test]
fn a_file_or_a_section_of_an_unknown_name_is_a_failure() {
    one_failure("cubic.json", "[]", "no vector file has this name");
    one_failure("rate_limit.json", r#"{"leaky": []}"#, "no such section");
    one_failure("aimd.json", "[", "not JSON");
}

#[test]
fn a_row_of_another_shape_is_a_failure() {
    let row = r#"{"requests": 1, "accepts": 0, "p_reject": 0.5"#;
    let sre = |fields: &str| format!(r#"{{"google_sre": [{row}{fields}}}]}}"#);
    assert_eq!(
        tally("client_throttling.json", &sre(r#", "K": 2.0"#)).passed,
        1
    );
    one_failure("client_throttling.json", &sre(""), "missing field `K`");
    one_failure(
        "client_throttling.json",
        &sre(r#", "K": 2.0, "L": 1"#),
        "unknown field `L`",
    );
    one_failure(
        "client_throttling.json",
        &sre(r#", "K": "two""#),
        "unknown shape",
    );
    one_failure(
        "client_throttling.json",
        &sre(r#", "K": 1.2345"#),
        "three decimals",
    );
}

#[test]
fn a_section_without_rows_proves_nothing() {
    one_failure("client_throttling.json", r#"{"google_sre": []}"#, "no rows");
    one_failure("vegas.json", "[]", "no rows");
}

#[test]
fn what_is_there_for_reference_is_skipped_by_name() {
    let report = file(
        Path::new("rate_limit.json"),
        br#"{"envoy_token_bucket": {"max_tokens": 5, "steps": [1, 2, 3]}, "note": "words"}"#,
    );
    let expected = "rate_limit.json: 0 passed, 0 failed, 3 skipped\n    \
                    skipped, for reference only: envoy_token_bucket (3)\n";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn a_long_run_is_told_in_words_of_its_own() {
    let story = |note: &str, limit: u32| {
        format!(
            r#"[{{"name": "story", "params": "defaults, initial 30, max 50", "note": "{note}",
                 "checkpoints": [{{"sample": 100, "limit": {limit}}}]}}]"#
        )
    };
    let steady = "rtt 7ms for 3 samples then 7ms forever";
    assert_eq!(tally("gradient2.json", &story(steady, 50)).passed, 1);
    assert_eq!(tally("gradient2.json", &story(steady, 49)).failed, 1);
    one_failure(
        "gradient2.json",
        &story("as it comes", 50),
        "not told as known",
    );
}

#[test]
fn a_folder_without_vectors_is_no_success() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(run(folder.path()).is_err());
    assert!(run(&folder.path().join("missing")).is_err());
}
