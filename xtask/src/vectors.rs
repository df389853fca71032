//! The core against reference numbers of other systems' algorithms.
//!
//! The program that compares is `evenkeel-vectors`: it needs the core, and a gate that needs the code it
//! judges could not run when that code does not compile. This verb builds it, runs it on a folder and
//! passes on what it says.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{Verdict, command};

/// Runs every vector file of `folder`, which is relative to where the person stands.
///
/// # Errors
/// When the program cannot be built, or the folder cannot be read.
pub(crate) fn run(root: &Path, folder: &str) -> Result<Verdict> {
    let folder =
        std::path::absolute(folder).with_context(|| format!("no such folder: {folder}"))?;
    let mut program = command::cargo(root);
    program
        .args(["run", "--quiet", "--package", "evenkeel-vectors", "--"])
        .arg(folder);
    let status = program
        .status()
        .with_context(|| format!("cannot start `{}`", command::line(&program)))?;
    match status.code() {
        Some(0) => Ok(Verdict::Holds),
        Some(1) => Ok(Verdict::Broken),
        _ => bail!("`{}` failed", command::line(&program)),
    }
}
