//! How often the doctor is right on a folder of labelled captures.
//!
//! The doctor scores itself, as a program of its own: a gate that needs the code it judges could not
//! run when that code does not compile.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{Verdict, command};

/// Prints every miss, precision and recall of each verdict, and the tally as the last line.
///
/// # Errors
/// When the folder cannot be read or holds no labelled capture.
pub(crate) fn score(root: &Path, folder: &str) -> Result<Verdict> {
    // The program runs in the checkout's root; the folder was named from where the caller stands.
    let folder = Path::new(folder)
        .canonicalize()
        .with_context(|| format!("cannot read {folder}"))?;
    let mut cargo = command::cargo(root);
    cargo
        .args([
            "run",
            "--quiet",
            "--package",
            "evenkeel-doctor",
            "--example",
            "score",
            "--",
        ])
        .arg(&folder);
    let output = command::capture_stdout(&mut cargo)?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    ensure!(
        output.status.success(),
        "`{}` failed",
        command::line(&cargo)
    );
    Ok(Verdict::Holds)
}
