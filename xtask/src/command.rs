//! Running other programs: always from the checkout's root, never through a shell.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

/// The cargo that runs this gate, so that a pinned toolchain stays pinned.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    command
}

/// Runs `command` with its output captured; an exit code other than 0 is not an error here.
///
/// # Errors
/// When the program cannot be started.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))
}

/// Runs `command` with its messages shown as they come and its standard output captured.
///
/// # Errors
/// When the program cannot be started.
pub(crate) fn capture_stdout(command: &mut Command) -> Result<Output> {
    capture(command.stderr(Stdio::inherit()))
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
