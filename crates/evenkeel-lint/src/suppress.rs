//! Comments that take a finding back.
//!
//! `// evenkeel:ignore EK101 -- reason` stands on the line of the finding, on the line above it or on
//! the head of the loop it belongs to; `// evenkeel:ignore-file EK3 -- reason` anywhere in the file.
//! A suppression that takes nothing back is reported, as is one without a reason: both are how a
//! linter's comments rot. Go's `//nolint:contextcheck`, `noctx` and `containedctx` are honoured for
//! the matching rules.

use crate::config::Config;
use crate::engine::Notice;
use crate::facts::View;
use crate::finding::Finding;
use crate::rules;
use crate::source::{Setting, setting};

/// The word a suppression starts with.
pub(crate) const MARK: &str = "evenkeel:ignore";

const FOREIGN: &[(&str, &[&str])] = &[
    ("contextcheck", &["EK301", "EK305"]),
    ("noctx", &["EK306", "EK401"]),
    ("containedctx", &["EK304"]),
    ("govet", &["EK302"]),
    ("gosec", &["EK601"]),
];

#[derive(Clone, Debug)]
struct Suppression {
    line: u32,
    whole_file: bool,
    codes: Vec<String>,
    reason: String,
    is_ours: bool,
    used: bool,
}

/// The suppressions of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suppressions {
    path: String,
    list: Vec<Suppression>,
}

impl Suppressions {
    pub(crate) fn read(view: &View<'_>) -> Self {
        let mut list = Vec::new();
        for comment in &view.tree.comments {
            let text = view
                .tree
                .text
                .get(comment.start as usize..comment.end as usize)
                .unwrap_or("");
            let text = text
                .trim_start_matches(['/', '*', '!'])
                .trim_end_matches("*/")
                .trim();
            let line = view.lines.position(comment.start).0;
            if let Some(rest) = text.strip_prefix(MARK) {
                let (whole_file, rest) = match rest.strip_prefix("-file") {
                    Some(rest) => (true, rest),
                    None => (false, rest),
                };
                let (codes, reason) = rest.split_once("--").unwrap_or((rest, ""));
                list.push(Suppression {
                    line,
                    whole_file,
                    codes: codes
                        .split([',', ' '])
                        .map(str::trim)
                        .filter(|c| !c.is_empty())
                        .map(ToOwned::to_owned)
                        .collect(),
                    reason: reason.trim().to_owned(),
                    is_ours: true,
                    used: false,
                });
            } else if let Some(rest) = text.strip_prefix("nolint:") {
                let (names, reason) = rest.split_once("//").unwrap_or((rest, ""));
                let codes: Vec<String> = FOREIGN
                    .iter()
                    .filter(|(name, _)| names.split([',', ' ']).any(|n| n == *name))
                    .flat_map(|(_, codes)| codes.iter().map(|c| (*c).to_owned()))
                    .collect();
                if !codes.is_empty() {
                    list.push(Suppression {
                        line,
                        whole_file: false,
                        codes,
                        reason: reason.trim().to_owned(),
                        is_ours: false,
                        used: false,
                    });
                }
            }
        }
        Suppressions {
            path: view.path.to_owned(),
            list,
        }
    }

    /// Takes `finding` back if a comment says so; the answer is the comment's reason.
    pub(crate) fn take(&mut self, finding: &Finding) -> Option<String> {
        let heads: Vec<u32> = finding
            .related
            .iter()
            .filter(|r| r.place.path == self.path)
            .map(|r| r.place.line)
            .collect();
        let found = self.list.iter_mut().find(|s| {
            let line = finding.place.line;
            let here = s.whole_file
                || s.line == line
                || s.line + 1 == line
                || heads.iter().any(|&h| s.line == h || s.line + 1 == h);
            let all = s.codes.iter().any(|c| {
                finding.code.starts_with(c.as_str()) && c.starts_with("EK") || c == finding.name
            });
            here && all
        })?;
        found.used = true;
        Some(found.reason.clone())
    }

    /// Suppressions that are of no use, without a reason, or name no rule. One whose rule does not run
    /// here may well be of use.
    pub(crate) fn complaints(&self, config: &Config) -> Vec<Notice> {
        let is_test = setting(&self.path) == Setting::Test && !config.tests;
        let selection = config.selected(&self.path);
        let mut notices = Vec::new();
        for suppression in self.list.iter().filter(|s| s.is_ours) {
            let mut complain = |kind, message: String| {
                notices.push(Notice {
                    path: self.path.clone(),
                    line: suppression.line,
                    kind,
                    message,
                });
            };
            let unknown = suppression.codes.iter().find(|c| {
                !rules::all().iter().any(|r| {
                    r.code.starts_with(c.as_str()) && c.starts_with("EK") || r.name == c.as_str()
                })
            });
            if let Some(code) = unknown {
                complain(
                    "unknown-suppression",
                    format!("`{code}` is the code or name of no rule"),
                );
            } else if suppression.codes.is_empty() {
                complain("unknown-suppression", format!("`{MARK}` names no rule"));
            } else if !suppression.used
                && !is_test
                && suppression.codes.iter().any(|c| selection.runs_any(c))
            {
                complain(
                    "unused-suppression",
                    format!(
                        "nothing is found here that `{MARK} {}` takes back",
                        suppression.codes.join(", ")
                    ),
                );
            }
            if suppression.reason.is_empty() && config.spec().require_reason.unwrap_or(true) {
                complain(
                    "suppression-without-reason",
                    format!(
                        "say why: `// {MARK} {} -- reason`",
                        suppression.codes.join(", ")
                    ),
                );
            }
        }
        notices
    }
}
