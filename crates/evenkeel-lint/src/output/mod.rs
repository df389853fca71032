//! The report in the formats that people and machines read.
//!
//! Text goes in as findings and comes out as a string; who prints it decides where. No format
//! changes what was found or how the command ends.

mod annotate;
mod gitlab;
mod json;
mod junit;
mod sarif;

use crate::engine::Report;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Code frames, as rustc draws them.
    Full,
    /// One line per finding.
    Concise,
    /// One object with everything.
    Json,
    /// One object per finding.
    JsonLines,
    /// SARIF 2.1.0, with all rules, so that fixed alerts close.
    Sarif,
    /// Workflow commands: annotations in a pull request.
    Github,
    /// GitLab's code quality report.
    Gitlab,
    /// JUnit XML: a test case per file.
    Junit,
}

impl Format {
    /// Every format, with the word that selects it.
    pub const ALL: [(&'static str, Format); 8] = [
        ("full", Format::Full),
        ("concise", Format::Concise),
        ("json", Format::Json),
        ("json-lines", Format::JsonLines),
        ("sarif", Format::Sarif),
        ("github", Format::Github),
        ("gitlab", Format::Gitlab),
        ("junit", Format::Junit),
    ];
}

/// Writes a report. `read` gives the text of a file for code frames; `colour` styles the full
/// format for a terminal.
#[must_use]
pub fn render(
    report: &Report,
    format: Format,
    colour: bool,
    read: &dyn Fn(&str) -> Option<String>,
) -> String {
    match format {
        Format::Full => annotate::render(report, colour, read),
        Format::Concise => concise(report),
        Format::Json => json::object(report),
        Format::JsonLines => json::lines(report),
        Format::Sarif => sarif::render(report),
        Format::Github => github(report),
        Format::Gitlab => gitlab::render(report),
        Format::Junit => junit::render(report),
    }
}

fn concise(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let place = &finding.place;
        out.push_str(&format!(
            "{}:{}:{}: {}[{}] {}\n",
            place.path,
            place.line,
            place.column,
            finding.level.as_str(),
            finding.code,
            finding.message
        ));
    }
    out
}

fn github(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let place = &finding.place;
        let level = match finding.level {
            crate::finding::Level::Note => "notice",
            level => level.as_str(),
        };
        out.push_str(&format!(
            "::{level} file={},line={},endLine={},col={},title={}::{}\n",
            escape_property(&place.path),
            place.line,
            place.end_line,
            place.column,
            escape_property(&format!("{} {}", finding.code, finding.name)),
            escape_data(&format!("{}. {}", finding.message, finding.help)),
        ));
    }
    out
}

/// Workflow commands escape line ends and, in properties, their own separators.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Counts per rule, most frequent first.
#[must_use]
pub fn statistics(report: &Report) -> String {
    let mut counts: Vec<(usize, &str, &str)> = Vec::new();
    for finding in &report.findings {
        match counts.iter_mut().find(|(_, code, _)| *code == finding.code) {
            Some(count) => count.0 += 1,
            None => counts.push((1, finding.code, finding.name)),
        }
    }
    counts.sort_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
    let mut out: String = counts
        .iter()
        .map(|(n, code, name)| format!("{n:>6}  {code}  {name}\n"))
        .collect();
    out.push_str(&format!(
        "{:>6}  in {} files, {} lines\n",
        report.findings.len(),
        report.files,
        report.lines
    ));
    out
}

/// The review checklist: six answers per retry loop.
#[must_use]
pub fn checklist(report: &Report) -> String {
    let mut out = String::new();
    for review in &report.checklist {
        out.push_str(&format!(
            "{}:{}: retry of `{}`\n",
            review.place.path, review.place.line, review.operation
        ));
        for (question, answer) in review.answers() {
            let (mark, word) = match answer {
                crate::checklist::Answer::Yes => ("x", "yes"),
                crate::checklist::Answer::No => (" ", "no"),
                crate::checklist::Answer::Unknown => ("?", "unknown"),
            };
            out.push_str(&format!("  [{mark}] {question}: {word}\n"));
        }
    }
    out
}
