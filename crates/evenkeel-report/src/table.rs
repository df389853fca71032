//! Plain text tables for terminals and logs.
//!
//! Columns are as wide as their widest cell, numbers are set flush right, and rows can be grouped
//! under a heading. Nothing is coloured and nothing is drawn but one rule under the head, so that
//! the same text reads well in a terminal, a log and a commit message.

use std::fmt;

/// Space between two columns.
const GAP: usize = 3;

/// Which side the cells of a column are set flush to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// The head of one column.
#[derive(Debug, Clone)]
pub struct Column {
    title: String,
    align: Align,
}

impl Column {
    /// A column of words.
    #[must_use]
    pub fn left(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            align: Align::Left,
        }
    }

    /// A column of figures.
    #[must_use]
    pub fn right(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            align: Align::Right,
        }
    }
}

#[derive(Debug, Clone)]
enum Line {
    Heading(String),
    Cells(Vec<String>),
}

/// A table; its `Display` is the text, each line ended by a line feed.
///
/// ```
/// use evenkeel_report::{Column, Table};
///
/// let mut table = Table::new([Column::left("phase"), Column::right("pages")]);
/// table.row(["before", "300"]);
/// table.row(["fault", "7"]);
/// assert_eq!(table.to_string(), "\
/// phase    pages
/// ------   -----
/// before     300
/// fault        7
/// ");
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    lines: Vec<Line>,
}

impl Table {
    /// An empty table with these columns.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            lines: Vec::new(),
        }
    }

    /// Adds a row. Missing cells are blank; cells beyond the last column are not shown.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.lines
            .push(Line::Cells(cells.into_iter().map(Into::into).collect()));
    }

    /// Adds a heading over the rows that follow.
    pub fn heading(&mut self, text: impl Into<String>) {
        self.lines.push(Line::Heading(text.into()));
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| column.title.chars().count())
            .collect();
        for line in &self.lines {
            if let Line::Cells(cells) = line {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
        }
        widths
    }

    fn write_cells<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        widths: &[usize],
        cells: impl Iterator<Item = &'a str>,
    ) -> fmt::Result {
        let mut line = String::new();
        for ((column, width), cell) in self.columns.iter().zip(widths).zip(cells) {
            if !line.is_empty() {
                line.push_str(&" ".repeat(GAP));
            }
            match column.align {
                Align::Left => line.push_str(&format!("{cell:<width$}")),
                Align::Right => line.push_str(&format!("{cell:>width$}")),
            }
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        self.write_cells(
            f,
            &widths,
            self.columns.iter().map(|column| column.title.as_str()),
        )?;
        let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        self.write_cells(f, &widths, rules.iter().map(String::as_str))?;
        for line in &self.lines {
            match line {
                Line::Heading(text) => writeln!(f, "{text}")?,
                Line::Cells(cells) => {
                    let blank = std::iter::repeat("");
                    let cells = cells.iter().map(String::as_str).chain(blank);
                    self.write_cells(f, &widths, cells)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_do_not_widen_columns_and_missing_cells_are_blank() {
        let mut table = Table::new([Column::left("a"), Column::right("b"), Column::left("c")]);
        table.heading("a heading much wider than any of the columns");
        table.row(["µs", "1", "x"]);
        table.row(["ms"]);
        assert_eq!(
            table.to_string(),
            "a    b   c\n--   -   -\na heading much wider than any of the columns\nµs   1   x\nms\n"
        );
    }
}
