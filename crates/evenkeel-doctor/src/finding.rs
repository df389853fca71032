//! What the doctor says.

use std::fmt;

use evenkeel_report::{Confidence, Evidence, Finding as Reported, Location, Severity};
use serde::Serialize;

use crate::note::Note;
use crate::stack::Frame;

/// The shapes a service fails in without an error.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Actors keep undoing each other: processors busy, nothing finished.
    Livelock,
    /// Actors queue for one resource that serves them one by one.
    Contention,
    /// Goroutines, tasks or threads that will never end; deadlocks included.
    Leak,
    /// Work is started faster than it is finished, without a bound.
    Fanout,
    /// Calls to somebody else that never return.
    BlockingCall,
    /// A dependency that cannot answer is asked again and again.
    RetryStorm,
    /// None of these.
    Healthy,
}

impl Verdict {
    /// The verdict's name: `blocking-call`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Livelock => "livelock",
            Self::Contention => "contention",
            Self::Leak => "leak",
            Self::Fanout => "fanout",
            Self::BlockingCall => "blocking-call",
            Self::RetryStorm => "retry-storm",
            Self::Healthy => "healthy",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The four things it takes for actors to hinder each other; without one of them, they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ingredient {
    /// Fewer of them, at once.
    Actors,
    /// Share it less, or for a shorter time.
    Resource,
    /// Bound it, or leave it.
    Loop,
    /// Let them not all do the same at the same time.
    Symmetry,
}

impl fmt::Display for Ingredient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Actors => "actors",
            Self::Resource => "resource",
            Self::Loop => "loop",
            Self::Symmetry => "symmetry",
        })
    }
}

/// What to do, in the order in which an on-call engineer can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Remedies {
    /// Now, without a change of code.
    pub mitigate: Vec<String>,
    /// In the code.
    pub fix: Vec<String>,
    /// What would have told before users did.
    pub monitor: Vec<String>,
}

/// One failure shape, found.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// Stable code of the check, such as `EKD003`.
    pub code: &'static str,
    /// The shape.
    pub verdict: Verdict,
    /// A narrower name, such as `deadlock`.
    pub subkind: Option<&'static str>,
    /// How sure: possible from one moment or an excerpt, likely when several moments agree, certain when
    /// the mechanism itself was seen.
    #[schemars(schema_with = "confidence_schema")]
    pub confidence: Confidence,
    /// The line to look at: the blocking, retrying or spawning statement.
    pub culprit: Option<Frame>,
    /// What the actors share.
    pub resource: String,
    /// Which of the four ingredients to remove.
    pub remove: Ingredient,
    /// Sentences with their arithmetic.
    pub evidence: Vec<String>,
    /// What would have made it surer.
    pub missing: Vec<String>,
    /// What to do.
    pub remedies: Remedies,
}

/// The three words, as they are serialised.
fn confidence_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let words = [
        Confidence::Possible,
        Confidence::Likely,
        Confidence::Certain,
    ];
    schemars::json_schema!({ "type": "string", "enum": words })
}

impl Finding {
    /// The verdict with the place, in one clause.
    pub fn headline(&self) -> String {
        let mut line = self.verdict.to_string();
        if let Some(subkind) = self.subkind {
            line.push_str(&format!(" ({subkind})"));
        }
        if let Some(frame) = &self.culprit {
            line.push_str(&format!(" at {} ({})", frame.function, frame.location()));
        }
        line
    }

    /// The finding in the words all of evenkeel's tools report in.
    pub fn reported(&self) -> Reported {
        let mut reported =
            Reported::new(self.code, Severity::Error, self.confidence, self.headline());
        reported.location = self.culprit.as_ref().map(|frame| Location {
            file: frame.file.clone(),
            line: (frame.line > 0).then_some(frame.line),
            column: None,
        });
        reported.evidence = self.evidence.iter().map(Evidence::measured).collect();
        reported.remedy = self.remedies.fix.first().cloned();
        reported
    }
}

/// The doctor's answer.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Diagnosis {
    /// Where the evidence came from.
    pub origin: String,
    /// The first finding's shape, or healthy.
    pub verdict: Verdict,
    /// The findings, the cause before its consequences.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub looked_at: Vec<String>,
    /// What was not there to be looked at.
    pub missing: Vec<String>,
    /// What readers and sources remarked.
    pub notes: Vec<Note>,
}

impl Diagnosis {
    /// The line to look at, if anything was found.
    pub fn culprit(&self) -> Option<&Frame> {
        self.findings.first()?.culprit.as_ref()
    }
}
