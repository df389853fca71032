//! The real binary, in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// What it said before it listened.
    pub(crate) before: String,
    pub(crate) stderr: BufReader<ChildStderr>,
}

impl Process {
    /// Starts it and reads where it listens.
    pub(crate) fn start(arguments: &[&str]) -> Process {
        Process::spawn(
            Command::new(env!("CARGO_BIN_EXE_evenkeel-proxy")),
            arguments,
        )
    }

    /// The same, under what the shell's `ulimit` is told.
    pub(crate) fn start_limited(limit: &str, arguments: &[&str]) -> Process {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_evenkeel-proxy"));
        Process::spawn(shell, arguments)
    }

    fn spawn(mut command: Command, arguments: &[&str]) -> Process {
        let mut child = command
            .args(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut before = String::new();
        let address = loop {
            let mut line = String::new();
            let read = stderr.read_line(&mut line).unwrap();
            assert!(read > 0, "no address in {before:?}");
            match line.split_once("listening on http://") {
                Some((_, rest)) => break rest.split([',', ' ', '\n']).next().unwrap().to_owned(),
                None => before.push_str(&line),
            }
        };
        Process {
            child,
            address: address.parse().unwrap(),
            before,
            stderr,
        }
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// A line of `/proc/PID/status`, in KiB.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status
            .lines()
            .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {line} in {status}"))
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is the usual case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
