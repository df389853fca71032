//! SARIF 2.1.0: what code scanning services read.
//!
//! All rules are listed, also those without findings, so that an alert closes when its finding is
//! gone. Fingerprints hold across unrelated edits. What a comment took back is listed as suppressed.

use serde_json::{Value, json};

use crate::engine::Report;
use crate::finding::{Finding, Level, Place};
use crate::rules;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn render(report: &Report) -> String {
    let rules: Vec<Value> = rules::all()
        .iter()
        .map(|rule| {
            json!({
                "id": rule.code,
                "name": rule.name,
                "shortDescription": { "text": rule.summary },
                "fullDescription": { "text": rule.page.trim().lines().next().unwrap_or(rule.summary) },
                "help": { "text": rule.page.trim(), "markdown": rule.page.trim() },
                "defaultConfiguration": {
                    "level": level(rule.level),
                    "enabled": rule.standing == crate::rule::Standing::Default,
                },
                "properties": { "tags": [rule.group()] },
            })
        })
        .collect();
    let mut results: Vec<Value> = report.findings.iter().map(|f| result(f, None)).collect();
    results.extend(
        report
            .suppressed
            .iter()
            .map(|s| result(&s.finding, Some(&s.reason))),
    );
    let notifications: Vec<Value> = report
        .crashes
        .iter()
        .map(|crash| json!({ "level": "error", "message": { "text": format!("{} panicked on {}: {}", crash.code, crash.path, crash.message) } }))
        .chain(report.notices.iter().map(|notice| json!({ "level": "note", "message": { "text": format!("{}:{}: {}", notice.path, notice.line, notice.message) } })))
        .collect();
    let sarif = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "evenkeel lint",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "utf16CodeUnits",
            "invocations": [{
                "executionSuccessful": report.crashes.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    super::json::written(serde_json::to_string_pretty(&sarif))
}

fn result(finding: &Finding, reason: Option<&String>) -> Value {
    let index = rules::all().iter().position(|r| r.code == finding.code);
    let related: Vec<Value> = finding
        .related
        .iter()
        .enumerate()
        .map(|(id, related)| {
            let mut place = location(&related.place);
            place["id"] = json!(id);
            place["message"] = json!({ "text": related.label });
            place
        })
        .collect();
    let mut result = json!({
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": level(finding.level),
        "message": { "text": format!("{}\n{}", finding.message, finding.help) },
        "locations": [location(&finding.place)],
        "relatedLocations": related,
        "partialFingerprints": { "evenkeel/v1": finding.fingerprint },
    });
    if !finding.also.is_empty() {
        result["properties"] = json!({ "also": finding.also });
    }
    if let Some(reason) = reason {
        result["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    result
}

fn location(place: &Place) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&place.path) },
            "region": {
                "startLine": place.line,
                "startColumn": place.column,
                "endLine": place.end_line,
                "endColumn": place.end_column,
            },
        },
    })
}

/// A path as a relative or absolute URI reference.
fn uri(path: &str) -> String {
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn level(level: Level) -> &'static str {
    level.as_str()
}
