//! The heavy gates: what takes too long for every change, as the steps of `.ci/nightly.toml`.
//!
//! A step says what it proves, what it needs and how long it takes. A missing tool fails its step;
//! it is never passed over. Only a step whose subject does not exist yet is, and says so.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{Verdict, command};

/// The steps, relative to the checkout.
pub(crate) const FILE: &str = ".ci/nightly.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Steps {
    step: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    /// What holds when it passes.
    proves: String,
    /// About how long it takes on two cores.
    minutes: u32,
    run: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    needs: Vec<Need>,
    /// The file without which there is nothing to run yet.
    subject: Option<String>,
}

/// A program, and how to come by it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Need {
    program: String,
    install: String,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Held,
    Broke,
    /// With what to do about it.
    Missing(String),
    /// What it tests does not exist yet.
    NothingYet(String),
}

impl Steps {
    /// Reads the steps of the checkout at `root`.
    ///
    /// # Errors
    /// When the file is missing or does not parse.
    pub(crate) fn read(root: &Path) -> Result<Steps> {
        let text =
            fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        toml::from_str(&text).with_context(|| format!("{FILE} is not valid"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.step.iter().any(|step| step.name == name)
    }

    /// The steps of these names, or all.
    fn chosen(&self, names: &[&str]) -> Result<Vec<&Step>> {
        if names.is_empty() {
            return Ok(self.step.iter().collect());
        }
        names
            .iter()
            .map(
                |name| match self.step.iter().find(|step| step.name == *name) {
                    Some(step) => Ok(step),
                    None => {
                        let known: Vec<&str> =
                            self.step.iter().map(|step| step.name.as_str()).collect();
                        bail!("{FILE} has no step `{name}`; it has {}", known.join(", "))
                    }
                },
            )
            .collect()
    }
}

/// Runs the chosen steps one after the other and prints a table of how each ended.
///
/// # Errors
/// When the steps cannot be read, a name is unknown, or a program cannot be started.
pub(crate) fn run(root: &Path, names: &[&str]) -> Result<Verdict> {
    let steps = Steps::read(root)?;
    let chosen = steps.chosen(names)?;
    let mut rows = Vec::new();
    for step in chosen {
        println!(
            "--- {}: {} (about {} min)",
            step.name, step.proves, step.minutes
        );
        let began = Instant::now();
        let ended = step.run(root)?;
        println!("--- {}: {ended}", step.name);
        rows.push((step, ended, began.elapsed()));
    }
    println!("\n{}", table(&rows));
    let broken = rows.iter().any(|(_, ended, _)| ended.is_broken());
    Ok(if broken {
        Verdict::Broken
    } else {
        Verdict::Holds
    })
}

impl Step {
    fn run(&self, root: &Path) -> Result<Ended> {
        if let Some(subject) = self
            .subject
            .as_ref()
            .filter(|path| !root.join(path).exists())
        {
            return Ok(Ended::NothingYet(format!("{subject} does not exist yet")));
        }
        if let Some(need) = self.needs.iter().find(|need| !is_installed(&need.program)) {
            return Ok(Ended::Missing(format!(
                "{} is not installed: {}",
                need.program, need.install
            )));
        }
        let Some((program, arguments)) = self.run.split_first() else {
            bail!("step `{}` of {FILE} runs nothing", self.name);
        };
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .envs(&self.environment)
            .current_dir(root);
        // A gate that asks for another toolchain must not inherit this one's.
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        let status = command
            .status()
            .with_context(|| format!("cannot start `{}`", command::line(&command)))?;
        Ok(if status.success() {
            Ended::Held
        } else {
            Ended::Broke
        })
    }
}

impl Ended {
    fn is_broken(&self) -> bool {
        matches!(self, Ended::Broke | Ended::Missing(_))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Held => f.write_str("held"),
            Ended::Broke => f.write_str("BROKE"),
            Ended::Missing(what) => write!(f, "NOT RUN: {what}"),
            Ended::NothingYet(why) => write!(f, "nothing to run: {why}"),
        }
    }
}

fn is_installed(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

fn table(rows: &[(&Step, Ended, Duration)]) -> String {
    let width = rows
        .iter()
        .map(|(step, ..)| step.name.len())
        .max()
        .unwrap_or_default();
    let line = |(step, ended, took): &(&Step, Ended, Duration)| {
        let minutes = took.as_secs_f64() / 60.0;
        format!(
            "{:width$}  {minutes:>6.1} min of {:>3}  {ended}",
            step.name, step.minutes
        )
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(program: &str, run: &[&str]) -> Step {
        Step {
            name: "a step".to_owned(),
            proves: "something".to_owned(),
            minutes: 1,
            run: run.iter().map(|word| (*word).to_owned()).collect(),
            environment: BTreeMap::new(),
            needs: vec![Need {
                program: program.to_owned(),
                install: "install it".to_owned(),
            }],
            subject: None,
        }
    }

    #[test]
    fn a_missing_tool_fails_the_step() {
        let ended = step("no-such-program", &["true"])
            .run(Path::new("/"))
            .expect("it is read");
        assert_eq!(
            ended,
            Ended::Missing("no-such-program is not installed: install it".to_owned())
        );
        assert!(ended.is_broken());
    }

    #[test]
    fn a_command_that_fails_breaks_the_step() {
        let ended = step("false", &["false"])
            .run(Path::new("/"))
            .expect("it starts");
        assert_eq!(ended, Ended::Broke);
        assert!(ended.is_broken());
    }

    #[test]
    fn a_step_without_its_subject_says_so_and_breaks_nothing() {
        let mut step = step("true", &["true"]);
        step.subject = Some("no/such/file".to_owned());
        let ended = step.run(Path::new("/")).expect("it is read");
        assert_eq!(
            ended,
            Ended::NothingYet("no/such/file does not exist yet".to_owned())
        );
        assert!(!ended.is_broken());
    }

    #[test]
    fn the_committed_steps_parse_and_an_unknown_name_is_told() {
        let steps = Steps::read(&crate::workspace_root()).expect("the steps are valid");
        let error = steps
            .chosen(&["no-such-step"])
            .expect_err("there is no such step");
        assert!(
            error
                .to_string()
                .contains("has no step `no-such-step`; it has "),
            "{error}"
        );
    }
}
