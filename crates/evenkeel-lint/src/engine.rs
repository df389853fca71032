//! Two phases over many files.
//!
//! First every file on its own, in parallel: read, parse, take facts, run the rules, let the tree
//! go. What is left of a file is small: its findings so far, its suppressions and the summaries of
//! its functions. Then the summaries of a package come together and findings that hung on a helper
//! in another file are settled. A rule that panics is caught, named and makes the run a crash
//! (exit code 70); it is never silence.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::config::{Config, Selected};
use crate::discover;
use crate::facts::{View, summary};
use crate::finding::Finding;
use crate::index::{FileFacts, Index, package_of};
use crate::rule::{Candidate, Rule, Sink};
use crate::rules;
use crate::source::{self, Language, Setting};
use crate::suppress::Suppressions;
use crate::syntax;

/// Something the reader of a report should know that is not a finding.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Notice {
    /// File it is about.
    pub path: String,
    /// Line it is about, from 1.
    pub line: u32,
    /// What kind: `parse-incomplete`, `unreadable`, `unused-suppression`, `suppression-without-reason`.
    pub kind: &'static str,
    /// One sentence.
    pub message: String,
}

/// A rule that panicked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Crash {
    /// The rule.
    pub code: &'static str,
    /// The file it was looking at.
    pub path: String,
    /// What it said.
    pub message: String,
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// Sorted by path, line and code.
    pub findings: Vec<Finding>,
    /// Findings a comment in the source took back.
    pub suppressed: Vec<Suppressed>,
    /// Sorted by path and line.
    pub notices: Vec<Notice>,
    /// Rules that panicked: the report is incomplete.
    pub crashes: Vec<Crash>,
    /// Files read.
    pub files: usize,
    /// Lines read.
    pub lines: usize,
    /// The review of every retry loop, when it was asked for.
    pub checklist: Vec<crate::checklist::Review>,
}

/// A finding that was taken back, and why.
#[derive(Clone, Debug)]
pub struct Suppressed {
    /// What was found.
    pub finding: Finding,
    /// The reason the comment gives.
    pub reason: String,
}

/// Why a run could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum LintError {
    /// A path that was given does not exist or cannot be read.
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration is wrong.
    Config(crate::config::ConfigError),
    /// The worker threads could not be started.
    Threads(String),
}

impl std::fmt::Display for LintError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LintError::Path { path, .. } => write!(f, "cannot read {}", path.display()),
            LintError::Config(error) => write!(f, "{error}"),
            LintError::Threads(error) => write!(f, "cannot start worker threads: {error}"),
        }
    }
}

impl std::error::Error for LintError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LintError::Path { source, .. } => Some(source),
            LintError::Config(_) | LintError::Threads(_) => None,
        }
    }
}

/// One file's text, and the name it goes by in the report.
#[derive(Clone, Debug)]
pub struct SourceText {
    /// Path in the report; its extension decides the language.
    pub path: String,
    /// The source.
    pub text: String,
}

/// Looks for defects under a configuration.
#[derive(Debug)]
pub struct Linter {
    config: Config,
    rules: &'static [&'static Rule],
}

/// No person wrote a larger one.
const LARGEST_FILE: usize = 64 << 20;

/// What phase one leaves of a file.
struct Scanned {
    facts: FileFacts,
    candidates: Vec<Candidate>,
    suppressions: Suppressions,
    notices: Vec<Notice>,
    crashes: Vec<Crash>,
    checklist: Vec<crate::checklist::Review>,
    lines: usize,
}

impl Linter {
    /// A linter under `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Linter {
            config,
            rules: rules::all(),
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Lints files and, recursively, directories. `.gitignore` is respected; generated and foreign
    /// code is passed over.
    ///
    /// # Errors
    ///
    /// When a path does not exist or worker threads cannot be started. A file that cannot be read
    /// is a notice, not an error.
    pub fn lint_paths(&self, paths: &[PathBuf]) -> Result<Report, LintError> {
        let files = discover::files(paths, &self.config)?;
        let scan = || {
            files
                .par_iter()
                .map(|file| {
                    let name = discover::display(file);
                    match std::fs::read(file) {
                        Ok(bytes) if bytes.len() > LARGEST_FILE => {
                            Some(unreadable(&name, &"larger than 64 MiB"))
                        }
                        Ok(bytes) => self.scan(&name, &String::from_utf8_lossy(&bytes)),
                        Err(error) => Some(unreadable(&name, &error)),
                    }
                })
                .flatten()
                .collect()
        };
        let scanned: Vec<Scanned> = match self.config.threads {
            Some(threads) => rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(|error| LintError::Threads(error.to_string()))?
                .install(scan),
            None => scan(),
        };
        Ok(self.settle(scanned))
    }

    /// Lints texts that are already in memory, as one program.
    #[must_use]
    pub fn lint_texts(&self, texts: &[SourceText]) -> Report {
        self.settle(
            texts
                .iter()
                .filter_map(|source| self.scan(&source.path, &source.text))
                .collect(),
        )
    }

    fn scan(&self, path: &str, text: &str) -> Option<Scanned> {
        let language = Language::of(Path::new(path))?;
        if source::is_generated(text) {
            return None;
        }
        let tree = match language {
            Language::Go => syntax::go::parse(text),
            Language::Rust => syntax::rust::parse(text),
        }?;
        let view = View::new(&tree, path);
        let mut notices = Vec::new();
        if let Some(&first) = tree.errors.first() {
            notices.push(Notice {
                path: path.to_owned(),
                line: view.lines.position(first).0,
                kind: "parse-incomplete",
                message: format!(
                    "{} place(s) could not be read; the rest of the file was linted",
                    tree.errors.len()
                ),
            });
        }
        let suppressions = Suppressions::read(&view);
        let selected = self.config.selected(path);
        let (mut candidates, mut crashes) = (Vec::new(), Vec::new());
        for rule in self.rules {
            let in_tests = view.setting == Setting::Test && !self.config.tests;
            if selected.level(rule.code) == Selected::Off || in_tests {
                continue;
            }
            let mut sink = Sink {
                rule,
                spec: self.config.spec(),
                candidates: Vec::new(),
            };
            match catch_unwind(AssertUnwindSafe(|| (rule.check)(&view, &mut sink))) {
                Ok(()) => candidates.append(&mut sink.candidates),
                Err(panic) => crashes.push(Crash {
                    code: rule.code,
                    path: path.to_owned(),
                    message: panic_text(panic.as_ref()),
                }),
            }
        }
        let checklist = if self.config.checklist {
            crate::checklist::review(&view)
        } else {
            Vec::new()
        };
        let lock_pairs = rules::lock_pairs(&view);
        let closed = rules::closed_channels(&view);
        let callers = summary::callers(&view);
        let lines = view.lines.count() as usize;
        let summaries = view.summaries;
        let facts = FileFacts {
            path: path.to_owned(),
            package: package_of(path),
            summaries,
            lock_pairs,
            closed,
            callers,
        };
        Some(Scanned {
            facts,
            candidates,
            suppressions,
            notices,
            crashes,
            checklist,
            lines,
        })
    }

    fn settle(&self, scanned: Vec<Scanned>) -> Report {
        let mut report = Report {
            files: scanned.len(),
            ..Report::default()
        };
        let mut facts = Vec::with_capacity(scanned.len());
        let mut open = Vec::new();
        for file in scanned {
            report.lines += file.lines;
            report.notices.extend(file.notices);
            report.crashes.extend(file.crashes);
            report.checklist.extend(file.checklist);
            open.push((
                file.facts.package.clone(),
                file.candidates,
                file.suppressions,
            ));
            facts.push(file.facts);
        }
        let index = Index::new(facts);
        for review in &mut report.checklist {
            review.settle(&index);
        }
        for (package, candidates, mut suppressions) in open {
            let mut settled: Vec<Finding> = Vec::new();
            for Candidate {
                mut finding,
                settle,
            } in candidates
            {
                let stands = match settle {
                    None => true,
                    Some(settle) => {
                        match catch_unwind(AssertUnwindSafe(|| {
                            settle(&index, &package, &mut finding)
                        })) {
                            Ok(stands) => stands,
                            Err(panic) => {
                                report.crashes.push(Crash {
                                    code: finding.code,
                                    path: finding.place.path.clone(),
                                    message: panic_text(panic.as_ref()),
                                });
                                false
                            }
                        }
                    }
                };
                if stands {
                    settled.push(finding);
                }
            }
            settled.sort_by(|a, b| {
                (a.place.line, a.place.column, a.code).cmp(&(b.place.line, b.place.column, b.code))
            });
            settled.dedup_by(|a, b| a.place == b.place && a.code == b.code);
            rules::merge(&mut settled);
            let mut seen: BTreeMap<(String, &'static str, String), usize> = BTreeMap::new();
            for mut finding in settled {
                let occurrence = seen
                    .entry((
                        finding.fingerprint.clone(),
                        finding.code,
                        finding.function.clone(),
                    ))
                    .or_default();
                finding.seal(*occurrence);
                *occurrence += 1;
                match suppressions.take(&finding) {
                    Some(reason) => report.suppressed.push(Suppressed { finding, reason }),
                    None => report.findings.push(finding),
                }
            }
            report.notices.extend(suppressions.complaints(&self.config));
        }
        report.findings.sort_by(|a, b| {
            (&a.place.path, a.place.line, a.place.column, a.code).cmp(&(
                &b.place.path,
                b.place.line,
                b.place.column,
                b.code,
            ))
        });
        report
            .notices
            .sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
        report
    }
}

fn unreadable(path: &str, error: &dyn std::fmt::Display) -> Scanned {
    Scanned {
        facts: FileFacts {
            path: path.to_owned(),
            ..FileFacts::default()
        },
        candidates: Vec::new(),
        suppressions: Suppressions::default(),
        notices: vec![Notice {
            path: path.to_owned(),
            line: 1,
            kind: "unreadable",
            message: error.to_string(),
        }],
        crashes: Vec::new(),
        checklist: Vec::new(),
        lines: 0,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "panicked without a message".to_owned())
}

#[cfg(test)]
#[expect(clippy::panic, reason = "what fails here fails the test")]
mod tests {
    use super::*;
    use crate::config::Spec;
    use crate::finding::Level;
    use crate::rule::Standing;

    static BROKEN: Rule = Rule {
        code: "EK401",
        name: "broken",
        level: Level::Error,
        standing: Standing::Default,
        summary: "panics on every file",
        page: "",
        check: |_, _| panic!("this rule is broken"),
    };

    #[test]
    fn a_crashed_rule_is_named_and_the_others_still_report() {
        let mut linter = Linter::new(Config::new(Spec::default()).unwrap());
        let mut rules = vec![&BROKEN];
        rules.extend(rules::all().iter().filter(|r| r.code != "EK401"));
        linter.rules = Vec::leak(rules);
        let report = linter.lint_texts(&[SourceText {
            path: "store/load.go".to_owned(),
            text: "package store\nimport \"context\"\nfunc (s *Store) load(ctx context.Context) error {\n\treturn s.client.Get(context.Background())\n}\n".to_owned(),
        }]);
        let crashes: Vec<_> = report
            .crashes
            .iter()
            .map(|c| (c.code, c.message.as_str()))
            .collect();
        assert_eq!(crashes, [("EK401", "this rule is broken")]);
        let found: Vec<_> = report.findings.iter().map(|f| f.code).collect();
        assert_eq!(found, ["EK301"]);
    }
}
