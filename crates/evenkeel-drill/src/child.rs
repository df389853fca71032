//! Processes that do not outlive the drill.
//!
//! Each child holds the reading end of a pipe whose writing end only the drill holds: its
//! standard input. Whatever ends the drill, an orderly end, a panic or the kill signal nobody can
//! catch, closes the pipe, and the child ends itself on the end of file. Nothing has to be
//! remembered, searched for or killed by name.
//!
//! For the same reason what a child writes goes to a file without a name: the system removes it
//! with the last process that holds it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::DrillError;

/// The word before the address in the one line a service prints when it is ready.
pub const LISTENING: &str = "listening";

/// How long a service may take until it listens. Generous: a machine may be busy.
const START: Duration = Duration::from_secs(20);

/// How long a service may take to end after its lifeline is cut, before it is killed.
const END: Duration = Duration::from_secs(3);

/// How many lines of a child's standard error are shown when it fails.
const LOG_LINES: usize = 12;

/// What to start.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// Its name in the story.
    pub(crate) name: &'a str,
    /// The program.
    pub(crate) program: &'a Path,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
}

/// A running process of the drill. Dropping it cuts its lifeline and waits for nothing.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    process: Child,
    lifeline: Option<ChildStdin>,
    // What it writes to its standard error.
    log: File,
}

impl Process {
    /// Starts a process and leaves it to itself.
    pub(crate) fn start(start: Start<'_>) -> Result<Self, DrillError> {
        let doing = || format!("starting {}", start.name);
        let log = tempfile::tempfile().map_err(|error| DrillError::Precondition {
            reason: format!(
                "no temporary file can be made: {error}; set TMPDIR to a folder that can be written"
            ),
        })?;
        let stderr = log.try_clone().map_err(DrillError::io(doing()))?;
        let mut process = Command::new(start.program)
            .args(start.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // Its own group, for two reasons: an interrupt at the terminal goes to the drill alone,
            // which ends its children in order; and what a child started can be killed with it.
            .process_group(0)
            .spawn()
            .map_err(DrillError::io(doing()))?;
        let lifeline = process.stdin.take();
        Ok(Self {
            name: start.name.to_owned(),
            process,
            lifeline,
            log,
        })
    }

    /// Waits until the process says on which address it listens.
    pub(crate) async fn address(&mut self) -> Result<SocketAddr, DrillError> {
        let line = tokio::time::timeout(START, self.first_line()).await;
        let line = match line {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => return Err(self.failed(format!("broke off: {error}"))),
            Err(_) => return Err(self.failed(format!("did not listen within {START:?}"))),
        };
        if line.is_empty() {
            return Err(self.failed("ended before it listened"));
        }
        let address = line.trim().strip_prefix(LISTENING).map(str::trim);
        match address.and_then(|address| address.parse().ok()) {
            Some(address) => Ok(address),
            None => Err(self.failed(format!("printed {line:?} instead of its address"))),
        }
    }

    async fn first_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if let Some(stdout) = self.process.stdout.as_mut() {
            BufReader::new(stdout).read_line(&mut line).await?;
        }
        Ok(line)
    }

    /// An error if the process has ended on its own.
    pub(crate) fn still_runs(&mut self) -> Result<(), DrillError> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failed(format!("ended on its own with {status}"))),
            Err(error) => Err(self.failed(format!("cannot be watched: {error}"))),
        }
    }

    /// Cuts the lifeline: the process ends itself, soon.
    pub(crate) fn cut(&mut self) {
        drop(self.lifeline.take());
    }

    /// Ends the process: its lifeline is cut, and if it does not end by itself it is killed.
    pub(crate) async fn end(mut self) {
        self.cut();
        if tokio::time::timeout(END, self.process.wait())
            .await
            .is_err()
        {
            let group = self
                .process
                .id()
                .and_then(|id| Pid::from_raw(id.cast_signed()));
            if let Some(group) = group {
                // An error here means that it has ended meanwhile.
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.process.wait().await;
        }
    }

    /// What the process wrote to its standard error until now.
    pub(crate) fn log(&self) -> String {
        // Read by position: the child writes at the one the two handles share. A log that cannot be
        // read is a poorer explanation and no other error.
        let mut log = Vec::new();
        let mut part = [0; 4096];
        while let Ok(read @ 1..) = self.log.read_at(&mut part, log.len() as u64) {
            log.extend_from_slice(&part[..read]);
        }
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The error that this process did `reason`, with the last it wrote.
    pub(crate) fn failed(&self, reason: impl Into<String>) -> DrillError {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(LOG_LINES);
        DrillError::Process {
            name: self.name.clone(),
            reason: reason.into(),
            log: lines[last..].join("\n"),
        }
    }
}
