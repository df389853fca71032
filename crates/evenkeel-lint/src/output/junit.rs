//! JUnit XML: a suite per file, a failed case per finding.

use crate::engine::Report;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let failures = report.findings.len();
    out.push_str(&format!(
        "<testsuites name=\"evenkeel lint\" tests=\"{}\" failures=\"{failures}\" errors=\"{}\">\n",
        failures.max(1),
        report.crashes.len()
    ));
    let mut at = 0;
    while at < report.findings.len() {
        let path = &report.findings[at].place.path;
        let count = report.findings[at..]
            .iter()
            .take_while(|f| f.place.path == *path)
            .count();
        out.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{count}\" failures=\"{count}\" errors=\"0\">\n",
            escape(path)
        ));
        for finding in &report.findings[at..at + count] {
            let place = &finding.place;
            out.push_str(&format!(
                "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{}\">\n      <failure message=\"{}\">line {}, column {}: {}. {}</failure>\n    </testcase>\n",
                escape(&format!("{} {} line {}", finding.code, finding.name, place.line)),
                escape(path),
                escape(path),
                place.line,
                escape(&finding.message),
                place.line,
                place.column,
                escape(&finding.message),
                escape(&finding.help),
            ));
        }
        out.push_str("  </testsuite>\n");
        at += count;
    }
    if report.findings.is_empty() {
        out.push_str("  <testsuite name=\"evenkeel lint\" tests=\"1\" failures=\"0\" errors=\"0\">\n    <testcase name=\"no findings\" classname=\"evenkeel lint\"/>\n  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
