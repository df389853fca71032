//! A rule: its code, its manual page and its check, in one place.

use crate::facts::View;
use crate::finding::{Finding, Level};
use crate::index::Index;

/// Whether a rule runs when nothing is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Runs by default: at least three in four of its findings on unseen code were real.
    Default,
    /// Runs when selected: right where a project wants it, noise elsewhere.
    OptIn,
    /// Runs when selected or with `--preview`: not yet precise enough.
    Preview,
}

/// One rule and its manual page.
pub struct Rule {
    /// `EK101`; never reused.
    pub code: &'static str,
    /// `retry-without-jitter`.
    pub name: &'static str,
    /// Level of its findings, unless one says otherwise.
    pub level: Level,
    /// Whether it runs by default.
    pub standing: Standing,
    /// One line.
    pub summary: &'static str,
    /// The manual page, in Markdown: what, why, examples (`go bad`, `go good`, `rust bad`,
    /// `rust good`), how it is found, known false alarms.
    pub page: &'static str,
    pub(crate) check: fn(&View<'_>, &mut Sink<'_>),
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule")
            .field("code", &self.code)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Rule {
    /// Name of the rule's group, by the hundreds of its code.
    #[must_use]
    pub fn group(&self) -> &'static str {
        match self.code.as_bytes().get(2) {
            Some(b'1') => "retry",
            Some(b'2') => "synchronisation",
            Some(b'3') => "context",
            Some(b'4') => "client",
            Some(b'5') => "task",
            _ => "randomness",
        }
    }

    /// Whether `code` is this rule's code or name.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.code == code || self.name == code
    }
}

type Settle = Box<dyn FnOnce(&Index, &str, &mut Finding) -> bool + Send>;

/// A finding that may still hang on a function in another file.
pub(crate) struct Candidate {
    pub(crate) finding: Finding,
    /// Answers with the whole package in view; `None`: stands as it is.
    pub(crate) settle: Option<Settle>,
}

/// Where a rule puts what it finds.
pub(crate) struct Sink<'a> {
    pub(crate) rule: &'a Rule,
    /// The project's own names.
    pub(crate) spec: &'a crate::config::Spec,
    pub(crate) candidates: Vec<Candidate>,
}

impl Sink<'_> {
    /// Reports a finding that stands by itself.
    pub(crate) fn report(&mut self, finding: Finding) {
        self.push(finding, None);
    }

    /// Reports a finding if `settle` says so once every file of the package is known. `settle` is
    /// given the index and the package's name, and may add to the evidence.
    pub(crate) fn report_if(
        &mut self,
        finding: Finding,
        settle: impl FnOnce(&Index, &str, &mut Finding) -> bool + Send + 'static,
    ) {
        self.push(finding, Some(Box::new(settle)));
    }

    fn push(&mut self, mut finding: Finding, settle: Option<Settle>) {
        finding.code = self.rule.code;
        finding.name = self.rule.name;
        self.candidates.push(Candidate { finding, settle });
    }
}
