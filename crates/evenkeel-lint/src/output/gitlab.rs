//! GitLab's code quality report.

use serde_json::{Value, json};

use crate::engine::Report;
use crate::finding::Level;

pub(super) fn render(report: &Report) -> String {
    let entries: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "check_name": finding.code,
                "description": format!("{}: {}", finding.name, finding.message),
                "fingerprint": finding.fingerprint,
                "severity": match finding.level {
                    Level::Note => "info",
                    Level::Warning => "minor",
                    Level::Error => "major",
                },
                "location": {
                    "path": finding.place.path,
                    "lines": { "begin": finding.place.line, "end": finding.place.end_line },
                },
            })
        })
        .collect();
    super::json::written(serde_json::to_string_pretty(&entries))
}
