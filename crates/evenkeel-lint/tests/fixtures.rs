//! Fixtures say on each line what is found there: `// want EK101`.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "what fails here fails the test; a fixture is short"
)]

use std::collections::BTreeSet;

use evenkeel_lint::{Config, Format, Linter, Report, SourceText, Spec, render};

fn lint(name: &str) -> (Report, String) {
    let file = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap();
    let linter = Linter::new(
        Config::new(Spec {
            preview: true,
            ..Spec::default()
        })
        .unwrap(),
    );
    let report = linter.lint_texts(&[SourceText {
        path: format!("pkg/store/{name}"),
        text: text.clone(),
    }]);
    assert!(report.crashes.is_empty(), "{:?}", report.crashes);
    (report, text)
}

fn wanted(text: &str) -> BTreeSet<(u32, String)> {
    text.lines()
        .enumerate()
        .filter_map(|(at, line)| Some((at as u32 + 1, line.split_once("// want ")?.1)))
        .flat_map(|(line, codes)| codes.split(' ').map(move |code| (line, code.to_owned())))
        .collect()
}

fn check(name: &str) {
    let (report, text) = lint(name);
    let found: BTreeSet<(u32, String)> = report
        .findings
        .iter()
        .map(|f| (f.place.line, f.code.to_owned()))
        .collect();
    let wanted = wanted(&text);
    let missing: Vec<_> = wanted.difference(&found).collect();
    let extra: Vec<_> = found.difference(&wanted).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{name}: not found {missing:?}; found and not wanted {extra:?}"
    );
}

#[test]
fn go_loops_are_told_apart_by_their_paths() {
    check("retry.go");
}

#[test]
fn rust_loops_are_told_apart_by_their_paths() {
    check("retry.rs");
}

#[test]
fn a_file_that_does_not_parse_is_linted_as_far_as_it_goes() {
    check("broken.go");
    let (report, _) = lint("broken.go");
    assert!(
        report.notices.iter().any(|n| n.kind == "parse-incomplete"),
        "{:?}",
        report.notices
    );
}

#[test]
fn a_suppression_takes_its_finding_back_with_its_reason() {
    let (report, _) = lint("retry.go");
    let reasons: Vec<_> = report
        .suppressed
        .iter()
        .map(|s| (s.finding.code, s.reason.as_str()))
        .collect();
    assert_eq!(reasons, [("EK105", "one process in the world runs this")]);
}

#[test]
fn an_unused_suppression_and_one_without_a_reason_are_reported() {
    let text =
        "package a\n\n// evenkeel:ignore EK101\nfunc f() {}\n// evenkeel:ignore EK999 -- why\n"
            .to_owned();
    let linter = Linter::new(Config::new(Spec::default()).unwrap());
    let report = linter.lint_texts(&[SourceText {
        path: "a.go".to_owned(),
        text,
    }]);
    let kinds: Vec<_> = report.notices.iter().map(|n| (n.line, n.kind)).collect();
    assert_eq!(
        kinds,
        [
            (3, "unused-suppression"),
            (3, "suppression-without-reason"),
            (5, "unknown-suppression")
        ]
    );
}

#[test]
fn a_function_the_project_names_as_jittered_is_believed() {
    let text = "package a\nimport \"time\"\nfunc load(client *Client) error {\n\tfor i := 0; i < 5; i++ {\n\t\tif err := client.Send(); err == nil {\n\t\t\treturn nil\n\t\t}\n\t\ttime.Sleep(pause(i))\n\t}\n\treturn errGaveUp\n}\nfunc pause(i int) time.Duration { return table[i] }\n";
    let found = |jitter_fns: Vec<String>| {
        let linter = Linter::new(
            Config::new(Spec {
                jitter_fns,
                ..Spec::default()
            })
            .unwrap(),
        );
        let source = SourceText {
            path: "a.go".to_owned(),
            text: text.to_owned(),
        };
        linter
            .lint_texts(&[source])
            .findings
            .iter()
            .map(|f| f.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(Vec::new()), ["EK101"]);
    assert!(found(vec!["pause".to_owned()]).is_empty());
}

#[test]
fn the_full_format_shows_the_evidence() {
    let (report, text) = lint("retry.go");
    let shown = render(&report, Format::Full, false, &|_| Some(text.clone()));
    insta::assert_snapshot!(
        shown
            .split("\n\n\n")
            .next()
            .unwrap_or(&shown)
            .lines()
            .take(40)
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn the_concise_format_is_a_line_per_finding() {
    let (report, _) = lint("retry.go");
    insta::assert_snapshot!(render(&report, Format::Concise, false, &|_| None));
}

#[test]
fn github_annotations_escape_what_would_end_them() {
    let (report, _) = lint("retry.rs");
    let shown = render(&report, Format::Github, false, &|_| None);
    assert!(shown.starts_with("::"), "{shown}");
    for line in shown.lines() {
        assert!(
            line.starts_with("::warning file=pkg/store/retry.rs,line=")
                || line.starts_with("::error file="),
            "{line}"
        );
    }
}

#[test]
fn gitlab_and_junit_carry_every_finding() {
    let (report, _) = lint("retry.go");
    let gitlab: serde_json::Value =
        serde_json::from_str(&render(&report, Format::Gitlab, false, &|_| None)).unwrap();
    assert_eq!(gitlab.as_array().unwrap().len(), report.findings.len());
    let junit = render(&report, Format::Junit, false, &|_| None);
    assert_eq!(junit.matches("<failure ").count(), report.findings.len());
    assert_eq!(
        junit.matches("<testsuite ").count(),
        junit.matches("</testsuite>").count()
    );
}

#[test]
fn fingerprints_survive_lines_that_move() {
    let (before, text) = lint("retry.go");
    let spec = Spec {
        preview: true,
        ..Spec::default()
    };
    let linter = Linter::new(Config::new(spec).unwrap());
    let moved = text.replacen("const pause", "// one more line\n\nconst pause", 1);
    let after = linter.lint_texts(&[SourceText {
        path: "pkg/store/retry.go".to_owned(),
        text: moved,
    }]);
    let of = |r: &Report| {
        r.findings
            .iter()
            .map(|f| f.fingerprint.clone())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(of(&before), of(&after));
    assert_eq!(
        of(&before).len(),
        before.findings.len(),
        "two findings share a fingerprint"
    );
}
