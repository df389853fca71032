//! `architecture.toml`: the rules that are data, each with its reason and the way out.

use std::path::Path;

use anyhow::{Context, Result};
use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Deserializer};

use super::source::Tree;

/// Where the rules stand, relative to the checkout.
pub(crate) const FILE: &str = "architecture.toml";

/// The whole file. A crate that does not exist yet may have its rules already.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    /// Lines a file may have, tests not counted.
    pub(crate) longest_file: usize,
    /// Files in which a memory ordering other than `Relaxed` names its partner.
    pub(crate) ordering_files: Vec<Glob>,
    #[serde(default, rename = "crate")]
    pub(crate) crates: Vec<CrateRule>,
    #[serde(default)]
    pub(crate) never_reaches: Vec<ReachRule>,
    #[serde(default)]
    pub(crate) never_names: Vec<NameRule>,
    #[serde(default)]
    pub(crate) word_allowed: Vec<WordAllowance>,
    #[serde(default)]
    pub(crate) ignored_test: Vec<IgnoredTest>,
}

/// What one crate may import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CrateRule {
    pub(crate) name: String,
    /// Crates of the workspace it may import.
    pub(crate) imports: Vec<String>,
    /// Further crates of the workspace that only its tests may import.
    #[serde(default)]
    pub(crate) tests_import: Vec<String>,
    /// The only crates from outside it may import, tests apart; absent means any.
    pub(crate) outside: Option<Vec<String>>,
    /// Imports that may exist only under one target condition, such as `cfg(evenkeel_loom)`.
    #[serde(default)]
    pub(crate) only_under: Vec<OnlyUnder>,
    pub(crate) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnlyUnder {
    pub(crate) import: String,
    pub(crate) target: String,
}

/// Crates that must not be reached, however long the way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReachRule {
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    pub(crate) why: String,
    pub(crate) way_out: String,
}

/// Names that must not stand in the code of some files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameRule {
    pub(crate) files: Vec<Glob>,
    #[serde(default)]
    pub(crate) except: Vec<Glob>,
    pub(crate) names: Vec<String>,
    /// Whether test code is held to it as well.
    #[serde(default)]
    pub(crate) tests_too: bool,
    pub(crate) why: String,
    pub(crate) way_out: String,
}

/// A refused word that is the right word in some files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WordAllowance {
    pub(crate) word: String,
    pub(crate) files: Vec<Glob>,
    /// For the reader of the file; a missing reason does not parse.
    #[expect(dead_code, reason = "its presence is the point")]
    pub(crate) why: String,
}

/// A test that `cargo test` leaves out because a named gate runs it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IgnoredTest {
    pub(crate) name: String,
    /// A step of `.ci/nightly.toml`.
    pub(crate) nightly: String,
}

/// A file pattern: `*` stays inside one folder, `**` does not.
#[derive(Debug)]
pub(crate) struct Glob(Pattern);

impl Rules {
    /// Takes the rules out of the checkout's `architecture.toml`.
    ///
    /// # Errors
    /// When the file is missing or does not parse; the message has line and column.
    pub(crate) fn read(tree: &Tree) -> Result<Rules> {
        let file = tree
            .file(FILE)
            .with_context(|| format!("{FILE} is missing"))?;
        toml::from_str(&file.text).with_context(|| format!("{FILE} is not valid"))
    }

    pub(crate) fn of_crate(&self, name: &str) -> Option<&CrateRule> {
        self.crates.iter().find(|rule| rule.name == name)
    }
}

impl Glob {
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::new()
        };
        self.0.matches_path_with(path, options)
    }
}

/// Whether one of `globs` matches.
pub(crate) fn any_matches(globs: &[Glob], path: &Path) -> bool {
    globs.iter().any(|glob| glob.matches(path))
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Glob, D::Error> {
        let text = String::deserialize(deserializer)?;
        Pattern::new(&text)
            .map(Glob)
            .map_err(serde::de::Error::custom)
    }
}
