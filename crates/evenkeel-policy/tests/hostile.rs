//! Files that nobody would write: whatever comes in, an answer comes out, and it is small.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails here fails the test"
)]

use std::fs;
use std::path::Path;

use evenkeel_policy::{LoadError, Loaded, Look};
use proptest::prelude::*;
use proptest::sample::Index;

/// Reads bytes as `load` would a file, and holds the answer to what every answer must be.
fn judge(bytes: &[u8]) -> Result<Loaded, LoadError> {
    let answer = evenkeel_policy::read("hostile.yaml", bytes);
    let report = match &answer {
        Ok(loaded) => {
            for setting in &loaded.settings {
                assert!(!setting.value.chars().any(char::is_control), "{setting:?}");
            }
            loaded.render_warnings(Look::Plain)
        }
        Err(error) => {
            assert!(!error.errors().is_empty(), "refused without a reason");
            let text = String::from_utf8_lossy(bytes);
            for finding in error.errors().iter().map(evenkeel_policy::Error::finding) {
                let known = text.get(finding.place.span.clone()).is_some();
                assert!(known || bytes.len() > 1024 * 1024, "{finding:?}");
                assert!(finding.what.len() + finding.why.len() + finding.help.len() < 4096);
            }
            error.render(Look::Plain)
        }
    };
    assert!(report.len() < 400_000, "a report of {} bytes", report.len());
    let unprintable = |c: char| c.is_control() && c != '\n';
    assert!(
        !report.contains(unprintable),
        "control characters in a plain report:\n{report:?}"
    );
    answer
}

/// The example policies and the wrong files of the snapshots.
fn seeds() -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = [here.join("../../policies"), here.join("tests/errors")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Pieces that a reader of YAML or of policies treats in some special way.
const PIECES: &[&str] = &[
    "\n",
    "\t",
    "  ",
    ": ",
    "- ",
    "? ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "#",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!x ",
    "|\n",
    ">\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\"",
    "'",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{0}",
    "\u{1b}[31m",
    "ä",
    "🦀",
    "~",
    "null",
    "none",
    "true",
    "0",
    "-1",
    "1e999",
    ".nan",
    "0x7f",
    "18446744073709551616",
    "99999h",
    "0ms",
    "0.0001",
    "version: 1\n",
    "proxy: {}\n",
    "breaker: {}\n",
];

#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Delete(Index, usize),
    Repeat(Index, usize),
    Insert(Index, Index),
    Splice(Index, Index, Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Change::Delete(at, length)),
        (any::<Index>(), 1..80_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (any::<Index>(), any::<Index>(), any::<Index>(), 1..200_usize)
            .prop_map(|(at, seed, from, length)| Change::Splice(at, seed, from, length)),
    ]
}

fn apply(change: &Change, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = |index: &Index, length: usize| index.index(length + 1);
    match change {
        Change::Flip(index, byte) => {
            let at = at(index, bytes.len());
            if let Some(here) = bytes.get_mut(at) {
                *here = *byte;
            }
        }
        Change::Delete(index, length) => {
            let at = at(index, bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
        }
        Change::Repeat(index, length) => {
            let at = at(index, bytes.len());
            let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        Change::Insert(index, piece) => {
            let at = at(index, bytes.len());
            bytes.splice(at..at, piece.get(PIECES).bytes());
        }
        Change::Splice(index, seed, from, length) => {
            let at = at(index, bytes.len());
            let seed = seed.get(seeds);
            let from = from.index(seed.len() + 1);
            bytes.splice(at..at, seed[from..(from + length).min(seed.len())].to_vec());
        }
    }
}

proptest! {
    // More by `PROPTEST_CASES`.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_with_random_damage_is_judged_and_never_panics(
        seed in any::<Index>(),
        changes in prop::collection::vec(change(), 1..8),
    ) {
        let seeds = seeds();
        let mut bytes = seed.get(&seeds).clone();
        for change in &changes {
            apply(change, &mut bytes, &seeds);
        }
        let _ = judge(&bytes);
    }

    #[test]
    fn pieces_thrown_together_are_judged_and_never_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60),
    ) {
        let _ = judge(pieces.concat().as_bytes());
    }
}

/// The report on a text that is refused.
fn refusal(text: &str) -> String {
    judge(text.as_bytes()).expect_err("taken").to_string()
}

#[test]
fn aliases_of_aliases_do_not_unfold() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            [below.as_str(); 10].join(", ")
        ));
    }
    let report = refusal(&text);
    assert!(report.contains("too large for a policy"), "{report}");
}

#[test]
fn nothing_nests_until_the_stack_is_gone() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        (0..2000)
            .map(|depth| format!("{}a:\n", " ".repeat(depth)))
            .collect(),
    ] {
        refusal(&text);
    }
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_not_read() {
    let text = format!("version: 1 # {}", "x".repeat(1024 * 1024));
    assert!(refusal(&text).contains("too large for a policy"));
    let endless = std::io::repeat(b'#');
    assert!(evenkeel_policy::read("endless", endless).is_err());
}

#[test]
fn a_thousand_errors_are_not_all_told() {
    let keys: String = (0..5000).map(|key| format!("k{key}: 1\n")).collect();
    let error = judge(keys.as_bytes()).unwrap_err();
    assert!(
        error.errors().len() <= 52,
        "{} errors",
        error.errors().len()
    );
    assert!(error.to_string().contains("reading stopped here"));

    let dependencies: String = (0..3000).map(|key| format!("  D{key}: {{}}\n")).collect();
    let error = judge(format!("version: 1\ndependencies:\n{dependencies}").as_bytes()).unwrap_err();
    assert!(error.to_string().contains("and 2900 more"));
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    let error = judge(b"version: 1\nservice: \xff\n").unwrap_err();
    let place = &error.errors()[0].finding().place;
    assert_eq!((place.line, place.column), (2, 10));
    assert!(error.to_string().contains("not UTF-8"));
}

#[test]
fn a_file_that_is_missing_is_named() {
    let error = evenkeel_policy::load(Path::new("no/such/policy.yaml")).unwrap_err();
    assert!(error.to_string().contains("no/such/policy.yaml"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
