//! A source file and what its name and head say about it.

use std::path::Path;

/// A language evenkeel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// `*.go`
    Go,
    /// `*.rs`
    Rust,
}

impl Language {
    /// The language of a file by its extension; `None` for every other file.
    #[must_use]
    pub fn of(path: &Path) -> Option<Language> {
        match path.extension()?.to_str()? {
            "go" => Some(Language::Go),
            "rs" => Some(Language::Rust),
            _ => None,
        }
    }
}

/// What kind of program a file belongs to, read off its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Code that serves: the default.
    Service,
    /// A command that runs once: `hack/`, `cli/`, `build.rs`, scripts.
    Command,
    /// Tests, benchmarks, examples, generators, test doubles.
    Test,
}

/// The setting of a file by its path components.
pub(crate) fn setting(path: &str) -> Setting {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.ends_with("_test.go")
        || name.ends_with("_tests.rs")
        || name.ends_with("_test.rs")
        || name == "tests.rs"
        || name == "test.rs"
    {
        return Setting::Test;
    }
    let stem = name.split('.').next().unwrap_or(name);
    let stem_is_test = stem.split(['_', '-']).any(|part| {
        matches!(
            part,
            "test" | "tests" | "testing" | "testutil" | "mock" | "mocks" | "fake" | "bench"
        )
    });
    if stem_is_test {
        return Setting::Test;
    }
    let mut setting = Setting::Service;
    for part in path.split('/').rev().skip(1) {
        let part = part.to_ascii_lowercase();
        let is_test = part.split(['_', '-', '.']).any(|word| {
            matches!(
                word,
                "test"
                    | "tests"
                    | "testing"
                    | "testutil"
                    | "testutils"
                    | "testkit"
                    | "testdata"
                    | "testlib"
                    | "e2e"
                    | "example"
                    | "examples"
                    | "bench"
                    | "benches"
                    | "benchmark"
                    | "benchmarks"
                    | "mock"
                    | "mocks"
                    | "fake"
                    | "fakes"
                    | "fixtures"
                    | "integration"
                    | "stress"
                    | "fuzz"
                    | "simulator"
            )
        }) || part.starts_with("test")
            || part.ends_with("bench")
            || (part.ends_with("test") || part.ends_with("tests"))
                && !matches!(part.as_str(), "latest" | "contest" | "attest" | "protest");
        if is_test {
            return Setting::Test;
        }
        if matches!(
            part.as_str(),
            "hack"
                | "scripts"
                | "script"
                | "tools"
                | "tool"
                | "xtask"
                | "contrib"
                | "cli"
                | "build"
                | "dev"
        ) || part.ends_with("-scripts")
            || part.ends_with("-tools")
        {
            setting = Setting::Command;
        }
        let is_rust_command = name.ends_with(".rs")
            && matches!(part.as_str(), "commands" | "command" | "cmd" | "tui");
        if is_rust_command
            || part.ends_with("-cli")
            || part.ends_with("_cli")
            || part.ends_with("ctl")
        {
            setting = Setting::Command;
        }
    }
    if name == "build.rs" {
        setting = Setting::Command;
    }
    setting
}

/// Whether the head of the file says that a program wrote it.
pub(crate) fn is_generated(text: &str) -> bool {
    let head = text
        .as_bytes()
        .get(..text.len().min(2048))
        .unwrap_or_default();
    memchr::memmem::find(head, b"DO NOT EDIT").is_some()
        || memchr::memmem::find(head, b"@generated").is_some()
        || memchr::memmem::find(head, b"Code generated").is_some()
}

/// Whether a directory of this name holds other people's or built code.
pub(crate) fn is_foreign_directory(name: &str) -> bool {
    matches!(
        name,
        "vendor" | "target" | "node_modules" | "third_party" | "testdata" | ".git"
    )
}

/// Line starts of a text: turns byte offsets into lines and columns.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    starts: Vec<u32>,
}

impl Lines {
    pub(crate) fn new(text: &str) -> Self {
        let mut starts = vec![0];
        starts.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|n| n as u32 + 1));
        Lines { starts }
    }

    /// Line (from 1) and column in bytes (from 1).
    pub(crate) fn position(&self, offset: u32) -> (u32, u32) {
        let line = self.starts.partition_point(|&s| s <= offset);
        let start = self
            .starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        (line as u32, offset - start + 1)
    }

    pub(crate) fn count(&self) -> u32 {
        self.starts.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_tests_and_commands_from_services() {
        assert_eq!(setting("pkg/store/loader.go"), Setting::Service);
        assert_eq!(setting("pkg/store/loader_test.go"), Setting::Test);
        assert_eq!(setting("test_runner/src/lib.rs"), Setting::Test);
        assert_eq!(setting("hack/agent/run.go"), Setting::Command);
        assert_eq!(setting("svix-cli/src/main.rs"), Setting::Command);
        assert_eq!(setting("pkg/latest/contest.go"), Setting::Service);
    }

    #[test]
    fn offsets_become_lines_and_columns() {
        let lines = Lines::new("ab\ncd\n");
        assert_eq!(lines.position(0), (1, 1));
        assert_eq!(lines.position(4), (2, 2));
    }
}
