//! Ends a program when the drill is gone, and removes its configuration file.
//!
//! The proxy is a program for production: it does not watch its standard input, and it wants its
//! configuration in a file with a name. A keeper does for it what the drill cannot, once it was
//! killed: it writes the file, starts the program, and when its own lifeline closes, or it is told
//! to end, it ends the program and removes the file.

use std::ffi::OsString;
use std::io;
use std::io::Write as _;
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::lifeline;

/// Starts `program` and keeps it until the lifeline closes, a signal asks for the end, or the
/// program ends on its own. Returns how it ended, or nothing if it was ended here. The program is
/// told by `--config`, after its other arguments, of a file that holds `config` as long as it runs.
///
/// # Errors
/// If the file cannot be written, or the program cannot be started or watched.
pub async fn run(
    config: &str,
    program: OsString,
    arguments: Vec<OsString>,
) -> io::Result<Option<ExitStatus>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let closed = lifeline()?;
    let mut file = tempfile::Builder::new()
        .prefix("evenkeel-drill-")
        .suffix(".yaml")
        .tempfile()?;
    file.write_all(config.as_bytes())?;
    let mut kept = Command::new(program)
        .args(arguments)
        .arg("--config")
        .arg(file.path())
        .stdin(Stdio::null())
        // The drill reads one stream of it, and a pipe that nobody reads fills and stops it.
        .stdout(io::stderr())
        .kill_on_drop(true)
        .spawn()?;
    tokio::select! {
        biased;
        _ = closed => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        status = kept.wait() => {
            file.close()?;
            return status.map(Some);
        }
    }
    // Nothing is under way any more when a drill ends: there is nothing to drain.
    kept.kill().await?;
    file.close()?;
    Ok(None)
}
