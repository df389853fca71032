//! What is said about files that are wrong: each file of `tests/errors` against its snapshot.

use std::fs;
use std::path::Path;

use evenkeel_policy::Look;

/// The whole report on one text: errors, or else warnings.
fn report(name: &str, text: &str) -> String {
    match evenkeel_policy::parse(name, text) {
        Ok(loaded) => format!("valid\n\n{}", loaded.render_warnings(Look::Plain)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_wrong_file_is_told_all_that_is_wrong_with_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    cases.sort();
    assert!(
        cases.len() >= 30,
        "only {} cases in {}",
        cases.len(),
        folder.display()
    );
    for case in cases {
        let name = case.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&case).unwrap();
        let report = report(&format!("{name}.yaml"), &text);
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path("errors");
        settings.bind(|| insta::assert_snapshot!(name, report));
    }
}

#[test]
fn every_error_has_a_place_a_reason_and_a_way_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let Err(error) = evenkeel_policy::parse("x", &text) else {
            continue;
        };
        assert!(!error.errors().is_empty());
        for finding in error.errors().iter().map(evenkeel_policy::Error::finding) {
            let place = &finding.place;
            assert!(place.line >= 1 && place.column >= 1, "{finding:?}");
            assert!(text.get(place.span.clone()).is_some(), "{finding:?}");
            for said in [&finding.what, &finding.why, &finding.help] {
                assert!(!said.is_empty(), "{finding:?}");
                assert!(!said.chars().any(char::is_control), "{finding:?}");
            }
        }
    }
}
