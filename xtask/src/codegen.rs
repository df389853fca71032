//! Generated files that are committed: written by this verb, checked by `.ci/run`.
//!
//! A schema in the repository can be read, linked and compared between versions; a schema that
//! only a build prints cannot. The price is that it may go stale, so the check fails until it is
//! written again.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{Verdict, command};

/// Whether to write the files or to compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// A committed file and the arguments of `evenkeel` that print it.
struct Generated {
    file: &'static str,
    arguments: &'static [&'static str],
}

const GENERATED: [Generated; 2] = [
    Generated {
        file: "schemas/policy.schema.json",
        arguments: &["schema", "policy"],
    },
    Generated {
        file: "schemas/doctor-report.schema.json",
        arguments: &["schema", "doctor"],
    },
];

/// Writes or compares every generated file.
///
/// # Errors
/// When the program that prints one fails, or a file cannot be written.
pub(crate) fn run(root: &Path, mode: Mode) -> Result<Verdict> {
    let mut verdict = Verdict::Holds;
    for generated in &GENERATED {
        let fresh = print(root, generated)?;
        let path = root.join(generated.file);
        let committed = fs::read_to_string(&path).unwrap_or_default();
        match (mode, committed == fresh) {
            (_, true) => println!("{}: up to date", generated.file),
            (Mode::Write, false) => {
                let write = || {
                    path.parent().map_or(Ok(()), fs::create_dir_all)?;
                    fs::write(&path, &fresh)
                };
                write().with_context(|| format!("cannot write {}", path.display()))?;
                println!("{}: written", generated.file);
            }
            (Mode::Check, false) => {
                println!(
                    "{}:{}: differs from what the code prints\n    \
                     why:     who reads the file reads a promise the code does not keep\n    \
                     way out: `cargo xtask codegen`, and commit the file",
                    generated.file,
                    first_difference(&committed, &fresh)
                );
                verdict = Verdict::Broken;
            }
        }
    }
    Ok(verdict)
}

fn print(root: &Path, generated: &Generated) -> Result<String> {
    let mut cargo = command::cargo(root);
    cargo
        .args(["run", "--quiet", "--package", "evenkeel-cli", "--"])
        .args(generated.arguments);
    let output = command::capture_stdout(&mut cargo)?;
    ensure!(
        output.status.success(),
        "`{}` failed",
        command::line(&cargo)
    );
    let mut text = String::from_utf8(output.stdout).with_context(|| {
        format!(
            "`{}` printed something that is not text",
            command::line(&cargo)
        )
    })?;
    ensure!(
        !text.trim().is_empty(),
        "`{}` printed nothing",
        command::line(&cargo)
    );
    text.truncate(text.trim_end().len());
    text.push('\n');
    Ok(text)
}

/// The first line, counted from 1, on which the two differ.
fn first_difference(committed: &str, fresh: &str) -> usize {
    let same = committed
        .lines()
        .zip(fresh.lines())
        .take_while(|(one, other)| one == other);
    same.count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("", "a\n"), 1);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), 2);
        assert_eq!(first_difference("a\n", "a\nb\n"), 2);
    }
}
