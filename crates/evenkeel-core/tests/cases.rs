//! Runs every case of `cases/` on the core, twice: equal inputs give equal decisions.
//!
//! `UPDATE_CASES=1 cargo test -p evenkeel-core --test cases` writes what happened into the files; read the
//! difference before you commit it.
#![cfg(not(evenkeel_loom))]
#![expect(clippy::disallowed_methods, reason = "the cases lie in files")]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use evenkeel_core::case::{self, Case, Line};

#[test]
fn every_case_goes_as_it_says_and_goes_so_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "txt"));
    files.sort();
    assert!(
        files.len() >= 120,
        "{} holds {} cases",
        folder.display(),
        files.len()
    );
    let mut failures = String::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let case = Case::parse(&text).unwrap_or_else(|error| panic!("{}, {error}", file.display()));
        let trace = case::run(&case);
        assert_eq!(
            trace,
            case::run(&case),
            "{} does not repeat itself",
            file.display()
        );
        if env::var_os("UPDATE_CASES").is_some() {
            let story = text.split("\n---").next().unwrap().trim_end();
            fs::write(&file, format!("{story}\n\n---\n{}", render(&trace))).unwrap();
            continue;
        }
        // As text: a file tells times to the microsecond.
        let (happened, expected) = (render(&trace), render(&case.expected));
        if happened != expected {
            let file = file.display();
            writeln!(
                failures,
                "{file}\n  expected:\n{expected}  happened:\n{happened}"
            )
            .unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn render(trace: &[Line]) -> String {
    trace
        .iter()
        .fold(String::new(), |text, line| text + &format!("{line}\n"))
}
