//! The report for a person: the verdict in the first line, then where, why, and what to do.

use std::fmt::Write as _;

use evenkeel_report::Confidence;

use crate::finding::{Diagnosis, Finding, Verdict};
use crate::scaling::Scaling;

/// Renders the whole diagnosis; the first line alone answers the question.
pub fn to_text(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", first_line(diagnosis));
    for (index, finding) in diagnosis.findings.iter().enumerate() {
        if index > 0 {
            let _ = writeln!(out, "\nalso: {}", headline(finding));
        }
        write_finding(&mut out, finding);
    }
    section(&mut out, "looked at", &diagnosis.looked_at);
    section(&mut out, "not there to look at", &diagnosis.missing);
    let notes: Vec<String> = diagnosis.notes.iter().map(ToString::to_string).collect();
    section(&mut out, "notes", &notes);
    out
}

/// Renders what an experiment says; the first line alone answers the question.
pub fn scaling_to_text(scaling: &Scaling) -> String {
    let mut out = String::new();
    let _ = match scaling.verdict {
        Some(Verdict::Healthy) => writeln!(out, "{}: they scale", Verdict::Healthy),
        Some(verdict) => writeln!(out, "{verdict}; see: evenkeel doctor explain {verdict}"),
        None => writeln!(out, "not told by this experiment"),
    };
    section(&mut out, "evidence", &scaling.evidence);
    out
}

/// The verdict in one line.
pub(crate) fn first_line(diagnosis: &Diagnosis) -> String {
    match diagnosis.findings.first() {
        Some(finding) => format!("{}: {}", diagnosis.origin, headline(finding)),
        None => format!("{}: {}", diagnosis.origin, Verdict::Healthy),
    }
}

fn headline(finding: &Finding) -> String {
    let sure = match finding.confidence {
        Confidence::Possible => "possible",
        Confidence::Likely => "likely",
        Confidence::Certain => "certain",
    };
    format!("{}: {sure} [{}]", finding.headline(), finding.code)
}

fn write_finding(out: &mut String, finding: &Finding) {
    let _ = writeln!(out, "\nshared resource: {}", finding.resource);
    let _ = writeln!(out, "take away: the {}", finding.remove);
    section(out, "evidence", &finding.evidence);
    section(out, "would be surer with", &finding.missing);
    section(out, "now", &finding.remedies.mitigate);
    section(out, "then, in the code", &finding.remedies.fix);
    section(out, "would have told", &finding.remedies.monitor);
}

fn section(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    for line in lines {
        let _ = writeln!(out, "  - {line}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_report_answers_first_and_argues_after() {
        let dump = "goroutine 7 [chan send, 49 minutes]:\nshop/feed.(*Reader).push(0xc1)\n\tshop/feed/feed.go:66 +0xd2\ncreated by shop/feed.Start in goroutine 1\n\tshop/feed/feed.go:39 +0x1a\n";
        let capture = crate::source::read_stream("standard input", dump.as_bytes()).unwrap();
        insta::assert_snapshot!(
            "leak_of_one_dump",
            super::to_text(&crate::diagnose(&capture))
        );
    }
}
