//! What calls cost beside the peers: ratios, taken round by round in one run.
//!
//! Not a gate of `.ci/run`: what a shared machine says about nanoseconds is no reason to stop a change.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{Verdict, command};

/// Runs the races whose path holds one of `words`, or all, and shows their table. Which bars are missed
/// stands in the table.
///
/// # Errors
/// When the races cannot be built or run.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<Verdict> {
    let mut races = command::cargo(root);
    races
        .args(["bench", "--quiet", "--package", "evenkeel-benches"])
        .args(["--bench", "ratios", "--"])
        .args(words);
    let status = races
        .status()
        .with_context(|| format!("cannot start `{}`", command::line(&races)))?;
    ensure!(status.success(), "`{}` failed", command::line(&races));
    Ok(Verdict::Holds)
}
