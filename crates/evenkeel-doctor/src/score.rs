//! How often the doctor is right, measured on labelled captures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use crate::diagnose::diagnose;
use crate::finding::{Diagnosis, Verdict};
use crate::source::{ReadError, read_paths};

/// The label of one case.
#[derive(Debug, Clone, Deserialize)]
struct Label {
    #[serde(default)]
    lang: String,
    verdict: String,
    #[serde(default)]
    also_ok: Vec<String>,
    #[serde(default)]
    culprit_line: Option<String>,
    #[serde(default)]
    leaked_at_last_moment: Vec<LeakedAt>,
}

/// One of several lines that are equally right.
#[derive(Debug, Clone, Deserialize)]
struct LeakedAt {
    line: String,
}

/// The tally over a folder of cases.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// Cases with a label.
    pub cases: usize,
    /// Verdict as labelled, or one the label accepts too.
    pub verdicts_right: usize,
    /// Sick Go cases with a labelled line.
    pub culprits: usize,
    /// Of those, the line named is the labelled one.
    pub culprits_right: usize,
    /// Healthy cases with a finding.
    pub healthy_called_sick: usize,
    /// One line per miss.
    pub misses: Vec<String>,
    /// Labelled, called and right, per verdict.
    per_verdict: BTreeMap<String, (usize, usize, usize)>,
}

impl Score {
    /// The report; its last line is the summary.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for miss in &self.misses {
            let _ = writeln!(text, "miss  {miss}");
        }
        let _ = writeln!(
            text,
            "\n{:<14} {:>9} {:>9}",
            "verdict", "precision", "recall"
        );
        for (verdict, (labelled, called, right)) in &self.per_verdict {
            let share = |of: usize| {
                if of == 0 {
                    "-".to_owned()
                } else {
                    format!("{:.2}", *right as f64 / of as f64)
                }
            };
            let _ = writeln!(
                text,
                "{verdict:<14} {:>9} {:>9}",
                share(*called),
                share(*labelled)
            );
        }
        let _ = write!(
            text,
            "verdicts right: {}/{}, culprits right: {}/{}, healthy called sick: {}",
            self.verdicts_right,
            self.cases,
            self.culprits_right,
            self.culprits,
            self.healthy_called_sick
        );
        text
    }
}

/// Diagnoses every case under `folder` (a folder each, with a `label.json`) and compares.
///
/// # Errors
/// A folder or file that cannot be opened; a label that cannot be understood is a miss.
pub fn score(folder: &Path, only: impl Fn(&str) -> bool) -> Result<Score, ReadError> {
    let fail = |source| ReadError::new(folder, source);
    let mut cases = Vec::new();
    for entry in folder.read_dir().map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.join("label.json").is_file() {
            cases.push(path);
        }
    }
    cases.sort();
    let mut score = Score::default();
    for case in cases {
        let name = case
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !only(&name) {
            continue;
        }
        let label_path = case.join("label.json");
        let text =
            std::fs::read(&label_path).map_err(|source| ReadError::new(&label_path, source))?;
        match serde_json::from_slice::<Label>(&text) {
            Ok(label) => {
                let diagnosis = diagnose(&read_paths(&[&case])?);
                score.judge(&name, &label, &diagnosis);
            }
            Err(error) => {
                score.cases += 1;
                score.misses.push(format!("{name}: label: {error}"));
            }
        }
    }
    Ok(score)
}

impl Score {
    fn judge(&mut self, name: &str, label: &Label, diagnosis: &Diagnosis) {
        self.cases += 1;
        let said = diagnosis.verdict.name();
        let right = said == label.verdict || label.also_ok.iter().any(|ok| ok == said);
        // A verdict the label accepts too counts for the labelled one.
        let counted = if right { label.verdict.as_str() } else { said };
        self.per_verdict.entry(label.verdict.clone()).or_default().0 += 1;
        self.per_verdict.entry(counted.to_owned()).or_default().1 += 1;
        if right {
            self.verdicts_right += 1;
            self.per_verdict.entry(counted.to_owned()).or_default().2 += 1;
        } else {
            self.misses
                .push(format!("{name}: said {said}, is {}", label.verdict));
        }
        if label.verdict == Verdict::Healthy.name() {
            if said != Verdict::Healthy.name() {
                self.healthy_called_sick += 1;
            }
        } else if label.lang == "go" {
            self.judge_culprit(name, label, diagnosis);
        }
    }

    fn judge_culprit(&mut self, name: &str, label: &Label, diagnosis: &Diagnosis) {
        let Some(line) = &label.culprit_line else {
            return;
        };
        self.culprits += 1;
        let named = diagnosis.culprit().map(crate::stack::Frame::location);
        let accepted: Vec<&str> = std::iter::once(line.as_str())
            .chain(
                label
                    .leaked_at_last_moment
                    .iter()
                    .map(|at| at.line.as_str()),
            )
            .collect();
        let right = named
            .as_deref()
            .is_some_and(|named| accepted.iter().any(|line| same_line(named, line)));
        if right {
            self.culprits_right += 1;
        } else {
            self.misses.push(format!(
                "{name}: named {}, is {line}",
                named.as_deref().unwrap_or("nothing")
            ));
        }
    }
}

/// Whether two `file:line` are the same but for a leading path.
fn same_line(named: &str, labelled: &str) -> bool {
    named == labelled
        || named
            .strip_suffix(labelled)
            .is_some_and(|head| head.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_same_under_a_longer_path_but_not_in_another_file() {
        assert!(same_line("/src/x/cmd/model.go:316", "cmd/model.go:316"));
        assert!(!same_line("/src/x/cmd/supermodel.go:316", "model.go:316"));
        assert!(!same_line("cmd/model.go:31", "cmd/model.go:316"));
    }
}
