//! JSON: one object, or one line per finding. `schema_version` changes when a field changes meaning.

use serde::Serialize;

use crate::checklist::Review;
use crate::engine::{Crash, Notice, Report};
use crate::finding::Finding;

const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Object<'r> {
    schema_version: u32,
    files: usize,
    lines: usize,
    findings: &'r [Finding],
    suppressed: usize,
    notices: &'r [Notice],
    crashes: &'r [Crash],
    #[serde(skip_serializing_if = "<[Review]>::is_empty")]
    checklist: &'r [Review],
}

pub(super) fn object(report: &Report) -> String {
    let object = Object {
        schema_version: SCHEMA_VERSION,
        files: report.files,
        lines: report.lines,
        findings: &report.findings,
        suppressed: report.suppressed.len(),
        notices: &report.notices,
        crashes: &report.crashes,
        checklist: &report.checklist,
    };
    written(serde_json::to_string_pretty(&object))
}

pub(super) fn lines(report: &Report) -> String {
    report
        .findings
        .iter()
        .map(|finding| written(serde_json::to_string(finding)))
        .collect()
}

/// Strings, numbers and lists always serialise; an error here would be a defect of serde.
pub(super) fn written(json: serde_json::Result<String>) -> String {
    json.map(|text| text + "\n").unwrap_or_default()
}
