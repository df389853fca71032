//! The text of a policy file, and how to count its lines.

use std::ops::Range;
use std::sync::Arc;

/// A text and the name it is known by.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Where each line begins.
    lines: Arc<[usize]>,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            name: name.into(),
            text: text.into(),
            lines,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line of a byte, counted from one.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).max(1)
    }

    /// Line and column, both counted from one, columns in characters.
    pub(crate) fn line_column(&self, offset: usize) -> (usize, usize) {
        let line = self.line_of(offset);
        let start = self.line_start(line);
        let before = self.text.get(start..offset).unwrap_or_default();
        (
            line,
            before.trim_start_matches('\u{feff}').chars().count() + 1,
        )
    }

    /// The byte at a line and column, both counted from one; the nearest there is.
    pub(crate) fn offset(&self, line: u64, column: u64) -> usize {
        let line = usize::try_from(line)
            .unwrap_or(usize::MAX)
            .clamp(1, self.lines.len());
        let start = self.line_start(line);
        let text = self.line(line);
        let skip = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        let inside = text
            .char_indices()
            .nth(skip)
            .map_or(text.len(), |(at, _)| at);
        start + inside
    }

    fn line_start(&self, line: usize) -> usize {
        self.lines
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(self.text.len())
    }

    /// The text of a line, without its end.
    fn line(&self, line: usize) -> &str {
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        let text = self
            .text
            .get(self.line_start(line)..end)
            .unwrap_or_default();
        text.trim_end_matches(['\n', '\r'])
    }

    /// The line that `span` begins on: its number, its text, and the part of `span` within it. Of a very
    /// long line, the surroundings of the span.
    pub(crate) fn excerpt(&self, span: &Range<usize>) -> Excerpt<'_> {
        /// Bytes shown on either side of the span in a line that is too long to show.
        const AROUND: usize = 60;
        let line = self.line_of(span.start);
        let (start, text) = (self.line_start(line), self.line(line));
        let from = text.floor_char_boundary(span.start.saturating_sub(start).min(text.len()));
        let to = text.floor_char_boundary(span.end.saturating_sub(start).clamp(from, text.len()));
        let to = text.floor_char_boundary(to.min(from.saturating_add(4 * AROUND)));
        if text.len() <= 4 * AROUND {
            return Excerpt {
                line,
                text,
                span: from..to,
            };
        }
        let first = text.ceil_char_boundary(from.saturating_sub(AROUND));
        let last = text.floor_char_boundary(to.saturating_add(AROUND).min(text.len()));
        let text = text.get(first..last).unwrap_or_default();
        Excerpt {
            line,
            text,
            span: from - first..to - first,
        }
    }
}

/// One line of a [`Source`], or a piece of it.
pub(crate) struct Excerpt<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
    /// What to point at within `text`.
    pub(crate) span: Range<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let source = Source::new("x", "\u{feff}a: ä b\r\nc\n");
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(source.text().find('b').unwrap()), (1, 6));
        assert_eq!(source.line_column(source.text().find('c').unwrap()), (2, 1));
        assert_eq!(source.line_column(source.text().len()), (3, 1));
        assert_eq!(source.offset(2, 1), source.text().find('c').unwrap());
        assert_eq!(source.offset(99, 99), source.text().len());
    }

    #[test]
    fn a_line_of_a_megabyte_is_shown_as_a_piece() {
        let source = Source::new("x", &"ö".repeat(500_000));
        let excerpt = source.excerpt(&(400_001..900_000));
        assert!(excerpt.text.len() < 1000);
        assert!(excerpt.text.get(excerpt.span).is_some());
    }
}
