//! SARIF output is valid against the 2.1.0 schema, as it comes with the `serde-sarif` package.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::PathBuf;
use std::process::Command;

use evenkeel_lint::{Config, Format, Linter, SourceText, Spec, render};

/// The schema's text, out of the package's own source.
fn schema() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let manifest = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["name"] == "serde-sarif")
        .and_then(|p| p["manifest_path"].as_str())
        .unwrap();
    let file = PathBuf::from(manifest)
        .with_file_name("src")
        .join("schema.json");
    let mut schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    // The published pattern has a bracket too many and is no regular expression.
    for definition in ["run", "toolComponent"] {
        let pattern = &mut schema["definitions"][definition]["properties"]["language"]["pattern"];
        assert_eq!(*pattern, "^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$");
        *pattern = serde_json::json!("^[a-zA-Z]{2}(-[a-zA-Z]{2})?$");
    }
    schema
}

#[test]
fn sarif_is_valid_against_the_schema() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let fixtures = format!("{}/tests/fixtures", env!("CARGO_MANIFEST_DIR"));
    let texts: Vec<SourceText> = ["retry.go", "retry.rs", "broken.go"]
        .iter()
        .map(|name| SourceText {
            path: format!("pkg/with space/{name}"),
            text: std::fs::read_to_string(format!("{fixtures}/{name}")).unwrap(),
        })
        .collect();
    let report = Linter::new(
        Config::new(Spec {
            preview: true,
            ..Spec::default()
        })
        .unwrap(),
    )
    .lint_texts(&texts);
    assert!(!report.findings.is_empty() && !report.suppressed.is_empty());
    let sarif: serde_json::Value =
        serde_json::from_str(&render(&report, Format::Sarif, false, &|_| None)).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&sarif)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert_eq!(
        sarif["runs"][0]["results"].as_array().unwrap().len(),
        report.findings.len() + report.suppressed.len()
    );
    // And a reader written from the same schema takes it.
    let read: serde_sarif::sarif::Sarif = serde_json::from_value(sarif).unwrap();
    assert_eq!(read.runs.len(), 1);
    // A schema that accepts everything would prove nothing.
    assert!(!validator.is_valid(&serde_json::json!({ "version": "2.1.0" })));
}
