//! Changing source so that findings go away.
//!
//! A fix that changes behaviour is applied only when asked for by name, and so far all of them do:
//! a linter that cannot know what a program is for must not decide its timing. Fixes are applied
//! from the end of a file to its start, overlapping ones left for the next run.

use std::collections::BTreeMap;

use crate::engine::Report;
use crate::finding::{Edit, Finding};

/// A file with its fixes applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedFile {
    /// Path as in the report.
    pub path: String,
    /// Text before.
    pub before: String,
    /// Text after.
    pub after: String,
    /// How many findings were fixed.
    pub fixed: usize,
}

impl FixedFile {
    /// The change as a unified diff.
    #[must_use]
    pub fn diff(&self) -> String {
        similar::TextDiff::from_lines(self.before.as_str(), self.after.as_str())
            .unified_diff()
            .header(&format!("a/{}", self.path), &format!("b/{}", self.path))
            .to_string()
    }
}

/// Applies the fixes of a report to the texts that `read` gives. Fixes that change behaviour are
/// applied only with `also_unsafe`.
pub fn fixed_files(
    report: &Report,
    also_unsafe: bool,
    read: &dyn Fn(&str) -> Option<String>,
) -> Vec<FixedFile> {
    let mut by_path: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        if finding
            .fix
            .as_ref()
            .is_some_and(|fix| also_unsafe || !fix.changes_behaviour)
        {
            by_path
                .entry(&finding.place.path)
                .or_default()
                .push(finding);
        }
    }
    by_path
        .into_iter()
        .filter_map(|(path, findings)| {
            let before = read(path)?;
            let (after, fixed) = apply(&before, &findings);
            (fixed > 0).then(|| FixedFile {
                path: path.to_owned(),
                before,
                after,
                fixed,
            })
        })
        .collect()
}

fn apply(text: &str, findings: &[&Finding]) -> (String, usize) {
    let mut edits: Vec<(usize, &Edit)> = Vec::new();
    let mut fixed = 0;
    for (at, finding) in findings.iter().enumerate() {
        let Some(fix) = &finding.fix else { continue };
        let overlaps = fix.edits.iter().any(|e| {
            edits.iter().any(|(_, held)| {
                e.bytes.start < held.bytes.end.max(held.bytes.start + 1)
                    && held.bytes.start < e.bytes.end.max(e.bytes.start + 1)
            })
        });
        let fits = fix
            .edits
            .iter()
            .all(|e| text.get(e.bytes.clone()).is_some());
        if !overlaps && fits {
            edits.extend(fix.edits.iter().map(|e| (at, e)));
            fixed += 1;
        }
    }
    edits.sort_by_key(|(_, e)| std::cmp::Reverse(e.bytes.start));
    let mut out = text.to_owned();
    for (_, edit) in edits {
        out.replace_range(edit.bytes.clone(), &edit.replacement);
    }
    (out, fixed)
}

/// The reason `--add-ignore` leaves for a person to replace.
const UNEXPLAINED: &str = "to be explained: why is this fine?";

/// Text with a suppression comment above every finding, its reason to be filled in.
#[must_use]
pub fn with_suppressions(text: &str, findings: &[&Finding]) -> String {
    let mut codes: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for finding in findings {
        let line = codes.entry(finding.place.line).or_default();
        if !line.contains(&finding.code) {
            line.push(finding.code);
        }
    }
    let mut out = String::with_capacity(text.len() + codes.len() * 48);
    for (at, line) in text.split_inclusive('\n').enumerate() {
        if let Some(codes) = codes.get(&(at as u32 + 1)) {
            let indent: String = line
                .chars()
                .take_while(|c| *c == ' ' || *c == '\t')
                .collect();
            out.push_str(&format!(
                "{indent}// {} {} -- {UNEXPLAINED}\n",
                crate::suppress::MARK,
                codes.join(", ")
            ));
        }
        out.push_str(line);
    }
    out
}
