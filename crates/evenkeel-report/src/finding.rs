//! A reported problem and what it rests on.
//!
//! A report that cannot say why it says so is ignored after its first false alarm. So a
//! [`Finding`] carries its [`Evidence`] with it, each piece marked as measured, modelled or
//! guessed, and says what would remove the problem.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// How bad it is if the finding is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing has to be done.
    Note,
    /// Will hurt under load or during a failure.
    Warning,
    /// Hurts now, or cannot work.
    Error,
}

/// How sure the reporter is that the finding is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Something fits and something needed to be sure is missing. Hidden by default.
    Possible,
    /// Everything that was looked at fits.
    Likely,
    /// It cannot be otherwise.
    Certain,
}

/// What a piece of evidence is: these three are never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Read from the thing itself: a counter, a stack, a line of source.
    Measured,
    /// Computed from measurements by a named model.
    Modelled,
    /// Assumed, because nothing better was at hand.
    Guessed,
}

/// A place in a file. Lines and columns count from one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// The file as the user named it, or relative to what the user named.
    pub file: String,
    /// The line, from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in characters, from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Location {
    /// A line of a file.
    #[must_use]
    pub fn line(file: impl Into<String>, line: u32) -> Self {
        Self {
            file: file.into(),
            line: Some(line),
            column: None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// One thing a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Measured, modelled or guessed.
    pub basis: Basis,
    /// The observation, as one clause with its numbers and units.
    pub text: String,
    /// Where it was seen, if it is in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

impl Evidence {
    /// Something read from the thing itself.
    #[must_use]
    pub fn measured(text: impl Into<String>) -> Self {
        Self {
            basis: Basis::Measured,
            text: text.into(),
            location: None,
        }
    }

    /// The same evidence, seen at `location`.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }
}

/// A reported problem.
///
/// ```
/// use evenkeel_report::{Confidence, Evidence, Finding, Location, Severity};
///
/// let mut finding = Finding::new("EK101", Severity::Warning, Confidence::Likely,
///     "retry of `client.Do` sleeps a fixed 500ms");
/// finding.location = Some(Location::line("loader.go", 40));
/// finding.evidence.push(Evidence::measured("no randomness found in `retryDelay`"));
/// assert_eq!(finding.to_string(),
///     "loader.go:40: warning[EK101]: retry of `client.Do` sleeps a fixed 500ms");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The stable name of the check or rule that found it. Never used again for another.
    pub rule: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// How sure this is.
    pub confidence: Confidence,
    /// One line: what, and where the evidence is.
    pub message: String,
    /// Where it is, if it is in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What it rests on, strongest first.
    pub evidence: Vec<Evidence>,
    /// What would remove it, as an instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding without place, evidence or remedy yet.
    #[must_use]
    pub fn new(
        rule: impl Into<Cow<'static, str>>,
        severity: Severity,
        confidence: Confidence,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule: rule.into(),
            severity,
            confidence,
            message: message.into(),
            location: None,
            evidence: Vec::new(),
            remedy: None,
        }
    }
}

impl fmt::Display for Finding {
    /// One line, in the shape editors and terminals turn into a link.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}[{}]: {}", self.rule, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_serialises_with_its_evidence_and_without_what_it_lacks() {
        let mut finding = Finding::new("leak", Severity::Error, Confidence::Certain, "it grows");
        finding.evidence.push(
            Evidence::measured("291 goroutines in chan send").at(Location::line("find.go", 7)),
        );
        assert_eq!(
            serde_json::to_value(&finding).unwrap(),
            serde_json::json!({
                "rule": "leak", "severity": "error", "confidence": "certain",
                "message": "it grows",
                "evidence": [{
                    "basis": "measured", "text": "291 goroutines in chan send",
                    "location": { "file": "find.go", "line": 7 },
                }],
            })
        );
    }

    #[test]
    fn worse_and_surer_sort_higher() {
        assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Note);
        assert!(Confidence::Certain > Confidence::Likely);
    }
}
