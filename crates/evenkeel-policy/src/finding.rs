//! What can be wrong with a policy file, and how it is told.

use std::fmt;
use std::io;
use std::ops::Range;

use crate::path::Path;
use crate::render::{self, Look};
use crate::source::Source;

/// A place in a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// Counted from one.
    pub line: usize,
    /// Counted from one, in characters.
    pub column: usize,
    /// The bytes of the text that are pointed at.
    pub span: Range<usize>,
    /// The setting, such as `dependencies.payments.retry.attempts`; empty for the document itself.
    pub path: Path,
}

/// Something to know about a policy file: where, what, why it matters, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What is so, in one line.
    pub what: String,
    /// Why that matters: the arithmetic, the consequence.
    pub why: String,
    /// What to write instead.
    pub help: String,
}

impl Finding {
    /// In the order of the text; what is said twice of one place, side by side.
    pub(crate) fn order(&self) -> (usize, &str, &str) {
        (self.place.span.start, &self.what, &self.why)
    }
}

/// A reason not to start with this policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Finding);

/// Something that works, but that its author probably did not mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(Finding);

impl Error {
    pub(crate) const fn new(finding: Finding) -> Self {
        Self(finding)
    }

    /// Where, what, why, and the way out.
    #[must_use]
    pub const fn finding(&self) -> &Finding {
        &self.0
    }
}

impl Warning {
    pub(crate) const fn new(finding: Finding) -> Self {
        Self(finding)
    }

    /// Where, what, why, and the way out.
    #[must_use]
    pub const fn finding(&self) -> &Finding {
        &self.0
    }
}

/// A [`Finding`] that does not know its place yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) help: String,
}

impl Problem {
    pub(crate) fn new(
        what: impl Into<String>,
        why: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            help: help.into(),
        }
    }

    pub(crate) fn at(self, source: &Source, span: Range<usize>, path: Path) -> Finding {
        let (line, column) = source.line_column(span.start);
        let Self { what, why, help } = self;
        Finding {
            place: Place {
                line,
                column,
                span,
                path,
            },
            what,
            why,
            help,
        }
    }
}

/// Why a policy file was not taken. Its `Display` is the whole report, without colours; where it goes to
/// a terminal, [`LoadError::render`] has them.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be read.
    #[non_exhaustive]
    Unreadable {
        /// Which file.
        name: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file was read, and says something that cannot hold.
    Invalid(Invalid),
}

/// Everything that is wrong with one policy file, in the order of its lines.
#[derive(Debug)]
pub struct Invalid {
    pub(crate) source: Source,
    pub(crate) errors: Vec<Error>,
    pub(crate) warnings: Vec<Warning>,
}

impl LoadError {
    /// What is wrong with the file; empty if it could not be read at all.
    #[must_use]
    pub fn errors(&self) -> &[Error] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid(invalid) => &invalid.errors,
        }
    }

    /// What is odd about it besides.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid(invalid) => &invalid.warnings,
        }
    }

    /// The whole report: every error and warning with its line, and how many there are.
    #[must_use]
    pub fn render(&self, look: Look) -> String {
        match self {
            Self::Unreadable { name, cause } => render::unplaced(
                look,
                &format!("cannot read the policy file {name}"),
                &cause.to_string(),
                "name a file that exists and that this user may read",
            ),
            Self::Invalid(Invalid {
                source,
                errors,
                warnings,
            }) => {
                let mut report = render::errors(look, source, errors);
                report.push_str(&render::warnings(look, source, warnings));
                let (wrong, odd) = (errors.len(), warnings.len());
                let ending = |count| if count == 1 { "" } else { "s" };
                let and = match odd {
                    0 => String::new(),
                    _ => format!(" and {odd} warning{}", ending(odd)),
                };
                let name = source.name();
                report.push_str(&format!("{name}: {wrong} error{}{and}", ending(wrong)));
                report
            }
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Look::Plain))
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { cause, .. } => Some(cause),
            Self::Invalid(_) => None,
        }
    }
}
