//! Code frames, drawn by the renderer that rustc and cargo use.

use annotate_snippets::{AnnotationKind, Group, Level as Title, Renderer, Snippet};

use crate::engine::Report;
use crate::finding::{Finding, Level};

pub(super) fn render(
    report: &Report,
    colour: bool,
    read: &dyn Fn(&str) -> Option<String>,
) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut out = String::new();
    let mut open: Option<(String, String)> = None;
    for finding in &report.findings {
        let path = &finding.place.path;
        if open.as_ref().is_none_or(|(held, _)| held != path) {
            open = Some((path.clone(), read(path).unwrap_or_default()));
        }
        let source = open.as_ref().map_or("", |(_, text)| text.as_str());
        out.push_str(&frame(&renderer, finding, source));
        out.push_str("\n\n");
    }
    out
}

fn frame(renderer: &Renderer, finding: &Finding, source: &str) -> String {
    let title = match finding.level {
        Level::Note => Title::NOTE,
        Level::Warning => Title::WARNING,
        Level::Error => Title::ERROR,
    };
    let inside = |range: &std::ops::Range<usize>| {
        range.end <= source.len()
            && range.start <= range.end
            && source.is_char_boundary(range.start)
            && source.is_char_boundary(range.end)
    };
    let mut main = Snippet::source(source).path(finding.place.path.as_str());
    if inside(&finding.place.bytes) {
        main = main.annotation(
            AnnotationKind::Primary
                .span(finding.place.bytes.clone())
                .label(finding.label.as_str()),
        );
    }
    let mut elsewhere = Vec::new();
    for related in &finding.related {
        if related.place.path == finding.place.path
            && !related.place.bytes.is_empty()
            && inside(&related.place.bytes)
        {
            main = main.annotation(
                AnnotationKind::Context
                    .span(related.place.bytes.clone())
                    .label(related.label.as_str()),
            );
        } else {
            elsewhere.push(format!(
                "{}:{}: {}",
                related.place.path, related.place.line, related.label
            ));
        }
    }
    let mut group = Group::with_title(
        title
            .primary_title(finding.message.as_str())
            .id(finding.code),
    )
    .element(main);
    for place in &elsewhere {
        group = group.element(Title::NOTE.message(place.as_str()));
    }
    let mut groups = vec![group];
    if !finding.help.is_empty() {
        groups.push(Group::with_title(
            Title::HELP.secondary_title(finding.help.as_str()),
        ));
    }
    renderer.render(&groups)
}
