//! The loom models of the core: they pass, and they fail once the protocol is broken.
//!
//! A model that passes says little until it has been seen to fail. So each protocol has a mutant,
//! `--cfg evenkeel_mutant="breaker"` and so on, in which its compare-exchange is a load and a store.
//! This gate runs the models as they are, then each mutant, and wants the models of that name to
//! fail: a test is a model when its name begins `loom_`, and belongs to the mutant that follows, as
//! `loom_breaker_admits_exactly_its_probes` does.
//!
//! The mutants reach the core alone, through a compiler wrapper for workspace members: loom and what
//! it needs are built once, not once a mutant.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{Verdict, command};

/// Protocols whose compare-exchange `evenkeel_core::sync` can break.
const MUTANTS: [&str; 14] = [
    "admission",
    "announce",
    "breaker",
    "budget",
    "ewma",
    "limiter",
    "outlier",
    "progress",
    "quantile",
    "rate",
    "slots",
    "tenant",
    "throttle",
    "window",
];

/// How often loom may take the processor from a thread that could go on. Its own documentation
/// advises two or three, which most races need at most; the nightly step asks for more.
const PREEMPTIONS: &str = "3";

/// The variable loom reads.
const PREEMPTIONS_VARIABLE: &str = "LOOM_MAX_PREEMPTIONS";

/// What one run of the models said.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    passed: Vec<String>,
    failed: Vec<String>,
    /// The run died before it could say how its tests ended.
    crashed: bool,
}

impl Outcome {
    /// What broke, for a person.
    fn failures(&self) -> String {
        if self.failed.is_empty() {
            "a crash".to_owned()
        } else {
            self.failed.join(", ")
        }
    }

    fn is_broken(&self) -> bool {
        self.crashed || !self.failed.is_empty()
    }
}

/// Runs the models, then every mutant.
///
/// # Errors
/// When the core does not compile under loom.
pub(crate) fn run(root: &Path) -> Result<Verdict> {
    let bound = env::var(PREEMPTIONS_VARIABLE).unwrap_or_else(|_| PREEMPTIONS.to_owned());
    println!("loom: at most {bound} preemptions ({PREEMPTIONS_VARIABLE})");
    let mut verdict = Verdict::Holds;

    let began = Instant::now();
    let models = models(root, None, &bound)?;
    println!(
        "models: {} passed, {} failed in {:.1} s",
        models.passed.len(),
        models.failed.len(),
        began.elapsed().as_secs_f64()
    );
    if models.is_broken() {
        println!("FAILED: {}", models.failures());
        verdict = Verdict::Broken;
    }

    for mutant in MUTANTS {
        if !models.passed.iter().any(|name| is_model_of(name, mutant)) {
            println!("{mutant}: no passing model `loom_{mutant}_...` to try the mutant on");
            verdict = Verdict::Broken;
            continue;
        }
        let began = Instant::now();
        let outcome = self::models(root, Some(mutant), &bound)?;
        let seconds = began.elapsed().as_secs_f64();
        if outcome.failed.is_empty() {
            println!("{mutant}: a load and a store pass every model in {seconds:.1} s: too weak");
            verdict = Verdict::Broken;
        } else {
            println!(
                "{mutant}: caught in {seconds:.1} s by {}",
                outcome.failed.join(", ")
            );
        }
    }
    Ok(verdict)
}

/// Builds the core under loom, with `mutant` if there is one, and runs its models.
fn models(root: &Path, mutant: Option<&str>, bound: &str) -> Result<Outcome> {
    let filter = mutant.map_or_else(|| "loom_".to_owned(), |mutant| format!("loom_{mutant}_"));
    let mut build = test_command(root, mutant)?;
    build.arg("--no-run");
    let status = build.status().context("cannot start cargo")?;
    ensure!(
        status.success(),
        "the core does not compile under loom: `{}`",
        command::line(&build)
    );

    let mut run = test_command(root, mutant)?;
    run.args(["--no-fail-fast", "--", &filter])
        .env(PREEMPTIONS_VARIABLE, bound);
    let output = command::capture(&mut run)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut outcome = results(&text);
    outcome.crashed = !output.status.success() && outcome.failed.is_empty();
    if mutant.is_none() && outcome.is_broken() {
        println!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(outcome)
}

fn test_command(root: &Path, mutant: Option<&str>) -> Result<Command> {
    let target = target_folder(root).join("loom");
    let mut test = command::cargo(root);
    test.args([
        "test",
        "--release",
        "--package",
        "evenkeel-core",
        "--lib",
        "--tests",
    ])
    .env("CARGO_TARGET_DIR", &target)
    .env("RUSTFLAGS", "--cfg evenkeel_loom")
    // Link-time optimisation buys the models nothing and costs most of the build.
    .env("CARGO_PROFILE_RELEASE_LTO", "off")
    .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Some(mutant) = mutant {
        test.env("RUSTC_WORKSPACE_WRAPPER", wrapper(&target, mutant)?);
    }
    Ok(test)
}

/// A compiler that breaks the protocol. Cargo keeps what each wrapper builds apart by its path.
fn wrapper(target: &Path, mutant: &str) -> Result<PathBuf> {
    let path = target.join(format!("rustc-with-mutant-{mutant}"));
    let script = format!("#!/bin/sh\nexec \"$@\" --cfg 'evenkeel_mutant=\"{mutant}\"'\n");
    let write = || {
        fs::create_dir_all(target)?;
        // Written once: a newer file would make cargo build again.
        if fs::read_to_string(&path).is_ok_and(|found| found == script) {
            return Ok(());
        }
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn target_folder(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .filter(|folder: &OsString| !folder.is_empty())
        .map_or_else(|| root.join("target"), |folder| root.join(folder))
}

fn is_model_of(test: &str, mutant: &str) -> bool {
    let name = test.rsplit("::").next().unwrap_or(test);
    name.starts_with(&format!("loom_{mutant}_"))
}

/// The tests that passed and failed in what the test runner printed.
fn results(text: &str) -> Outcome {
    let named = |ending: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(ending))
            .map(str::to_owned)
            .collect()
    };
    Outcome {
        passed: named(" ... ok"),
        failed: named(" ... FAILED"),
        crashed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_the_runner() {
        let text = "running 2 tests\n\
                    test breaker::loom_breaker_opens_once ... ok\n\
                    test loom_budget_is_never_overdrawn ... FAILED\n\
                    test result: FAILED. 1 passed; 1 failed\n";
        let outcome = results(text);
        assert_eq!(outcome.passed, ["breaker::loom_breaker_opens_once"]);
        assert_eq!(outcome.failed, ["loom_budget_is_never_overdrawn"]);
    }

    #[test]
    fn a_model_belongs_to_the_mutant_in_its_name() {
        assert!(is_model_of(
            "bulkhead::tests::loom_bulkhead_never_exceeds_its_limit",
            "bulkhead"
        ));
        assert!(!is_model_of("tests::loom_breaker_opens_once", "budget"));
        assert!(!is_model_of("tests::breaker_loom_", "breaker"));
    }
}
