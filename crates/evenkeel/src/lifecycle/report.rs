//! How a service ended.

use std::fmt;
use std::time::Duration;

use super::Phase;
use crate::leaks::{Live, Name};
use crate::workers::Leftover;

/// How a service ended, part by part.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Why it ended.
    pub cause: Cause,
    /// How long that took.
    pub took: Duration,
    /// Every part, in the order in which they were started.
    pub stopped: Vec<Stopped>,
    /// What stands in the service's register after everything was ended: tasks, locks, jobs.
    pub left: Vec<Live>,
}

/// Why a service ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It was asked to.
    Asked,
    /// This server ended by itself.
    ServerEnded(Name),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("asked to end"),
            Self::ServerEnded(name) => write!(f, "server `{name}` ended by itself"),
        }
    }
}

/// How one part ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stopped {
    /// What kind of part it was.
    pub phase: Phase,
    /// Its name.
    pub name: Name,
    /// How it ended.
    pub how: How,
    /// How long it had run.
    pub age: Duration,
    /// How long ago it had shown a sign of life.
    pub silence: Duration,
    /// Jobs of it that ignored their cancellation.
    pub left: Vec<Leftover>,
}

/// How far one had to go to end a part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// It finished what it had, in time.
    Drained,
    /// Its time was over, and it ended when its context did.
    Cancelled,
    /// It ignored that, and was dropped at an await.
    Aborted,
    /// It ignores even that: it blocks a thread, and is still there.
    NotStopped,
    /// It panicked, with this message.
    Panicked(String),
}

impl Report {
    /// Whether every part and every job finished what it had within the time, and nothing is left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.left.is_empty() && self.late().next().is_none()
    }

    /// The parts that did not drain in time, or left something behind.
    pub fn late(&self) -> impl Iterator<Item = &Stopped> {
        let clean = |part: &&Stopped| part.how != How::Drained || !part.left.is_empty();
        self.stopped.iter().filter(clean)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; ended in {:?}", self.cause, self.took)?;
        for part in self.late() {
            write!(f, "\n{part}")?;
            for job in &part.left {
                write!(f, "\n  {job}")?;
            }
        }
        for live in &self.left {
            write!(f, "\nstill there: {live}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, silence, .. } = self;
        write!(f, "{} `{name}` ", self.phase.as_str())?;
        match &self.how {
            How::Drained => f.write_str("drained"),
            How::Cancelled => f.write_str("did not drain in time, and ended when it was cancelled"),
            How::Aborted => write!(
                f,
                "ignored its cancellation and was aborted; last sign of life {silence:?} ago"
            ),
            How::NotStopped => write!(
                f,
                "blocks a thread and could not be stopped; last sign of life {silence:?} ago"
            ),
            How::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}
