//! Findings that were there before: a file of fingerprints, so that only new ones count.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::engine::Report;

/// Fingerprints of known findings. They hold rule, path, function and normalised text, and no line,
/// so that edits elsewhere in the file do not bring old findings back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    version: u32,
    findings: BTreeSet<String>,
}

impl Baseline {
    /// The fingerprints of a report.
    #[must_use]
    pub fn of(report: &Report) -> Baseline {
        Baseline {
            version: 1,
            findings: report
                .findings
                .iter()
                .map(|f| f.fingerprint.clone())
                .collect(),
        }
    }

    /// Reads a baseline; `None` when the file does not exist.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not a baseline of this version.
    pub fn read(path: &Path) -> Result<Option<Baseline>, String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let baseline: Baseline = serde_json::from_str(&text)
            .map_err(|e| format!("{} is not a baseline: {e}", path.display()))?;
        if baseline.version != 1 {
            return Err(format!(
                "{} is a baseline of version {}; this evenkeel reads version 1",
                path.display(),
                baseline.version
            ));
        }
        Ok(Some(baseline))
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self)
            .map(|t| t + "\n")
            .unwrap_or_default()
    }

    /// Removes known findings from a report; the answer is how many.
    pub fn apply(&self, report: &mut Report) -> usize {
        let before = report.findings.len();
        report
            .findings
            .retain(|f| !self.findings.contains(&f.fingerprint));
        before - report.findings.len()
    }
}
