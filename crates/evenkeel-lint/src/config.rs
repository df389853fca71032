//! `evenkeel-lint.toml`: which rules run where, and what they should know of the project.

use std::path::{Path, PathBuf};

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;

use crate::rule::Standing;
use crate::rules;

/// The file's name, looked for in the directory linted and its parents.
pub const FILE_NAME: &str = "evenkeel-lint.toml";

/// The file as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Spec {
    /// Codes or prefixes that run: `["EK1", "EK301"]`. Unset: the default rules.
    pub select: Option<Vec<String>>,
    /// Codes or prefixes added to the selection.
    pub extend_select: Vec<String>,
    /// Codes or prefixes that do not run. Wins over both.
    pub ignore: Vec<String>,
    /// Runs preview rules too.
    pub preview: bool,
    /// Globs of files that are not read.
    pub exclude: Vec<String>,
    /// Lints tests, benchmarks and examples too.
    pub tests: bool,
    /// A suppression without a reason is reported. On unless set to false.
    pub require_reason: Option<bool>,
    /// Ignores per path.
    pub per_path: Vec<PerPath>,
    /// Names of functions whose result is randomised: EK101 passes a delay over that they decide.
    pub jitter_fns: Vec<String>,
    /// Names of clients and constructors that carry their own timeout.
    pub bounded_clients: Vec<String>,
    /// The project's shared retry library: own loops beside it are reported by EK110.
    pub shared_retry: Option<String>,
}

/// Rules switched off under some paths.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PerPath {
    /// Globs, relative to the configuration file.
    pub paths: Vec<String>,
    /// Codes or prefixes.
    pub ignore: Vec<String>,
}

/// What is wrong with a configuration.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    Read(PathBuf, String),
    /// The file is not valid; the text names line and column.
    Syntax(PathBuf, String),
    /// A selector matches no rule.
    UnknownRule(String),
    /// A glob cannot be read.
    Glob(String, String),
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigError::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            ConfigError::Syntax(path, error) => write!(f, "{}: {error}", path.display()),
            ConfigError::UnknownRule(code) => {
                write!(
                    f,
                    "`{code}` is the code, name or prefix of no rule; `evenkeel lint --rules` lists them"
                )
            }
            ConfigError::Glob(glob, error) => write!(f, "`{glob}` is not a glob: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Whether a rule runs on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    On,
    Off,
}

/// Resolved and valid.
#[derive(Clone, Debug, Default)]
pub struct Config {
    spec: Spec,
    exclude: GlobSet,
    per_path: Vec<(GlobSet, Vec<String>)>,
    /// Lints test code too.
    pub tests: bool,
    /// Worker threads; `None`: one per core.
    pub threads: Option<usize>,
    /// Reviews every retry loop (six questions).
    pub checklist: bool,
}

/// The rules that run on one file.
pub(crate) struct Selection<'c> {
    config: &'c Config,
    ignored_here: Vec<&'c str>,
}

impl Config {
    /// Checks a specification.
    ///
    /// # Errors
    ///
    /// When a selector matches no rule or a glob cannot be read.
    pub fn new(spec: Spec) -> Result<Config, ConfigError> {
        let selectors = spec
            .select
            .iter()
            .flatten()
            .chain(&spec.extend_select)
            .chain(&spec.ignore);
        for selector in selectors.chain(spec.per_path.iter().flat_map(|p| &p.ignore)) {
            if selector != "ALL"
                && !rules::all()
                    .iter()
                    .any(|r| matches(selector, r.code, r.name))
            {
                return Err(ConfigError::UnknownRule(selector.clone()));
            }
        }
        let exclude = globs(&spec.exclude)?;
        let per_path = spec
            .per_path
            .iter()
            .map(|p| Ok((globs(&p.paths)?, p.ignore.clone())))
            .collect::<Result<_, ConfigError>>()?;
        Ok(Config {
            tests: spec.tests,
            exclude,
            per_path,
            spec,
            threads: None,
            checklist: false,
        })
    }

    /// Reads a specification.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or says something that is not understood.
    pub fn read(path: &Path) -> Result<Spec, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::Read(path.to_path_buf(), e.to_string()))?;
        toml::from_str(&text).map_err(|e| ConfigError::Syntax(path.to_path_buf(), e.to_string()))
    }

    /// The nearest configuration file at or above `directory`.
    #[must_use]
    pub fn find(directory: &Path) -> Option<PathBuf> {
        directory
            .ancestors()
            .map(|d| d.join(FILE_NAME))
            .find(|f| f.is_file())
    }

    /// As written.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn excludes(&self, path: &str) -> bool {
        self.exclude.is_match(path)
    }

    pub(crate) fn selected<'c>(&'c self, path: &str) -> Selection<'c> {
        let ignored_here = self
            .per_path
            .iter()
            .filter(|(globs, _)| globs.is_match(path))
            .flat_map(|(_, codes)| codes.iter().map(String::as_str))
            .collect();
        Selection {
            config: self,
            ignored_here,
        }
    }
}

impl Selection<'_> {
    /// Whether any rule that `selector` means runs.
    pub(crate) fn runs_any(&self, selector: &str) -> bool {
        rules::all()
            .iter()
            .any(|r| matches(selector, r.code, r.name) && self.level(r.code) == Selected::On)
    }

    pub(crate) fn level(&self, code: &str) -> Selected {
        let Some(rule) = rules::all().iter().find(|r| r.has_code(code)) else {
            return Selected::Off;
        };
        let spec = &self.config.spec;
        let hits = |list: &[String]| {
            list.iter()
                .any(|s| s == "ALL" || matches(s, rule.code, rule.name))
        };
        if hits(&spec.ignore)
            || self
                .ignored_here
                .iter()
                .any(|s| *s == "ALL" || matches(s, rule.code, rule.name))
        {
            return Selected::Off;
        }
        let chosen = match &spec.select {
            Some(select) => hits(select),
            None => rule.standing == Standing::Default,
        };
        let previewed = spec.preview && rule.standing == Standing::Preview && spec.select.is_none();
        if chosen || previewed || hits(&spec.extend_select) {
            Selected::On
        } else {
            Selected::Off
        }
    }
}

fn matches(selector: &str, code: &str, name: &str) -> bool {
    selector == name || selector.starts_with("EK") && code.starts_with(selector)
}

fn globs(patterns: &[String]) -> Result<GlobSet, ConfigError> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        // A pattern is relative to wherever the run starts from.
        for pattern in [pattern.clone(), format!("**/{pattern}")] {
            builder.add(
                Glob::new(&pattern)
                    .map_err(|e| ConfigError::Glob(pattern.clone(), e.to_string()))?,
            );
        }
    }
    builder
        .build()
        .map_err(|e| ConfigError::Glob(patterns.join(", "), e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_a_code_a_prefix_or_a_name() {
        assert!(matches("EK1", "EK101", "retry-without-jitter"));
        assert!(matches(
            "retry-without-jitter",
            "EK101",
            "retry-without-jitter"
        ));
        assert!(!matches("EK2", "EK101", "retry-without-jitter"));
    }

    #[test]
    fn an_unknown_selector_is_named() {
        let spec = Spec {
            ignore: vec!["EK999".to_owned()],
            ..Spec::default()
        };
        assert_eq!(
            Config::new(spec).unwrap_err(),
            ConfigError::UnknownRule("EK999".to_owned())
        );
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(toml::from_str::<Spec>("selct = [\"EK1\"]").is_err());
    }

    #[test]
    fn ignore_wins_over_select_and_paths_win_over_both() {
        let spec: Spec = toml::from_str(
            "select = [\"EK1\"]\nignore = [\"EK102\"]\n[[per-path]]\npaths = [\"legacy/**\"]\nignore = [\"EK101\"]\n",
        )
        .unwrap();
        let config = Config::new(spec).unwrap();
        assert_eq!(config.selected("a.go").level("EK101"), Selected::On);
        assert_eq!(config.selected("a.go").level("EK102"), Selected::Off);
        assert_eq!(
            config.selected("legacy/x/a.go").level("EK101"),
            Selected::Off
        );
    }
}
