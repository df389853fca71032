//! Every rule's manual page keeps its word: the bad examples are found, the good ones are clean.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use evenkeel_lint::{Config, Linter, Rule, SourceText, Spec, rules};

struct Example {
    extension: &'static str,
    bad: bool,
    text: String,
}

fn examples(rule: &Rule) -> Vec<Example> {
    let mut found = Vec::new();
    let mut open: Option<Example> = None;
    for line in rule.page.lines() {
        if let Some(tag) = line.strip_prefix("```") {
            match (open.take(), tag) {
                (Some(example), "") => found.push(example),
                (None, tag) => {
                    let (language, kind) = tag.split_once(' ').unwrap_or((tag, ""));
                    let extension = if language == "go" { "go" } else { "rs" };
                    assert!(
                        matches!(kind, "good" | "bad"),
                        "{}: `{tag}` is neither good nor bad",
                        rule.code
                    );
                    open = Some(Example {
                        extension,
                        bad: kind == "bad",
                        text: String::new(),
                    });
                }
                (Some(_), tag) => panic!("{}: `{tag}` inside an example", rule.code),
            }
        } else if let Some(example) = &mut open {
            example.text.push_str(line);
            example.text.push('\n');
        }
    }
    found
}

fn found(rule: &Rule, example: &Example) -> Vec<String> {
    let spec = Spec {
        select: Some(vec![rule.code.to_owned()]),
        ..Spec::default()
    };
    let linter = Linter::new(Config::new(spec).unwrap());
    let path = format!("pkg/store/example.{}", example.extension);
    let report = linter.lint_texts(&[SourceText {
        path,
        text: example.text.clone(),
    }]);
    assert!(
        report.crashes.is_empty(),
        "{}: {:?}",
        rule.code,
        report.crashes
    );
    report.findings.iter().map(|f| f.message.clone()).collect()
}

#[test]
fn bad_examples_of_every_page_are_found_and_good_ones_are_clean() {
    let mut wrong = Vec::new();
    for rule in rules() {
        let examples = examples(rule);
        assert!(
            examples.iter().any(|e| e.bad),
            "{} has no bad example",
            rule.code
        );
        for example in &examples {
            let found = found(rule, example);
            if example.bad == found.is_empty() {
                wrong.push(format!(
                    "{} {} ({}): {found:?}",
                    rule.code,
                    if example.bad {
                        "bad example is not found"
                    } else {
                        "good example is reported"
                    },
                    example.extension,
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pages_have_the_parts_a_reader_looks_for() {
    for rule in rules() {
        for part in [
            "## Why it hurts",
            "## Example",
            "## How it is found",
            "## Known false alarms",
        ] {
            assert!(rule.page.contains(part), "{} lacks `{part}`", rule.code);
        }
    }
}

#[test]
fn codes_are_unique_and_in_order() {
    let codes: Vec<_> = rules().iter().map(|r| r.code).collect();
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
}
