//! Findings as text, each with the line it is about.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::finding::{Error, Finding, Warning};
use crate::source::Source;

/// How a report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Look {
    /// Plain text: for a file, a log, a pipe.
    Plain,
    /// With the colours of a terminal.
    Styled,
}

impl Look {
    fn renderer(self) -> Renderer {
        match self {
            Self::Plain => Renderer::plain(),
            Self::Styled => Renderer::styled(),
        }
    }
}

/// Nobody reads more of them than this.
const MOST_SHOWN: usize = 100;

pub(crate) fn errors(look: Look, source: &Source, errors: &[Error]) -> String {
    all(
        look,
        source,
        &Level::ERROR,
        errors.iter().map(Error::finding),
    )
}

pub(crate) fn warnings(look: Look, source: &Source, warnings: &[Warning]) -> String {
    all(
        look,
        source,
        &Level::WARNING,
        warnings.iter().map(Warning::finding),
    )
}

fn all<'a>(
    look: Look,
    source: &Source,
    level: &Level<'a>,
    findings: impl ExactSizeIterator<Item = &'a Finding>,
) -> String {
    let more = findings.len().saturating_sub(MOST_SHOWN);
    let mut report: String = findings
        .take(MOST_SHOWN)
        .map(|finding| one(look, source, level.clone(), finding))
        .collect();
    if more > 0 {
        report.push_str(&format!("… and {more} more\n\n"));
    }
    report
}

fn one(look: Look, source: &Source, level: Level<'_>, finding: &Finding) -> String {
    let excerpt = source.excerpt(&finding.place.span);
    // The renderer shows control characters as pictures, but lets those beyond ASCII through, and some
    // terminals obey them. The dot has as many bytes as they have, so that spans stay where they are.
    let text = excerpt
        .text
        .replace(|c| ('\u{80}'..='\u{9f}').contains(&c), "·");
    let mut snippet = Snippet::source(text)
        .line_start(excerpt.line)
        .path(source.name())
        .fold(false);
    snippet = snippet.annotation(
        AnnotationKind::Primary
            .span(excerpt.span)
            .label(finding.why.as_str()),
    );
    let mut group = level.primary_title(finding.what.as_str()).element(snippet);
    let path = finding.place.path.to_string();
    if !path.is_empty() {
        group = group.element(Level::NOTE.message(format!("at {path}")));
    }
    group = group.element(Level::HELP.message(finding.help.as_str()));
    format!("{}\n\n", look.renderer().render(&[group]))
}

/// A report without a place in a text.
pub(crate) fn unplaced(look: Look, what: &str, why: &str, help: &str) -> String {
    let group = Level::ERROR
        .primary_title(what)
        .element(Level::NOTE.message(why))
        .element(Level::HELP.message(help));
    look.renderer().render(&[group])
}
