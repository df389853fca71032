//! Ends a program when the drill is gone.
//!
//! The proxy is a program for production and does not watch its standard input. A keeper does it
//! for the proxy: it starts the program, and when its own lifeline closes, or it is told to end,
//! it ends the program.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::lifeline;

/// Starts `program` and keeps it until the lifeline closes, a signal asks for the end, or the
/// program ends on its own. Returns how it ended, or nothing if it was ended here.
///
/// # Errors
/// If the program cannot be started or watched.
pub async fn run(program: OsString, arguments: Vec<OsString>) -> io::Result<Option<ExitStatus>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let closed = lifeline()?;
    let mut kept = Command::new(program)
        .args(arguments)
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
        status = kept.wait() => return status.map(Some),
    }
    // Nothing is under way any more when a drill ends: there is nothing to drain.
    kept.kill().await?;
    Ok(None)
}
